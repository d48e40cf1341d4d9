"""A metric by compute as one dimension of a model grows at a time: 2010.11929, figure 8."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import Drawn, column, curve, finish, groups
from analysis.table import Row


def draw(rows: Sequence[Row], *, series: str, base: str, metric: str, cost: str = "flops_per_example") -> Drawn:
    """A line for each dimension that is scaled, all through the base point, by relative compute.

    Args:
      series: the label that names the scaled dimension.
      base: its value at the point that all lines go through.
      metric: a share, such as an accuracy.
      cost: the column of the compute.
    """
    named = groups(rows, series)
    if base not in named:
        return Drawn(Figure(figsize=(6, 4.5)), [f"- No run of {base} is finished, to which the others are compared."])
    centre = column(named[base], cost).mean()
    relative = [row | {"relative compute": row[cost] / centre} for row in rows]
    picture = Figure(figsize=(6, 4.5), layout="constrained")
    axes = picture.subplots()
    lines, numbers = [], {}
    own = groups(relative, series)
    for number, name in enumerate(n for n in own if n != base):
        joined = own[base] + own[name]
        curve(axes, joined, "relative compute", metric, number, name)
        fit = fits.line(np.log2(column(joined, "relative compute")), 100 * column(joined, metric))
        if fit:
            numbers[str(name)] = {"points_per_doubling": fit.slope, "half_interval": fit.error}
            lines.append(f"- {name}: {fit.slope:+.2f} ± {fit.error:.2f} points for each doubling of compute.")
    finish(axes, f"compute an image, relative to {base}", metric, "x")
    return Drawn(picture, lines, numbers)
