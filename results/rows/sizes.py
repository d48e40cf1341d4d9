"""Claims of 1706.03762 on how large its models are, what they cost, and what their sizes are worth.

V vocabulary, S source and T target tokens.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from configs import transformer_wmt14
from models import transformer
from results import recorded
from results.rows import Claim, Computed, Found, Numbers, Rows, Studied, Verdict, verdict
from results.rows.judging import Mean, above, alike, least, stated
from training import flops

PAPER = "1706.03762"
VOCABULARY = 37_000
TOKENS = 25_000  # of each language in a batch
ALIKE = 0.05  # nats, by which the paper's two rows differ by 0
STEPS = {"base": 100_000, "big": 300_000}
STATED_FLOPS = {"base": 3.3e18, "big": 2.3e19}  # table 2
# Table 3, in millions. The rows that it leaves blank have the parameters of base.
MILLIONS = {
    "base": 65,
    "B16": 58,
    "B32": 60,
    "C2": 36,
    "C4": 50,
    "C8": 80,
    "C256": 28,
    "C1024": 168,
    "C1024ff": 53,
    "C4096ff": 90,
    "big": 213,
}


def _model(row: str, **changes: object) -> transformer.Model:
    return transformer.Model(VOCABULARY, None, **({"variant": "base"} | transformer_wmt14.ROWS[row] | changes))


def _params(model: transformer.Model, length: int = 32, rows: int = 1) -> tuple[PyTree, list[jax.ShapeDtypeStruct]]:
    """Shapes of the parameters, and of a batch."""
    tokens = [jax.ShapeDtypeStruct((rows, length), jnp.int32)] * 2
    variables = jax.eval_shape(lambda s, t: model.init(jax.random.key(0), s, t, train=False), *tokens)
    return {"params": variables["params"]}, tokens


def _count(model: transformer.Model) -> int:
    return sum(x.size for x in jax.tree.leaves(_params(model)[0]))


def parameters() -> Numbers:
    """By row of table 3."""
    return {row: _count(_model(row)) for row in MILLIONS}


def judge_parameters(found: Numbers) -> Found:
    """Within 7 % of the table, and in its order."""
    ratios = {row: found[row] / 1e6 / stated for row, stated in MILLIONS.items()}
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    order = sorted(MILLIONS, key=MILLIONS.__getitem__) == sorted(MILLIONS, key=found.__getitem__)
    return Found(
        f"V = {VOCABULARY:,}: base {found['base']:,}, big {found['big']:,}; {len(ratios)} rows, {ratios[low]:.2f} "
        f"({low}) to {ratios[high]:.2f} ({high}) of the paper's counts" + ", in their order" * order,
        verdict(all(abs(ratio - 1) < 0.07 for ratio in ratios.values()), order),
        "the paper's counts do not follow from its stated vocabulary of about 37,000",
    )


def tying() -> Numbers:
    """Parameters of base with one matrix for both embeddings and the output layer, with two, and with three."""
    return {tie: _count(_model("base", tie=tie)) for tie in ("all", "target", "none")}


def judge_tying(found: Numbers) -> Found:
    """Each matrix that is not shared adds V x 512."""
    matrix = VOCABULARY * 512
    exact = found["target"] - found["all"] == matrix == found["none"] - found["target"]
    return Found(
        f"V = {VOCABULARY:,}: {found['all']:,} parameters with one matrix, {found['target']:,} with two, "
        f"{found['none']:,} with three",
        verdict(exact),
        "what it is worth in BLEU: the row tying",
    )


def compute() -> Numbers:
    """FLOPs of training: three forward passes a step, of sentences of 32 tokens."""
    found = {}
    for row in STEPS:
        model = _model(row)
        params, tokens = _params(model)
        cost = flops.forward(lambda p, s, t, m=model: m.apply(p, s, t, train=False), params, *tokens)
        found[row] = 3 * cost * (TOKENS / 32) * STEPS[row]
    return found


def judge_compute(found: Numbers) -> Found:
    """At most what the paper says, which is time on eight P100 by the FLOP/s that they sustain."""
    shown = ", ".join(f"{row} {found[row]:.1e}" for row in STEPS)
    ratios = [found[row] / STATED_FLOPS[row] for row in STEPS]
    return Found(
        f"FLOPs of the products, 25,000 source and 25,000 target tokens a step: {shown}: {ratios[0]:.2f} and "
        f"{ratios[1]:.2f} of the paper's",
        verdict(all(abs(ratio - 1) < 0.25 for ratio in ratios), all(0.2 < ratio < 1 for ratio in ratios)),
        "the paper multiplies time by 9.5 TFLOP/s sustained by each of eight P100; what is counted here is less",
    )


def leaks() -> Numbers:
    """How far the outputs at places before a changed target token change, and those after it."""
    model = transformer.Model(64, None, width=32, depth=2, mlp_dim=64, heads=4, dropout=0.0)
    keys = jax.random.split(jax.random.key(0), 3)
    source, target = (jax.random.randint(key, (8, 16), 4, 64) for key in keys[:2])
    params = model.init(keys[2], source, target, train=False)
    changed = target.at[:, 8].set((target[:, 8] - 3) % 60 + 4)

    def outputs(target: jax.Array) -> jax.Array:
        return jnp.asarray(model.apply(params, source, target, train=False))

    difference = jnp.abs(outputs(target) - outputs(changed)).max((0, 2))
    return {"before": float(difference[:8].max()), "from it on": float(difference[8:].max())}


def judge_leaks(found: Numbers) -> Found:
    """Nothing changes before it."""
    return Found(
        f"one target token changed: logits before it change by {found['before']:g}, from it on by up to "
        f"{found['from it on']:.2f}",
        verdict(found["before"] == 0 and found["from it on"] > 0.01),
    )


def _losses(rows: Rows, label: str) -> dict[str, Mean]:
    """The mean test loss and half its interval, by a label."""
    means = recorded.mean_by(rows, label, metric="test/nll")
    return {f"{name:g}" if isinstance(name, float) else name: mean for name, mean in means.items()}


def _listed(losses: dict[str, Mean]) -> str:
    return ", ".join(f"{name} {stated(mean, '.3f')}" for name, mean in losses.items())


def judge_heads(rows: Rows) -> Found:
    """One head is worse than the best of several, and so are the most heads."""
    losses = _losses(rows, "heads")
    one, *some, most = sorted(losses, key=float)
    best = min(some, key=lambda name: losses[name][0])
    few, many = above(losses[one], losses[best]), above(losses[most], losses[best])
    return Found(
        f"dates, 300 steps, 3 seeds, test loss by heads at the same cost: {_listed(losses)}",
        least(few, Verdict.DIRECTION if many is Verdict.NOT else many),
        f"{most} heads are not worse than {best}" if many is Verdict.NOT and few is not Verdict.NOT else "",
    )


def _judge(worse: str, better: str, *beside: str, setting: str = "300 steps") -> Callable[[Rows], Found]:
    """One row of the study is worse than another. beside: rows that are shown with them."""

    def judge(rows: Rows) -> Found:
        losses = _losses(rows, "row")
        shown = {name: losses[name] for name in dict.fromkeys((worse, better, *beside))}
        return Found(f"dates, {setting}, 3 seeds, test loss: {_listed(shown)}", above(losses[worse], losses[better]))

    return judge


def judge_learned(rows: Rows) -> Found:
    """Learned positions are as good as sinusoids."""
    losses = _losses(rows, "row")
    own = {"learned": losses["learned positions"], "sinusoids": losses["base"]}
    return Found(
        f"dates, 300 steps, 3 seeds, test loss: {_listed(own)}",
        alike([*own.values()], ALIKE),
        f"alike is: at most {ALIKE} nats apart, with the intervals",
    )


ROWS, MINUTES = "transformer_rows:tiny", 75
CLAIMS = (
    Claim(
        "transformer_parameters",
        "Base has 65 million parameters, big 213, the variants 28 to 168.",
        f"{PAPER}, table 3",
        "65, 213; 28 to 168 million",
        Computed(parameters, judge_parameters),
    ),
    Claim(
        "training_cost",
        "Training costs 3.3e18 FLOPs for base and 2.3e19 for big.",
        f"{PAPER}, table 2",
        "3.3e18; 2.3e19 FLOPs",
        Computed(compute, judge_compute),
    ),
    Claim(
        "one_matrix",
        "Both embeddings and the output layer share one matrix.",
        f"{PAPER}, section 3.4",
        "",
        Computed(tying, judge_tying),
    ),
    Claim(
        "causal",
        "The mask keeps a position from depending on later ones.",
        f"{PAPER}, section 3.1",
        "",
        Computed(leaks, judge_leaks),
    ),
    Claim(
        "heads",
        "Many heads are better than one at the same cost, and too many are worse again.",
        f"{PAPER}, table 3 A",
        "perplexity 5.29, 5.00, 4.92, 4.91, 5.01 for 1, 4, 8, 16, 32 heads",
        Studied("transformer_heads:tiny", judge_heads, 30),
    ),
    Claim(
        "head_size",
        "Smaller heads hurt.",
        f"{PAPER}, table 3 B",
        "perplexity 5.16 with 16, 4.92 with 64",
        Studied(ROWS, _judge("head size 6", "base"), MINUTES),
    ),
    Claim(
        "depth",
        "Deeper models are better.",
        f"{PAPER}, table 3 C",
        "perplexity 6.11, 5.19, 4.92, 4.88 with 2, 4, 6, 8 layers",
        Studied(ROWS, _judge("depth 1", "depth 4", "base"), MINUTES),
    ),
    Claim(
        "width",
        "Wider models are better.",
        f"{PAPER}, table 3 C",
        "perplexity 5.75, 4.92, 4.66 with 256, 512, 1024",
        Studied(ROWS, _judge("width 48", "width 192", "base"), MINUTES),
    ),
    Claim(
        "mlp_width",
        "Wider MLPs are better.",
        f"{PAPER}, table 3 C",
        "perplexity 5.12, 4.92, 4.75 with 1024, 2048, 4096",
        Studied(ROWS, _judge("MLP 96", "MLP 384", "base"), MINUTES),
    ),
    Claim(
        "dropout",
        "Dropout is very helpful against overfitting.",
        f"{PAPER}, table 3 D",
        "perplexity 5.77 without, 4.92 with 0.1",
        Studied(
            ROWS,
            _judge(
                "dropout 0, 500 pairs", "500 pairs", "base", "dropout 0", setting="300 steps, all 40,000 pairs or 500"
            ),
            MINUTES,
        ),
    ),
    Claim(
        "learned_positions",
        "Learned positions and sinusoids give nearly the same results.",
        f"{PAPER}, table 3 E",
        "perplexity 4.92 and 4.92",
        Studied(ROWS, judge_learned, MINUTES),
    ),
)
