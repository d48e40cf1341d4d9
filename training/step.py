"""One step of training, one of evaluation: pure functions of (state, batch)."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from training import layerwise
from training.parallel import Axis

Batch = dict[str, jax.Array]
Sums = dict[str, tuple[jax.Array, jax.Array]]

MEMORY = 0.99  # of the usual loss: about the last hundred steps
SETTLED = 0.18  # the usual loss's weight after twenty steps; before, no loss is a spike


@flax.struct.dataclass
class State:
    """All that a run carries from step to step, and so all that a checkpoint holds. Randomness is not in it: every
    key is folded from the seed and the step."""

    step: jax.Array  # int32, gradient steps taken
    params: Any
    opt_state: Any
    ema: Any  # the weights' exponential moving average; empty when it is off
    usual: dict[str, jax.Array]  # moving sums of the steps' `loss` and `weight`: their quotient is the usual loss

    @property
    def eval_params(self) -> Any:
        """The weights to evaluate: the moving average where there is one."""
        return self.ema or self.params


def initialise(
    *,
    model: nn.Module,
    task: Any,
    optimiser: optax.GradientTransformation,
    batch: dict[str, jax.ShapeDtypeStruct],
    seed: int,
    ema: bool,
) -> State:
    """The state before the first step. batch: shapes and dtypes of one; the model is called as the task calls it."""
    found: list[Any] = []

    def apply(*inputs: jax.Array) -> Any:
        found.append(model.init(jax.random.key(seed), *inputs, train=False)["params"])
        return model.apply({"params": found[0]}, *inputs, train=False)

    task.sums(apply, {name: jnp.zeros(x.shape, x.dtype) for name, x in batch.items()}, train=False)
    params = found[0]
    average = jax.tree.map(jnp.copy, params) if ema else {}
    return State(jnp.zeros((), jnp.int32), params, optimiser.init(params), average, nothing_usual())


def nothing_usual() -> dict[str, jax.Array]:
    """State.usual before the first step."""
    return {"loss": jnp.zeros(()), "weight": jnp.zeros(())}


def averaged(states: Iterable[State]) -> State:
    """The last of these states with the mean of all their weights (and moving averages)."""
    total, count = None, 0
    for state in states:
        weights = (state.params, state.ema)
        total = weights if total is None else jax.tree.map(jnp.add, total, weights)
        count += 1
    params, ema = jax.tree.map(lambda x: x / count, total)
    return replace(state, params=params, ema=ema)


def train_step(
    state: State,
    batch: Batch,
    axis: Axis,
    *,
    model: nn.Module,
    task: Any,
    optimiser: optax.GradientTransformation,
    seed: int,
    accumulate: int,
    ema_decay: float,
    spike: float = 0.0,
    frozen: tuple[str, ...] = (),
) -> tuple[State, Sums]:
    """One gradient step.

    The gradient is that of (summed loss) / (summed weight) over the whole global batch: both are added over
    micro-batches and devices and divided once, so that neither padding nor the number of devices changes it. A step
    whose loss or gradient is not finite leaves the weights alone and counts in `nonfinite`; so does one whose loss is
    more than `spike` times the usual one, which counts in `spike`. Where `spike` is 0 none is.

    Args:
      batch: this device's share, (b, ...) each; b divides by `accumulate`, the number of micro-batches.
      axis: sums over the devices that share the step.
      frozen: patterns over the paths of parameters that get no gradient.

    Returns:
      The new state, and the task's sums together with grad_norm (before clipping), nonfinite and, where spikes are told,
      spike, each with weight 1.
    """
    key = axis.fold(jax.random.fold_in(jax.random.key(seed), state.step))

    def summed_loss(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Sums]:
        if frozen:  # what has no gradient need not be gone back through
            stays = layerwise.frozen(params, frozen)
            params = jax.tree.map(lambda x, s: jax.lax.stop_gradient(x) if s else x, params, stays)

        def apply(*inputs: jax.Array) -> Any:
            return model.apply({"params": params}, *inputs, train=True, rngs={"dropout": key})

        sums = task.sums(apply, batch, train=True)
        return sums["loss"][0], sums

    gradient = jax.grad(summed_loss, has_aux=True)
    if accumulate == 1:
        grads, sums = gradient(state.params, batch, key)
    else:
        grads, sums = _accumulated(gradient, state.params, batch, key, accumulate)
    grads, sums = axis.sum((grads, sums))

    weight = jnp.maximum(sums["loss"][1], 1e-8)  # a batch of padding alone has no gradient, not an undefined one
    grads = jax.tree.map(lambda g: g / weight.astype(g.dtype), grads)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(grad_norm) & jnp.isfinite(sums["loss"][0])

    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = optax.incremental_update(params, state.ema, 1 - ema_decay) if ema_decay else state.ema
    one, loss = jnp.ones(()), sums["loss"][0] / weight
    forget = (1 - MEMORY) * (sums["loss"][1] > 0)  # padding alone has no loss to remember
    usual = optax.incremental_update({"loss": loss, "weight": one}, state.usual, forget)

    sums |= {"grad_norm": (grad_norm, one)}
    sums = jax.tree.map(lambda x: jnp.where(finite, x, 0), sums) | {"nonfinite": (1.0 - finite, one)}
    good = finite
    if spike:
        settled = state.usual["weight"] > SETTLED
        spiked = finite & settled & (loss * state.usual["weight"] > spike * state.usual["loss"])
        sums["spike"] = (spiked.astype(jnp.float32), one)
        good = finite & ~spiked
    after = State(state.step, params, opt_state, ema, usual)
    kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state)
    return replace(kept, step=state.step + 1), sums


def _accumulated(
    gradient: Callable[..., tuple[Any, Sums]], params: Any, batch: Batch, key: jax.Array, accumulate: int
) -> tuple[Any, Sums]:
    """Gradient and sums added over `accumulate` micro-batches, one after the other."""

    # Micro-batch i takes examples i, i + accumulate, ...: where the batch is sharded, each keeps a share on every device.
    def split(x: jax.Array) -> jax.Array:
        return x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)

    def body(total: Any, micro: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        index, part = micro
        return jax.tree.map(jnp.add, total, gradient(params, part, jax.random.fold_in(key, index))), None

    parts = jax.tree.map(split, batch)
    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], parts), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(body, zeros, (jnp.arange(accumulate), parts))[0]


def eval_step(params: Any, batch: Batch, axis: Axis, *, model: nn.Module, task: Any) -> Sums:
    """The task's sums over one batch, without gradient or randomness."""

    def apply(*inputs: jax.Array) -> Any:
        return model.apply({"params": params}, *inputs, train=False)

    return axis.sum(task.sums(apply, batch, train=False))
