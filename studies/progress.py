"""Progress of a study: a live line for the whole, and a line for each run that ends."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from studies import grid
from studies.launch import Outcome
from training import log
from training.progress import describe


class Progress:
    """Shows how many runs are done and the time left, as a context manager.

    Args:
      folder: of the study.
      jobs: that are to run.
      at_once: jobs at a time.
    """

    def __init__(self, folder: Path, jobs: Sequence[grid.Job], at_once: int):
        self._folder, self._at_once = folder, at_once
        self._jobs = {job.name: job for job in jobs}
        self._left = set(self._jobs)
        self._spent: dict[str, list[tuple[float, float]]] = {}  # seconds and length of finished runs, by point
        self._runs, self._ended = len(jobs), 0
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._bar = Bar(
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.1f}/{task.total} runs · {task.fields[left]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=len(jobs), left="")
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if self._console.is_terminal:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._bar.stop()

    def _watch(self) -> None:
        """Updates the live line until the study is over."""
        while not self._over.wait(2):
            shares = self._shares()
            self._bar.update(self._task, completed=self._ended + sum(shares.values()), left=self._time_left(shares))

    def _shares(self) -> dict[str, float]:
        """The share that is done of each run that has not ended."""
        return {name: grid.progress(self._folder / name) for name in list(self._left)}

    def ended(self, outcome: Outcome) -> None:
        """Prints how a run ended."""
        self._left.discard(outcome.job.name)
        self._ended += 1
        line = f"{self._ended}/{self._runs} · {outcome.job.name}: {outcome.state}"
        if outcome.state == "finished":
            self._spent.setdefault(point(outcome.job), []).append((outcome.seconds, outcome.job.length))
            evaluated = [row for row in log.read(self._folder / outcome.job.name) if "learning_rate" not in row]
            line += f" in {outcome.seconds:.0f} s, {describe(evaluated[-1]) if evaluated else ''}"
        if outcome.reason:
            line += f": {outcome.reason} (whole output: {self._folder / outcome.job.name}/output.txt)"
        self._console.print(" · ".join(filter(None, (line, self._time_left(self._shares())))), soft_wrap=True)

    def _time_left(self, shares: dict[str, float]) -> str:
        """The time left: by the time of finished runs of the same point, else by their mean time of a step."""
        finished = [pair for spent in self._spent.values() for pair in spent]
        if not finished:
            return ""
        each = sum(seconds for seconds, _ in finished) / sum(length for _, length in finished)
        total = 0.0
        for name, share in shares.items():
            job = self._jobs[name]
            spent = [seconds for seconds, _ in self._spent.get(point(job), [])] or [each * job.length]
            total += sum(spent) / len(spent) * (1 - share)
        minutes = total / self._at_once / 60
        return f"about {minutes / 60:.1f} h left" if minutes > 90 else f"about {minutes:.0f} min left"


def point(job: grid.Job) -> str:
    """A key for the point of a run, the same for all seeds."""
    return str(job.labels)
