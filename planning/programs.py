"""The training step's program, compiled for a machine, and what it takes of each device's memory."""

import fcntl
import math
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

import input_pipeline
from errors import UserError
from experiment import Run
from planning.machines import Machine
from training import parallel

Batch = dict[str, jax.ShapeDtypeStruct]
# Compiler options of a platform. Without a GPU to time them on, XLA picks tiles for its own matrix products that may not
# compile; cuBLAS needs none.
OPTIONS: dict[str, dict[str, Any]] = {"cuda": {"xla_gpu_enable_triton_gemm": False}}
QUICK = {"exec_time_optimization_effort": -1.0}
KINDS = [  # of memory, in the order in which a page names them
    *("parameters", "optimizer", "moving average", "batch", "padding of these"),
    *("activations", "gradients", "temporaries", "program"),
]
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Program:
    """A compiled step.

    Attributes:
      memory: bytes a device by kind; they add up to `total`. text: the compiled program; "" where it was too large to be
        compiled. seconds: that compiling took.
    """

    memory: dict[str, int]
    limit: int
    text: str
    seconds: float
    quick: "Program | None" = None  # the same with low effort, where that was compiled first

    @property
    def total(self) -> int:
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        return bool(self.text) and self.total <= self.limit


def largest(shapes: list[tuple[float, input_pipeline.Shapes]]) -> Batch:
    """Of the shapes that a batch can have, the one with the most elements, and of those the one with the longest rows."""

    def size(batch: input_pipeline.Shapes) -> tuple[int, int]:
        return sum(math.prod(shape) for shape, _ in batch.values()), max(math.prod(s[1:]) for s, _ in batch.values())

    found = max((batch for _, batch in shapes), key=size)
    return {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in found.items()}


def mesh(run: Run) -> parallel.Mesh:
    """Of a run that is planned, which is one by a mesh: a pmap cannot be compiled ahead."""
    assert isinstance(run.devices, parallel.Mesh)
    return run.devices


def resident(run: Run, batch: Batch) -> dict[str, int]:
    """Bytes a device of what stands in memory from step to step, and of a batch: from shapes and shardings alone."""
    state = run.abstract_state
    return {
        "parameters": shards(state.params),
        "optimizer": shards((state.opt_state, state.step, state.usual)),
        "moving average": shards(state.ema),
        "batch": shards(mesh(run).lay_out_batch(batch)),
    }


def shards(tree: Any) -> int:
    """Bytes of one device's part of a tree of ShapeDtypeStructs with shardings."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def compiled(run: Run, machine: Machine, batch: Batch) -> Program:
    """The training step for a global batch of these shapes, compiled for a machine as it would run there.

    For a TPU first with low effort, which is several times as quick: what does not fit then is left at that. Memory of
    the two differs by some percent either way, so that what does fit is compiled in full before it counts as fitting.
    """
    first = attempt(run, machine, batch, quick=True)
    if machine.platform != "tpu" or not first.fits:
        return first
    return replace(attempt(run, machine, batch, quick=False), quick=first)


def attempt(run: Run, machine: Machine, batch: Batch, quick: bool) -> Program:
    """One program of the step.

    Args:
      quick: for a TPU, with low effort.

    Raises:
      UserError: XLA cannot compile it, for another reason than its size.
    """
    parts = resident(run, batch)
    options = (QUICK if quick else {}) if machine.platform == "tpu" else OPTIONS.get(machine.platform)
    begun = time.perf_counter()
    with _one_at_a_time() if machine.platform == "tpu" else nullcontext():
        traced = run.train_step.trace(run.abstract_state, mesh(run).lay_out_batch(batch))
        try:
            lowered = traced.lower() if machine.here else traced.lower(lowering_platforms=(machine.platform,))
            executable = lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            needed = too_large(str(error))
            if needed is None:
                raise UserError(
                    f"XLA cannot compile the step for {machine.name}: {str(error).splitlines()[0]}"
                ) from None
            temporaries = max(needed, machine.chip.memory + 1 - sum(parts.values()))
            memory = parts | {"temporaries": temporaries}
            return Program(memory, machine.chip.memory, "", time.perf_counter() - begun)
    found = executable.memory_analysis()
    memory = parts | {
        "padding of these": max(0, found.argument_size_in_bytes - sum(parts.values())),
        "temporaries": found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes,
        "program": found.generated_code_size_in_bytes,
    }
    return Program(memory, machine.chip.memory, executable.as_text(), time.perf_counter() - begun)


def too_large(message: str) -> int | None:
    """Bytes of temporaries that libtpu says a program needs, of the error with which it refuses one."""
    if not message.startswith("RESOURCE_EXHAUSTED"):
        return None
    found = re.search(r"temporaries \(([\d.]+)([KMGT]?)\)|Used ([\d.]+)([KMGT]?) of", message)
    if not found:
        return 0
    figure, unit = (part for part in found.groups() if part is not None)
    return int(float(figure) * UNITS[unit])


def growing_share(run: Run, machine: Machine, batch: Batch, program: Program) -> float | None:
    """The share of a program's temporaries that grows with the batch, which are activations; the others (gradients,
    copies of the weights) do not. Told apart by a second program, for half the batch; None where there is none."""
    program = program.quick or program  # of the same effort as the other
    rows = {x.shape[0] for x in batch.values()}
    whole = program.memory.get("temporaries", 0)
    if not (program.text and whole) or len(rows) > 1 or min(rows) % (2 * run.devices.divisor * run.settings.accumulate):
        return None
    half = {name: jax.ShapeDtypeStruct((x.shape[0] // 2, *x.shape[1:]), x.dtype) for name, x in batch.items()}
    grown = whole - attempt(run, machine, half, quick=True).memory["temporaries"]
    return min(max(0.0, 2 * grown / whole), 1.0)


def split(memory: dict[str, int], share: float | None) -> dict[str, int]:
    """Memory by kind with `share` of its temporaries as activations."""
    if share is None:
        return memory
    activations = round(share * memory["temporaries"])
    parts = memory | {"activations": activations, "temporaries": memory["temporaries"] - activations}
    return {kind: parts[kind] for kind in sorted(parts, key=KINDS.index)}


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two programs compiled by libtpu at once on one machine end in an error of its lock."""
    with Path(tempfile.gettempdir(), "attend_libtpu.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
