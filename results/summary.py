"""What the records of results/ say, as rows of the documentation: see tables.py."""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from analysis import fits, studies  # noqa: E402
from results.later_rows import clips, dense, drawings, hour, images_and_texts, spans, tiny, vectors  # noqa: E402
from results.recorded import Record, Result, listed, made, mean_by, percent, read, recorded, table_of  # noqa: E402


def families() -> dict[str, list[Result]]:
    """The rows of README's results, by what they are about."""
    return {
        "Images": images(),
        "Images from noise": drawings(),
        "Translation and sequences": sequences(),
        "Language": language(),
        "Detection and segmentation": dense(),
        "Video, images and texts": [*clips(), *images_and_texts()],
        "Studies": of_studies(),
    }


def results() -> list[Result]:
    """The rows of all families."""
    return [row for rows in families().values() for row in rows]


def images() -> list[Result]:
    """Classifiers of images, and what they gain from other training."""
    digits, own, transfer = map(read, ("digits", "self_supervision", "transfer"))
    accuracies = [run["test/accuracy"] for run in digits["runs"]]
    seconds = [run["seconds"] for run in digits["runs"]]
    probe = {name: percent(value, 1) for name, value in own["accuracy"]["linear probe"].items()}
    tuned = {name: percent(float(np.mean(values)), 1) for name, values in own["accuracy"]["fine-tuned"].items()}

    def transferred(name: str, config: str) -> Result:
        """A row of the record of transfer."""
        tuned, scratch = (percent(transfer[name][f"mean {how}"], 1) for how in ("fine-tuned", "from scratch"))
        text = (
            "Fashion-MNIST, five classes learned after the other five, 1,000 images, 100 steps, 3 seeds: "
            f"**{tuned} %** fine-tuned, {scratch} % from scratch"
        )
        note = ", by [transfer.py](results/transfer.py)"
        return Result(config, text, "", "transfer.json", (transfer["commit"],), f"configs/{config}.py", note)

    return [
        Result(
            "vit_digits",
            f"digits: **{percent(digits['test/accuracy, mean'])} %** test accuracy, mean of {len(accuracies)} seeds "
            f"({listed(accuracies, 2)})",
            f"{min(seconds):.0f} to {max(seconds):.0f} s",
            "digits.json",
            (digits["commit"],),
            "configs/vit_digits.py",
        ),
        *hour(),
        Result(
            "mae_fashion_mnist",
            f"Fashion-MNIST, a linear classifier on frozen features: MAE, 4 epochs, **{probe['mae']} %**; mean "
            f"colours, 2 epochs, {probe['mean_color']} %; random network {probe['random']} %. Fine-tuned on 1,000 "
            f"images, 3 seeds: MAE **{tuned['mae']} %**, mean colours {tuned['mean_color']} %, from "
            f"scratch {tuned['random']} %",
            "",
            "self_supervision.json",
            (own["commit"],),
            "configs/mae_fashion_mnist.py",
            ", `:mean_color`, by [self_supervision.py](results/self_supervision.py)",
        ),
        transferred("ViT", "vit_fashion_mnist"),
        transferred("BiT ResNet", "resnet_fashion_mnist"),
    ]


def sequences() -> list[Result]:
    """Translation, and the made-up tasks of its size."""
    translated, aligned = read("translation"), read("alignment")["GRU, Bahdanau"]
    multi30k, seq2seq = "configs/transformer_multi30k.py:de-en", "configs/seq2seq_multi30k.py:gru+bahdanau"

    def translation(name: str, config: str, row: str, what: str, note: str = "") -> Result:
        """A row of the record of translations."""
        run = translated[name]
        exact = f"**{percent(run['test/exact_match'])} %** exact match"
        bleu = f"**{run['test/bleu']:.2f} BLEU** (cased, 13a, beam 5)"
        text = f"{what}: {bleu if 'multi30k' in name else exact}"
        time = f"{run['minutes of training']:.0f} minutes"
        return Result(config, text, time, "translation.json", (run["commit"],), row, note)

    return [
        translation("dates", "transformer_dates", "configs/transformer_dates.py", "held-out dates"),
        translation("reverse", "transformer_reverse", "configs/transformer_reverse.py", "held-out sequences"),
        translation("dates t5", "t5_dates", "configs/t5_dates.py", "held-out dates"),
        Result(
            "seq2seq_reverse:gru+bahdanau",
            f"sequences written backwards: **{percent(aligned['alignment_error_rate'], 1)} %** alignment error rate, "
            f"{percent(aligned['test/sentence_accuracy'], 1)} % of sentences right",
            "",
            "alignment.json",
            (aligned["commit"],),
            "configs/seq2seq_reverse.py:gru+bahdanau",
            ", by [alignment.py](results/alignment.py)",
        ),
        translation("multi30k en-de", "transformer_multi30k:en-de", multi30k, "test2016, English to German"),
        translation(
            "multi30k de-en gru+bahdanau, 10 epochs",
            "seq2seq_multi30k:gru+bahdanau",
            seq2seq,
            "test2016, German to English, 10 epochs",
        ),
        translation("multi30k de-en gru+none", "seq2seq_multi30k:gru+none", seq2seq, "the same without attention"),
        *tiny(),
        *spans(),
    ]


