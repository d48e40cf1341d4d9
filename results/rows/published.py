"""Results that others published for small models, and what the same size gives here."""

from collections.abc import Callable
from functools import partial

import numpy as np

from analysis import fits
from results import translation
from results.rows import Claim, Found, Numbers, Recorded, Verdict, recurrence, verdict
from results.rows.judging import NONE, Mean, above, in_points, least, percent, stated

CNN_RANDOM = 83.5  # accuracy, 1408.5882, table 2; of GLUE's validation split here, as its test labels are hidden
FASHION = 92.3  # accuracy after 200 epochs
SMALL_BLEU = 41.0  # Multi30k, test2016
OWN_BUDGET = 41.5  # BLEU, German to English: the goal
NANOGPT = 1.88  # loss, its README


def judge_sst2(found: Numbers) -> Found:
    """Above a convolutional network of random initialisation."""
    if any(name.startswith("seed ") for name in found):
        runs, (mean, half), seeds = _of_seeds(found, "seed ", "validation/accuracy")
        return Found(
            f"GLUE, validation split, at the end: {percent((mean, half), '.2f')}, {seeds}",
            _reaches((100 * mean, 100 * half), CNN_RANDOM),
            commits=_commits(runs),
        )
    accuracy, end = found["validation/accuracy"], found["validation/accuracy at the last step, 2116"]
    return Found(
        f"GLUE, validation split: {100 * accuracy:.2f} % at its best step, {100 * end:.2f} % at the end, one seed",
        verdict(100 * end >= CNN_RANDOM),
    )


GPT, MODERN = "shakespeare cpu, ", "modern cpu, "  # how the seeds' entries begin


def judge_shakespeare(found: Numbers) -> Found:
    """As low as nanoGPT's."""
    runs, (mean, half), seeds = _of_seeds(found, GPT, "validation+test/loss")
    return Found(
        f"{runs[0]['parameters']:,} parameters, {runs[0]['steps']:,} steps: {stated((mean, half), '.3f')} on nanoGPT's "
        f"validation text, {seeds}",
        verdict(mean + half <= NANOGPT, mean <= NANOGPT),
        "at a higher learning rate",
        _commits(runs),
    )


def judge_modern(found: Numbers) -> Found:
    """Below GPT-2's form."""
    (gpts, gpt, _), (runs, modern, seeds) = (_of_seeds(found, form, "validation/loss") for form in (GPT, MODERN))
    return Found(
        f"Tiny Shakespeare, validation loss {stated(modern, '.3f')} ({runs[0]['parameters']:,} parameters), "
        f"GPT-2's form {stated(gpt, '.3f')} ({gpts[0]['parameters']:,}); {seeds} each, equal steps, batches and "
        "arithmetic",
        above(gpt, modern),
        commits=_commits([*gpts, *runs]),
    )


def judge_bert(found: Numbers) -> Found:
    """Pre-trained above from scratch, with all labels and with few, by runs paired by seed."""
    gaps = {
        part: fits.interval(
            100 * np.subtract(*(found[part][start]["validation/accuracy"] for start in ("fine-tuned", "from scratch")))
        )
        for part in ("all labels", "2,000 labels")
    }
    shown = "; ".join(
        f"{part}: {100 * found[part]['fine-tuned']['mean']:.1f} % fine-tuned, "
        f"{100 * found[part]['from scratch']['mean']:.1f} % from scratch ({in_points(gap)} points)"
        for part, gap in gaps.items()
    )
    return Found(
        f"BERT-Tiny, SST-2, validation split, 3 seeds, equal steps, {shown}",
        least(*(above(gap, NONE) for gap in gaps.values())),
        "pre-trained for 3,000 steps on the phrases of SST-2 itself, without their labels",
    )


def judge_spans(found: Numbers) -> Found:
    """Pre-trained above from scratch, each with its best rate."""
    starts = ("fine-tuned", "from scratch")
    tuned, scratch = (fits.interval(found[start]["test/bleu"]) for start in starts)
    tried = [(found[start]["learning rate"], found[start]["validation/bleu by learning rate"]) for start in starts]
    at_the_end = all(rate == max(map(float, rates)) for rate, rates in tried)
    return Found(
        f"T5 v1.1 of width 128, Multi30k, German to English by 3,000 pairs, 600 steps, 3 seeds, test2016: "
        f"{stated(tuned, '.2f')} BLEU fine-tuned, {stated(scratch, '.2f')} from scratch",
        above(tuned, scratch),
        "pre-trained for 4,000 steps on the training sentences of both languages, which are not paired; each with the "
        "best of three rates by validation" + ", for both the highest: a higher one may be better" * at_the_end,
        (found["commit"],),
    )


