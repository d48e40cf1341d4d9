"""What is said of recurrence beside attention: 1706.03762, sections 1 and 4; 1409.0473; and the usual explanation.

S symbols of a sentence.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np

from analysis import fits
from analysis.figures.gradients import of_batch
from analysis.studies import plus_minus
from models import classifier, recurrent
from models.cells import RecurrentInit
from results import equal_budget, recorded
from results.rows import Claim, Computed, Found, Numbers, Recorded, Rows, Studied, Verdict, verdict
from results.rows.judging import above, difference, in_points, least, stated
from tasks.classify import Task

LENGTHS = (16, 64, 256, 512)
BIASES = (0.0, 1.0, 4.0)
UNDERFLOW, EXPLODED = 1e-45, 100.0  # ratios
SYMBOLS, CLASSES, SENTENCES, SEEDS = 100, 8, 16, 3
small_cell = partial(recurrent.Model, outputs=CLASSES, vocabulary=SYMBOLS, embedding_dim=64, hidden_dim=64, dropout=0.0)


def gradients() -> Numbers:
    """At initialisation: the norm of the loss's gradient at the first symbol over that at the last, by length.

    Kernels of LSTM and GRU begin orthogonal; width 64.
    """
    found: dict[str, list[list[float]]] = {}
    for length in LENGTHS:
        models: dict[str, classifier.Model | recurrent.Model] = {
            "attention": classifier.Model(
                CLASSES, SYMBOLS, width=64, depth=2, mlp_dim=128, heads=4, max_length=length + 1, dropout=0.0
            )
        }
        for init in get_args(RecurrentInit):
            models[f"rnn, {init}"] = small_cell(cell="rnn", recurrent_init=init)
        for bias in BIASES:
            models[f"lstm, bias {bias:g}"] = small_cell(cell="lstm", gate_bias=bias)
            models[f"gru, bias {bias:g}"] = small_cell(cell="gru", gate_bias=bias)
        for name, model in models.items():
            ratio = _first_over_last(model, length)
            found.setdefault(name, []).append([float(ratio(seed)) for seed in range(SEEDS)])
    return {"S": list(LENGTHS), "first over last": found}


def _ratio(value: float) -> str:
    return f"{value:.1g}" if value > 2 * UNDERFLOW else "0"


def _first_over_last(model: classifier.Model | recurrent.Model, length: int) -> Callable[[int], jax.Array]:
    """seed -> the ratio, over 16 sentences."""
    task = Task(inputs=("tokens",))

    @jax.jit
    def ratio(seed: int) -> jax.Array:
        tokens_key, label_key, key = jax.random.split(jax.random.key(seed), 3)
        batch = {
            "tokens": jax.random.randint(tokens_key, (SENTENCES, length), 4, SYMBOLS),
            "label": jax.random.randint(label_key, (SENTENCES,), 0, CLASSES),
            "mask": jnp.ones(SENTENCES),
        }
        params = model.init(key, batch["tokens"], train=False)["params"]
        norms = of_batch(model, task, {"params": params}, batch)[0].mean(0)
        return norms[0] / norms[-1]

    return ratio


def judge_gradients(found: Numbers) -> Found:
    """They vanish in recurrences, more slowly with an open gate, and not in attention."""
    means = {
        name: [float(np.exp(np.mean(np.log(np.maximum(seeds, UNDERFLOW))))) for seeds in values]
        for name, values in found["first over last"].items()
    }
    last = {name: values[-1] for name, values in means.items()}
    shown = "; ".join(f"{name} {', '.join(map(_ratio, values))}" for name, values in means.items())
    explode = [name for name, value in last.items() if value > EXPLODED]
    closed = [last[name] for name in ("rnn, xavier", "rnn, orthogonal", "lstm, bias 0", "gru, bias 0")]
    later = min(last["lstm, bias 4"], last["gru, bias 4"]) > max(closed[:2])
    sooner = later and max(closed[2:]) < min(closed[:2])
    return Found(
        f"gradient at the first symbol over the last, at initialisation, width 64, S = "
        f"{', '.join(map(str, found['S']))}, {SEEDS} seeds: {shown}",
        verdict(
            0.3 < last["attention"] < 3 and max(closed) < 1e-3 and min(closed[2:]) > max(closed[:2]),
            0.3 < last["attention"] < 3 and max(closed) < 1e-3 and later,
        ),
        "; ".join(
            [
                "that LSTM and GRU keep them longer is a matter of how open their gates begin: with a bias of 0 theirs "
                "vanish sooner than an RNN's"
            ]
            * sooner
            + [f"they explode in {', '.join(explode)}"] * bool(explode)
        ),
    )


def _by_length(rows: Rows, metric: str) -> dict[str, dict[float, float]]:
    """The mean over seeds, by model and length."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        found.setdefault(row["model"], {}).setdefault(row["length"], []).append(row[metric])
    return {name: {length: float(np.mean(v)) for length, v in own.items()} for name, own in found.items()}


