"""What is made larger, and what it brings for its compute: 2010.11929, figure 8."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import Drawn, column, curve, finish, groups
from analysis.table import Row


def draw(rows: Sequence[Row], *, series: str, base: str, metric: str, cost: str = "flops_per_example") -> Drawn:
    """A line for each dimension that is scaled (`series`), all through the point named `base`, by relative compute."""
    named = groups(rows, series)
    centre = column(named[base], cost).mean()
    relative = [row | {"relative compute": row[cost] / centre} for row in rows]
    picture = Figure(figsize=(6, 4.5), layout="constrained")
    axes = picture.subplots()
    lines, numbers = [], {}
    own = groups(relative, series)
    for number, name in enumerate(n for n in own if n != base):
        joined = own[base] + own[name]
        curve(axes, joined, "relative compute", metric, number, label=name)
        fit = fits.line(np.log2(column(joined, "relative compute")), 100 * column(joined, metric))
        numbers[str(name)] = {"points_per_doubling": fit.slope, "half_interval": fit.error}
        lines.append(f"- {name}: {fit.slope:+.2f} ± {fit.error:.2f} points for each doubling of compute.")
    finish(axes, f"compute an image, relative to {base}", metric, "x")
    return Drawn(picture, lines, numbers)
