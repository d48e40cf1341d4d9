"""What goes into a Transformer and what is read from it: embeddings, label smoothing, pooling."""

import math
from collections.abc import Callable

from results import recorded
from results.rows import Claim, Found, Rows, Studied
from results.rows.judging import NONE, Mean, above, accuracies, difference, in_points, least, seeds_of, stated

MARGIN = 1.0  # BLEU, by which one matrix may be worse than three and still do no harm
MINUTES = 75
PAPER = "1706.03762"


def _scores(rows: Rows) -> tuple[dict[str, Mean], dict[str, Mean]]:
    """BLEU and the loss of a token, by part."""
    bleu, loss = (recorded.mean_by(rows, "part", metric=f"validation/{metric}") for metric in ("bleu", "nll"))
    return bleu, loss


def _setting(rows: Rows) -> str:
    return (
        f"Multi30k, German to English, validation split, cased 13a, 4 beams, {rows[0]['steps']:,.0f} steps, "
        f"{seeds_of(rows)} seeds"
    )


def _bleu(name: str, score: Mean) -> str:
    return f"{name} {stated(score, '.2f')} BLEU"


def judge_smoothing(rows: Rows) -> Found:
    """With smoothing the loss of a token is higher, and so is BLEU."""
    bleu, loss = _scores(rows)
    worse, better = above(loss["base"], loss["no smoothing"]), above(bleu["base"], bleu["no smoothing"])
    shown = "; ".join(
        f"{words}: perplexity {math.exp(loss[part][0]):.2f} (nll {stated(loss[part], '.3f')}), "
        + _bleu("", bleu[part]).strip()
        for part, words in (("base", "smoothing 0.1"), ("no smoothing", "none"))
    )
    return Found(
        f"{_setting(rows)}, {shown}",
        least(worse, better),
        f"that perplexity is worse {worse}, that BLEU is better {better}",
    )


def judge_tying(rows: Rows) -> Found:
    """With one matrix at most MARGIN below three."""
    bleu, _ = _scores(rows)
    one, three = bleu["base"], bleu["three matrices"]
    parameters = {row["part"]: float(row["parameters"]) for row in rows}
    return Found(
        f"{_setting(rows)}: {_bleu('one matrix', one)} ({parameters['base'] / 1e6:.2f}M parameters), "
        f"{_bleu('three', three)} ({parameters['three matrices'] / 1e6:.2f}M)",
        above((one[0] + MARGIN, one[1]), three),
        f"as well is: at most {MARGIN:g} BLEU below, with the interval",
    )


def judge_scale(rows: Rows) -> Found:
    """With the factor above without."""
    bleu, _ = _scores(rows)
    scaled, plain = bleu["base"], bleu["embeddings not scaled"]
    return Found(f"{_setting(rows)}: {_bleu('scaled', scaled)}, {_bleu('not', plain)}", above(scaled, plain))


def judge_pooling(rows: Rows) -> Found:
    """For the longest sentences a class token is above the mean of tokens, and by more than for the shortest."""
    accuracy = accuracies(rows, "pooling", "length")
    lengths = sorted({row["length"] for row in rows})
    gaps = {length: difference(accuracy["token", length], accuracy["mean", length]) for length in lengths}
    longest, shortest = gaps[lengths[-1]], gaps[lengths[0]]
    return Found(
        f"first of so many symbols, test accuracy (chance: 12.5 %), {rows[0]['steps']:,.0f} steps, {seeds_of(rows)} "
        "seeds, class token and mean of tokens: "
        + ", ".join(
            f"{length:.0f} {accuracy['token', length][0]:.1f} and {accuracy['mean', length][0]:.1f} % "
            f"({in_points(gap)} points)"
            for length, gap in gaps.items()
        ),
        least(above(longest, NONE), above(longest, shortest)),
        "in two layers every token can look at the first, so that the mean may hold it as well",
    )


def _of_translation(judge: Callable[[Rows], Found]) -> Studied:
    return Studied("translation_parts:tiny", judge, MINUTES, data="multi30k")


CLAIMS = (
    Claim(
        "tying",
        "With one matrix for both embeddings and the output layer a model translates as well as with three.",
        f"{PAPER}, section 3.4; 1608.05859",
        "",
        _of_translation(judge_tying),
    ),
    Claim(
        "embedding_scale",
        "Embeddings are multiplied by √d, or positions outweigh the words.",
        f"{PAPER}, section 3.4; usual explanation",
        "",
        _of_translation(judge_scale),
    ),
    Claim(
        "smoothing",
        "Label smoothing hurts perplexity, and improves BLEU.",
        f"{PAPER}, section 5.4 and table 3 D",
        "without 4.67 and 25.3, with 0.1 4.92 and 25.8",
        _of_translation(judge_smoothing),
    ),
    Claim(
        "pooling_by_length",
        "The longer the sentence, the more a class token is better than the mean of the tokens.",
        "usual explanation",
        "",
        Studied("pooling_length:tiny", judge_pooling, 15),
    ),
)