def language() -> list[Result]:
    """Language models, and classifiers of sentences."""
    models, sst2, bert = map(read, ("language_model", "sst2", "bert"))
    small, modern = ([models[f"{form} cpu, seed {seed}"] for seed in range(3)] for form in ("shakespeare", "modern"))
    larger, python = models["shakespeare"], models["python"]
    seeds = [run for name, run in sst2.items() if name.startswith("seed ")]
    encoders = [run["validation/accuracy"] for run in seeds]

    def losses(runs: list[Record]) -> str:
        """The mean of seeds, and each."""
        found = [run["validation/loss"] for run in runs]
        return (
            f"validation loss **{np.mean(found):.3f}**, mean of 3 seeds ({', '.join(f'{loss:.3f}' for loss in found)})"
        )

    return [
        Result(
            "gpt_python",
            f"source code of Python's library, by subwords: {python['test/bits_per_byte']:.2f} bits per byte",
            f"{python['seconds of the whole command'] / 60:.0f} minutes",
            "language_model.json",
            (python["commit"],),
            "configs/gpt_python.py",
        ),
        Result(
            "gpt_shakespeare:cpu",
            f"Tiny Shakespeare: {losses(small)}; on nanoGPT's validation text "
            f"{np.mean([run['validation+test/loss'] for run in small]):.3f} (nanoGPT: 1.88)",
            f"{np.mean([run['seconds of the whole command'] for run in small]) / 60:.0f} minutes",
            "language_model.json",
            tuple(sorted({run["commit"] for run in small})),
            "configs/gpt_shakespeare.py:cpu",
        ),
        Result(
            "gpt_shakespeare",
            f"Tiny Shakespeare: validation loss **{larger['validation/loss']:.3f}**, "
            f"{larger['validation/bits_per_byte']:.2f} bits per byte; on nanoGPT's validation "
            f"text {larger['validation+test/loss']:.3f} (nanoGPT: 1.4697)",
            "one H200",
            "language_model.json",
            (larger["commit"],),
            "configs/gpt_shakespeare.py",
        ),
        Result(
            "gpt_modern:cpu",
            f"Tiny Shakespeare: {losses(modern)}",
            "",
            "language_model.json",
            (modern[0]["commit"],),
            "configs/gpt_modern.py:cpu",
        ),
        Result(
            "encoder_sst2:mean",
            f"SST-2, one epoch: **{studies.plus_minus(*fits.interval(encoders), 'accuracy')}** validation accuracy, "
            f"mean of {len(encoders)} seeds ({listed(encoders, 2)})",
            f"{np.mean([run['seconds of the whole command'] for run in seeds]) / 60:.0f} minutes",
            "sst2.json",
            tuple(sorted({run["commit"] for run in seeds})),
            "configs/encoder_sst2.py:mean",
        ),
        Result(
            "bert_finetune:sst2+Tiny",
            "SST-2, BERT-Tiny pre-trained on its phrases without labels, validation accuracy, 3 seeds: "
            + "; ".join(
                f"{part} {percent(bert[part]['fine-tuned']['mean'], 1)} %, from scratch "
                f"{percent(bert[part]['from scratch']['mean'], 1)} %"
                for part in ("all labels", "2,000 labels")
            ),
            "",
            "bert.json",
            (bert["commit"],),
            "configs/bert_finetune.py:sst2+Tiny",
            ", by [bert.py](results/bert.py)",
        ),
        *vectors(),
    ]


def of_studies() -> list[Result]:
    """The rows of studies."""
    scaling, optimisers, recurrence = map(table_of, ("vit_data_scaling", "optimizer_modern", "attention_recurrence"))
    by_size, by_length = mean_by(scaling, "model", "images"), mean_by(recurrence, "model", "length")
    sizes, lengths = ({row[key] for row in rows} for rows, key in ((scaling, "images"), (recurrence, "length")))
    ends = [
        f"{model} {percent(by_size[model, min(sizes)][0], 1)} to {percent(by_size[model, max(sizes)][0], 1)} %"
        for model in ("ViT", "BiT ResNet", "hybrid")
    ]
    by_rate = mean_by(optimisers, "optimiser", "learning_rate")
    best = {name: max(value for (own, _), value in by_rate.items() if own == name) for name, _ in by_rate}
    reached = ", ".join(
        f"{name} {studies.plus_minus(*value, 'accuracy')}"
        for name, value in sorted(best.items(), key=lambda item: -item[1][0])
    )
    firsts = [
        f"{name} {listed(by_length[model, length][0] for length in sorted(lengths))}"
        for name, model in (("encoder", "attention"), ("RNN", "RNN"), ("LSTM", "LSTM"), ("GRU", "GRU"))
    ]

    def study(config: str, rows: list[Record], text: str) -> Result:
        """A row."""
        minutes = sum(row["train_seconds"] for row in rows) / 60
        commits = tuple(sorted({row["commit"] for row in rows}))
        name, time = config.partition(":")[0], f"{len(rows)} runs, {minutes:,.0f} minutes of training"
        return Result(config, text, time, f"{name}/report.md", commits, f"{name}.py")

    return [
        study(
            "vit_data_scaling:fashion_mnist",
            scaling,
            f"Fashion-MNIST, {min(sizes):,.0f} to {max(sizes):,.0f} images, 3 seeds: {', '.join(ends)}",
        ),
        study(
            "optimizer_modern:tiny",
            optimisers,
            f"digits, 400 steps or the same arithmetic, 3 seeds, best of three rates by the same test split: {reached}",
        ),
        study(
            "attention_recurrence:cpu",
            recurrence,
            f"first of {', '.join(f'{length:.0f}' for length in sorted(lengths))} symbols, test accuracy in %, 3 "
            f"seeds: {'; '.join(firsts)} (chance: 12.5; gates of LSTM and GRU begin with a bias of 1)",
        ),
    ]


