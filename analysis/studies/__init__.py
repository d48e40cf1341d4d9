"""The figures of a study's report: one file each, found by name.

Each has `draw(rows, **arguments) -> Drawn`. rows: of finished runs, see analysis/table.py. arguments: what the study of
configs/studies/ sets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure

from analysis.fits import interval
from analysis.picture import literal
from analysis.table import Row
from errors import UserError, nearest
from lookup import Json, Value

COLOURS = tuple(TABLEAU_COLORS.values())
MARKERS = "osD^vPX<>*"


@dataclass(frozen=True)
class Drawn:
    """A figure of a report.

    Attributes:
      picture: as drawn.
      lines: what it shows, a sentence each. The report makes a list of them; nothing in them is Markdown.
      numbers: its fits, for fits.json.
    """

    picture: Figure
    lines: list[str] = field(default_factory=list)
    numbers: Json = field(default_factory=dict)  # nested numbers


def column(rows: Sequence[Row], name: str) -> Float[np.ndarray, " R"]:
    """A column of numbers.

    Raises:
      UserError: a run lacks it.
    """
    for row in rows:
        if row.get(name) is None:
            metrics = [key for key, value in row.items() if isinstance(value, (int, float))]
            raise UserError(f"run {row['run']} of the study has no metric {name!r}: {nearest(name, metrics)}")
    return np.array([row[name] for row in rows], float)


def groups(rows: Iterable[Row], key: str) -> dict[Value, list[Row]]:
    """Rows by their value in a column, in order of appearance."""
    by_value: dict[Value, list[Row]] = {}
    for row in rows:
        by_value.setdefault(row[key], []).append(row)
    return by_value


def points(
    rows: Sequence[Row], x: str, y: str, floor: float = 0
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"], Float[np.ndarray, "2 P"]]:
    """Each x once, the mean of y over its runs, and the ends of the mean's interval.

    Args:
      rows: of one series.
      x, y: columns.
      floor: if not 0, the mean is of log y, where y is at least this.
    """
    by_x = sorted(groups(rows, x).items())
    values = [column(same, y) for _, same in by_x]
    means = [interval(np.log(np.maximum(value, floor)) if floor else value) for value in values]
    mean, half = np.array(means).T
    half = np.nan_to_num(half)
    ends = np.array([mean, mean - half, mean + half])
    ends = np.clip(np.exp(ends) if floor else ends, *bounds(y))
    return np.array([value for value, _ in by_x], float), ends[0], ends[1:]


def curve(
    axes: Axes, rows: Sequence[Row], x: str, y: str, number: int, name: str, floor: float = 0, joined: bool = True
) -> None:
    """Draws a series with its intervals.

    Args:
      axes: to draw into.
      rows, x, y, floor: see `points`.
      number: of the series, which chooses colour and marker.
      name: of the series, for the legend.
      joined: whether a line joins its points.
    """
    at, mean, ends = points(rows, x, y, floor)
    axes.errorbar(
        at,
        mean,
        np.abs(ends - mean),
        label=literal(name),
        color=COLOURS[number % 10],
        marker=MARKERS[number % 10],
        markersize=5,
        capsize=3,
        lw=1.5 if joined else 0,
        elinewidth=1,
    )


MOST = 4  # lines of a legend that stands within the axes


def finish(axes: Axes, x: str, y: str, log: str = "", legend: bool = True) -> None:
    """Adds labels, logarithmic scales ("x", "y", "xy"), a grid and a legend."""
    axes.set(xlabel=literal(label(x)), ylabel=literal(label(y) + ", nats" * y.endswith("/nll")))
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
    names = axes.get_legend_handles_labels()[1]
    if legend and len(names) > MOST:  # it would cover what is drawn
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    elif legend and names:
        axes.legend(fontsize=8)


LABELS = {
    "images": "training images",
    "total_flops": "training compute, FLOP",
    "flops_per_example": "FLOP an example, forward",
    "parameters": "parameters",
    "length": "sequence length, tokens",
    "train_seconds": "training time, s",
    "step_seconds": "time of a training step, s",
    "step_memory_gb": "memory of a training step, GB",
    "gradients/first_over_last": "gradient at the first token over the last",
}


def label(name: str) -> str:
    """A column's name for an axis."""
    return LABELS.get(name, name.replace("_", " "))


SHARES = ("accuracy", "_shot", "_nn", "exact_match")  # how the names of shares end
SCORES = ("bleu", "chrf")
NOT_NEGATIVE = ("loss", "nll", "perplexity", "bits_per_byte", "seconds", "_gb", "_over_last")


def bounds(name: str) -> tuple[float, float]:
    """The least and the largest value that a metric can have, to which its intervals are clipped."""
    top = 1.0 if name.endswith(SHARES) else 100.0 if name.endswith(SCORES) else np.inf
    return 0.0 if np.isfinite(top) or name.endswith(NOT_NEGATIVE) else -np.inf, top


def plus_minus(mean: float, half: float, name: str) -> str:
    """A mean with its interval, such as "85.10 ± 0.32 %" for an accuracy; "99.00 % (97.10 to 100.00)" if clipped."""
    scale, form, unit = (100, ".2f", " %") if name.endswith(SHARES) else (1, ".4g", "")
    return spread(scale * mean, scale * half, [scale * end for end in bounds(name)], form, unit)


def spread(mean: float, half: float, limits: Sequence[float], form: str = ".4g", unit: str = "") -> str:
    """A mean with its interval, clipped to `limits`. form: of the mean."""
    if not np.isfinite(half):
        return f"{mean:{form}}{unit}"
    if limits[0] <= mean - half and mean + half <= limits[1]:
        return f"{mean:{form}} ± {half:{form.strip('+').replace('4g', '2g')}}{unit}"
    low, high = max(mean - half, limits[0]), min(mean + half, limits[1])
    return f"{mean:{form}}{unit} ({low:{form}} to {high:{form}})"
