"""How activations are split over devices."""

import math

import flax.linen as nn
import jax
from jaxtyping import Array, Float


def constrain(x: Float[Array, "B ... D"]) -> Float[Array, "B ... D"]:
    """The output of a block, split over devices like the batch.

    Left to itself, the compiler may keep activations whole where parameters are split, which takes several times the
    memory. Nothing is done without a mesh (`jax.set_mesh`) and a rule for "batch" (`nn.logical_axis_rules`), or where the
    batch does not divide by the devices.
    """
    mesh, axes = jax.sharding.get_abstract_mesh(), dict(nn.get_logical_axis_rules()).get("batch")
    if mesh.empty or not axes or x.ndim < 3:
        return x
    devices = math.prod(mesh.shape[axis] for axis in ((axes,) if isinstance(axes, str) else axes))
    return x if x.shape[0] % devices else nn.with_logical_constraint(x, ("batch", *(None,) * (x.ndim - 1)))
