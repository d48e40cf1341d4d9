"""Search for the nearest change of a config that fits a machine's memory. Each candidate is compiled."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

from errors import UserError
from experiment import Run
from planning import programs
from planning.machines import Machine
from planning.programs import Program

Changes = dict[str, int | str]  # "step.accumulate" -> its value
Fit = tuple[Changes, Program]
REMAT = ("none", "dots", "full")  # of model.remat, the cheapest first
CLEARLY = 1.1  # a lower bound of so many times the memory rules a program out without compiling it
LEAST_EXAMPLES = 8  # of a micro-batch on a device: the rows of a TPU's tile


class Attempt(TypedDict):
    """A candidate.

    Attributes:
      flags: of its changes.
      bytes: that it needs of each device; a lower bound if it was not compiled.
      fits: whether it fits.
    """

    flags: str
    bytes: int
    fits: bool


def nearest(
    build: Callable[[Changes], Run], run: Run, failed: Program, machine: Machine, say: Callable[[str], None]
) -> tuple[Fit | None, list[Attempt]]:
    """The cheapest change whose program fits.

    Candidates in order: more micro-batches; rematerialised activations, with as few micro-batches as fit; both again
    with parameters sharded over 2, 4, ... devices.

    Args:
      build: changes -> the run with these changes.
      run, failed: the run that does not fit, and its program.
      machine: that it must fit.
      say: is called with a line for each attempt.

    Returns:
      The changes and their program, None if nothing fits; and all attempts.
    """
    search = Search(build, run, failed, machine, say)
    for split in splits(run):
        try:
            whole = build(split)
        except UserError:  # a dimension that is not divisible
            continue
        least = programs.resident(whole, programs.largest(whole.pipeline.shapes))
        least["gradients"] = programs.shards(whole.abstract_state.params)
        if sum(least.values()) > machine.chip.memory:  # even without activations
            search.report(flags(split) or "state and gradients", Program(least, machine.chip.memory, "", 0.0))
            continue
        for remat in remats(run):
            if fit := search.fewest(split, remat, least):
                return fit, search.tried
    return None, search.tried


@dataclass
class Search:
    """A search, with what was compiled so far.

    Attributes:
      build, run, failed, machine, say: see `nearest`.
      tried: all attempts.
      compiled: programs by split and remat, then by micro-batches.
    """

    build: Callable[[Changes], Run]
    run: Run
    failed: Program
    machine: Machine
    say: Callable[[str], None]
    tried: list[Attempt] = field(default_factory=list)
    compiled: dict[tuple[str, str], dict[int, Program]] = field(default_factory=lambda: defaultdict(dict))

    def fewest(self, split: Changes, remat: str, least: dict[str, int]) -> Fit | None:
        """The fewest micro-batches that fit with this split and remat; None if even the most do not.

        Args:
          split: changes that shard the parameters.
          remat: a value of model.remat.
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
                break  # fewer need more
        return None

    def program(self, split: Changes, remat: str, count: int, least: dict[str, int]) -> Program:
        """The program with these changes. If a lower bound clearly exceeds memory, that bound instead."""
        compiled, changes = self.compiled[flags(split), remat], self.changes(split, remat, count)
        if count in compiled:
            return compiled[count]
        bound = least | {"activations": self.activations(split, remat, count, least["gradients"])}
        if sum(bound.values()) > CLEARLY * self.machine.chip.memory:
            return self.report(flags(changes), Program(bound, self.machine.chip.memory, "", 0.0))
        changed = self.build(changes)
        program = programs.compiled(changed, self.machine, programs.largest(changed.pipeline.shapes))
        compiled[count] = self.report(flags(changes), program)
        return program

    def activations(self, split: Changes, remat: str, count: int, gradients: int) -> int:
        """A lower bound of the bytes of activations a device, from the programs compiled with this remat.

        The part of the temporaries that grows with a micro-batch is activations, and the same under any split. With the
        same split, all temporaries together shrink at most in proportion to the micro-batch.
        """
        sizes = {
            key: {n: program.memory["temporaries"] for n, program in by_count.items()}
            for key, by_count in self.compiled.items()
            if key[1] == remat and by_count
        }
        grown = [n * (size - min(own.values())) for own in sizes.values() for n, size in own.items()]
        whole = [n * size for n, size in sizes.get((flags(split), remat), {}).items() if n < count]
        return max([0, *(size // count for size in grown), *(size // count - gradients for size in whole)])

    def changes(self, split: Changes, remat: str, count: int) -> Changes:
        """The keys that differ from the run's own. count: micro-batches."""
        changes: Changes = {"model.remat": remat, "step.accumulate": count}
        now: Changes = {"model.remat": remats(self.run)[0], "step.accumulate": self.run.settings.accumulate}
        return split | {key: value for key, value in changes.items() if value != now[key]}

    def report(self, name: str, program: Program) -> Program:
        """Records an attempt, says a line about it and returns its program."""
        at_least = "" if program.text else "at least "
        verdict = "fits" if program.fits else "does not fit"
        self.say(f"  {name}: {at_least}{program.total / 1e9:.2f} GB a device, {verdict}")
        self.tried.append({"flags": name, "bytes": program.total, "fits": program.fits})
        return program


def splits(run: Run) -> list[Changes]:
    """No change, then changes that shard the parameters over more and more devices."""
    mesh = programs.mesh(run)
    room = len(mesh.devices) // (mesh.fsdp * mesh.tensor)
    more = [mesh.fsdp * n for n in range(2, room + 1) if room % n == 0]
    sharded: list[Changes] = [{"parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": size} for size in more]
    return [{}, *sharded]


def remats(run: Run) -> list[str]:
    """The run's model.remat and those that need less memory; only "" for a model without it."""
    now = run.config["model"].get("remat", "")
    return list(REMAT[REMAT.index(now) :]) if now in REMAT else [now]


def micro_batches(run: Run) -> list[int]:
    """Numbers of micro-batches: the run's own, doubled while each has at least LEAST_EXAMPLES examples a device."""
    now = run.settings.accumulate
    rows = min(x.shape[0] for x in programs.largest(run.pipeline.shapes).values()) // run.devices.divisor
    more = (now * 2**n for n in range(1, rows.bit_length()))
    return [now, *(count for count in more if rows % count == 0 and rows // count >= LEAST_EXAMPLES)]


def flags(changes: Changes) -> str:
    """Changes as flags, without keys that are left to their default."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items() if (key, value) != ("parallel.data", 0))
