"""Variants of one thing side by side: 2010.11929, tables 7 and 8, figure 9; 1706.03762, table 3 A."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.picture import literal
from analysis.studies import COLOURS, Drawn, bounds, column, finish, groups, plus_minus
from analysis.table import Row

WIDE = 60  # letters that fit side by side


def draw(
    rows: Sequence[Row], *, variant: str, metric: str, series: str = "", better: Literal["max", "min"] = "max"
) -> Drawn:
    """A mean with its interval for each variant, and a dot for each run.

    Args:
      variant: the label that tells the variants apart.
      metric: the column that is compared.
      series: a label whose values are drawn side by side; "" for none.
      better: whether a larger metric is better ("max") or a smaller one ("min").
    """
    picture = Figure(figsize=(6.5, 4), layout="constrained")
    axes = picture.subplots()
    by_series = groups(rows, series) if series else {"": list(rows)}
    variants = list(groups(rows, variant))
    sign = 1 if better == "max" else -1
    lines, numbers = [], {}
    for number, (name, own) in enumerate(by_series.items()):
        colour, shift = COLOURS[number % 10], 0.5 * ((number + 0.5) / len(by_series) - 0.5)
        values = {value: column(same, metric) for value, same in groups(own, variant).items()}
        means = {value: fits.interval(metrics) for value, metrics in values.items()}
        at = np.array([variants.index(value) for value in means]) + shift
        mean, half = np.nan_to_num(list(means.values())).T
        ends = np.clip([mean - half, mean + half], *bounds(metric))
        axes.errorbar(at, mean, np.abs(ends - mean), fmt="o", capsize=4, color=colour, label=literal(name) or None)
        for place, metrics in zip(at, values.values(), strict=True):
            axes.plot([place] * len(metrics), metrics, ".", color=colour, alpha=0.4)
        best = max(means, key=lambda value: sign * means[value][0])
        for value, (mean_value, half_value) in means.items():
            numbers[f"{name} {value}".strip()] = {"mean": mean_value, "half_interval": half_value}
        lines.append(
            f"- {f'{name}: ' if name else ''}best is {best}, {plus_minus(*means[best], metric)}; "
            f"{_difference(own, variant, metric, best, sign)}"
        )
    names = [literal(value) for value in variants]
    axes.set_xticks(range(len(variants)), names)
    if sum(map(len, names)) > WIDE:
        axes.set_xticklabels(names, rotation=30, ha="right")
    finish(axes, variant, metric, legend=bool(series))
    return Drawn(picture, lines, numbers)


def _difference(rows: Sequence[Row], variant: str, metric: str, best: object, sign: int) -> str:
    """From which other variants the best one differs clearly, by runs paired by seed."""
    values = {value: {row["seed"]: row[metric] for row in same} for value, same in groups(rows, variant).items()}
    close = []
    for value, own in values.items():
        seeds = sorted(own.keys() & values[best].keys())
        mean, half = fits.interval([sign * (values[best][s] - own[s]) for s in seeds]) if seeds else (0.0, float("nan"))
        if value != best and not mean > half:
            close.append(str(value))
    return f"not clearly apart from {', '.join(close)}." if close else "clearly apart from all others."
