"""A learning rate for each layer, and parameters that are not trained."""

import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from errors import UserError
from models.paths import Layer, layer
from training.trees import PyTree, by_name, matched

# Modules and parameters that stand before the first block, wherever they are in a model: "source_embedding",
# "positions", "distillation_token", a ViT's "stem". `nn.Embed` calls its table "embedding" whatever its own name is.
INPUT = re.compile(r"(\w+_)?(embeddings?|positions?|tokens?|stem|mask)")


def scaled(decay: float) -> optax.GradientTransformation:
    """Multiplies the updates of layer l of L with decay^(L + 1 - l).

    Embeddings are layer 0 and the head is layer L + 1 (2106.08254, section 3.2; 2111.06377, appendix A.1).
    """
    return optax.stateless(lambda updates, params: jax.tree.map(jnp.multiply, updates, scales(params, decay)))


def scales(params: PyTree, decay: float) -> PyTree:
    """For each parameter the factor of its updates: a scalar, or (L, 1, ...) where a scan stacks L layers.

    An encoder and a decoder count their own layers. Outside the blocks, embeddings, positions and the like (see INPUT)
    are layer 0 of the deepest stack of blocks in the module that holds them; everything else has the full rate.

    Raises:
      UserError: a model without blocks in a row.
    """
    leaves = by_name(params)
    layers = {name: layer(name) for name in leaves}
    depths: dict[str, int] = {}  # of each stack of blocks, by the path of the module that holds it
    for name, found in layers.items():
        if found:
            depth = leaves[name].shape[0] if found.number is None else found.number + 1
            depths[found.before] = max(depth, depths.get(found.before, 0))
    if not depths:
        raise UserError("config.optim.layer_decay needs a model of blocks in a row, block_00 and on: set it to 1.")

    def scale(name: str, found: Layer | None, ndim: int) -> jax.Array | float:
        if found is None:
            return decay ** (_depth_above(name, depths) + 1) if _is_input(name) else 1.0
        depth = depths[found.before]
        if found.number is None:
            return (decay ** (depth - jnp.arange(depth, dtype=jnp.float32))).reshape(-1, *[1] * (ndim - 1))
        return decay ** (depth - found.number)

    factors = [scale(name, layers[name], x.ndim) for name, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(params), factors)


def _is_input(name: str) -> bool:
    return any(INPUT.fullmatch(part) for part in name.split("/"))


def _depth_above(name: str, depths: dict[str, int]) -> int:
    """The depth of the deepest stack in the innermost module that holds both the stack and this parameter."""
    parts = name.split("/")
    for end in range(len(parts) - 1, -1, -1):
        module = "/".join(parts[:end])
        inside = [depth for stack, depth in depths.items() if not module or f"{stack}/".startswith(f"{module}/")]
        if inside:
            return max(inside)
    return 0


def frozen(params: PyTree, patterns: Sequence[str]) -> PyTree:
    """The tree of booleans that says which parameters are not trained: those whose whole path a pattern matches.

    Raises:
      UserError: a pattern that matches none, or patterns that match all.
    """
    matches = matched(params, patterns, "config.step.frozen")
    if all(jax.tree.leaves(matches)):
        raise UserError(f"config.step.frozen={patterns!r} matches every parameter: nothing would be trained.")
    return matches


def only_trained(
    transformation: optax.GradientTransformation, patterns: Sequence[str]
) -> optax.GradientTransformationExtraArgs:
    """The transformation of the parameters that are trained. The others have no optimiser state."""

    def labels(params: PyTree) -> PyTree:
        return jax.tree.map(lambda stays: "frozen" if stays else "trained", frozen(params, patterns))

    return optax.partition({"trained": transformation, "frozen": optax.set_to_zero()}, labels)