def _growth(rows: Rows, metric: str) -> dict[str, fits.Line]:
    """The exponent by model, from 64 symbols on."""
    found = {}
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name and row["length"] >= 64]
        line = fits.exponent(np.array([r["length"] for r in own]), np.array([r[metric] for r in own]))
        assert line
        found[name] = line
    return found


def _exponents(growth: dict[str, fits.Line]) -> str:
    return ", ".join(f"{name} {line.slope:.2f} ± {line.error:.2f}" for name, line in growth.items())


def judge_time(rows: Rows) -> Found:
    """Attention is quicker than a recurrence at every length."""
    growth, seconds = _growth(rows, "step_seconds"), _by_length(rows, "step_seconds")
    quicker = [
        length
        for length in seconds["attention"]
        if seconds["attention"][length] < min(seconds[n][length] for n in seconds)
    ]
    longest = max(seconds["attention"])
    return Found(
        f"a step's time grows by length to the {_exponents(growth)}; at {longest:.0f} symbols "
        + ", ".join(f"{name} {1000 * own[longest]:.0f} ms" for name, own in seconds.items()),
        verdict(len(quicker) == len(seconds["attention"]), bool(quicker)),
        "one processor core computes one thing at a time either way, so that only the arithmetic counts, which is less "
        "for n < d alone (attention here: d = 32); where many "
        "things are computed at once, the number of steps in a row does",
    )


def judge_memory(rows: Rows) -> Found:
    """n² against n."""
    growth = _growth(rows, "step_memory_gb")
    others = [line for name, line in growth.items() if name != "attention"]
    quadratic = growth["attention"].slope > 1.7
    return Found(
        f"a step's memory grows by length, from 64 to {max(row['length'] for row in rows):.0f} symbols, to the "
        f"{_exponents(growth)}",
        verdict(quadratic and all(abs(line.slope - 1) < 0.1 for line in others), quadratic),
        "attention with the scores kept; computed by blocks its memory is linear in length",
    )


def judge_recall(rows: Rows) -> Found:
    """Attention finds the first of more symbols than recurrences do: beyond the intervals at some length, and no
    recurrence does at any."""
    accuracy = recorded.mean_by(rows, "model", "length")
    names, lengths = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "length"))
    reach = {name: max((n for n in lengths if accuracy[name, n][0] > 0.5), default=0) for name in names}
    others = [name for name in names if name != "attention"]

    def at(length: float, first: bool) -> list[Verdict]:
        """Whether attention is above each recurrence; or the other way round."""
        pairs = [(accuracy["attention", length], accuracy[name, length]) for name in others]
        return [above(*(pair if first else pair[::-1])) for pair in pairs]

    told = [n for n in lengths if least(*at(n, first=True)) is Verdict.HOLDS]
    lost = [n for n in lengths if Verdict.HOLDS in at(n, first=False)]
    shown = max(told or lengths)
    return Found(
        "first of S symbols (chance: 12.5 %), 600 steps, 3 seeds: longest S with more than half right in the mean "
        + ", ".join(f"{name} {length:.0f}" for name, length in reach.items())
        + f"; at {shown:.0f} "
        + ", ".join(f"{name} {plus_minus(*accuracy[name, shown], 'accuracy')}" for name in names),
        verdict(bool(told) and not lost, all(reach["attention"] > reach[name] for name in others)),
        "gates begin with a bias of 1; another bias moves the figures of LSTM and GRU: see the row gates",
    )