def _of_seeds(found: Numbers, start: str, metric: str) -> tuple[list[Numbers], Mean, str]:
    """The runs whose names so begin, the mean of a metric, and how many seeds there are.

    Raises:
      KeyError: there are none.
    """
    runs = [run for name, run in found.items() if name.startswith(start)]
    if not runs:
        raise KeyError(start)
    return runs, fits.interval([run[metric] for run in runs]), f"{len(runs)} seeds" if len(runs) > 1 else "one seed"


def _reaches(mean: Mean, published: float) -> Verdict:
    """Whether a mean reaches one published number: it holds if the mean does, in direction if its interval does."""
    return verdict(mean[0] >= published, mean[0] + mean[1] >= published)


def _commits(runs: list[Numbers]) -> tuple[str, ...]:
    return tuple(sorted({run["commit"] for run in runs}))


def judge_fashion(found: Numbers) -> Found:
    """As good as published."""
    runs, (mean, half), seeds = _of_seeds(found, "seed ", "test/accuracy")
    minutes = sum(run["seconds of the whole command"] for run in runs) / 60 / len(runs)
    return Found(
        f"test split, scored once: {percent((mean, half), '.2f')}, {seeds}, {runs[0]['parameters']:,} "
        f"parameters, 35 epochs, {minutes:.0f} minutes each",
        _reaches((100 * mean, 100 * half), FASHION),
        commits=_commits(runs),
    )


def judge_own_budget(found: Numbers) -> Found:
    """At its own budget it reaches the goal; in direction, it is above a GRU with attention."""
    gru = recurrence.attended(found)
    runs, cased, seeds = _of_seeds(found, "multi30k de-en tiny, ", "test/bleu")
    return Found(
        f"test2016, cased 13a, beam 5, mean of 10 checkpoints, {seeds}: {stated(cased, '.2f')} BLEU, "
        f"{runs[0]['parameters']:,} parameters, {runs[0]['steps']:,} steps of 4,096 tokens, "
        f"{sum(run['minutes of training'] for run in runs) / len(runs):.0f} minutes each",
        verdict(cased[0] >= OWN_BUDGET, cased[0] > gru["test/bleu"]),
        f"a GRU with additive attention has {gru['test/bleu']:.2f} after 10 epochs, {gru['parameters']:,} parameters",
        _commits([*runs, gru]),
    )


def judge_small_translation(found: Numbers) -> Found:
    """As good as the published small Transformer, tokenised and without case."""
    runs, caseless, seeds = _of_seeds(found, "multi30k en-de tiny, ", "test/bleu without case")
    cased = fits.interval([run["test/bleu"] for run in runs])
    return Found(
        f"test2016, beam 5, mean of 10 checkpoints, {seeds}: {stated(caseless, '.2f')} BLEU without case, "
        f"{stated(cased, '.2f')} cased (13a), {runs[0]['parameters']:,} parameters, "
        f"{sum(run['minutes of training'] for run in runs) / len(runs):.0f} minutes each",
        _reaches(caseless, SMALL_BLEU),
        "sacreBLEU's 13a on text as it is written, where the paper scores tokenised text",
        _commits(runs),
    )


def _decodings(found: Numbers, better: str, others: tuple[str, ...]) -> Found:
    """One way to decode is better than others by validation BLEU, of runs paired by seed."""
    named = [run for name, run in found.items() if name.startswith("multi30k en-de short, ")]
    if not named:
        raise KeyError(better)
    runs = [run["validation/bleu by decoding"] for run in named]
    gaps = {how: fits.interval([run[better] - run[how] for run in runs]) for how in others}
    return Found(
        f"Multi30k, English to German, validation split, cased 13a, {named[0]['parameters'] / 1e6:.1f}M parameters, "
        f"1,400 steps, {len(runs)} {'seeds' if len(runs) > 1 else 'seed'}: {better} "
        f"{np.mean([run[better] for run in runs]):.2f} BLEU; "
        + ", ".join(f"above {how} by {stated(gap, '+.2f')}" for how, gap in gaps.items()),
        least(*(above(gap, (0.0, 0.0)) for gap in gaps.values())),
        ", ".join(f"{how}: not told apart" for how, (gap, half) in gaps.items() if abs(gap) <= half),
        _commits(named),
    )


