"""What each part of a Transformer is for: models without it, on sequences that are written backwards."""

from collections.abc import Callable

from analysis.studies import plus_minus
from results import recorded
from results.rows import Claim, Found, Rows, Studied, Verdict, verdict
from results.rows.judging import NONE, above, accuracies, difference, in_points, least
from training.mishaps import NOT_FINITE

STUDY, MINUTES = "transformer_parts:tiny", 110
KINDS = ("learned", "rotary", "relative")  # of positions, beside sinusoids
NOTHING = 0.01  # nats a token, of a decoder that is shown what it should say
SETTING = "sequences of up to 15 numbers written backwards, three epochs, 3 seeds"


def _without(part: str, beside: str = "base", shown: str = "") -> Callable[[Rows], Found]:
    """A model without a part is worse than the one beside it. shown: another one that is named with them."""

    def judge(rows: Rows) -> Found:
        match = recorded.mean_by(rows, "part", metric="test/exact_match")
        named = [name for name in (beside, part, shown) if name in match]
        said = f"{SETTING}, exact match: " + ", ".join(
            f"{name} {plus_minus(*match[name], 'exact_match')}" for name in named
        )
        ends = [NOT_FINITE in str(row.get("reason")) for row in rows if row["part"] == part]
        if all(ends) and ends:
            return Found(f"{said}; {part}: the loss of all {len(ends)} ceases to be finite", verdict(beside in match))
        return Found(said, above(match[beside], match[part]))

    return judge


def judge_mask(rows: Rows) -> Found:
    """Without the mask the training loss is next to 0, below that with it, and what is written is worthless."""
    loss, match = (
        recorded.mean_by(rows, "part", metric="train/loss"),
        recorded.mean_by(rows, "part", metric="test/exact_match"),
    )
    name = "no causal mask"
    worse = above(match["base"], match[name])
    return Found(
        f"{SETTING}: training loss {loss[name][0]:.4f} without the mask, {loss['base'][0]:.4f} with it; exact match of "
        f"what is written {plus_minus(*match[name], 'exact_match')} and {plus_minus(*match['base'], 'exact_match')}",
        verdict(
            worse is Verdict.HOLDS
            and loss[name][0] < min(NOTHING, loss["base"][0])
            and match[name][0] < 0.1 * match["base"][0],
            worse is not Verdict.NOT,
        ),
    )


def judge_order(rows: Rows) -> Found:
    """With positions of each kind above without any."""
    match = recorded.mean_by(rows, "part", metric="test/exact_match")
    without, kinds = "no positions", {"sinusoids": "base"} | {kind: f"{kind} positions" for kind in KINDS}
    shown = {without: match[without]} | {kind: match[part] for kind, part in kinds.items()}
    return Found(
        f"{SETTING}, exact match: "
        + ", ".join(f"{name} {plus_minus(*found, 'exact_match')}" for name, found in shown.items()),
        least(*(above(match[part], match[without]) for part in kinds.values())),
        "relative ones are T5's biases of distances; only self-attention sees these and rotary ones",
    )


def judge_norms(rows: Rows) -> Found:
    """Post-LN falls behind pre-LN with depth."""
    match = accuracies(rows, "part", metric="test/exact_match")
    pairs = ("base", "post-LN"), ("6 layers", "6 layers, post-LN")
    shallow, deep = (difference(match[pre], match[post]) for pre, post in pairs)
    return Found(
        f"{SETTING}, exact match, pre-LN minus post-LN: {in_points(shallow)} points with 2 + 2 layers, "
        f"{in_points(deep)} with 6 + 6",
        least(above(deep, NONE), above(deep, shallow)),
        "warm-up and rate are those of pre-LN",
    )


def _claim(name: str, text: str, where: str, judge: Callable[[Rows], Found]) -> Claim:
    return Claim(name, text, where, "", Studied(STUDY, judge, MINUTES))


PAPER = "1706.03762"
CLAIMS = (
    _claim(
        "no_positions",
        "Without positions attention has no order.",
        f"{PAPER}, section 3.5",
        _without("no positions", shown="learned positions"),
    ),
    _claim(
        "order_positions",
        "Sinusoids, learned, rotary and relative positions: each of them tells attention the order.",
        f"{PAPER}, section 3.5; 2104.09864; 1910.10683",
        judge_order,
    ),
    _claim(
        "no_mask",
        "Without the causal mask a decoder cheats: the training loss falls to 0, and what it writes is worthless.",
        "usual explanation",
        judge_mask,
    ),
    _claim(
        "no_residuals",
        "Without residual connections deep stacks do not train.",
        "usual explanation",
        _without("6 layers, no residuals", beside="6 layers"),
    ),
    _claim(
        "no_norm",
        "Without LayerNorm deep stacks train worse.",
        "usual explanation",
        _without("6 layers, no LayerNorm", beside="6 layers"),
    ),
    _claim(
        "pre_or_post",
        "Post-LN is harder to train than pre-LN, the more so the deeper.",
        "2002.04745",
        judge_norms,
    ),
    _claim(
        "no_scale",
        "A large head without the scale learns less.",
        f"{PAPER}, section 3.2.1",
        _without("one head, no scale", beside="one head"),
    ),
)
