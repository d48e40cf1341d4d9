"""The nearest change of a config that fits a machine's memory: tried one after the other, each compiled."""

from collections.abc import Callable
from typing import Any

from errors import UserError
from experiment import Run
from planning import programs
from planning.machines import Machine
from planning.programs import Program

Changes = dict[str, Any]  # "step.accumulate" -> its value
CLEARLY = 1.1  # so many times the memory there is need not be compiled to be known as too much


def nearest(
    build: Callable[[Changes], Run], run: Run, failed: Program, machine: Machine, say: Callable[[str], None]
) -> tuple[tuple[Changes, Program] | None, list[dict[str, Any]]]:
    """The first change, in order of what it costs, whose program fits, with that program; None if none does.

    Args:
      build: changes -> the run with them. run, failed: the one that does not fit, and its program. say: hears of each
        attempt.

    Returns:
      Also every attempt: its flags, the bytes it needs of each device, whether it fits.
    """
    tried: list[dict[str, Any]] = []

    def fits(name: str, program: Program) -> bool:
        at_least = "" if program.text else "at least "
        verdict = "fits" if program.fits else "does not fit"
        say(f"  {name}: {at_least}{program.total / 1e9:.2f} GB a device, {verdict}")
        tried.append({"flags": name, "bytes": program.total, "fits": program.fits})
        return program.fits

    for split in splits(run):
        for changes in ({}, *without_split(run)):
            if not (changes := split | changes):
                continue
            try:
                changed = build(changes)
            except UserError:  # a batch or a dimension that does not divide
                continue
            batch = programs.largest(changed.pipeline.shapes)
            least = programs.resident(changed, batch) | {"gradients": programs.shards(changed.abstract_state.params)}
            if sum(least.values()) > machine.chip.memory:  # whatever the activations are
                fits(flags(split) or "state and gradients", Program(least, machine.chip.memory, "", 0.0))
                break
            if list(changes) == ["step.accumulate"]:  # temporaries fall no faster than micro-batches do
                times = changed.settings.accumulate // run.settings.accumulate
                least["activations"] = max(0, failed.memory["temporaries"] // times - least["gradients"])
            if sum(least.values()) > CLEARLY * machine.chip.memory:
                fits(flags(changes), Program(least, machine.chip.memory, "", 0.0))
                continue
            program = programs.compiled(changed, machine, batch)
            if fits(flags(changes), program):
                return (changes, program), tried
    return None, tried


def without_split(run: Run) -> list[Changes]:
    """Changes in order of what they cost: more micro-batches, then activations computed anew (remat), then both."""
    accumulate: list[Changes] = [{"step.accumulate": run.settings.accumulate * 2**n} for n in range(1, 10)]
    kinds = {"none": ("dots", "full"), "dots": ("full",)}.get(run.config["model"].get("remat", ""), ())
    remat: list[Changes] = [{"model.remat": kind} for kind in kinds]
    return [*accumulate, *remat, *(r | a for r in remat[-1:] for a in accumulate)]


def splits(run: Run) -> list[Changes]:
    """None, then parameters split over more and more devices."""
    mesh = programs.mesh(run)
    room = len(mesh.devices) // (mesh.fsdp * mesh.tensor)
    more = [mesh.fsdp * n for n in range(2, room + 1) if room % n == 0]
    return [{}, *({"parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": size} for size in more)]


def flags(changes: Changes) -> str:
    """As they are typed; keys that are left to their default are not."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items() if (key, value) != ("parallel.data", 0))
