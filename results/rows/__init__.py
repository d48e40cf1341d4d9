"""The claims of the two papers, a row each: where it is claimed, what was measured, and the verdict. See claims.py.

A row of ROWS has evidence: computed here (Computed), a record of another script (Recorded), a study (Studied), or none
on this machine (Accelerated). `judge` gives the verdict from the numbers, never by hand.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from lookup import Value
from results import recorded

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
RECORD = RESULTS / "claims.json"  # of what is computed
NO_PAGES = "--config.evaluation.page=False"

Numbers = dict[str, Value]  # as JSON
Rows = list[Numbers]  # of a study's table


class Verdict(StrEnum):
    """What came out."""

    HOLDS = "holds"
    DIRECTION = "holds in direction"
    NOT = "does not hold at this size"
    ACCELERATOR = "needs an accelerator"
    OPEN = "not measured yet"


@dataclass(frozen=True)
class Found:
    """What was measured, and what it says of the claim.

    Attributes:
      measured: the figures, with intervals, seeds and sizes.
      verdict: see Verdict.
      why: what the verdict rests on, where the figures do not say it.
      commits: of the record.
      figure: a picture, a file of the repository.
    """

    measured: str
    verdict: Verdict
    why: str = ""
    commits: tuple[str, ...] = ()
    figure: str = ""


def verdict(holds: bool, direction: bool = False) -> Verdict:
    """The verdict of a measured claim. direction: whether at least its direction is right."""
    return Verdict.HOLDS if holds else Verdict.DIRECTION if direction else Verdict.NOT


class Evidence(Protocol):
    """Where the numbers of a row come from."""

    @property
    def record(self) -> str:
        """The record, a file of results/; "" without one."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Files whose change makes the record stale, beside the configs of its runs: see claims.py."""

    @property
    def data(self) -> str:
        """What has to be downloaded: "multi30k", or the name that TFDS has for it; "" for nothing."""

    def command(self, name: str) -> str:
        """What makes the record. name: of the row."""

    def found(self, name: str) -> Found:
        """What the record says."""


@dataclass(frozen=True)
class Claim:
    """A row.

    Attributes:
      name: on the command line.
      text: the claim.
      where: the paper, and the place in it.
      paper: its figure; "" where it gives none.
      evidence: see Evidence.
    """

    name: str
    text: str
    where: str
    paper: str
    evidence: Evidence

    @property
    def command(self) -> str:
        """What measures it."""
        return self.evidence.command(self.name)

    def found(self) -> Found:
        """What was measured."""
        return self.evidence.found(self.name)


