"""The live line of a run; where there is no terminal, a plain line at each log."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Live:
    """Shows step, loss, accuracy, rate, share of time waiting for input and time left."""

    def __init__(self, start: int, steps: int, show: bool = True):
        self._console = Console(highlight=False, quiet=not show)
        self._bar = Progress(
            BarColumn(bar_width=10),
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f} · {task.fields[figures]} ·"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            refresh_per_second=2,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps, completed=start, figures="compiling ...")
        self._steps = steps

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, step: int) -> None:
        self._bar.update(self._task, completed=step)

    def metrics(self, step: int, figures: dict[str, float]) -> None:
        """The figures of a log line."""
        text = describe(figures)
        self._bar.update(self._task, figures=text)
        if not self._console.is_terminal:
            left = self._bar.tasks[0].time_remaining
            eta = f" · {int(left) // 60}:{int(left) % 60:02} left" if left is not None else ""
            self.say(f"step {step:,}/{self._steps:,} · {text}{eta}")

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, soft_wrap=True)


def metric(name: str, value: float) -> str:
    """One figure as a person reads it: shares in per cent, points and perplexities with two digits."""
    if name.endswith(("accuracy", "exact_match")):
        return f"{value:.2%}"
    return f"{value:.2f}" if name.endswith(("bleu", "chrf", "perplexity")) else f"{value:.4f}"


def describe(figures: dict[str, float]) -> str:
    """Losses, accuracies and rates of a log line or an evaluation, in the order in which a person looks for them."""
    parts = []
    for name in sorted(figures, key=lambda name: (name.split("/")[0], "loss" not in name)):
        if name.endswith("/loss"):
            parts.append(f"{name.removeprefix('train/')} {figures[name]:.3f}")
        elif name.endswith(("accuracy", "exact_match", "/perplexity", "/bleu", "/chrf")):
            parts.append(f"{name.removeprefix('train/')} {metric(name, figures[name])}")
        elif name.endswith("_per_second") and not name.startswith("teraflops"):
            parts.append(f"{figures[name]:,.0f} {name.removesuffix('_per_second').replace('_', ' ')}/s")
    if "input_wait" in figures:
        parts.append(f"input wait {figures['input_wait']:.1%}")
    if "skipped_images" in figures:
        parts.append(f"{figures['skipped_images']:,} images skipped")
    return " · ".join(parts)
