"""A training step for published JAX models with AdamW, and clipping where ours clips."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import optax
from contestants.here import Theirs

Loss = Callable[[Theirs, jax.Array, Theirs], jax.Array]  # (params, key of the dropout, batch) -> the mean loss
State: TypeAlias = Theirs  # parameters, the optimiser's state, and the number of the step


def make(
    loss: Loss, clip: bool
) -> tuple[Callable[[Theirs], State], Callable[[State, Theirs], tuple[State, jax.Array]]]:
    """params -> the state before the first step, and the step: (state, batch) -> (state, loss)."""
    adamw = optax.adamw(1e-3, weight_decay=0.1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), adamw) if clip else adamw

    def begin(params: Theirs) -> State:
        return params, optimiser.init(params), jax.numpy.int32(0)

    def step(state: State, batch: Theirs) -> tuple[State, jax.Array]:
        params, opt_state, number = state
        key = jax.random.fold_in(jax.random.key(0), number)
        value, gradients = jax.value_and_grad(loss)(params, key, batch)
        updates, opt_state = optimiser.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, number + 1), value

    return begin, step


def training(loss: Loss, params: Theirs, batch: Theirs, units: int, clip: bool) -> Callable[[], float]:
    """What takes a step and returns its units, such as images."""
    begin, step = make(loss, clip)
    compiled = jax.jit(step, donate_argnums=0)
    state, batch = begin(params), jax.device_put(batch)

    def work() -> float:
        nonlocal state
        state, value = compiled(state, batch)
        jax.block_until_ready(value)
        return units

    return work
