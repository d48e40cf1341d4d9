"""A learning rate for each layer, and parts that do not learn."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from errors import UserError
from training import paths

# What stands before the first block learns least; what stands after the last one learns in full.
BEFORE = re.compile(r"(stem|embedding|token|distillation_token|positions)(/.*)?")
BLOCK = re.compile(r"(?:.*/)?block_(\d+)/.*")
STACKED = re.compile(r"(?:.*/)?blocks/.*")


def scaled(decay: float) -> optax.GradientTransformation:
    """Updates times decay^(L + 1 - l) in layer l of L, embeddings being layer 0 and the head L + 1 (2106.08254, 2111.06377)."""
    return optax.stateless(lambda updates, params: jax.tree.map(jnp.multiply, updates, scales(params, decay)))


def scales(params: Any, decay: float) -> Any:
    """For each parameter what its updates are multiplied with: a scalar, or (L, 1, ...) where a scan stacks L layers.

    Raises:
      UserError: a model without blocks in a row.
    """
    leaves = paths.table(params).items()
    written_out = [int(m[1]) + 1 for name, _ in leaves if (m := BLOCK.fullmatch(name))]
    stacked = [x.shape[0] for name, x in leaves if STACKED.fullmatch(name)]
    if not (layers := max(written_out + stacked, default=0)):
        raise UserError("config.optim.layer_decay needs a model of blocks in a row, block_00 and on: set it to 1.")

    def of(name: str, x: jax.Array) -> Any:
        if STACKED.fullmatch(name):
            return (decay ** (layers - jnp.arange(layers, dtype=jnp.float32))).reshape(-1, *[1] * (x.ndim - 1))
        if block := BLOCK.fullmatch(name):
            return decay ** (layers - int(block[1]))
        return decay ** (layers + 1) if BEFORE.fullmatch(name) else 1.0

    return jax.tree.unflatten(jax.tree.structure(params), [of(*leaf) for leaf in leaves])


def frozen(params: Any, patterns: tuple[str, ...]) -> Any:
    """The tree of booleans that says which parameters stay as they are: those whose whole path a pattern matches.

    Raises:
      UserError: a pattern that matches none, or patterns that match all.
    """
    names = paths.names(params)
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in names):
            raise UserError(f"config.step.frozen: {pattern!r} matches no parameter, such as {names[0]!r}.")
    leaves = [any(re.fullmatch(pattern, name) for pattern in patterns) for name in names]
    if all(leaves):
        raise UserError(f"config.step.frozen={patterns!r} matches every parameter: nothing would be trained.")
    return jax.tree.unflatten(jax.tree.structure(params), leaves)


def only_trained(
    transformation: optax.GradientTransformation, patterns: tuple[str, ...]
) -> optax.GradientTransformation:
    """The transformation of what is not frozen, which alone has optimiser state."""

    def labels(params: Any) -> Any:
        return jax.tree.map(lambda stays: "frozen" if stays else "trained", frozen(params, patterns))

    return optax.partition({"trained": transformation, "frozen": optax.set_to_zero()}, labels)
