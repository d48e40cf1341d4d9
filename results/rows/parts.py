"""What each part of a Transformer is for: models without it, on sequences that are written backwards."""

from collections.abc import Callable

import numpy as np

from results import recorded
from results.rows import Claim, Found, Rows, Studied, verdict

STUDY, MINUTES = "transformer_parts:tiny", 90
SETTING = "sequences of up to 25 numbers written backwards, three epochs, 3 seeds"


def _without(*parts: str, beside: str = "base") -> Callable[[Rows], Found]:
    """Each of the models without a part is worse than the one beside it."""

    def judge(rows: Rows) -> Found:
        match = recorded.mean_by(rows, "part", metric="test/exact_match")
        shown = ", ".join(f"{p} {100 * match[p][0]:.1f} ± {100 * match[p][1]:.1f} %" for p in (beside, *parts))
        lower = [match[beside][0] - match[part][0] for part in parts]
        clear = [gap > match[beside][1] + match[part][1] for gap, part in zip(lower, parts, strict=True)]
        return Found(f"{SETTING}, exact match: {shown}", verdict(all(clear), all(gap > 0 for gap in lower)))

    return judge


def judge_mask(rows: Rows) -> Found:
    """Without the mask the training loss is far lower and what is written is worthless."""
    loss, match = (
        recorded.mean_by(rows, "part", metric="train/loss"),
        recorded.mean_by(rows, "part", metric="test/exact_match"),
    )
    cheats = loss["no causal mask"][0] < loss["base"][0]
    return Found(
        f"{SETTING}: training loss {loss['no causal mask'][0]:.4f} without the mask, {loss['base'][0]:.4f} with it; "
        f"exact match of what is written {100 * match['no causal mask'][0]:.1f} and {100 * match['base'][0]:.1f} %",
        verdict(
            cheats and match["no causal mask"][0] < 0.1 * match["base"][0],
            match["no causal mask"][0] < match["base"][0],
        ),
    )


def judge_norms(rows: Rows) -> Found:
    """Post-LN falls behind pre-LN with depth."""
    match = recorded.mean_by(rows, "part", metric="test/exact_match")
    gaps = [match[pre][0] - match[post][0] for pre, post in (("base", "post-LN"), ("6 layers", "6 layers, post-LN"))]
    half = np.hypot(match["6 layers"][1], match["6 layers, post-LN"][1])
    return Found(
        f"{SETTING}, exact match, pre-LN minus post-LN: {100 * gaps[0]:+.1f} points with 2 + 2 layers, "
        f"{100 * gaps[1]:+.1f} with 6 + 6",
        verdict(gaps[1] > half and gaps[1] > gaps[0], gaps[1] > gaps[0]),
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
        _without("no positions"),
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
