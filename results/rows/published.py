"""Results that others published for small models, and what the same size gives here."""

from results.rows import Claim, Found, Numbers, Recorded, verdict

CNN_RANDOM = 83.5  # accuracy, 1408.5882, table 2; of GLUE's validation split here, as its test labels are hidden
NANOGPT = 1.88  # loss, its README


def judge_sst2(found: Numbers) -> Found:
    """Above a convolutional network of random initialisation."""
    accuracy = 100 * found["validation/accuracy"]
    return Found(f"GLUE, validation split: {accuracy:.2f} %, one seed", verdict(accuracy >= CNN_RANDOM))


def judge_shakespeare(found: Numbers) -> Found:
    """As low as nanoGPT's."""
    run = found["shakespeare cpu"]
    return Found(
        f"{run['parameters']:,} parameters, {run['steps']:,} steps: {run['validation+test/loss']:.3f} on nanoGPT's "
        "validation text, one seed",
        verdict(run["validation+test/loss"] <= NANOGPT),
        "at a higher learning rate",
        (run["commit"],),
    )


def judge_modern(found: Numbers) -> Found:
    """Below GPT-2's form for every seed."""
    gpt, modern = found["shakespeare cpu"], [found[f"modern cpu, seed {seed}"] for seed in range(3)]
    losses = [run["validation/loss"] for run in modern]
    return Found(
        f"Tiny Shakespeare, validation loss {', '.join(f'{loss:.3f}' for loss in losses)} "
        f"({modern[0]['parameters']:,} parameters), GPT-2's form {gpt['validation/loss']:.3f} ({gpt['parameters']:,}, "
        "one seed); equal steps, batches and arithmetic",
        verdict(max(losses) < gpt["validation/loss"], min(losses) < gpt["validation/loss"]),
        commits=(modern[0]["commit"],),
    )


def judge_bert(found: Numbers) -> Found:
    """Pre-trained above from scratch for every seed, with all labels and with few."""
    parts = ("all labels", "2,000 labels")
    won = [
        all(
            tuned > scratch
            for tuned, scratch in zip(
                *(found[part][start]["validation/accuracy"] for start in ("fine-tuned", "from scratch")), strict=True
            )
        )
        for part in parts
    ]
    shown = "; ".join(
        f"{part}: {100 * found[part]['fine-tuned']['mean']:.1f} % fine-tuned, "
        f"{100 * found[part]['from scratch']['mean']:.1f} % from scratch"
        for part in parts
    )
    return Found(
        f"BERT-Tiny, SST-2, validation split, 3 seeds, equal steps, {shown}",
        verdict(all(won), any(won)),
        "pre-trained for 3,000 steps on the phrases of SST-2 itself, without their labels"
        + ("" if all(won) else f"; not better for every seed with {parts[won.index(False)]}"),
    )


CLAIMS = (
    Claim(
        "sst2",
        "A small Transformer encoder from scratch is as good on SST-2 as a convolutional network from scratch.",
        "1408.5882, table 2 (CNN-rand)",
        f"{CNN_RANDOM} %",
        Recorded(
            "sst2.json",
            "python train.py --config=configs/encoder_sst2.py --config.data.data_dir=DIR",
            judge_sst2,
            ("configs/encoder_sst2.py",),
        ),
    ),
    Claim(
        "shakespeare",
        "A GPT of 0.8 million parameters learns Tiny Shakespeare's characters in minutes on a CPU.",
        "nanoGPT, README",
        f"{NANOGPT} nats",
        Recorded(
            "language_model.json",
            'python results/language_model.py "shakespeare cpu" --data_dir=DIR',
            judge_shakespeare,
            ("configs/gpt_shakespeare.py",),
        ),
    ),
    Claim(
        "modern_blocks",
        "Rotary positions, RMSNorm, gated MLPs and normalised queries and keys learn more from the same compute.",
        "2104.09864; 1910.07467; 2002.05202; 2010.04245",
        "",
        Recorded(
            "language_model.json",
            'python results/language_model.py "modern cpu, seed 0" "modern cpu, seed 1" "modern cpu, seed 2" '
            "--data_dir=DIR",
            judge_modern,
            ("configs/gpt_modern.py",),
        ),
    ),
    Claim(
        "masked_words",
        "Learning to fill in hidden words first, an encoder classifies sentences better than from scratch.",
        "1810.04805, section 5.1",
        "",
        Recorded(
            "bert.json", "python results/bert.py --data_dir=DIR --steps=3000", judge_bert, ("configs/bert_finetune.py",)
        ),
    ),
)
