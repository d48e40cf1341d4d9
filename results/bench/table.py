"""What the record of `make bench` says, as text."""

import json
import os
import platform
import re
from pathlib import Path
from statistics import median

from results.bench.lines import OURS
from results.bench.turns import Entry

HEAD = ["Case", "Attend", "Published JAX code", "Others", "At"]
BUSY = 0.05  # of the machine; more makes a value doubtful


def recorded(path: Path) -> dict[str, Entry]:
    """The lines of a record, by name."""
    return json.loads(path.read_text())["lines"] if path.exists() else {}


def write(path: Path, command: str, entries: dict[str, Entry]) -> None:
    """Writes a record."""
    path.write_text(json.dumps({"command": command, "lines": entries}, indent=2) + "\n")


def machine() -> dict[str, str | int]:
    """On what a line was measured."""
    try:
        name = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0]
    except (OSError, IndexError):
        name = platform.processor() or platform.machine()
    return {"processor": name, "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0}


def ratio(entry: Entry, other: str) -> float:
    """How many times ours is ahead of another: the median over the rounds."""
    pairs = zip(entry["values"][OURS], entry["values"][other], strict=False)
    return median(theirs / ours if entry["less"] else ours / theirs for ours, theirs in pairs)


def others(entry: Entry) -> list[str]:
    """The contestants besides ours that were measured."""
    return [name for name, values in entry["values"].items() if name != OURS and values]


def cell(entry: Entry, name: str) -> str:
    """The value of a contestant; of others also how many times ours is ahead, bold where it is behind."""
    facts = [f"{x:g} {unit}" for unit, x in entry["facts"].get(name, {}).items() if isinstance(x, int | float)]
    value = shown(median(entry["values"][name])) + f" {entry['unit']}" * (name == OURS)
    value = ", ".join([value, *facts])
    if name == OURS:
        return value
    if not entry["values"].get(OURS):
        return f"{name} {value}"
    ahead = ratio(entry, name)
    text = f"{ahead:.2f}×"
    return f"{name} {value} ({text if ahead >= 1 else f'**{text}**'})"


def shown(value: float) -> str:
    """A value in three or four digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def described(entry: Entry) -> list[str]:
    """Lines for a person who waits."""
    found = [f"{OURS} {cell(entry, OURS)}"] if entry["values"].get(OURS) else []
    found += [cell(entry, name).replace("**", "") for name in others(entry)]
    return [*found, load(entry)]


def load(entry: Entry) -> str:
    """What others used of the machine."""
    if entry["others"] is None:
        return "what other programs used is not known here"
    return f"{entry['others']:.0%} of the machine used by others" + ", a busy one" * (entry["others"] > BUSY)


def rows(path: Path) -> list[list[str]]:
    """The table: what, ours, published JAX code, others. Behind a value stands how many times ours is ahead."""
    table = []
    for entry in recorded(path).values():
        if not entry["values"].get(OURS):
            continue
        published = entry["published"]
        measured, absent = others(entry), list(entry["absent"])
        absent += [f"{one} (failed)" for one in entry["failed"] if one not in entry["values"]]
        busy = f"; {entry['others']:.0%} of the machine was used by others" if (entry["others"] or 0) > BUSY else ""
        table.append(
            [
                f"{entry['title']}{busy}",
                cell(entry, OURS),
                *(
                    "; ".join(
                        [cell(entry, other) for other in measured if (other in published) == of_jax]
                        + [f"{other}: absent" for other in absent if (other in published) == of_jax]
                    )
                    for of_jax in (True, False)
                ),
                f"{entry['commit'][:7]}",
            ]
        )
    return table
