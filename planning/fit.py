"""The nearest change of a config that fits a machine's memory: tried one after the other, each compiled."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from errors import UserError
from experiment import Run
from planning import programs
from planning.machines import Machine
from planning.programs import Program

Changes = dict[str, Any]  # "step.accumulate" -> its value
Found = tuple[Changes, Program]
REMAT = ("none", "dots", "full")  # of model.remat, in order of what it costs
CLEARLY = 1.1  # so many times the memory there is need not be compiled to be known as too much
LEAST_EXAMPLES = 8  # of a micro-batch on a device: the rows of a TPU's tile


def nearest(
    build: Callable[[Changes], Run], run: Run, failed: Program, machine: Machine, say: Callable[[str], None]
) -> tuple[Found | None, list[dict[str, Any]]]:
    """The first change, in order of what it costs, whose program fits, with that program; None if none does.

    In order: more micro-batches; activations computed anew (remat), in as few micro-batches as that takes; both again
    with parameters split over 2, 4 ... devices.

    Args:
      build: changes -> the run with them. run, failed: the one that does not fit, and its program. say: hears of each
        attempt.

    Returns:
      Also every attempt: its flags, the bytes it needs of each device, whether it fits.
    """
    search = Search(build, run, failed, machine, say)
    for split in splits(run):
        try:
            whole = build(split)
        except UserError:  # a dimension that does not divide
            continue
        least = programs.resident(whole, programs.largest(whole.pipeline.shapes))
        least["gradients"] = programs.shards(whole.abstract_state.params)
        if sum(least.values()) > machine.chip.memory:  # whatever the activations are
            search.report(flags(split) or "state and gradients", Program(least, machine.chip.memory, "", 0.0))
            continue
        for remat in remats(run):
            if found := search.fewest(split, remat, least):
                return found, search.tried
    return None, search.tried


@dataclass
class Search:
    """What was compiled, and what it says of what need not be. Attributes: see nearest."""

    build: Callable[[Changes], Run]
    run: Run
    failed: Program
    machine: Machine
    say: Callable[[str], None]
    tried: list[dict[str, Any]] = field(default_factory=list)
    compiled: dict[tuple[str, str], dict[int, Program]] = field(default_factory=lambda: defaultdict(dict))

    def fewest(self, split: Changes, remat: str, least: dict[str, int]) -> Found | None:
        """This split and remat with the fewest micro-batches by which they fit; None where not even the most do.

        Args:
          least: bytes a device of state, batch and gradients.
        """
        compiled = self.compiled[flags(split), remat]  # by micro-batches
        counts = micro_batches(self.run)
        if not self.changes(split, remat, counts[0]):
            compiled[counts.pop(0)] = self.failed
        for count in counts:
            program = self.program(split, remat, count, least)
            if program.fits:
                return self.changes(split, remat, count), program
            if count in compiled and not self.program(split, remat, counts[-1], least).fits:
                break  # nor do fewer than the most
        return None

    def program(self, split: Changes, remat: str, count: int, least: dict[str, int]) -> Program:
        """The program with these changes; none of it, but what it needs at least, where that is clearly too much."""
        compiled, changes = self.compiled[flags(split), remat], self.changes(split, remat, count)
        if count in compiled:
            return compiled[count]
        known = least | {"activations": self.activations(split, remat, count, least["gradients"])}
        if sum(known.values()) > CLEARLY * self.machine.chip.memory:
            return self.report(flags(changes), Program(known, self.machine.chip.memory, "", 0.0))
        changed = self.build(changes)
        program = programs.compiled(changed, self.machine, programs.largest(changed.pipeline.shapes))
        compiled[count] = self.report(flags(changes), program)
        return program

    def activations(self, split: Changes, remat: str, count: int, gradients: int) -> int:
        """Bytes a device of them at least, by what was compiled with this remat.

        What temporaries grow by with a micro-batch is activations, as many under any split. With the same split, all
        temporaries together fall no faster than micro-batches do.
        """
        sizes = {
            of: {n: program.memory["temporaries"] for n, program in found.items()}
            for of, found in self.compiled.items()
            if of[1] == remat and found
        }
        grown = [n * (size - min(those.values())) for those in sizes.values() for n, size in those.items()]
        whole = [n * size for n, size in sizes.get((flags(split), remat), {}).items() if n < count]
        return max([0, *(size // count for size in grown), *(size // count - gradients for size in whole)])

    def changes(self, split: Changes, remat: str, count: int) -> Changes:
        changes = {"model.remat": remat, "step.accumulate": count}
        now = {"model.remat": remats(self.run)[0], "step.accumulate": self.run.settings.accumulate}
        return split | {key: value for key, value in changes.items() if value != now[key]}

    def report(self, name: str, program: Program) -> Program:
        at_least = "" if program.text else "at least "
        verdict = "fits" if program.fits else "does not fit"
        self.say(f"  {name}: {at_least}{program.total / 1e9:.2f} GB a device, {verdict}")
        self.tried.append({"flags": name, "bytes": program.total, "fits": program.fits})
        return program


def splits(run: Run) -> list[Changes]:
    """None, then parameters split over more and more devices."""
    mesh = programs.mesh(run)
    room = len(mesh.devices) // (mesh.fsdp * mesh.tensor)
    more = [mesh.fsdp * n for n in range(2, room + 1) if room % n == 0]
    return [{}, *({"parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": size} for size in more)]


def remats(run: Run) -> list[str]:
    """What model.remat is and what takes less memory; "" alone for a model that has none."""
    now = run.config["model"].get("remat", "")
    return list(REMAT[REMAT.index(now) :]) if now in REMAT else [now]


def micro_batches(run: Run) -> list[int]:
    """How many a step may have: as many as now, and doubled again and again while each has examples enough."""
    now = run.settings.accumulate
    rows = min(x.shape[0] for x in programs.largest(run.pipeline.shapes).values()) // run.devices.divisor
    more = (now * 2**n for n in range(1, rows.bit_length()))
    return [now, *(count for count in more if rows % count == 0 and rows // count >= LEAST_EXAMPLES)]


def flags(changes: Changes) -> str:
    """As they are typed; keys that are left to their default are not."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items() if (key, value) != ("parallel.data", 0))
