"""The difference between two models by the size of the training set: whether it closes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import Drawn, column, finish, groups, label, spread
from analysis.table import Row

LIMITS = (-100.0, 100.0)  # of a difference of shares, in points


def draw(rows: Sequence[Row], *, x: str, series: str, metric: str, first: str, second: str) -> Drawn:
    """metric(first) − metric(second) at each x, in percentage points, with its interval over runs paired by seed.

    Args:
      x: the column of the size.
      series: the label that names the models.
      metric: a share, such as an accuracy.
      first, second: the two models.
    """
    by_name = groups(rows, series)
    values = {
        name: dict(zip(((row[x], row["seed"]) for row in own), 100 * column(own, metric), strict=True))
        for name, own in by_name.items()
        if name in (first, second)
    }
    pairs = sorted(values.get(first, {}).keys() & values.get(second, {}).keys())
    picture = Figure(figsize=(5.5, 4), layout="constrained")
    axes = picture.subplots()
    axes.axhline(0, color="black", lw=1)
    lines, numbers = [], {}
    gaps = {pair: values[first][pair] - values[second][pair] for pair in pairs}
    sizes = sorted({at for at, _ in pairs})
    means = [fits.interval([gap for (at, _), gap in gaps.items() if at == size]) for size in sizes]
    mean, half = np.nan_to_num(np.reshape(means, (-1, 2))).T
    ends = np.clip([mean - half, mean + half], *LIMITS)
    axes.errorbar(sizes, mean, np.abs(ends - mean), marker="o", capsize=4)
    finish(axes, x, f"{metric}: {first} − {second}, points", "x", legend=False)
    for size, (points, error) in zip(sizes, means, strict=True):
        lines.append(f"- {size:,} {label(x)}: {spread(points, error, LIMITS, '+.2f')} points.")
        numbers[str(size)] = {"points": points, "half_interval": error}
    fit = fits.line(np.log10([at for at, _ in pairs]), np.array([gaps[pair] for pair in pairs]))
    if fit and len(sizes) > 2:
        numbers["slope_per_decade"] = {"points": fit.slope, "half_interval": fit.error}
        lines.append(f"- {_verdict(fit, first, second, means[-1], x)}")
    return Drawn(picture, lines, numbers)


def _verdict(fit: fits.Line, first: str, second: str, last: tuple[float, float], x: str) -> str:
    """The trend by its slope, and the difference at the largest size, `last`: (mean, half its interval)."""
    slope = f"it changes by {fit.slope:+.2f} ± {fit.error:.2f} points for each tenfold of {label(x)}"
    if not fit.clear:
        trend = f"whether {first} gains on {second} cannot be told: {slope}"
    else:
        trend = f"{first} {'gains on' if fit.slope > 0 else 'falls behind'} {second}: {slope}"
    mean, half = last
    if not np.isfinite(half):
        end = f"at the largest size it is {mean:+.2f} points, of one seed"
    elif abs(mean) <= half:
        end = "at the largest size the two cannot be told apart"
    else:
        end = f"at the largest size {first} is {'above' if mean > 0 else 'below'} {second}"
    return f"{trend}; {end}."
