"""The figures of a study's report, one file a kind, found by name.

Each has `draw(rows, **arguments) -> Drawn`: rows are those of finished runs (analysis/table.py), arguments what
configs/studies/ give it. Adding a kind is adding a file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure

from analysis.fits import interval
from analysis.table import Row
from errors import UserError, nearest

COLOURS = tuple(TABLEAU_COLORS.values())
MARKERS = "osD^vPX<>*"


@dataclass(frozen=True)
class Drawn:
    """A picture, what it says as lines of Markdown, and its numbers for fits.json."""

    picture: Figure
    lines: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """A column of figures, float (R,).

    Raises:
      UserError: a run lacks it.
    """
    for row in rows:
        if row.get(name) is None:
            figures = [key for key, value in row.items() if isinstance(value, (int, float))]
            raise UserError(f"run {row['run']} of the study has no figure {name!r}: {nearest(name, figures)}")
    return np.array([row[name] for row in rows], float)


def groups(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """Rows by what they have in a column, in order of appearance."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def points(rows: Sequence[Row], x: str, y: str, floor: float = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each x once, float (P,), with the mean of y over the runs there, (P,), and its interval's ends, (2, P).

    Args:
      floor: where not 0, both are of the logarithm of y, which counts as no less than this.
    """
    by_x = sorted(groups(rows, x).items())
    values = [column(found, y) for _, found in by_x]
    means = [interval(np.log(np.maximum(value, floor)) if floor else value) for value in values]
    mean, half = np.array(means).T
    half = np.nan_to_num(half)
    drawn = np.array([mean, mean - half, mean + half])
    drawn = np.exp(drawn) if floor else drawn
    return np.array([value for value, _ in by_x], float), drawn[0], drawn[1:]


def curve(axes: Axes, rows: Sequence[Row], x: str, y: str, number: int, floor: float = 0, **style: Any) -> None:
    """A series with intervals. floor: see `points`."""
    at, mean, ends = points(rows, x, y, floor)
    settings: dict[str, Any] = dict(
        color=COLOURS[number % 10], marker=MARKERS[number % 10], markersize=5, capsize=3, lw=1.5, elinewidth=1
    )
    axes.errorbar(at, mean, np.abs(ends - mean), **settings | style)


def finish(axes: Axes, x: str, y: str, log: str = "", legend: bool = True) -> None:
    """Labels, log scales ("x", "y", "xy"), grid, legend."""
    axes.set(xlabel=label(x), ylabel=label(y))
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
    if legend:
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
    """A column's name as an axis has it."""
    return LABELS.get(name, name.replace("_", " "))


def plus_minus(mean: float, half: float, name: str) -> str:
    """85.10 ± 0.32 %"""
    if name.endswith(("accuracy", "_shot", "_nn", "exact_match")):
        return f"{100 * mean:.2f}" + (f" ± {100 * half:.2f}" if np.isfinite(half) else "") + " %"
    return f"{mean:.4g}" + (f" ± {half:.2g}" if np.isfinite(half) else "")