def _seeds(start: str) -> str:
    """The names of three seeds' entries, as a command line has them."""
    return " ".join(f'"{start}seed {seed}"' for seed in range(3))


def _translated(judge: Callable[[Numbers], Found], names: str, minutes: int) -> Recorded:
    return Recorded(
        "translation.json",
        f"python results/translation.py {names} --multi30k=DIR/multi30k",
        judge,
        data="multi30k",
        minutes=minutes,
    )


def _of_short(judge: Callable[[Numbers], Found]) -> Recorded:
    return _translated(judge, _seeds("multi30k en-de short, "), 40)


CLAIMS = (
    Claim(
        "fashion_mnist",
        "A ViT of some 200,000 parameters learns Fashion-MNIST from scratch.",
        "public recipe, 210,000 parameters, 200 epochs",
        f"{FASHION} %",
        Recorded(
            "fashion_mnist.json",
            "python results/fashion_mnist.py --data_dir=DIR",
            judge_fashion,
            data="fashion_mnist",
            minutes=270,
        ),
    ),
    Claim(
        "small_translation",
        "A Transformer of 2.6 million parameters translates image captions, English to German.",
        "2105.14462, Transformer-tiny",
        f"{SMALL_BLEU} BLEU, without case",
        _translated(judge_small_translation, '"multi30k en-de tiny, seed 0"', 200),
    ),
    Claim(
        "own_budget",
        "At a budget of its own a small Transformer translates better than a GRU with attention.",
        "1706.03762, table 2; the goal is this repository's own",
        f"{OWN_BUDGET} BLEU, German to English",
        _translated(judge_own_budget, '"multi30k de-en tiny, seed 0"', 200),
    ),
    Claim(
        "averaging",
        "The mean of the last checkpoints translates better than the last one.",
        "1706.03762, section 6.1",
        "",
        _of_short(partial(_decodings, better=translation.USUAL, others=("5 beams, last",))),
    ),
    Claim(
        "beam_search",
        "Beam search translates better than greedy decoding, and with a length penalty better than without.",
        "1706.03762, section 6.1",
        "4 beams, α = 0.6",
        _of_short(
            partial(_decodings, better=translation.USUAL, others=("greedy, mean of 10", "5 beams, alpha 0, mean of 10"))
        ),
    ),
    Claim(
        "sst2",
        "A small Transformer encoder from scratch is as good on SST-2 as a convolutional network from scratch.",
        "1408.5882, table 2 (CNN-rand)",
        f"{CNN_RANDOM} %",
        Recorded(
            "sst2.json",
            "python results/sst2.py --data_dir=DIR",
            judge_sst2,
            data="glue/sst2",
            minutes=5,
        ),
    ),
    Claim(
        "shakespeare",
        "A GPT of 0.8 million parameters learns Tiny Shakespeare's characters in minutes on a CPU.",
        "nanoGPT, README",
        f"{NANOGPT} nats",
        Recorded(
            "language_model.json",
            f"python results/language_model.py {_seeds(GPT)} --data_dir=DIR",
            judge_shakespeare,
            data="tiny_shakespeare",
            minutes=15,
        ),
    ),
    Claim(
        "modern_blocks",
        "Rotary positions, RMSNorm, gated MLPs and normalised queries and keys learn more from the same compute.",
        "2104.09864; 1910.07467; 2002.05202; 2010.04245",
        "",
        Recorded(
            "language_model.json",
            f"python results/language_model.py {_seeds(GPT)} {_seeds(MODERN)} --data_dir=DIR",
            judge_modern,
            data="tiny_shakespeare",
            minutes=40,
        ),
    ),
    Claim(
        "masked_words",
        "Learning to fill in hidden words first, an encoder classifies sentences better than from scratch.",
        "1810.04805, section 5.1",
        "",
        Recorded(
            "bert.json",
            "python results/bert.py --data_dir=DIR --steps=3000",
            judge_bert,
            data="glue/sst2",
            minutes=40,
        ),
    ),
    Claim(
        "hidden_spans",
        "Learning to fill in hidden spans first, an encoder-decoder translates better by few pairs than from scratch.",
        "1910.10683, section 3.2",
        "",
        Recorded(
            "t5.json",
            "python results/t5.py --multi30k=DIR/multi30k",
            judge_spans,
            data="multi30k",
            minutes=45,
        ),
    ),
)
