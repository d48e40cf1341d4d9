"""A metric and the loss of several models by the size of the training set: 2010.11929, figures 3 and 4; 2001.08361."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from analysis import fits
from analysis.studies import COLOURS, Drawn, column, curve, finish, groups, label
from analysis.table import Row
from lookup import Value

REACH = 1000  # a crossing is sought up to so many times the largest x


class Fitted(NamedTuple):
    """A series by name, with its power law."""

    name: str
    law: fits.PowerLaw


def draw(rows: Sequence[Row], *, x: str, series: str, metric: str, loss: str = "test/nll") -> Drawn:
    """Left the metric, right the loss with its power law L(x) = a x^-b + c, both over log x with intervals.

    Args:
      x: the column of the size.
      series: the label that names the models.
      metric: the column on the left.
      loss: the column on the right.
    """
    picture = Figure(figsize=(10, 4), layout="constrained")
    (left, right) = picture.subplots(1, 2)
    laws: dict[Value, fits.PowerLaw | None] = {}
    for number, (name, own) in enumerate(groups(rows, series).items()):
        curve(left, own, x, metric, number, name)
        laws[name] = law = fits.power_law(column(own, x), column(own, loss))
        text = f"{name}: {x}^-{law.exponent:.2f}" if law else name
        curve(right, own, x, loss, number, text, joined=not law)
        if law:
            line = np.geomspace(column(own, x).min(), column(own, x).max() * 10, 100)
            right.plot(line, law(line), color=COLOURS[number % 10], lw=1)
    finish(left, x, metric, "x")
    finish(right, x, loss, "xy")
    lines, numbers = [], {}
    for name, law in laws.items():
        if law:
            lines.append(
                f"- {name}: {loss} falls with {label(x)} to the power of −{law.exponent:.3f} ± {law.error:.3f}, "
                f"towards {law.offset:.3g}."
            )
            numbers[str(name)] = {"exponent": law.exponent, "half_interval": law.error, "offset": law.offset}
        else:
            lines.append(f"- {name}: no power law, which needs at least four sizes.")
    reach = (column(rows, x).min(), column(rows, x).max() * REACH)
    for first, second in _pairs([Fitted(str(name), law) for name, law in laws.items() if law]):
        cross = fits.crossing(first.law, second.law, reach)
        numbers[f"{second.name} below {first.name}"] = vars(cross)
        lines.append(f"- {second.name} below {first.name}: {_sentence(cross, label(x), reach)}")
    return Drawn(picture, lines, numbers)


def _pairs(fitted: Sequence[Fitted]) -> list[tuple[Fitted, Fitted]]:
    """The first series with each other one. The series that is worse at small x is the second of its pair."""
    pairs = []
    for other in fitted[1:]:
        smallest = min(fitted[0].law.centre, other.law.centre) / 10
        pairs.append((other, fitted[0]) if fitted[0].law(smallest) > other.law(smallest) else (fitted[0], other))
    return pairs


def _sentence(cross: fits.Crossing, x: str, reach: tuple[float, float]) -> str:
    """The end of a line about a crossing."""
    share = f"{100 * cross.share:.0f} % of the draws of both fits cross between {reach[0]:,.0f} and {reach[1]:.1e}"
    if np.isnan(cross.at):
        return f"the fits do not cross; {share}."
    between = f"95 % of the crossings between {cross.low:.2g} and {cross.high:.2g}"
    return f"from {cross.at:.2g} {x} on by the fits, {between}; {share}."
