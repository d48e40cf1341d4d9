"""What numbers of several seeds say of a claim: orders, equality, and the words for them."""

import math
from collections.abc import Sequence

from analysis.studies import spread
from lookup import Value
from results import recorded
from results.rows import Rows, Verdict, verdict

Mean = tuple[float, float]  # over seeds, and half its interval
Means = dict[Value, Mean]  # by the value of a label, or by those of several
NONE: Mean = (0.0, 0.0)


def difference(first: Mean, second: Mean) -> Mean:
    """The difference of two means of independent runs, and half its interval."""
    return first[0] - second[0], math.hypot(first[1], second[1])


def above(higher: Mean, lower: Mean) -> Verdict:
    """Whether one mean is above another: it holds if the interval of the difference says so, in direction if only the
    means do."""
    gap, half = difference(higher, lower)
    return verdict(gap > half, gap > 0)


def alike(means: Sequence[Mean], margin: float) -> Verdict:
    """Whether means are equal: it holds if by their intervals no two of them are a margin apart, in direction if they
    are not told apart, or by less than the margin, but the intervals are too wide to say so."""
    gaps = [difference(first, second) for i, first in enumerate(means) for second in means[:i]]
    return verdict(
        all(abs(gap) + half <= margin for gap, half in gaps), all(abs(gap) <= max(half, margin) for gap, half in gaps)
    )


def least(*verdicts: Verdict) -> Verdict:
    """The verdict on a claim of several parts: that of its weakest."""
    return verdict(all(each is Verdict.HOLDS for each in verdicts), all(each is not Verdict.NOT for each in verdicts))


def accuracies(rows: Rows, *labels: str, metric: str = "test/accuracy") -> Means:
    """The mean of a share and half its interval, in percent, by labels."""
    return {
        key: (100 * mean, 100 * half) for key, (mean, half) in recorded.mean_by(rows, *labels, metric=metric).items()
    }


def stated(mean: Mean, form: str = ".1f", unit: str = "") -> str:
    """A mean and half its interval, "85.1 ± 0.3 %"; of one seed, whose interval is not known, the mean alone."""
    return spread(*mean, (-math.inf, math.inf), form, unit)


def percent(mean: Mean, form: str = ".1f") -> str:
    """The same of a share, in percent."""
    return stated((100 * mean[0], 100 * mean[1]), form, " %")


def in_points(gap: Mean) -> str:
    """A difference of percentages, or of BLEU."""
    return spread(*gap, (-100, 100), "+.1f")


def seeds_of(rows: Rows) -> int:
    """How many there are."""
    return len({row["seed"] for row in rows})