def judge_gates(rows: Rows) -> Found:
    """With the gates more open, LSTM and GRU find more."""
    longest = max(row["length"] for row in rows)
    shown = recorded.mean_by([row for row in rows if row["length"] == longest], "model")
    opened = {cell: max(shown[f"{cell} {bias:g}"] for bias in BIASES[1:]) for cell in ("lstm", "gru")}
    gains = {cell: above(best, shown[f"{cell} 0"]) for cell, best in opened.items()}
    return Found(
        f"first of {longest:.0f} symbols, test accuracy (chance: 12.5 %), 600 steps, 3 seeds: "
        + ", ".join(f"{name} {plus_minus(*found, 'accuracy')}" for name, found in shown.items()),
        gains["lstm"],
        "the number after a cell is its gates' bias" + "; of a GRU it is not so" * (gains["gru"] is Verdict.NOT),
    )


ATTENTION, VECTOR = equal_budget.GRU, equal_budget.FIXED
CLEAR = 2.0  # BLEU, of one seed each
ATTENDED, FIXED = "multi30k de-en gru+bahdanau", "multi30k de-en gru+none"


def attended(found: Numbers) -> Numbers:
    """The GRU with additive attention of results/translation.json."""
    return found.get(ATTENDED) or found[f"{ATTENDED}, 10 epochs"]


def judge_bottleneck(found: Numbers) -> Found:
    """Attention adds BLEU to a GRU."""
    gru, fixed = attended(found), found[FIXED]
    gain = gru["test/bleu"] - fixed["test/bleu"]
    return Found(
        f"Multi30k, German to English, test2016, cased 13a: GRU with additive attention {gru['test/bleu']:.2f} "
        f"BLEU ({gru['parameters']:,} parameters), without {fixed['test/bleu']:.2f} ({fixed['parameters']:,}); "
        "10 epochs, one seed each",
        verdict(gain > CLEAR, gain > 0),
        f"of one seed each, more than {CLEAR:g} BLEU apart holds",
        commits=(gru["commit"], fixed["commit"]),
    )


def judge_above_recurrence(found: Numbers) -> Found:
    """The Transformer above every recurrence, at an equal budget."""
    runs = {
        model: [found[f"{model}, seed {seed}"] for seed in range(equal_budget.SEEDS)] for model in equal_budget.SEARCHED
    } | {model: [found[f"{model}, seed 0"]] for model in equal_budget.OTHERS if f"{model}, seed 0" in found}
    bleu = {model: fits.interval([run["test/bleu"] for run in own]) for model, own in runs.items()}
    transformer = bleu[equal_budget.TRANSFORMER]
    others = [mean for model, mean in bleu.items() if model != equal_budget.TRANSFORMER]
    shown = ", ".join(
        f"{model} {stated(mean, '.2f')} ({runs[model][0]['parameters'] / 1e6:.2f}M)" for model, mean in bleu.items()
    )
    return Found(
        f"Multi30k, German to English, test2016, cased 13a, beam 5, equal batches, "
        f"{runs[equal_budget.GRU][0]['steps']:,} steps, each with the best of {len(equal_budget.RECIPES)} rates and "
        f"dropouts by validation, {equal_budget.SEEDS} seeds: {shown}",
        # of one seed there is no interval: its mean has to be below the Transformer's whole one
        least(*(above(transformer, (mean, np.nan_to_num(half))) for mean, half in others)),
        commits=tuple(sorted({run["commit"] for own in runs.values() for run in own})),
    )


def judge_lengths(found: Numbers) -> Found:
    """What attention adds to a GRU is more for the longest sentences than for the shortest."""
    runs = [found[f"{model}, seed 0"] for model in (ATTENTION, VECTOR)]
    groups = [run[equal_budget.LENGTHS] for run in runs]
    ends = (0, -1)
    gaps = [difference(*((of_run["bleu"][end], of_run["half_interval"][end]) for of_run in groups)) for end in ends]
    words = [f"{groups[0]['begins'][end]} to {groups[0]['ends'][end]} words" for end in ends]
    return Found(
        "Multi30k, German to English, validation split, one seed each, GRU with additive attention minus the same "
        "without: " + ", ".join(f"{of}: {in_points(gap)} BLEU" for of, gap in zip(words, gaps, strict=True)),
        least(above(gaps[1], (0.0, 0.0)), above(gaps[1], gaps[0])),
        "intervals by bootstrap over sentences",
        tuple(sorted({run["commit"] for run in runs})),
        "results/equal_budget.png" if equal_budget.PICTURE.exists() else "",
    )


