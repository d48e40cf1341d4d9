"""Which axis of the mesh splits which dimension of a parameter: rules as patterns over parameter paths.

Axes of the mesh: "data" (only the batch), "fsdp" (the batch, and parameters with their optimiser state) and "tensor"
(heads, MLP width, vocabulary).
"""

import difflib
import re
from typing import Protocol

import jax
from jax.sharding import PartitionSpec

from errors import UserError, nearest
from training.trees import PyTree, by_name

Rule = tuple[str, tuple[str | None, ...]]

AXES = ("fsdp", "tensor")
# For every model that there is. The first rule that fits counts; what no rule fits is kept whole on every device.
RULES: tuple[Rule, ...] = (
    # Heads over "tensor", as Megatron-LM (1909.08053, section 3) has it: one sum over the axis after each branch.
    (".*/(query|key|value)/kernel", ("fsdp", "tensor", None)),
    (".*/(query|key|value)/bias", ("tensor", None)),
    (".*/out/kernel", ("tensor", None, "fsdp")),
    # Of Mixer's MLPs over patches one side is the number of patches, which is as it is.
    (".*/token_mlp/expand/kernel", ("fsdp?", "tensor")),
    (".*/token_mlp/contract/kernel", ("tensor", "fsdp?")),
    (".*/(expand|gate)/kernel", ("fsdp", "tensor")),
    (".*/(expand|gate)/bias", ("tensor",)),
    (".*/contract/kernel", ("tensor", "fsdp")),
    # Vocabularies and numbers of classes are as they are: split where they divide.
    ("(.*/)?(\\w+_)?embedding/embedding", ("tensor?", "fsdp?")),
    ("(.*/)?positions/embedding", ("fsdp?",)),
    (".*/kernel", ("fsdp?", "tensor?")),
)


def spec(path: str, shape: tuple[int, ...], sizes: dict[str, int], own: tuple[Rule, ...] = ()) -> PartitionSpec:
    """How a parameter is split.

    Args:
      path, shape: of the parameter. A rule fits if its pattern matches the whole path and it names no more dimensions
        than there are; it speaks of the last ones, so that layers stacked by a scan need no rule of their own.
      sizes: of each axis. An axis of one device splits nothing; "tensor?" is passed over where it does not divide.
      own: rules that come before RULES.

    Raises:
      UserError: a dimension that its axis does not divide.
    """
    for pattern, axes in (*own, *RULES):
        if re.fullmatch(pattern, path) and len(axes) <= len(shape):
            break
    else:
        return PartitionSpec()
    first = len(shape) - len(axes)
    dimensions: list[str | None] = [None] * len(shape)
    for dimension, wish in enumerate(axes, first):
        axis = (wish or "").removesuffix("?")
        if not axis or sizes[axis] == 1:
            continue
        if shape[dimension] % sizes[axis] == 0:
            dimensions[dimension] = axis
        elif wish == axis:
            raise UserError(
                f"config.parallel.{axis}={sizes[axis]} does not divide {shape[dimension]}, dimension {dimension} of "
                f"{path} {list(shape)}: choose a divisor of {shape[dimension]}, or a rule that leaves it whole, such "
                f'as --config.parallel.rules="(({path!r}, {tuple(None if a == wish else a for a in axes)!r}),)".'
            )
    return PartitionSpec(*dimensions)


class _State(Protocol):
    """Anything with `params` and other trees whose paths end in a parameter's path."""

    @property
    def params(self) -> PyTree:
        """The parameters."""


def specs(state: _State, sizes: dict[str, int], own: tuple[Rule, ...] = ()) -> PyTree:
    """The PartitionSpec of every leaf of a State; optimiser state and moving average as the parameter that they are of.

    Args:
      state: its shapes.
      sizes: see `spec`.
      own: see `spec`.

    Raises:
      UserError: see `spec`; or `own` has something that is not a rule, or a rule that fits no parameter.
    """
    table = {path: tuple(x.shape) for path, x in by_name(state.params).items()}
    for rule in own:
        _check(rule, table)
    split = {path: spec(path, shape, sizes, own) for path, shape in table.items()}

    def of(name: str, leaf: jax.Array) -> PartitionSpec:
        parts = name.split("/")
        for start in range(1, len(parts)):
            parameter = "/".join(parts[start:])
            # Factored moments stand at a parameter's path too, with other shapes: they are small.
            if parameter in table and table[parameter] == tuple(leaf.shape):
                return split[parameter]
        return PartitionSpec()

    return jax.tree.unflatten(jax.tree.structure(state), [of(*leaf) for leaf in by_name(state).items()])


def _check(rule: Rule, table: dict[str, tuple[int, ...]]) -> None:
    """That a rule of the user's is one, and fits a parameter."""
    try:
        pattern, axes = rule
        re.compile(pattern)
        known = [str(axis).removesuffix("?") for axis in axes if axis is not None]
    except (TypeError, ValueError, re.error):
        raise UserError(
            f"config.parallel.rules: {rule!r} should be a pattern and axes: ('.*/kernel', ('fsdp', None))."
        ) from None
    for axis in known:
        if axis not in AXES:
            raise UserError(f"config.parallel.rules: {axis!r} of {rule!r} splits no parameter: {nearest(axis, AXES)}")
    if len(set(known)) < len(known):
        raise UserError(f"config.parallel.rules: {rule!r} uses one axis twice.")
    fits = [path for path in table if re.fullmatch(pattern, path)]
    if not fits:
        close = difflib.get_close_matches(pattern, table, n=1, cutoff=0.0)[0]
        raise UserError(f"config.parallel.rules: {pattern!r} matches no parameter. The nearest is {close!r}.")
    if all(len(table[path]) < len(axes) for path in fits):
        raise UserError(
            f"config.parallel.rules: {rule!r} names more dimensions than {fits[0]} {list(table[fits[0]])} has."
        )
