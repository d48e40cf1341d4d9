"""Micro-batches under a mesh: gradients are added over its data axis once a step, as the compiled program says."""

import re
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import optim, step
from training.parallel import Mesh

ALL = tuple(jax.devices())
BATCH = {name: jax.ShapeDtypeStruct((64, 8), np.float32) for name in ("x", "y")}


class Mlp(nn.Module):
    """Two products."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(8, name="contract")(nn.relu(nn.Dense(32, name="expand")(x)))


@dataclass(frozen=True)
class Regression:
    """Squared error."""

    def sums(self, apply, batch, train):
        error = jnp.sum((apply(batch["x"]) - batch["y"]) ** 2)
        return {"loss": (error, jnp.asarray(float(len(batch["x"]))))}


def program(mesh: Mesh) -> str:
    """The compiled step with four micro-batches."""
    optimiser, _ = optim.make(name="sgd", learning_rate=0.1, total_steps=9)
    parts = dict(model=Mlp(), task=Regression(), optimiser=optimiser, seed=0)
    state = jax.eval_shape(partial(step.initialise, batch=BATCH, ema=False, **parts))
    train_step = mesh.compile_train(partial(step.train_step, accumulate=4, ema_decay=0.0, **parts), state)
    return train_step.trace(mesh.lay_out(state), mesh.lay_out_batch(BATCH)).lower().compile().as_text()


def sums(text: str, slices: int) -> list[tuple[bool, bool]]:
    """Every sum over devices: whether it is outside of loops, and whether over devices of several slices of the batch.

    Devices are numbered slice by slice.
    """
    found, outside = [], False
    for line in text.splitlines():
        if re.match(r"(ENTRY )?%?[\w.-]+ \(.*\{$", line):
            outside = line.startswith("ENTRY")
        elif re.search(r" (all-reduce|reduce-scatter)(-start)?\(", line):
            crosses = any(len({device * slices // len(ALL) for device in group}) > 1 for group in groups(line))
            found.append((outside, crosses))
    return found


def groups(line: str) -> list[list[int]]:
    """The devices of each sum, from one of XLA's spellings: {{0,1},{2,3}}, [2,2]<=[2,2]T(1,0), or some axes of a mesh,
    mesh['axis_0'=2,'axis_1'=2], device_ids=([2,2]T(1,0)) {'axis_0'}."""
    written = re.search(r"replica_groups=(.*?), use_global", line)[1]
    if written.startswith("{{"):
        return [integers(group) for group in re.findall(r"\{([\d,]+)\}", written)]
    ids = np.arange(len(ALL))
    if turned := re.search(r"(?:<=|\()\[([\d,]+)\](?:T\(([\d,]+)\))?", written):
        ids = ids.reshape(integers(turned[1])).transpose(integers(turned[2]) if turned[2] else None)
    if not written.startswith("mesh"):
        return ids.reshape(integers(written.partition("]")[0])).tolist()
    sizes, used = (integers(" ".join(re.findall(p, written))) for p in (r"'=(\d+)", r"[{,]'axis_(\d+)'(?=[,}])"))
    ids = np.moveaxis(ids.reshape(sizes), used, range(-len(used), 0))
    return ids.reshape(-1, np.prod([sizes[axis] for axis in used])).tolist()


def integers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


@pytest.mark.parametrize("mesh", [Mesh(ALL, 8), Mesh(ALL, 4, fsdp=2), Mesh(ALL, 2, fsdp=2, tensor=2)])
def test_gradients_are_added_over_the_data_axis_once(mesh):
    found = sums(program(mesh), mesh.data)
    assert (True, True) in found
    assert (False, True) not in found
    # Parameters that are split have gradients that are, in each micro-batch: else a device would hold all of them.
    assert ((False, False) in found) == (mesh.fsdp > 1)


def test_fully_sharded_parameters_alone_are_summed_in_each_micro_batch():
    assert (False, True) in sums(program(Mesh(ALL, 1, fsdp=8)), len(ALL))
