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

import jax
from jaxtyping import PyTree

import input_pipeline
from errors import UserError
from experiment import Run
from experiment.run import abstract
from planning.machines import Machine
from training import parallel

Batch = dict[str, jax.ShapeDtypeStruct]
# Compiler options by platform. Without a GPU to time them on, XLA picks tiles for its own matrix products that may not
# compile; cuBLAS needs none.
OPTIONS: dict[str, dict[str, bool]] = {"cuda": {"xla_gpu_enable_triton_gemm": False}}
QUICK = {"exec_time_optimization_effort": -1.0}
KINDS = [  # of memory, in the order of a plan's page
    *("parameters", "optimizer", "moving average", "batch", "padding of these"),
    *("activations", "gradients", "temporaries", "program"),
]
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Program:
    """A compiled step.

    Attributes:
      memory: bytes a device by kind, which add up to `total`.
      limit: bytes a device has.
      text: the compiled program; "" if it was too large to be compiled.
      seconds: time of compiling.
      quick: the same program compiled with low effort, if that was done first.
    """

    memory: dict[str, int]
    limit: int
    text: str
    seconds: float
    quick: "Program | None" = None

    @property
    def total(self) -> int:
        """Bytes a device."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether it was compiled and needs no more than the limit."""
        return bool(self.text) and self.total <= self.limit


def largest(shapes: list[tuple[float, input_pipeline.Spec]]) -> Batch:
    """The batch with the most elements; of equal ones, the one with the longest rows. shapes: Pipeline.shapes."""

    def size(batch: input_pipeline.Spec) -> tuple[int, int]:
        return sum(math.prod(shape) for shape, _ in batch.values()), max(math.prod(s[1:]) for s, _ in batch.values())

    spec = max((batch for _, batch in shapes), key=size)
    return abstract(spec)


def mesh(run: Run) -> parallel.Mesh:
    """The mesh of a run. Plans are always of a mesh: a pmap cannot be compiled ahead."""
    assert isinstance(run.devices, parallel.Mesh)
    return run.devices


def resident(run: Run, batch: Batch) -> dict[str, int]:
    """Bytes a device of the state and of a batch, from shapes and shardings."""
    state = run.abstract_state
    parameters, average = shards(state.params), shards(state.ema)
    return {
        "parameters": parameters,
        "optimizer": shards(state) - parameters - average,  # with what else the state holds
        "moving average": average,
        "batch": shards(mesh(run).lay_out_batch(batch)),
    }


def shards(tree: PyTree[jax.ShapeDtypeStruct]) -> int:
    """Bytes of one device's part of arrays with shardings."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def compiled(run: Run, machine: Machine, batch: Batch) -> Program:
    """The training step for a global batch of these shapes, compiled for a machine.

    For a TPU it is compiled with low effort first, which is several times as fast. If that fits, it is compiled with
    full effort: the memory of the two differs by some per cent in either direction.
    """
    first = attempt(run, machine, batch, quick=True)
    if machine.platform != "tpu" or not first.fits:
        return first
    return replace(attempt(run, machine, batch, quick=False), quick=first)


def attempt(run: Run, machine: Machine, batch: Batch, quick: bool) -> Program:
    """Compiles the step once.

    Args:
      run, machine, batch: see `compiled`.
      quick: with low effort, for a TPU.

    Raises:
      UserError: XLA cannot compile it for a reason other than its size.
    """
    parts = resident(run, batch)
    options = (QUICK if quick else {}) if machine.platform == "tpu" else OPTIONS.get(machine.platform)
    begun = time.perf_counter()
    with _one_at_a_time() if machine.platform == "tpu" else nullcontext():
        train_step = run.train_step
        traced = train_step.trace(run.abstract_state, mesh(run).lay_out_batch(batch))
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
    sizes = executable.memory_analysis()
    memory = parts | {
        "padding of these": max(0, sizes.argument_size_in_bytes - sum(parts.values())),
        "temporaries": sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        "program": sizes.generated_code_size_in_bytes,
    }
    return Program(memory, machine.chip.memory, executable.as_text(), time.perf_counter() - begun)


def too_large(message: str) -> int | None:
    """Bytes of temporaries that a program needs, from libtpu's error message.

    Returns:
      0 if the message does not say, None if the error is not about memory.
    """
    if not message.startswith("RESOURCE_EXHAUSTED"):
        return None
    stated = re.search(r"temporaries \(([\d.]+)([KMGT]?)\)|Used ([\d.]+)([KMGT]?) of", message)
    if not stated:
        return 0
    number, unit = (part for part in stated.groups() if part is not None)
    return int(float(number) * UNITS[unit])


def growing_share(run: Run, machine: Machine, batch: Batch, program: Program) -> float | None:
    """The share of a program's temporaries that grows with the batch: activations.

    Gradients and copies of the weights do not grow. A second program, for half the batch, tells them apart. None if the
    batch cannot be halved.
    """
    program = program.quick or program  # of the same effort as the second
    rows = {x.shape[0] for x in batch.values()}
    whole = program.memory.get("temporaries", 0)
    if not (program.text and whole) or len(rows) > 1 or min(rows) % (2 * run.devices.divisor * run.settings.accumulate):
        return None
    half = {name: jax.ShapeDtypeStruct((x.shape[0] // 2, *x.shape[1:]), x.dtype) for name, x in batch.items()}
    grown = whole - attempt(run, machine, half, quick=True).memory["temporaries"]
    return min(max(0.0, 2 * grown / whole), 1.0)


def split(memory: dict[str, int], share: float | None) -> dict[str, int]:
    """Memory by kind, with a share of the temporaries as activations."""
    if share is None:
        return memory
    activations = round(share * memory["temporaries"])
    parts = memory | {"activations": activations, "temporaries": memory["temporaries"] - activations}
    return {kind: parts[kind] for kind in sorted(parts, key=KINDS.index)}


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """A lock between processes: libtpu fails if two compile at once on a machine."""
    with Path(tempfile.gettempdir(), "attend_libtpu.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
