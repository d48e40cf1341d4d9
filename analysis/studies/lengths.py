"""Several metrics by sequence length, with growth exponents: 1706.03762, table 1, measured.

Each run is a dot: if one run learns the task and another does not, the mean and its interval say little.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis import fits
from analysis.studies import COLOURS, Drawn, column, curve, finish, groups, label
from analysis.table import Row

FLOOR = 1e-16  # of a metric on a logarithmic axis: a gradient in float32 can be 0


def draw(
    rows: Sequence[Row],
    *,
    x: str,
    series: str,
    metrics: tuple[str, ...],
    growth: tuple[str, ...],
    logarithmic: tuple[str, ...] = (),
    least: int = 0,
) -> Drawn:
    """A panel for each metric.

    Args:
      x: the column of the length.
      series: the label that names the models.
      metrics: the columns that are drawn.
      growth: metrics to which x^b is fitted, on logarithmic axes.
      logarithmic: other metrics on logarithmic axes, as means of logarithms, at least FLOOR.
      least: the smallest x that is fitted. All are, if fewer than three would be left.
    """
    across = min(2, len(metrics))
    down = -(-len(metrics) // across)
    picture = Figure(figsize=(5 * across, 3.6 * down), layout="constrained")
    panels = picture.subplots(down, across, squeeze=False)
    lines, numbers = [], {}
    for panel in panels.flat[len(metrics) :]:
        panel.set_visible(False)
    for panel, metric in zip(panels.flat, metrics, strict=False):
        floor = FLOOR if metric in logarithmic else 0
        panel.set_yscale("log" if metric in (*growth, *logarithmic) else "linear")
        for number, own in enumerate(groups(rows, series).values()):
            runs = np.maximum(column(own, metric), floor)
            panel.plot(column(own, x), runs, ".", color=COLOURS[number % 10], ms=3, alpha=0.6)
        panel.autoscale_view()
        panel.autoscale(False, axis="y")  # fitted to the runs: an interval may reach impossible values
        for number, (name, own) in enumerate(groups(rows, series).items()):
            text = str(name)
            if metric in growth:
                long = [row for row in own if row[x] >= least]
                long = long if len({row[x] for row in long}) > 2 else own
                fit = fits.exponent(column(long, x), column(long, metric))
                if fit:
                    text += f": {x}^{fit.slope:.2f}"
                    numbers[f"{name} {metric}"] = {"exponent": fit.slope, "half_interval": fit.error}
                    grows = f"grows with {x} to the power of {fit.slope:.2f} ± {fit.error:.2f}"
                    lines.append(f"- {name}: {label(metric)} {grows}.")
            curve(panel, own, x, metric, number, text, floor)
        finish(panel, x, metric, "x")
        at = sorted({row[x] for row in rows})
        panel.set_xticks(at, [f"{value:,}" for value in at])
        panel.xaxis.set_minor_locator(NullLocator())
    return Drawn(picture, lines, numbers)