NAMES = {  # of results/kill_storms.py
    "gpt": "GPT",
    "mae": "MAE",
    "pmap": "pmap",
    "fsdp": "fsdp x tensor on 8 devices",
    "stream": "streamed TFRecords",
    "hosts": "two hosts",
}


def measured() -> list[list[str]]:
    """The rows of README's measurements: what, value, record."""
    mesh, parity = map(read, ("mesh_memory", "parity"))
    damage, kills, storms, hosts = map(read, ("damage_drill", "kill_storm", "kill_storms", "hosts_drill"))
    kinds = list(storms["kinds"].values())
    state = {row["data x fsdp x tensor"]: row["parameters and optimizer, MB"] for row in mesh["per device"]}
    found = [row["detected"] and row["same_bits"] for row in damage["log"]]
    silent = [row for row in hosts["table"] if row["drill"].startswith(("kill", "SIGSTOP"))]
    lost = [seconds for row in silent for seconds in row["seconds_until_all_ended"]]

    def row(what: str, value: str, name: str, record: Record) -> list[str]:
        """A row."""
        return [what, value, f"[{name}.json](results/{name}.json), {made(record.get('commit', ''))}"]

    return [
        row(
            "a device's share of ViT-B/16's parameters and optimiser state, 8 devices",
            f"{state['8 x 1 x 1']:,.0f} MB on data axes, {state['1 x 8 x 1']:.0f} MB on fsdp 8, "
            f"{state['2 x 2 x 2']:.0f} MB on 2 x 2 x 2",
            "mesh_memory",
            mesh,
        ),
        row(
            f"{len(found)} random damages to checkpoints, and a disk that fills during a save",
            f"{sum(found)} detected; the run resumes from the newest good step to the same bits",
            "damage_drill",
            damage,
        ),
        row(
            f"{kills['kills']} times `kill -9` spread over a run, {kills['that left a save unfinished']} of them "
            "during a save, then to the end",
            "the same bits in weights, optimiser state and metrics as an undisturbed run"
            if all(kills["same_bits"].values())
            else "other bits than an undisturbed run",
            "kill_storm",
            kills,
        ),
        row(
            f"the same, {sum(kind['kills'] for kind in kinds)} times, {kinds[0]['kills']} of each kind of run: "
            f"{', '.join(NAMES.get(name, name) for name in storms['kinds'])}",
            "the same bits in each"
            if all(all(kind["same_bits"].values()) for kind in kinds)
            else "other bits than an undisturbed run",
            "kill_storms",
            kinds[0],
        ),
        row(
            f"two hosts: `kill -9`, SIGSTOP, an exception, SIGTERM, SIGINT of one, {len(hosts['log'])} drills",
            f"{sum(run['survived'] for run in hosts['log'])} ended (after a lost host within {max(lost)} s of "
            "`--host_timeout=15`) and resumed to the last step",
            "hosts_drill",
            hosts,
        ),
        *changed_hosts(),
        row(
            "published weights of BERT, RoBERTa, GPT-2, T5, Marian, ViT, DeiT, hybrids, BiT, Mixer, Swin, DETR, DINO, "
            f"DiT, CLIP, SigLIP, ViViT, TimeSformer, VideoMAE: {len(parity['rows'])} models with random weights "
            "against transformers, timm, diffusers and their authors' code (`make test-parity`)",
            f"outputs at most **{max(row['largest error'] for row in parity['rows']):.1e}** apart",
            "parity",
            parity,
        ),
    ]


def changed_hosts() -> list[list[str]]:
    """The row of results/hosts_change.py, once it is recorded."""
    if not recorded("hosts_change"):
        return []
    found = read("hosts_change")
    apart = max(row["largest relative error"] for row in found["rows"])
    parts = [f"{part['hosts']} to step {part['ended after step']}" for part in found["rows"][0]["parts"]]
    source = f"[hosts_change.json](results/hosts_change.json), {made(found['commit'])}"
    return [
        [
            f"one run on hosts {', '.join(parts)}, by pmap and by mesh",
            f"each step's loss at most {apart:.1e} from that of an undisturbed run, relatively",
            source,
        ]
    ]
