"""The nearest change of a config that fits a machine's memory: tried one after the other, each compiled."""

from collections.abc import Callable, Iterator
from typing import Any

from errors import UserError
from experiment import Run
from planning import programs
from planning.machines import Machine
from planning.programs import Program

Changes = dict[str, Any]  # "step.accumulate" -> its value


def nearest(
    build: Callable[[Changes], Run], run: Run, machine: Machine, say: Callable[[str], None]
) -> tuple[Changes | None, list[dict[str, Any]]]:
    """The first change, in order of what it costs, whose program fits; None if none does.

    Args:
      build: changes -> the run with them. run: the one that does not fit. say: hears of each attempt.

    Returns:
      The changes, and every attempt: its flags, the bytes it needs of each device, whether it fits.
    """
    tried: list[dict[str, Any]] = []
    for changes in candidates(run, len(machine.devices)):
        try:
            changed = build(changes)
        except UserError:  # a batch or a dimension that does not divide
            continue
        batch = programs.largest(changed.pipeline.shapes)
        # State and gradients alone may be too much, whatever the activations are: then nothing is compiled.
        least = programs.resident(changed, batch) | {"gradients": programs.shards(changed.abstract_state.params)}
        if sum(least.values()) > machine.chip.memory:
            program = Program(least, machine.chip.memory, "", 0.0)
        else:
            program = programs.compile(changed, machine, batch, programs.LOW_EFFORT)
        at_least = "" if program.text else "at least "
        verdict = "fits" if program.fits else "does not fit"
        say(f"  {flags(changes)}: {at_least}{program.total / 1e9:.2f} GB a device, {verdict} ({program.seconds:.0f} s)")
        tried.append({"flags": flags(changes), "bytes": program.total, "fits": program.fits})
        if program.fits:
            return changes, tried
    return None, tried


def candidates(run: Run, devices: int) -> Iterator[Changes]:
    """Changes in order of what they cost: more micro-batches, then activations computed anew (remat), then parameters
    split over more devices; and these together."""
    accumulate = [{"step.accumulate": run.settings.accumulate * 2**n} for n in range(1, 10)]
    kinds = {"none": ("dots", "full"), "dots": ("full",)}.get(run.config["model"].get("remat", ""), ())
    remat = [{"model.remat": kind} for kind in kinds]
    mesh = run.devices
    room = devices // (mesh.fsdp * mesh.tensor)
    split = [
        {"parallel.mode": "mesh", "parallel.data": 0, "parallel.fsdp": mesh.fsdp * n}
        for n in range(2, room + 1)
        if room % n == 0
    ]
    yield from accumulate
    yield from remat
    yield from (r | a for r in remat[-1:] for a in accumulate)
    for s in split:
        yield s
        yield from (s | a for a in accumulate)
        yield from (s | r | a for r in remat[-1:] for a in [{}, *accumulate])


def flags(changes: Changes) -> str:
    """As they are typed; keys that are left to their default are not."""
    return " ".join(f"--config.{key}={value}" for key, value in changes.items() if (key, value) != ("parallel.data", 0))
