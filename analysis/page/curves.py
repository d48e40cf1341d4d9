"""The curves of a run, as the page's JavaScript draws them: any metric of the log by step or by time."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from analysis.figures.curves import main_metric
from analysis.page.html import Html, element, section
from training import log

MOST = 600  # points of a curve
TIME = "seconds"  # of training, between one log line and the next


class Curve(TypedDict):
    """One metric of one split. Numbers that are not finite are left out.

    Attributes:
      split: "train", a split of the evaluation, or "" for a quantity without a split, such as the learning rate.
      step, time, value: of each point; time in seconds of training, null where it was not logged.
    """

    split: str
    step: list[int]
    time: list[float | None]
    value: list[float]


class Curves(TypedDict):
    """All curves by metric, and those that are shown first."""

    metrics: dict[str, list[Curve]]
    first: list[str]


def curves(rows: Sequence[log.Row], keep_best: str) -> Curves:
    """The curves of a log. keep_best: the metric that chooses the best checkpoint, or ""."""
    timed = any(TIME in row for row in rows)
    spent = np.cumsum([row.get(TIME) or 0.0 for row in rows])
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in ("step", TIME)))
    found: dict[str, list[Curve]] = {}
    for key in sorted(keys, key=lambda key: ("/" not in key, not key.startswith("train/"))):
        split, _, name = key.rpartition("/")
        points = [(row["step"], time, row[key]) for row, time in zip(rows, spent, strict=True) if finite(row.get(key))]
        points = thinned(points)
        if points:
            step, time, value = (list(x) for x in zip(*points, strict=True))
            time = [round(float(t), 2) for t in time] if timed else [None] * len(step)
            curve = Curve(split=split, step=step, time=time, value=[float(f"{v:.6g}") for v in value])
            found.setdefault(name, []).append(curve)
    metric = main_metric(list(rows), keep_best)
    first = [name for name in dict.fromkeys(("loss", metric, *found)) if name in found]
    return {"metrics": found, "first": first[:2]}


def finite(value: object) -> bool:
    """Whether a value of a log is a finite number."""
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def thinned(points: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """At most MOST points, the first and the last among them."""
    if len(points) <= MOST:
        return points
    return [points[round(i)] for i in np.linspace(0, len(points) - 1, MOST)]


def part(rows: Sequence[log.Row]) -> Html | None:
    """The section, which the JavaScript fills; None where nothing was logged."""
    if not rows:
        return None
    hint = element(
        "p", "Point at a curve, or move along it by the arrow keys, to read its values.", class_="note script"
    )
    return section("curves", "Curves", element("div", id="curves-here", class_="charts"), hint)