def judge_alignment(found: Numbers) -> Found:
    """Additive attention links what belongs together."""
    rates = {name: 100 * run["alignment_error_rate"] for name, run in found.items()}
    (pairs,) = {run["pairs"] for run in found.values()}
    bahdanau = rates["GRU, Bahdanau"]
    return Found(
        f"sequences written backwards, {pairs} test pairs, alignment error rate (by chance: 92 %): "
        + ", ".join(f"{name} {rate:.1f} %" for name, rate in rates.items())
        + "; one seed each",
        verdict(bahdanau < 10, bahdanau < 50),
        "by the strongest link of each target word"
        + ("; of the Transformer the mean of the heads of the last layer but one" if "Transformer" in rates else ""),
        tuple(sorted({run["commit"] for run in found.values()})),
    )


STUDY = "attention_recurrence:cpu"
MULTI30K = "--multi30k=DIR/multi30k"
EQUAL_BUDGET = f"python results/equal_budget.py {MULTI30K}"
CLAIMS = (
    Claim(
        "time_by_length",
        "Self-attention is quicker than a recurrence, whose steps wait for one another.",
        "1706.03762, section 4, for n < d; usual explanation",
        "",
        Studied(STUDY, judge_time, 84, at_once=1),
    ),
    Claim(
        "memory_by_length",
        "The memory of attention grows with n², that of a recurrence with n.",
        "usual explanation",
        "n²; n",
        Studied(STUDY, judge_memory, 84, at_once=1),
    ),
    Claim(
        "recall",
        "The shorter the path between two places, the easier a long dependency is to learn.",
        "1706.03762, section 4",
        "path 1; n",
        Studied(STUDY, judge_recall, 84, at_once=1),
    ),
    Claim(
        "gates",
        "An LSTM remembers longer if its gates begin open: what it finds is not a property of the cell alone.",
        "Jozefowicz et al., 2015",
        "",
        Studied("recall_gates:tiny", judge_gates, 15),
    ),
    Claim(
        "vanishing_gradients",
        "Gradients vanish or explode over time in an RNN, later in LSTM and GRU, and not in attention.",
        "usual explanation; 1706.03762, section 4",
        "",
        Computed(gradients, judge_gradients),
    ),
    Claim(
        "fixed_vector",
        "A sentence in one fixed vector is a bottleneck: attention translates better.",
        "1409.0473, table 1",
        "26.75 against 17.82 BLEU, WMT14 English to French",
        Recorded(
            "translation.json",
            f'python results/translation.py "{ATTENDED}" "{FIXED}" {MULTI30K}',
            judge_bottleneck,
            data="multi30k",
            minutes=60,
        ),
    ),
    Claim(
        "fixed_vector_lengths",
        "The bottleneck tells in long sentences.",
        "1409.0473, figure 2",
        "",
        Recorded(
            "equal_budget.json",
            EQUAL_BUDGET,
            judge_lengths,
            ("results/equal_budget.py",),
            data="multi30k",
            minutes=600,
        ),
    ),
    Claim(
        "above_recurrence",
        "A Transformer translates better than recurrent models.",
        "1706.03762, table 2",
        "28.4 against 24.6 BLEU (GNMT), WMT14 English to German",
        Recorded(
            "equal_budget.json",
            EQUAL_BUDGET,
            judge_above_recurrence,
            ("results/equal_budget.py",),
            data="multi30k",
            minutes=600,
        ),
    ),
    Claim(
        "alignment",
        "Attention aligns: it looks at the source words that a target word comes from.",
        "1409.0473, section 5.2.1",
        "",
        Recorded("alignment.json", "python results/alignment.py", judge_alignment, minutes=30),
    ),
)
