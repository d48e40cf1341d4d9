"""Devices: the only place that knows of pmap, jit, meshes and shardings.

A run has `Devices`: Mesh, one program over all devices of all hosts, or Pmap, one program a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeVar

import flax.jax_utils
import flax.linen as nn
import jax
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from pydantic import NonNegativeInt, PositiveInt

from errors import UserError
from training import backend, sharding
from training.sharding import Rule
from training.trees import Batch, PyTree, Shapes

State = TypeVar("State")
Program = Callable[..., PyTree]  # of (state or variables, batch), or with axis= besides
Rows = dict[str, np.ndarray]  # this host's share of a batch

ROWS = PartitionSpec(("data", "fsdp"))  # how a batch is split
# The names that models give to the axes of activations, flax.linen.with_logical_constraint(x, ("batch",)), and the
# mesh's axes that split them.
ACTIVATIONS = (("batch", ("data", "fsdp")),)
# On a CPU, XLA first removes the barriers that keep what jax.checkpoint computes again apart from what it has computed,
# and then merges the two: nothing would be saved.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
# Of a program that runs once, on a CPU: a quarter less to compile, and the same bits, which level 0 does not give.
RUNS_ONCE = {"xla_backend_optimization_level": 1}


class Axis(NamedTuple):
    """All that a step knows of the devices that share it.

    Attributes:
      sum: adds a tree over the devices.
      mean: averages a tree over the devices.
      gather: the rows (b, ...) of all devices, (B, ...), in the batch's order.
      fold: makes a key this device's own.
      each: function(axis, whole, batch), whose results are sums and means over `axis`, as function(whole, batch) that
        every device computes of its own rows; None where that would be no less work between the devices.
      branches: whether a branch costs less than a choice between two trees. On a CPU, which updates parameters and
        moments in separate loops, a choice copies them first; accelerators copy them around a branch.
    """

    sum: Callable[[PyTree], PyTree]
    mean: Callable[[PyTree], PyTree]
    gather: Callable[[jax.Array], jax.Array]
    fold: Callable[[jax.Array], jax.Array]
    each: Callable[[Callable[..., PyTree]], Callable[..., PyTree]] | None = None
    branches: bool = False


def _mean(tree: PyTree) -> PyTree:
    """Counters, which are the same everywhere, stay whole numbers."""

    def of(x: jax.Array) -> jax.Array:
        return (jax.lax.pmean if jax.numpy.issubdtype(x.dtype, jax.numpy.inexact) else jax.lax.pmax)(x, "data")

    return jax.tree.map(of, tree)


# On a mesh the program sees the whole batch: there is nothing to add, and one key serves.
WHOLE = Axis(sum=lambda tree: tree, mean=lambda tree: tree, gather=lambda x: x, fold=lambda key: key)
PER_DEVICE = Axis(
    sum=lambda tree: jax.lax.psum(tree, "data"),
    mean=_mean,
    gather=lambda x: jax.lax.all_gather(x, "data", tiled=True),
    fold=lambda key: jax.random.fold_in(key, jax.lax.axis_index("data")),
)


class Devices(Protocol):
    """How a step runs on the devices of all hosts.

    Attributes:
      devices: all of them.
      mode: "mesh" or "pmap".
    """

    mode: ClassVar[str]

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """Those of all hosts."""

    @property
    def divisor(self) -> int:
        """The number that a global batch must be a multiple of."""

    @property
    def feed(self) -> tuple[int, int]:
        """Which slice of the global batch this host reads, and of how many."""

    def lay_out(self, state: State) -> State:
        """The state's shapes -> ShapeDtypeStructs that say where each part belongs in a checkpoint."""

    def initialise(self, function: Callable[..., State], *inputs: PyTree) -> State:
        """The state that `function` computes of inputs from the host, on the devices."""

    def put_state(self, state: State) -> State:
        """A state from the host, one device or a checkpoint -> on the devices."""

    def get_state(self, state: State) -> State:
        """The state as it is saved: one copy."""

    def put(self, batch: Rows) -> Batch:
        """This host's share of a global batch -> on its devices."""

    def compile_train(self, function: Program, state: PyTree) -> jax.stages.Wrapped:
        """function(state, batch, axis) -> (state, sums), compiled without axis.

        Args:
          state: its shapes. The state that the compiled function is given is consumed.
        """

    def compile(self, function: Program) -> Program:
        """function(variables, batch, axis), compiled without axis, whose results are the same on every device."""

    def compile_rows(self, function: Program) -> Program:
        """function(variables, batch, axis), compiled without axis, whose results have a row for each of the batch."""

    def fetch(self, tree: PyTree) -> PyTree:
        """Results of a program of `compile`, or sums of one of `compile_train` -> NumPy on the host."""

    def fetch_rows(self, rows: PyTree) -> PyTree:
        """Results of a program of `compile_rows`, of all hosts -> NumPy on every host."""

    def shapes(self, batch: Batch) -> Shapes:
        """Of the global batch that `put` has brought here."""


