"""A score and the loss by data, of several models: 2010.11929, figures 3 and 4; with power laws (2001.08361)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import COLOURS, Drawn, column, curve, finish, groups, label
from analysis.table import Row

REACH = 1000  # how many times beyond the largest x a crossing is sought


def draw(rows: Sequence[Row], *, x: str, series: str, metric: str, loss: str = "test/nll") -> Drawn:
    """Left the score, right the loss with L(x) = a x^-b + c fitted to it; both over log x, with intervals over the seeds."""
    picture = Figure(figsize=(10, 4), layout="constrained")
    (left, right) = picture.subplots(1, 2)
    found = groups(rows, series)
    laws: dict[Any, fits.PowerLaw | None] = {}
    for number, (name, own) in enumerate(found.items()):
        curve(left, own, x, metric, number, label=name)
        laws[name] = law = fits.power_law(column(own, x), column(own, loss))
        text = f"{name}: {x}^-{law.exponent:.2f}" if law else name
        curve(right, own, x, loss, number, label=text, lw=0 if law else 1.5)
        if law:
            line = np.geomspace(column(own, x).min(), column(own, x).max() * 10, 100)
            right.plot(line, law(line), color=COLOURS[number % 10], lw=1)
    finish(left, x, metric, "x")
    finish(right, x, loss, "xy")
    lines, numbers = [], {}
    for name, law in laws.items():
        if law:
            lines.append(
                f"- {name}: {loss} falls with {label(x)} to the power of −{law.exponent:.3f} ± {law.error:.3f}, towards "
                f"{law.offset:.3g}."
            )
            numbers[str(name)] = {"exponent": law.exponent, "half_interval": law.error, "offset": law.offset}
        else:
            lines.append(f"- {name}: fewer than four sizes, so that no power law is fitted.")
    reach = (column(rows, x).min(), column(rows, x).max() * REACH)
    for (first, one), (second, other) in _pairs(laws):
        cross = fits.crossing(one, other, reach)
        numbers[f"{second} below {first}"] = vars(cross)
        lines.append(f"- {second} below {first}: {_said(cross, label(x), reach)}")
    return Drawn(picture, lines, numbers)


def _pairs(laws: dict[Any, fits.PowerLaw | None]) -> list[Any]:
    """The first series against each other one: the one that begins worse is second."""
    fitted = [(name, law) for name, law in laws.items() if law]
    pairs = []
    for other in fitted[1:]:
        smallest = min(fitted[0][1].centre, other[1].centre) / 10
        pairs.append((other, fitted[0]) if fitted[0][1](smallest) > other[1](smallest) else (fitted[0], other))
    return pairs


def _said(cross: fits.Crossing, x: str, reach: tuple[float, float]) -> str:
    share = f"{100 * cross.share:.0f} % of the draws of both fits cross between {reach[0]:,.0f} and {reach[1]:.1e}"
    if np.isnan(cross.at):
        return f"the fits do not cross; {share}."
    return f"from {cross.at:.2g} {x} on by the fits, 95 % of the crossings between {cross.low:.2g} and {cross.high:.2g}; {share}."