@dataclass(frozen=True)
class Computed:
    """Numbers that are computed here in seconds or minutes, without training.

    Attributes:
      measure: computes them.
      judge: what they say.
      draw: draws them, for results/ROW.png.
    """

    measure: Callable[[], Numbers]
    judge: Callable[[Numbers], Found]
    draw: Callable[[], Figure] | None = None

    @property
    def record(self) -> str:
        """One for all of them."""
        return RECORD.name

    @property
    def data(self) -> str:
        """None."""
        return ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The file that measures, and the models."""
        return (f"results/rows/{self.measure.__module__.rpartition('.')[2]}.py", "models")

    def command(self, name: str) -> str:
        """See Evidence."""
        return f"python results/claims.py --only={name}"

    def found(self, name: str) -> Found:
        """See Evidence."""
        found, path = judged(computed().get(name), self.judge), RESULTS / f"{name}.png"
        return replace(found, figure=str(path.relative_to(ROOT))) if path.exists() else found


@dataclass(frozen=True)
class Recorded:
    """A record of another script of results/.

    Attributes:
      record: results/RECORD.json.
      made_by: the command.
      judge: what it says; a KeyError, that a part is missing.
      sources, data: see Evidence.
      minutes: about how long it takes on two cores.
    """

    record: str
    made_by: str
    judge: Callable[[Numbers], Found]
    sources: tuple[str, ...] = ()
    data: str = ""
    minutes: int = 0

    def command(self, name: str) -> str:
        """See Evidence."""
        del name
        return self.made_by

    def found(self, name: str) -> Found:
        """See Evidence."""
        del name
        path = RESULTS / self.record
        found = judged(json.loads(path.read_text()) if path.exists() else None, self.judge)
        return replace(found, why=time(self.minutes)) if found.verdict is Verdict.OPEN and self.minutes else found


@dataclass(frozen=True)
class Studied:
    """A study, whose table is in results/NAME.

    Attributes:
      study: with its size, "vit_head:tiny".
      judge: what the rows of its table say.
      minutes: about how long it takes on two cores.
      kept: the folder of results/ where a second size of a study is kept; "" for the study's name.
      data: see Evidence.
      at_once: runs at a time, each on its own cores: small models do not fill two. 1 where time is measured.
    """

    study: str
    judge: Callable[[Rows], Found]
    minutes: int
    kept: str = ""
    data: str = ""
    at_once: int = 2

    @property
    def folder(self) -> Path:
        """Where report, table and figures are kept."""
        return RESULTS / (self.kept or self.study.partition(":")[0])

    @property
    def record(self) -> str:
        """The report."""
        return f"{self.folder.name}/report.md"

    @property
    def sources(self) -> tuple[str, ...]:
        """The study's config; only the runs of this size count: see claims.py."""
        return (f"configs/studies/{self.study.partition(':')[0]}.py",)

    def command(self, name: str) -> str:
        """See Evidence."""
        del name
        where = " --config.data.data_dir=DIR" * bool(self.data)
        together = f" --study.at_once={self.at_once}" * (self.at_once > 1)
        # a page a run would be a third of the time of the smallest
        return f"python study.py --study=configs/studies/{self.study.replace(':', '.py:')} {NO_PAGES}{together}{where}"

    def found(self, name: str) -> Found:
        """See Evidence."""
        del name
        missing = Found("", Verdict.OPEN, time(self.minutes))
        if not (self.folder / "table.csv").exists():
            return missing
        rows = recorded.table_of(self.folder.name)
        try:
            found = self.judge(rows)
        except KeyError:  # the table is of fewer runs
            return missing
        return Found(
            found.measured,
            found.verdict,
            found.why,
            tuple(sorted({str(row["commit"]) for row in rows})),
            found.figure
            or next((str(p.relative_to(ROOT)) for p in sorted((self.folder / "figures").glob("*.png"))), ""),
        )


@dataclass(frozen=True)
class Accelerated:
    """What needs accelerators, or data that two cores do not get through.

    Attributes:
      run: the command.
      plan: the row of results/plan_table.json that says how long it takes; "" without one.
      cost: the same in words, where there is no plan, or what the plan is without.
      times: how many times what is planned.
    """

    run: str
    plan: str = ""
    cost: str = ""
    times: float = 1

    @property
    def record(self) -> str:
        """The plans."""
        return "plan_table.json" if self.plan else ""

    @property
    def data(self) -> str:
        """None: nothing is measured."""
        return ""

    @property
    def sources(self) -> tuple[str, ...]:
        """None: nothing is measured."""
        return ()

    def command(self, name: str) -> str:
        """See Evidence."""
        del name
        return self.run

    def found(self, name: str) -> Found:
        """See Evidence."""
        del name
        if not self.plan:
            return Found("", Verdict.ACCELERATOR, self.cost)
        plan = json.loads((RESULTS / "plan_table.json").read_text())[self.plan]
        hours = plan["hours"]["seconds"] * self.times
        planned = f"{hours:,.0f} hours" if hours >= 1.5 else f"{60 * hours:.0f} minutes"
        return Found(
            "",
            Verdict.ACCELERATOR,
            f"about {planned} of {plan['machine']['name']}"
            + (f" ({self.times:.3g} times the plan of {self.plan.partition(' on ')[0]})" if self.times != 1 else "")
            + (f", {self.cost}" if self.cost else ""),
            (plan["commit"],) if plan.get("commit") else (),
        )


def time(minutes: int) -> str:
    """How long something takes."""
    return f"about {minutes} minutes on two cores" if minutes < 120 else f"about {minutes / 60:.0f} hours on two cores"


def computed() -> dict[str, Numbers]:
    """What has been computed, by row."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def judged(numbers: Numbers | None, judge: Callable[[Numbers], Found]) -> Found:
    """What numbers say, with their commit; that nothing was measured where there are none, or some are missing."""
    if numbers is None:
        return Found("", Verdict.OPEN)
    try:
        found = judge(numbers)
    except KeyError:
        return Found("", Verdict.OPEN)
    commits = (str(numbers["commit"]),) if isinstance(numbers, Mapping) and numbers.get("commit") else ()
    return Found(found.measured, found.verdict, found.why, found.commits or commits, found.figure)