def make(
    mode: Literal["auto", "pmap", "mesh"] = "auto",
    *,
    data: NonNegativeInt = 0,
    fsdp: PositiveInt = 1,
    tensor: PositiveInt = 1,
    rules: tuple[Rule, ...] = (),
    devices: Sequence[jax.Device] | None = None,
) -> Devices:
    """How a step runs on the devices of all hosts.

    Args:
      mode: "pmap": one program a device, gradients added by psum. "mesh": one program over all devices, which the
        compiler splits. "auto": pmap where there are several devices and the whole model fits on each, else a mesh.
      data: size of the mesh's axis that splits the batch; 0 for the devices that the other axes leave.
      fsdp: size of the axis that splits the batch, parameters and optimiser state.
      tensor: size of the axis that splits parameters and optimiser state. The three multiply to the number of devices.
      rules: how single parameters are split, before the rules of training/sharding.py.
      devices: others than those there are (a machine to compile for).

    Raises:
      UserError: a mesh that is not of so many devices, or pmap with a split model; or there is no device.
    """
    devices = tuple(devices or backend.present())
    count, split = len(devices), fsdp * tensor
    if mode == "pmap" or (mode == "auto" and count > 1 and split == 1 and not rules and data in (0, count)):
        if split > 1 or rules or data not in (0, count):
            raise UserError(
                "config.parallel.mode=pmap keeps the whole model on each device: for axes and rules take mode=mesh."
            )
        return Pmap(devices)
    if (data or max(count // split, 1)) * split != count:
        raise UserError(
            f"config.parallel: data {data or '?'} x fsdp {fsdp} x tensor {tensor} does not make the {count} devices "
            f"there are: try {_nearest_mesh(count, fsdp, tensor)}."
        )
    return Mesh(devices, count // split, fsdp, tensor, tuple(rules))


def _nearest_mesh(count: int, fsdp: int, tensor: int) -> str:
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    tensor = max(n for n in divisors if n <= tensor)
    fsdp = max(n for n in divisors if n <= fsdp and (count // tensor) % n == 0)
    sizes = {"data": count // fsdp // tensor, "fsdp": fsdp, "tensor": tensor}
    return " ".join(f"--config.parallel.{axis}={size}" for axis, size in sizes.items())


def briefly(devices: Sequence[jax.Device]) -> dict[str, int] | None:
    """Options of the compiler for a program that runs once. Where jax is to optimise nothing, it does less already."""
    less = jax.config.values["jax_disable_most_optimizations"]
    return RUNS_ONCE if devices[0].platform == "cpu" and not less else None


def _named(program: Program, function: Program) -> Program:
    """The program by the name of the function, which profiles and the compiler's messages show."""
    program.__name__ = getattr(function, "func", function).__name__  # of a partial, what it calls
    return program


@dataclass(frozen=True)
class Mesh:
    """One program over a mesh of `devices`. Attributes: see make."""

    devices: tuple[jax.Device, ...]
    data: int
    fsdp: int = 1
    tensor: int = 1
    rules: tuple[Rule, ...] = ()
    mode: ClassVar[str] = "mesh"

    @cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices by axis: data, fsdp, tensor."""
        shape = (self.data, self.fsdp, self.tensor)
        if self.devices[0].platform == "tpu":  # whose links have a shape; an axis of 2 takes half a side of 4 x 4
            grid = mesh_utils.create_device_mesh(shape, self.devices, allow_split_physical_axes=True)
        else:
            grid = np.reshape(self.devices, shape)
        return jax.sharding.Mesh(grid, ("data", "fsdp", "tensor"))

    def __str__(self) -> str:
        return f"mesh {self.data} x {self.fsdp} x {self.tensor} (data x fsdp x tensor)"

    @property
    def divisor(self) -> int:
        """By which a batch must divide."""
        return self.data * self.fsdp

    @property
    def feed(self) -> tuple[int, int]:
        """Which slice of the global batch this host reads, and of how many: (host, hosts).

        Hosts that hold the same rows (a tensor axis longer than a host) read the same slice.

        Raises:
          UserError: the batch does not fall into equal shares.
        """
        rows = self.mesh.devices.reshape(self.divisor, self.tensor)
        held: dict[int, set[int]] = {}
        for row, devices in enumerate(rows):
            for device in devices:
                held.setdefault(device.process_index, set()).add(row)
        slices = sorted({tuple(sorted(found)) for found in held.values()})
        if sum(map(len, slices)) != self.divisor or len({len(s) for s in slices}) > 1:
            raise UserError(
                f"config.parallel: on {len(held)} hosts the batch of a {self} does not fall into equal shares: let "
                "tensor be a divisor or a multiple of the devices of a host."
            )
        return slices.index(tuple(sorted(held.get(jax.process_index(), held[min(held)])))), len(slices)

    def lay_out(self, state: State) -> State:
        """The state's shapes -> ShapeDtypeStructs that say where each part belongs."""
        return jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, self._shardings(state)
        )

    def lay_out_batch(self, batch: Shapes) -> Shapes:
        """The same of a global batch."""
        rows = NamedSharding(self.mesh, ROWS)
        return {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows) for name, x in batch.items()}

    def _shardings(self, state: PyTree) -> PyTree:
        if self.fsdp * self.tensor == 1 and not self.rules:  # every device has the whole state
            return jax.tree.map(lambda _: NamedSharding(self.mesh, PartitionSpec()), state)
        sizes = {"fsdp": self.fsdp, "tensor": self.tensor}
        return jax.tree.map(partial(NamedSharding, self.mesh), sharding.specs(state, sizes, self.rules))

    def initialise(self, function: Callable[..., State], *inputs: PyTree) -> State:
        """The state that `function` computes; each device computes its part."""
        shardings = self._shardings(jax.eval_shape(function, *inputs))
        return jax.jit(function, out_shardings=shardings, compiler_options=briefly(self.devices))(*inputs)

    def put_state(self, state: State) -> State:
        """A state from the host, one device or a checkpoint (laid out as `lay_out` says) -> on the devices."""
        return jax.device_put(state, self._shardings(state))

    def get_state(self, state: State) -> State:
        """The state as it is saved."""
        return state

    def put(self, batch: Rows) -> Batch:
        """This host's part of a global batch -> on its devices."""
        rows = NamedSharding(self.mesh, ROWS)
        if jax.process_count() == 1:
            return jax.device_put(batch, rows)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(rows, x), batch)

    def compile_train(self, function: Program, state: PyTree) -> jax.stages.Wrapped:
        """function(state, batch, axis) -> (state, sums), compiled. state: its shapes."""
        results = (self._shardings(state), NamedSharding(self.mesh, PartitionSpec()))
        options = KEEP_BARRIERS if self.devices[0].platform == "cpu" else None
        return jax.jit(self._split(function), donate_argnums=0, out_shardings=results, compiler_options=options)

    def compile(self, function: Program) -> Program:
        """function(params, batch, axis) compiled; its results are the same on every device."""
        return jax.jit(self._split(function), out_shardings=NamedSharding(self.mesh, PartitionSpec()))

    def compile_rows(self, function: Program) -> Program:
        """function(params, batch, axis) compiled, whose results have a row for each row of the batch."""
        return jax.jit(self._split(function), out_shardings=NamedSharding(self.mesh, ROWS))

    def fetch(self, tree: PyTree) -> PyTree:
        """What `compile`'s or `compile_train`'s function returned, but the state -> NumPy on the host."""
        return jax.device_get(tree)

    def fetch_rows(self, rows: PyTree) -> PyTree:
        """What `compile_rows`' function returned, of all hosts -> NumPy on every host."""
        if jax.process_count() == 1:
            return jax.device_get(rows)
        return multihost_utils.process_allgather(rows, tiled=True)

    def shapes(self, batch: Batch) -> Shapes:
        """Of the global batch that `put` has brought here."""
        return {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}

    def _split(self, function: Program) -> Program:
        """The function, with activations split as the batch is wherever the model calls `constrain` of
        models/encoder.py: between blocks.

        Left to itself, the compiler may keep them whole where parameters are split: several times the memory.
        """
        whole = WHOLE._replace(branches=self.devices[0].platform == "cpu")
        if len(self.devices) == 1:
            return partial(function, axis=whole)

        def split(state: PyTree, batch: Batch) -> PyTree:
            if any(x.shape[0] % self.divisor for x in jax.tree.leaves(batch)):
                return function(state, batch, axis=whole)
            axis = whole._replace(each=self._each) if self.data > 1 else whole
            with (
                nn.logical_axis_rules(ACTIVATIONS),
                jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh),
            ):
                return function(state, batch, axis=axis)

        return _named(split, function)

    def _each(self, function: Callable[..., PyTree]) -> Callable[..., PyTree]:
        """See Axis. The rows are those of the axis "data"; over the others the compiler splits the program as usual.

        Fully sharded parameters have gradients that are: a sum over "fsdp" in each micro-batch is what keeps a device
        from holding all of them.
        """

        def share(whole: PyTree, batch: Batch) -> PyTree:
            with nn.logical_axis_rules((("batch", "fsdp"),)):
                return function(PER_DEVICE, whole, batch)

        rows, everywhere = PartitionSpec("data"), PartitionSpec()
        return jax.shard_map(
            share,
            mesh=self.mesh.abstract_mesh,
            in_specs=(everywhere, rows),
            out_specs=everywhere,
            axis_names={"data"},
            check_vma=False,
        )


@dataclass(frozen=True)
class Pmap:
    """One program on each of the `devices` of all hosts, each with its own copy of the state."""

    devices: tuple[jax.Device, ...]
    mode: ClassVar[str] = "pmap"

    @property
    def _local(self) -> tuple[jax.Device, ...]:
        return tuple(d for d in self.devices if d.process_index == jax.process_index())

    @property
    def _whole(self) -> NamedSharding:
        """On every device of every host: what is saved is the same there."""
        return NamedSharding(jax.sharding.Mesh(np.array(self.devices), ("data",)), PartitionSpec())

    def __str__(self) -> str:
        return "pmap"

    @property
    def divisor(self) -> int:
        """Devices, by which every batch must divide."""
        return len(self.devices)

    @property
    def feed(self) -> tuple[int, int]:
        """Which of how many hosts this is."""
        return jax.process_index(), jax.process_count()

    def lay_out(self, state: State) -> State:
        """Shapes of the state, whole on every device."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._whole), state)

    def initialise(self, function: Callable[..., State], *inputs: PyTree) -> State:
        """The state, computed once and copied to every device of this host."""
        return self.put_state(jax.jit(function, compiler_options=briefly(self.devices))(*inputs))

    def put_state(self, state: State) -> State:
        """A state -> a copy on every device of this host."""
        return flax.jax_utils.replicate(jax.device_get(state), list(self._local))

    def get_state(self, state: State) -> State:
        """The state as it is saved: one copy."""
        one = flax.jax_utils.unreplicate(state)  # not x[0], which is slow on a pmapped array
        if jax.process_count() == 1:
            return one
        return jax.tree.map(partial(jax.make_array_from_process_local_data, self._whole), jax.device_get(one))

    def put(self, batch: Rows) -> Batch:
        """This host's rows, with an axis of devices before them."""
        local = NamedSharding(jax.sharding.Mesh(np.array(self._local), ("data",)), PartitionSpec("data"))
        return jax.device_put({n: x.reshape(len(self._local), -1, *x.shape[1:]) for n, x in batch.items()}, local)

    def compile_train(self, function: Program, state: PyTree) -> jax.stages.Wrapped:
        """See Devices."""
        del state  # whole on every device, whatever its shapes
        return self._program(function, donate_argnums=0)

    def compile(self, function: Program) -> Program:
        """See Devices."""
        return self._program(function)

    def compile_rows(self, function: Program) -> Program:
        """See Devices."""
        return self._program(function)

    def _program(self, function: Program, **options: PyTree) -> jax.stages.Wrapped:
        axis = PER_DEVICE._replace(branches=self.devices[0].platform == "cpu")
        program = _named(lambda state, batch: function(state, batch, axis=axis), function)
        return jax.pmap(program, axis_name="data", devices=self.devices, **options)

    def fetch(self, tree: PyTree) -> PyTree:
        """What one device has -> NumPy, by no program on the device: it would wait for the steps queued there."""
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)).reshape(x.shape[1:]), tree)

    def fetch_rows(self, rows: PyTree) -> PyTree:
        """The rows of all devices of all hosts -> NumPy."""
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(rows))
        return rows if jax.process_count() == 1 else multihost_utils.process_allgather(rows, tiled=True)

    def shapes(self, batch: Batch) -> Shapes:
        """Shapes of the global batch."""
        hosts = jax.process_count()
        return {
            n: jax.ShapeDtypeStruct((hosts * x.shape[0] * x.shape[1], *x.shape[2:]), x.dtype) for n, x in batch.items()
        }
