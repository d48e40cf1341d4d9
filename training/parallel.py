"""Devices: the only place that knows of pmap, jit, meshes and shardings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.jax_utils
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding


class Axis(NamedTuple):
    """All that a step knows of the devices that share it."""

    sum: Callable[[Any], Any]  # adds a tree over the devices
    fold: Callable[[jax.Array], jax.Array]  # makes a key this device's own


# Under jit the program sees the whole batch: there is nothing to add, and one key serves.
WHOLE = Axis(sum=lambda tree: tree, fold=lambda key: key)
PER_DEVICE = Axis(
    sum=lambda tree: jax.lax.psum(tree, "data"),
    fold=lambda key: jax.random.fold_in(key, jax.lax.axis_index("data")),
)


def make(mode: Literal["auto", "pmap", "jit"] = "auto") -> "Devices":
    """How a step runs on this machine's devices.

    Args:
      mode: "pmap": one program a device, gradients added by psum. "jit": one program over all devices, the batch
        sharded, the compiler adds. "auto": pmap where there are several local devices, jit where there is one.
    """
    if mode == "auto":
        mode = "pmap" if jax.local_device_count() > 1 else "jit"
    return Pmap(tuple(jax.local_devices())) if mode == "pmap" else Jit(tuple(jax.devices()))


@dataclass(frozen=True)
class Jit:
    """One program over a mesh of `devices`, of all hosts: the state on each, the batch split between them."""

    devices: tuple[jax.Device, ...]
    mode = "jit"

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), ("data",))

    @property
    def state_sharding(self) -> Sharding:
        """Where a restored checkpoint's arrays belong."""
        return NamedSharding(self._mesh, PartitionSpec())

    def put_state(self, state: Any) -> Any:
        """A state from the host or one device -> on every device."""
        return jax.device_put(state, self.state_sharding)

    def get_state(self, state: Any) -> Any:
        """The state as one copy, to be saved or looked at."""
        return state

    def put(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This host's part of a global batch -> on its devices."""
        sharding = NamedSharding(self._mesh, PartitionSpec("data"))
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)

    def compile(self, function: Callable[..., Any], donate: bool = False) -> Callable[..., Any]:
        """function(state, batch, axis) compiled; its results are the same on every device."""
        step = partial(function, axis=WHOLE)
        return jax.jit(step, donate_argnums=0 if donate else (), out_shardings=self.state_sharding)

    def fetch(self, tree: Any) -> Any:
        """What a compiled function returned -> NumPy on the host."""
        return jax.device_get(tree)

    def compile_rows(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """function(state, batch, axis) compiled, whose results have a row for each row of the batch."""
        rows = NamedSharding(self._mesh, PartitionSpec("data"))
        return jax.jit(partial(function, axis=WHOLE), out_shardings=rows)

    def fetch_rows(self, rows: Any) -> Any:
        """What compile_rows' function returned -> NumPy on the host, in the batch's order."""
        return jax.device_get(rows)

    def shapes(self, batch: dict[str, jax.Array]) -> dict[str, jax.ShapeDtypeStruct]:
        """Of the global batch that `put` has brought here."""
        return {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}


@dataclass(frozen=True)
class Pmap:
    """One program on each of this host's `devices`, each with its own copy of the state."""

    devices: tuple[jax.Device, ...]
    mode = "pmap"

    @property
    def state_sharding(self) -> Sharding:
        return SingleDeviceSharding(self.devices[0])

    def put_state(self, state: Any) -> Any:
        return flax.jax_utils.replicate(state, self.devices)

    def get_state(self, state: Any) -> Any:
        return flax.jax_utils.unreplicate(state)  # not x[0], which is slow on a pmapped array

    def put(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        sharding = NamedSharding(Mesh(np.array(self.devices), ("data",)), PartitionSpec("data"))
        split = jax.tree.map(lambda x: x.reshape(len(self.devices), -1, *x.shape[1:]), batch)
        return jax.device_put(split, sharding)

    def compile(self, function: Callable[..., Any], donate: bool = False) -> Callable[..., Any]:
        step = partial(function, axis=PER_DEVICE)
        donated = 0 if donate else ()
        return jax.pmap(
            lambda state, batch: step(state, batch), axis_name="data", devices=self.devices, donate_argnums=donated
        )

    def fetch(self, tree: Any) -> Any:
        return jax.device_get(flax.jax_utils.unreplicate(tree))

    def compile_rows(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.compile(function)

    def fetch_rows(self, rows: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(rows))

    def shapes(self, batch: dict[str, jax.Array]) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct((x.shape[0] * x.shape[1], *x.shape[2:]), x.dtype) for name, x in batch.items()
        }


Devices = Jit | Pmap
