"""Records of results/ as they are read, and what a row of the documentation made of one is: see summary.py."""

import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from analysis import fits  # noqa: E402
from lookup import Value  # noqa: E402

Record = dict[str, Value]


@dataclass(frozen=True)
class Result:
    """A row of README's results, and what configs/README.md says of its config.

    Attributes:
      config: its name in configs/, or in configs/studies/, with the variant: "gpt_shakespeare:cpu".
      text: the result.
      time: how long it took.
      source: the record, a file in results/.
      commits: of the record.
      row: how its row in configs/README.md begins.
      note: what differs from the config as it is.
    """

    config: str
    text: str
    time: str
    source: str
    commits: tuple[str, ...]
    row: str
    note: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells in README.md."""
        name = self.config.partition(":")[0]
        path = next(path for path in (f"configs/{name}.py", f"configs/studies/{name}.py") if (ROOT / path).exists())
        source = "report" if self.source.endswith(".md") else self.source
        record = f"[{source}](results/{self.source}), {made(*self.commits)}"
        return [f"[{self.config}]({path}){self.note}", self.text, self.time, record]


def read(name: str) -> Record:
    """The record results/NAME.json."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def recorded(name: str) -> bool:
    """Whether results/NAME.json is there."""
    return (ROOT / "results" / f"{name}.json").exists()


def table_of(study: str) -> list[Record]:
    """The runs of a recorded study. Numbers are numbers."""

    def value(text: str) -> object:
        """A cell."""
        try:
            return float(text)
        except ValueError:
            return text

    with (ROOT / "results" / study / "table.csv").open() as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def made(*commits: str) -> str:
    """From what code a record was made."""
    names = [commit[:7] + " with uncommitted changes" * commit.endswith("+") for commit in commits]
    return f"at {', '.join(names)}" if all(commits) else "commit not recorded"


def percent(share: float, digits: int = 2) -> str:
    """A share, such as "99.44"."""
    return f"{100 * share:.{digits}f}"


def listed(shares: Iterable[float], digits: int = 0) -> str:
    """Shares in percent, such as "100, 84, 20"."""
    return ", ".join(percent(share, digits) for share in shares)


def mean_by(rows: list[Record], *labels: str, metric: str = "test/accuracy") -> dict[Value, tuple[float, float]]:
    """The mean of a metric of finished runs, and half its interval, by the values of labels."""
    values: dict[Value, list[float]] = {}
    for row in rows:
        if row.get("state", "finished") != "finished":
            continue
        values.setdefault(tuple(row[label] for label in labels), []).append(row[metric])
    return {key[0] if len(key) == 1 else key: fits.interval(own) for key, own in values.items()}
