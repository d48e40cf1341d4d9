"""The live line of a run; where there is no terminal, a plain line at each log."""

import contextlib
import errno
import os
import sys
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

NOT_SHOWN = ("nll", "grad_norm", "nonfinite", "spike")  # of metrics: metrics.jsonl has them


class _Console(Console):
    """Rich's, which would exit when who reads the output is gone."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Live:
    """Shows step, loss, accuracy, rate, share of time waiting for input and time left.

    Args:
      start: the step that the run begins after.
      steps: its last step.
      show: whether this is the host that prints.
    """

    def __init__(self, start: int, steps: int, show: bool = True):
        self._console = _Console(highlight=False, markup=False, emoji=False, quiet=not show)
        self._bar = Progress(
            BarColumn(bar_width=10),
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f} · {task.fields[metrics]} ·", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            refresh_per_second=2,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps, completed=start, metrics="compiling ...")
        self._steps = steps

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=step)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of a log line."""
        text = describe(metrics)
        self._bar.update(self._task, metrics=text)
        if not self._console.is_terminal:
            left = self._bar.tasks[0].time_remaining
            eta = f" · {int(left) // 60}:{int(left) % 60:02} left" if left is not None else ""
            self.say(f"step {step:,}/{self._steps:,} · {text}{eta}")

    def say(self, line: str) -> None:
        """Prints a line that stays. An output that is closed or full does not end the run."""
        try:
            self._console.print(line, soft_wrap=True)
        except OSError as error:
            self._console.quiet = True
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in its buffer
            with contextlib.suppress(OSError):
                print(f"warning: the output cannot be written ({error.strerror}); the run continues.", file=sys.stderr)


def metric(name: str, value: float) -> str:
    """One metric as a person reads it: shares in per cent, points and perplexities with two digits."""
    if name.endswith(("accuracy", "exact_match", "calibration_error")) or "/accuracy_" in name:
        return f"{value:.2%}"
    return f"{value:.2f}" if name.endswith(("bleu", "chrf", "perplexity")) else f"{value:.4f}"


def describe(metrics: Mapping[str, float]) -> str:
    """Metrics and rates of a log line or an evaluation, in the order in which a person looks for them."""
    parts = []
    for name in sorted(metrics, key=lambda name: (name.split("/")[0], "loss" not in name)):
        if name.endswith("/loss"):
            parts.append(f"{name.removeprefix('train/')} {metrics[name]:.3f}")
        elif "/" in name and name.rpartition("/")[2] not in NOT_SHOWN:
            parts.append(f"{name.removeprefix('train/')} {metric(name, metrics[name])}")
        elif name.endswith("_per_second") and not name.startswith("teraflops"):
            parts.append(f"{metrics[name]:,.0f} {name.removesuffix('_per_second').replace('_', ' ')}/s")
    if "input_wait" in metrics:
        parts.append(f"input wait {metrics['input_wait']:.1%}")
    if "skipped_images" in metrics:
        parts.append(f"{metrics['skipped_images']:,} images skipped")
    return " · ".join(parts)
