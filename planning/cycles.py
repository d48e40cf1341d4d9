"""The cost of a compiled program, read from its text: cycles (TPU), and bytes sent between devices.

The text lists every computation once. A loop's body counts once for each iteration.
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
    """Cost of one step on one device.

    Attributes:
      cycles: as the compiler estimates them; 0 if it does not.
      sent: bytes the device sends, if collectives run along a ring.
    """

    cycles: int
    sent: int


def cost(text: str) -> Cost:
    """The cost of a program. text: of `compiled.as_text()`."""
    lines = _computations(text)
    times = _times(lines)
    cycles = sent = 0
    for name, body in lines.items():
        for line in body:
            cycles += times[name] * sum(map(int, CYCLES.findall(line)))
            sent += times[name] * _sent(line)
    return Cost(cycles, sent)


def _computations(text: str) -> dict[str, list[str]]:
    """The lines of each computation by name; the entry's name is ""."""
    computations: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line[:1] not in (" ", "}") and (head := HEAD.match(line)):
            current = computations.setdefault("" if head[1] else head[2], [])
        else:
            current.append(line)
    return computations


def _times(lines: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation runs in one step."""
    calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, body in lines.items():
        for line in body:
            turns = 1
            if " while(" in line:
                condition = re.search(r"condition=%?([\w.\-]+)", line)
                turns = _turns(line, lines.get(condition[1], []) if condition else [])
            for role, callee, branches in CALLED.findall(line):
                for called in [callee] if callee else re.findall(r"[\w.\-]+", branches):
                    calls[name].append((called, turns if role in ("body", "condition") else 1))
    times: dict[str, int] = defaultdict(int)

    def visit(name: str, count: int) -> None:
        """Adds `count` runs of a computation and of those it calls."""
        times[name] += count
        for called, turns in calls[name]:
            visit(called, count * turns)

    visit("", 1)
    return times


def _turns(line: str, condition: list[str]) -> int:
    """Iterations of a loop: as the compiler states them, else the only bound in its condition, else 1."""
    if stated := TURNS.search(line):
        return int(stated[1])
    bounds = BOUND.findall("\n".join(condition))
    return int(bounds[0]) if len(bounds) == 1 else 1


def _sent(line: str) -> int:
    """Bytes a device sends for a collective, along a ring of the devices that share it; 0 for any other line."""
    collective = SENT.search(line)
    if not collective:
        return 0
    result, name, begins = collective.groups()
    size, ring = _bytes(result), _group(line)
    if ring == 1:
        return 0
    if begins and name != "all-reduce":
        size //= 2  # the result of a start lists the operands too; the larger of both counts below
    return {
        "all-reduce": 2 * size * (ring - 1) // ring,
        "reduce-scatter": size * (ring - 1),
        "collective-permute": size,
    }.get(name, size * (ring - 1) // ring)


def _bytes(shapes: str) -> int:
    """Bytes of all arrays in a text such as "(f32[4]{0}, bf16[2,4]{1,0})"."""
    total = 0
    for dtype, dimensions in ARRAY.findall(shapes):
        bits = int(re.sub(r"\D", "", dtype) or 8)
        total += math.prod(int(n) for n in dimensions.split(",") if n) * bits // 8
    return total


def _group(line: str) -> int:
    """How many devices share a collective; 2 if the text does not say."""
    groups = GROUPS.search(line)
    if not groups:
        return 2
    listed, _, size, axes, shared = groups.groups()
    if listed:
        return listed.count(",") + 1
    if size:
        return int(size)
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes))
    return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", shared) if axis in sizes)
