"""Training curves: the loss and the main metric by step and, if the log has it, by time."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from training import log

Rows = list[log.Row]
MARKERS = "os^Dv"  # of evaluation splits
TIME = "seconds"  # of training, between one log line and the next


def lacks(subject: Subject) -> str:
    """A run without a log."""
    return "" if log.read(subject.run.workdir) else f"{subject.run.workdir} has no {log.FILE}"


def arrays(subject: Subject) -> Arrays:
    """Each metric of each run, as "RUN: test/loss": see `curves`."""
    workdirs = (subject.run.workdir, *subject.beside)
    metric = main_metric(log.read(workdirs[0]), subject.run.config["checkpoint"].get("keep_best", ""))
    return {
        f"{name}: {key}": curve
        for workdir, name in zip(workdirs, names(workdirs), strict=True)
        for key, curve in curves(log.read(workdir), ("loss", metric)).items()
    }


def main_metric(rows: Rows, keep_best: str) -> str:
    """The metric that chooses the best checkpoint ("test/accuracy" -> "accuracy"), else accuracy if logged, else ""."""
    if chosen := keep_best.rpartition("/")[2]:
        return chosen
    return "accuracy" if any(key.endswith("/accuracy") for row in rows for key in row) else ""


def names(workdirs: tuple[Path, ...]) -> list[str]:
    """The folders' names, or their paths if two have the same name."""
    last = [workdir.resolve().name for workdir in workdirs]
    return last if len(set(last)) == len(last) else [str(workdir) for workdir in workdirs]


def curves(rows: Rows, metrics: tuple[str, ...]) -> Arrays:
    """The curves of some metrics of a log.

    Returns:
      "SPLIT/METRIC" -> float64 (3, n): steps, seconds of training (NaN if not logged) and the finite values.
    """
    spent = np.cumsum([row.get(TIME, 0.0) for row in rows])
    times = spent if any(TIME in row for row in rows) else np.full(len(rows), np.nan)
    keys = sorted({key for row in rows for key in row if "/" in key and key.rpartition("/")[2] in metrics})
    return {
        key: np.array(
            [(r["step"], t, r[key]) for r, t in zip(rows, times, strict=True) if r.get(key) is not None], np.float64
        ).T.reshape(3, -1)
        for key in keys
    }


def draw(arrays: Arrays) -> Figure:
    """A column for each metric; a row over steps and, if there are times, one over seconds."""
    runs = list(dict.fromkeys(name.rpartition(": ")[0] for name in arrays))
    metrics = sorted({name.rpartition("/")[2] for name in arrays}, key=lambda metric: (metric != "loss", metric))
    timed = any(np.isfinite(curve[1]).any() for curve in arrays.values())
    sides = ("step", "seconds") if timed else ("step",)
    figure = picture.begin(5 * len(metrics) + 0.5, 3.6 * len(sides) + 0.5, "Training: " + ", ".join(runs))
    axes = figure.subplots(len(sides), len(metrics), squeeze=False)
    for (place, side), row in zip(enumerate(sides), axes, strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            _draw(axis, {name: c for name, c in arrays.items() if name.endswith(f"/{metric}")}, runs, place)
            axis.set(xlabel="training, s" if side == TIME else side, ylabel=picture.literal(metric))
    return figure


def _draw(axes: Axes, curves: Arrays, runs: list[str], place: int) -> None:
    """Curves over steps (place 0) or seconds (1): a colour for each run, a marker for each split, none for training."""
    keys = {name: name.rpartition(": ")[::2] for name in curves}
    splits = sorted({key.partition("/")[0] for _, key in keys.values()} - {"train"})
    for name, (run, key) in keys.items():
        split = key.partition("/")[0]
        (line,) = axes.plot(curves[name][place], curves[name][2], color=f"C{runs.index(run)}")
        line.set_label(picture.literal(f"{run}: {split}" if len(runs) > 1 else split))
        if split == "train":
            line.set(linewidth=1, alpha=0.6)
        else:
            line.set(marker=MARKERS[splits.index(split) % len(MARKERS)], markersize=5)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
