"""Kinds of one thing side by side: 2010.11929, tables 7 and 8, figure 9; 1706.03762, table 3 A."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import COLOURS, Drawn, column, finish, groups, label, plus_minus
from analysis.table import Row


def draw(rows: Sequence[Row], *, kind: str, metric: str, series: str = "", better: str = "max") -> Drawn:
    """A point for each kind with its interval, every run as a dot; side by side for each of `series`.

    Args:
      better: whether a larger figure is ("max") or a smaller one ("min").
    """
    picture = Figure(figsize=(6.5, 4), layout="constrained")
    axes = picture.subplots()
    by_series = groups(rows, series) if series else {"": list(rows)}
    kinds = list(groups(rows, kind))
    lines, numbers = [], {}
    for number, (name, own) in enumerate(by_series.items()):
        shift = 0.5 * ((number + 0.5) / len(by_series) - 0.5)
        means = {which: fits.interval(column(same, metric)) for which, same in groups(own, kind).items()}
        at = np.array([kinds.index(which) for which in means]) + shift
        axes.errorbar(
            at,
            [m for m, _ in means.values()],
            np.nan_to_num([h for _, h in means.values()]),
            fmt="o",
            capsize=4,
            color=COLOURS[number % 10],
            label=str(name) or None,
        )
        for place, same in zip(at, groups(own, kind).values(), strict=True):
            axes.plot([place] * len(same), column(same, metric), ".", color=COLOURS[number % 10], alpha=0.4)
        sign = 1 if better == "max" else -1
        best = max(means, key=lambda which: sign * means[which][0])
        for which, (mean, half) in means.items():
            numbers[f"{name} {which}".strip()] = {"mean": mean, "half_interval": half}
        lines.append(
            f"- {f'{name}: ' if name else ''}best is {best}, {plus_minus(*means[best], metric)}; {_apart(own, kind, metric, best, sign)}"
        )
    axes.set_xticks(range(len(kinds)), [str(which) for which in kinds])
    finish(axes, kind, metric, legend=bool(series))
    axes.set_xlabel(label(kind))
    return Drawn(picture, lines, numbers)


def _apart(rows: Sequence[Row], kind: str, metric: str, best: object, sign: int) -> str:
    """From which of the others the best is clearly apart, by runs paired by seed."""
    values = {which: {row["seed"]: row[metric] for row in same} for which, same in groups(rows, kind).items()}
    same = []
    for which, own in values.items():
        seeds = sorted(own.keys() & values[best].keys())
        mean, half = fits.interval([sign * (values[best][s] - own[s]) for s in seeds]) if seeds else (0.0, float("nan"))
        if which != best and not mean > half:
            same.append(str(which))
    return f"not clearly apart from {', '.join(same)}." if same else "clearly apart from all others."
