"""What a compiled program's text says of its own cost: cycles (TPU), and bytes that devices send one another.

The text lists every computation once; a loop's body counts as often as the loop turns.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass

HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
CALLED = re.compile(r"(condition|body|to_apply|calls)=%?([\w.\-]+)|branch_computations=\{([^}]*)\}")
TURNS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
BOUND = re.compile(r"= s32\[\]\S* constant\((\d+)\)")
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
SENT = re.compile(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\(")
ARRAY = re.compile(r"(pred|[a-z]+\d+)\w*\[([\d,]*)\]")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[(\d+),(\d+)\]|mesh\[([^\]]*)\] \{([^}]*)\})")


@dataclass(frozen=True)
class Cost:
    """Of one step on one device. cycles: 0 where the compiler counts none. sent: bytes that it sends in a ring."""

    cycles: int
    sent: int


def cost(text: str) -> Cost:
    """The cost of a program, of `compiled.as_text()`."""
    lines = _computations(text)
    times = _times(lines)
    cycles = sent = 0
    for name, body in lines.items():
        for line in body:
            cycles += times[name] * sum(map(int, CYCLES.findall(line)))
            sent += times[name] * _sent(line)
    return Cost(cycles, sent)


def _computations(text: str) -> dict[str, list[str]]:
    """The lines of each computation; the entry's name is ""."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line[:1] not in (" ", "}") and (head := HEAD.match(line)):
            current = found.setdefault("" if head[1] else head[2], [])
        else:
            current.append(line)
    return found


def _times(lines: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation is run in one step."""
    calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, body in lines.items():
        for line in body:
            turns = 1
            if " while(" in line:
                condition = re.search(r"condition=%?([\w.\-]+)", line)
                turns = _turns(line, lines.get(condition[1], []) if condition else [])
            for kind, callee, branches in CALLED.findall(line):
                for called in [callee] if callee else re.findall(r"[\w.\-]+", branches):
                    calls[name].append((called, turns if kind in ("body", "condition") else 1))
    times: dict[str, int] = defaultdict(int)

    def visit(name: str, count: int) -> None:
        times[name] += count
        for called, turns in calls[name]:
            visit(called, count * turns)

    visit("", 1)
    return times


def _turns(line: str, condition: list[str]) -> int:
    """Of a loop: as the compiler says it, or the one bound that its condition compares with; else once."""
    if known := TURNS.search(line):
        return int(known[1])
    bounds = BOUND.findall("\n".join(condition))
    return int(bounds[0]) if len(bounds) == 1 else 1


def _sent(line: str) -> int:
    """Bytes that a device sends for a line that is a collective, along a ring of the devices that share it."""
    found = SENT.search(line)
    if not found:
        return 0
    size, ring = _bytes(found[1]), _group(line)
    if ring == 1:
        return 0
    if found[3] and found[2] != "all-reduce":
        size //= 2  # the result of a start names what goes in as well, and the larger of both counts below
    return {
        "all-reduce": 2 * size * (ring - 1) // ring,
        "reduce-scatter": size * (ring - 1),
        "collective-permute": size,
    }.get(found[2], size * (ring - 1) // ring)


def _bytes(shapes: str) -> int:
    total = 0
    for kind, dimensions in ARRAY.findall(shapes):
        bits = int(re.sub(r"\D", "", kind) or 8)
        total += math.prod(int(n) for n in dimensions.split(",") if n) * bits // 8
    return total


def _group(line: str) -> int:
    """How many devices share a collective; 2 where the text does not say."""
    found = GROUPS.search(line)
    if not found:
        return 2
    if found[1]:
        return found[1].count(",") + 1
    if found[3]:
        return int(found[3])
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[4]))
    return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", found[5]) if axis in sizes)
