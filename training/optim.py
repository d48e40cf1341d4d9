"""Optimiser and learning rate schedule, from optax."""

import re
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from errors import UserError
from training import layerwise, paths

Schedule = Callable[[Any], jax.Array]


def make(
    *,
    name: Literal["adamw", "sgd", "adafactor"],
    learning_rate: float,
    total_steps: int,
    schedule: Literal["cosine", "linear", "rsqrt", "constant"] = "cosine",
    warmup_steps: int = 0,
    end_learning_rate: float = 0.0,
    clip_norm: float = 0.0,
    weight_decay: float = 0.0,
    decay: tuple[str, ...] = (".*/kernel",),
    layer_decay: float = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    momentum: float = 0.9,
    nesterov: bool = False,
    frozen: tuple[str, ...] = (),
) -> tuple[optax.GradientTransformation, Schedule]:
    """The optimiser and its learning rate by step.

    Args:
      learning_rate: the highest, reached after `warmup_steps` of linear growth from 0.
      schedule: what follows: cosine or linear to `end_learning_rate` at the last step; rsqrt, falling as
        1 / sqrt(step) (1706.03762, equation 3); constant.
      clip_norm: the gradient's largest global norm; 0 does not clip.
      weight_decay: decoupled, times the learning rate (AdamW, and the same for the others); 0 for none.
      decay: patterns (whole match) over parameter paths, "encoder/block_00/mlp/expand/kernel", that decay.
      layer_decay: the learning rate of each layer, as a share of that of the layer above it: see training/layerwise.py.
      frozen: patterns over parameter paths that are not trained, and have no optimiser state.
      b1, b2, eps: of adamw. momentum, nesterov: of sgd. Adafactor takes the learning rate as it is (no relative steps).
    """
    if not 0 <= warmup_steps < total_steps:
        raise UserError(
            f"config.optim.warmup_steps={warmup_steps} leaves nothing of {total_steps} steps: "
            "try --config.optim.warmup_steps=0, or more steps."
        )
    if not 0 < layer_decay <= 1:
        raise UserError(f"config.optim.layer_decay={layer_decay} must be more than 0 and at most 1.")
    rate = _schedule(schedule, learning_rate, warmup_steps, total_steps, end_learning_rate)
    core = {
        "adamw": lambda: optax.scale_by_adam(b1, b2, eps),
        "sgd": lambda: optax.trace(momentum, nesterov) if momentum else optax.identity(),
        "adafactor": lambda: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
    }[name]()
    parts = [
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        core,
        optax.add_decayed_weights(weight_decay, lambda params: decayed(params, decay))
        if weight_decay
        else optax.identity(),
        *([layerwise.scaled(layer_decay)] if layer_decay != 1 else []),
        optax.scale_by_learning_rate(rate),
    ]
    whole = optax.chain(*parts)
    return layerwise.only_trained(whole, frozen) if frozen else whole, rate


def _schedule(kind: str, peak: float, warmup: int, total: int, end: float) -> Schedule:
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, total - warmup, alpha=end / peak if peak else 0.0),
        "linear": lambda: optax.linear_schedule(peak, end, total - warmup),
        "rsqrt": lambda: lambda step: peak * jnp.sqrt(max(warmup, 1) / (jnp.maximum(step, 0) + warmup + 1)),
        "constant": lambda: optax.constant_schedule(peak),
    }[kind]()
    if not warmup:
        return after
    # The first step is taken with peak / warmup, not with a rate of zero.
    start = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([start, after], [warmup])


def decayed(params: Any, patterns: tuple[str, ...]) -> Any:
    """The tree of booleans that says which parameters decay.

    Raises:
      UserError: a pattern that matches no parameter.
    """
    names = paths.names(params)
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in names):
            raise UserError(f"config.optim.decay: {pattern!r} matches no parameter, such as {names[0]!r}.")
    leaves = [any(re.fullmatch(pattern, name) for pattern in patterns) for name in names]
    return jax.tree.unflatten(jax.tree.structure(params), leaves)
