"""A metric by training compute, with the Pareto front: 2010.11929, figure 5."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import Drawn, column, curve, finish, groups, plus_minus
from analysis.table import Row


def draw(
    rows: Sequence[Row], *, series: str, points: tuple[str, ...], metric: str, cost: str = "total_flops", loss: str = ""
) -> Drawn:
    """Every point (mean over the seeds) by its cost; those on the front are joined.

    Args:
      series: the label that names the families.
      points: the labels that tell the points of a series apart.
      metric: a column; more is better.
      cost: a column; less is better.
      loss: a column to which a power law of the cost is fitted; "" for none.
    """
    picture = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = picture.subplots()
    at, names = [], []
    score: list[tuple[float, float]] = []
    for number, (name, own) in enumerate(groups(rows, series).items()):
        curve(axes, own, cost, metric, number, name, joined=False)
        for point, same in groups([row | {"point": tuple(row[p] for p in points)} for row in own], "point").items():
            at.append(column(same, cost).mean())
            score.append(fits.interval(column(same, metric)))
            names.append(f"{name} {', '.join(map(str, point))}")
    mean = np.array([m for m, _ in score])
    best = fits.front(np.array(at), mean)
    order = np.argsort(np.array(at)[best])
    axes.plot(np.array(at)[best][order], mean[best][order], color="black", lw=1, ls="--", label="Pareto front")
    finish(axes, cost, metric, "x")
    lines = [
        f"- On the front: {names[i]}, {at[i]:.2e} FLOP, {plus_minus(score[i][0], score[i][1], metric)}."
        for i in np.argsort(at)
        if best[i]
    ]
    numbers = {names[i]: {"cost": at[i], "mean": mean[i], "front": bool(best[i])} for i in range(len(at))}
    for name, own in groups(rows, series).items() if loss else ():
        if law := fits.power_law(column(own, cost), column(own, loss)):
            lines.append(
                f"- {name}: {loss} falls with compute to the power of −{law.exponent:.3f} ± {law.error:.3f}, towards "
                f"{law.offset:.3g}."
            )
            numbers[f"{name}: {loss}"] = {"exponent": law.exponent, "half_interval": law.error, "offset": law.offset}
    return Drawn(picture, lines, numbers)
