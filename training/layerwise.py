"""A learning rate for each layer or for what a pattern names, and parameters that are not trained."""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress

import jax
import jax.numpy as jnp
import optax

from errors import UserError
from models.paths import Layer, layer
from training.trees import PyTree, by_name, matched

Order = Callable[[], Sequence[str]]  # paths of the parameters, in the order in which the model comes to them


def scaled(decay: float, order: Order) -> optax.GradientTransformation:
    """Multiplies the updates of layer l of L with decay^(L + 1 - l).

    Embeddings are layer 0 and the head is layer L + 1 (2106.08254, section 3.2; 2111.06377, appendix A.1).
    """
    return optax.stateless(lambda updates, params: jax.tree.map(jnp.multiply, updates, scales(params, decay, order())))


def multiplied(rates: Sequence[tuple[str, float]], order: Order) -> optax.GradientTransformation:
    """Multiplies the updates of the parameters whose whole path a pattern matches; the first that does counts."""

    def factors(tree: PyTree) -> PyTree:
        found = [matched(tree, (pattern,), "config.optim.rates", order) for pattern, _ in rates]
        numbers = [factor for _, factor in rates]
        return jax.tree.map(lambda *fits: next(compress(numbers, fits), 1.0), *found)

    def init(params: PyTree) -> optax.EmptyState:
        factors(params)  # a pattern that matches nothing is told before the first step
        return optax.EmptyState()

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
        del params
        return jax.tree.map(jnp.multiply, updates, factors(updates)), state

    return optax.GradientTransformation(init, update)


def scales(params: PyTree, decay: float, order: Sequence[str]) -> PyTree:
    """For each parameter the factor of its updates: a scalar, or (L, 1, ...) where a scan stacks L layers.

    An encoder and a decoder count their own layers. Outside the blocks, what the model comes to before the blocks
    (embeddings, positions, tokens) is layer 0 of the deepest stack of blocks in the module that holds it; everything
    else has the full rate.

    Args:
      order: see Order.

    Raises:
      UserError: a model without blocks in a row.
    """
    leaves = by_name(params)
    layers = {name: layer(name) for name in (*leaves, *order)}  # those that are not trained are not in `params`
    depths: dict[str, int] = {}  # of each stack of blocks, by the path of the module that holds it
    for name, found in layers.items():
        if found:
            stacked = leaves[name].shape[0] if name in leaves else 0
            depth = stacked if found.number is None else found.number + 1
            depths[found.before] = max(depth, depths.get(found.before, 0))
    if not depths:
        raise UserError("config.optim.layer_decay needs a model of blocks in a row, block_00 and on: set it to 1.")
    place = {name: number for number, name in enumerate(order)}
    begins: dict[str, int] = {}  # the place of each stack's first parameter
    for name in order:
        if found := layer(name):
            begins.setdefault(found.before, place[name])

    def scale(name: str, found: Layer | None, ndim: int) -> jax.Array | float:
        if found is None:
            beside = _beside(name, depths)
            before = any(place[name] < begins[stack] for stack in beside)
            return decay ** (max(depths[stack] for stack in beside) + 1) if before else 1.0
        depth = depths[found.before]
        if found.number is None:
            return (decay ** (depth - jnp.arange(depth, dtype=jnp.float32))).reshape(-1, *[1] * (ndim - 1))
        return decay ** (depth - found.number)

    factors = [scale(name, layers[name], x.ndim) for name, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(params), factors)


def _beside(name: str, stacks: Iterable[str]) -> list[str]:
    """The stacks in the innermost module that holds both a stack and this parameter."""
    parts = name.split("/")
    for end in range(len(parts) - 1, -1, -1):
        module = "/".join(parts[:end])
        inside = [stack for stack in stacks if not module or f"{stack}/".startswith(f"{module}/")]
        if inside:
            return inside
    return []


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
