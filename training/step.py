"""One step of training, one of evaluation: pure functions of (state, batch)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from training import layerwise, optim
from training.parallel import Axis
from training.trees import Batch, PyTree, Shapes, Sums, Variables

MEMORY = 0.99  # of the usual loss: about the last hundred steps
SETTLED = 0.18  # the usual loss's weight after twenty steps; before, no loss is a spike
Options = dict[str, Any]  # a flag, keys of randomness, a method: whatever model.apply takes
NOT_KEPT = ("params", "probe", "intermediates")  # collections of variables that are not State.collections


class Task(Protocol):
    """What a step asks of a task: see tasks/__init__.py."""

    def sums(self, apply: "Apply", batch: Batch, train: bool) -> Sums:
        """The loss, as "loss", and metrics of one batch."""


class Apply:
    """A model with its variables, as tasks call it: `apply(*inputs)` is the model's output.

    Attributes:
      variables: the model's parameters and other collections; where these are mutable, as the last call left them.
      gather: the rows (b, ...) of all devices that share the step, (B, ...).
      step: gradient steps that were taken before, int32; 0 outside of training.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Variables,
        gather: Callable[[jax.Array], jax.Array],
        mutable: bool = False,
        average: PyTree = None,
        step: jax.Array | int = 0,
        **options: object,
    ):
        """options: of every call, such as train=False. mutable: whether calls change the collections. average: the
        weights' moving average, where it is another tree than the weights."""
        self.variables, self.gather, self.step = dict(variables), gather, step
        self._model, self._mutable, self._options, self._average = model, mutable, options, average

    def __call__(self, *inputs: jax.Array | None, **options: object) -> PyTree:
        """The model's output. options: of the method that is called, such as method="start"."""
        return self._applied(self.variables, *inputs, **options)

    def averaged(self, *inputs: jax.Array | None, **options: object) -> PyTree:
        """The output with the weights' moving average, through which no gradient goes back. Where there is no average,
        with the weights themselves."""
        if not self._average:
            return jax.lax.stop_gradient(self(*inputs, **options))
        return jax.lax.stop_gradient(self._applied(self.variables | {"params": self._average}, *inputs, **options))

    def _applied(self, variables: Variables, *inputs: jax.Array | None, **called: object) -> PyTree:
        options: Options = {**self._options, **called}
        if not (self._mutable and self.collections):
            return self._model.apply(variables, *inputs, **options)
        output, changed = self._model.apply(variables, *inputs, mutable=list(self.collections), **options)
        self.variables |= changed
        return output

    @property
    def collections(self) -> dict[str, PyTree]:
        """The variables that are not parameters."""
        return {name: tree for name, tree in self.variables.items() if name not in NOT_KEPT}


@flax.struct.dataclass
class State:
    """All that a run carries from step to step, and so all that a checkpoint holds.

    Randomness is not in it: every key is folded from the seed and the step.

    Attributes:
      step: int32, gradient steps taken.
      params: the weights.
      opt_state: of the optimiser.
      ema: the weights' exponential moving average; empty when it is off.
      usual: moving sums of the steps' `loss` and `weight`, whose quotient is the usual loss.
      collections: what the model carries besides parameters, by collection: batch statistics. Empty for most models.
    """

    step: jax.Array
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    usual: dict[str, jax.Array]
    collections: dict[str, PyTree] = flax.struct.field(default_factory=dict)

    @property
    def eval_params(self) -> PyTree:
        """The weights to evaluate: the moving average where there is one, or what the optimiser says they are."""
        return self.ema or optim.eval_params(self.opt_state, self.params)

    @property
    def variables(self) -> dict[str, PyTree]:
        """What the model is applied with in training."""
        return {"params": self.params, **self.collections}

    @property
    def eval_variables(self) -> dict[str, PyTree]:
        """What the model is applied with in evaluation."""
        return {"params": self.eval_params, **self.collections}


def initialise(
    init_params: Mapping[str, jax.Array] | None = None,
    *,
    model: nn.Module,
    task: Task,
    optimiser: optax.GradientTransformation,
    batch: Shapes,
    seed: int,
    ema: bool,
) -> State:
    """The state before the first step.

    Args:
      init_params: parameters that are not drawn, by path. The optimiser begins with them too: some keep a copy.
      batch: shapes and dtypes of one. The model is called as the task calls it: if the task calls several methods, it
        has the parameters of all.
    """
    variables = _variables(model, task, batch, seed)
    variables |= {("params", *name.split("/")): x for name, x in (init_params or {}).items()}
    collections = unflatten_dict(variables)
    params = collections.pop("params")
    average = jax.tree.map(jnp.copy, params) if ema else {}
    return State(jnp.zeros((), jnp.int32), params, optimiser.init(params), average, nothing_usual(), collections)


def _variables(model: nn.Module, task: Task, batch: Shapes, seed: int) -> dict[tuple[str, ...], jax.Array]:
    """The first variables of a model, by path, in the order in which it comes to them."""
    found: dict[tuple[str, ...], jax.Array] = {}

    class Initialising(Apply):
        def __call__(self, *inputs: jax.Array | None, **called: object) -> PyTree:
            options: Options = {"train": False, **called}
            output, variables = model.init_with_output(jax.random.key(seed), *inputs, **options)
            found.update(flatten_dict({k: v for k, v in variables.items() if k == "params" or k not in NOT_KEPT}))
            return output

    apply = Initialising(model, {}, gather=lambda x: x)
    task.sums(apply, {name: jnp.zeros(x.shape, x.dtype) for name, x in batch.items()}, train=False)
    return found


def order(model: nn.Module, task: Task, batch: Shapes) -> list[str]:
    """The paths of a model's parameters, in the order in which it comes to them. batch: see `initialise`."""
    names: list[str] = []

    def note() -> None:
        names.extend("/".join(path[1:]) for path in _variables(model, task, batch, 0) if path[0] == "params")

    jax.eval_shape(note)
    return names


def nothing_usual() -> dict[str, jax.Array]:
    """State.usual before the first step."""
    return {"loss": jnp.zeros(()), "weight": jnp.zeros(())}


def evaluated(state: State) -> State:
    """The state whose weights are those that are evaluated, without what only training needs."""
    return replace(state, params=state.eval_params, ema={}, opt_state={})


def averaged(states: Iterable[State]) -> State:
    """The last of these states with the mean of all their evaluated weights and collections: see `evaluated`."""
    total: PyTree = None
    count = 0
    for state in map(evaluated, states):
        weights = (state.params, state.collections)
        total = weights if total is None else jax.tree.map(jnp.add, total, weights)
        count += 1
    params, collections = jax.tree.map(lambda x: x / count, total)
    return replace(state, params=params, collections=collections)


def train_step(
    state: State,
    batch: Batch,
    axis: Axis,
    *,
    model: nn.Module,
    task: Task,
    optimiser: optax.GradientTransformation,
    seed: int,
    accumulate: int,
    ema_decay: float,
    ema_warmup: bool = False,
    ema_rises: int = 0,
    spike: float = 0.0,
    frozen: tuple[str, ...] = (),
) -> tuple[State, Sums]:
    """One gradient step.

    The gradient is that of (summed loss) / (summed weight) over the whole global batch: both are added over
    micro-batches and devices and divided once, so that neither padding nor the number of devices changes it. A bad step
    changes nothing but State.step. It is one whose loss or gradient is not finite, counted in `nonfinite`, or one whose
    loss is more than `spike` times the usual one, counted in `spike`.

    Collections such as batch statistics are carried from one micro-batch to the next, and averaged over the devices.

    Args:
      batch: this device's share, (b, ...) each; b divides by `accumulate`, the number of micro-batches.
      axis: the devices that share the step.
      ema_decay: of the weights' moving average; 0 for none.
      ema_warmup: whether the average begins with a lower decay: see `averaging_decay`.
      ema_rises: the step at which the decay has risen to 1; 0 for one that stays.
      spike: 0 for no detection of spikes.
      frozen: patterns over the paths of parameters that get no gradient.

    Returns:
      The new state, and the task's sums together with grad_norm (before clipping), nonfinite and, where spikes are
      detected, spike, each with weight 1.
    """
    gradient_at = _summed_gradient(
        state, batch, axis, model=model, task=task, seed=seed, accumulate=accumulate, frozen=frozen
    )

    def mean(grads: PyTree, sums: Sums) -> PyTree:
        weight = _weight(sums)
        return jax.tree.map(lambda g: g / weight.astype(g.dtype), grads)

    grads, sums, collections = gradient_at(state.params)
    grad_norm, loss, one = optax.tree.norm(mean(grads, sums)), sums["loss"][0] / _weight(sums), jnp.ones(())
    finite = jnp.isfinite(grad_norm) & jnp.isfinite(sums["loss"][0])

    def moved(state: State) -> tuple[State, jax.Array]:
        """The state after this step, and whether the gradients were finite that the optimiser itself asked for."""
        further = []

        def mean_gradient(params: PyTree, _: int) -> PyTree:
            found = mean(*gradient_at(params)[:2])
            further.append(jnp.isfinite(optax.tree.norm(found)))
            return found

        extra = {"value": loss, "grad_norm": grad_norm, "grad_fn": mean_gradient}
        update = optax.with_extra_args_support(optimiser).update
        updates, opt_state = update(mean(grads, sums), state.opt_state, state.params, **extra)
        params = optax.apply_updates(state.params, updates)
        decay = averaging_decay(ema_decay, state.step + 1, ema_warmup, ema_rises)
        ema = optax.incremental_update(params, state.ema, 1 - decay) if ema_decay else state.ema
        forget = (1 - MEMORY) * (sums["loss"][1] > 0)  # padding alone has no loss to remember
        usual = optax.incremental_update({"loss": loss, "weight": one}, state.usual, forget)
        after = State(state.step, params, opt_state, ema, usual, collections)
        if not further:
            return after, jnp.asarray(True)
        good = jnp.stack(further).all()
        return jax.tree.map(partial(jnp.where, good), after, state), good

    def unmoved(state: State) -> tuple[State, jax.Array]:
        return state, jnp.asarray(True)

    good, spiked = finite, jnp.asarray(False)
    if spike:
        settled = state.usual["weight"] > SETTLED
        spiked = finite & settled & (loss * state.usual["weight"] > spike * state.usual["loss"])
        good = finite & ~spiked
    if axis.branches:
        after, also_finite = jax.lax.cond(good, moved, unmoved, state)
    else:
        after, also_finite = jax.tree.map(partial(jnp.where, good), moved(state), unmoved(state))
    finite &= also_finite

    sums |= {"grad_norm": (grad_norm, one)}
    sums = jax.tree.map(lambda x: jnp.where(finite, x, 0), sums) | {"nonfinite": (1.0 - finite, one)}
    if spike:
        sums["spike"] = (spiked.astype(jnp.float32), one)
    return replace(after, step=state.step + 1), sums


def _summed_gradient(
    state: State,
    batch: Batch,
    axis: Axis,
    *,
    model: nn.Module,
    task: Task,
    seed: int,
    accumulate: int,
    frozen: tuple[str, ...],
) -> Callable[[PyTree], tuple[PyTree, Sums, PyTree]]:
    """Parameters -> the gradient of the summed loss there and the task's sums, both added over micro-batches and
    devices; and the collections afterwards. Args: see train_step."""
    key = jax.random.fold_in(jax.random.key(seed), state.step)

    def total(axis: Axis, whole: tuple[PyTree, PyTree, jax.Array], batch: Batch) -> tuple[PyTree, Sums, PyTree]:
        """Gradient and sums, added over the micro-batches and then over the axis; and the collections afterwards."""

        def summed_loss(
            params: PyTree, collections: PyTree, batch: Batch, key: jax.Array
        ) -> tuple[jax.Array, tuple[Sums, PyTree]]:
            if frozen:  # what has no gradient need not be gone back through
                stays = layerwise.frozen(params, frozen)
                params = jax.tree.map(lambda x, s: jax.lax.stop_gradient(x) if s else x, params, stays)
            variables = {"params": params, **collections}
            also = dict(mutable=True, average=state.ema, step=state.step)
            apply = Apply(model, variables, axis.gather, **also, train=True, rngs={"dropout": key})
            sums = task.sums(apply, batch, train=True)
            return sums["loss"][0], (sums, apply.collections)

        params, collections, key = whole
        gradient, key = jax.grad(summed_loss, has_aux=True), axis.fold(key)
        if accumulate == 1:
            grads, (sums, collections) = gradient(params, collections, batch, key)
        else:
            grads, sums, collections = _accumulated(gradient, params, collections, batch, key, accumulate)
        return (*axis.sum((grads, sums)), axis.mean(collections))

    def gradient_at(params: PyTree) -> tuple[PyTree, Sums, PyTree]:
        # The compiler would add over the devices in each micro-batch.
        added = axis.each(total) if accumulate > 1 and axis.each else partial(total, axis)
        return added((params, state.collections, key), batch)

    return gradient_at


def averaging_decay(
    decay: float, step: jax.typing.ArrayLike, warmup: bool = True, rises: int = 0
) -> jax.typing.ArrayLike:
    """The moving average's decay at a step, from 1 on.

    Args:
      warmup: no more than (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage: without it, a decay of
        0.9999 still gives the first weights 99 % of the average after a hundred steps.
      rises: the step at which it is 1, from `decay` at the first by half a cosine (2006.07733, section 3.3); 0 for a
        decay that stays.
    """
    found: jax.typing.ArrayLike = decay
    if rises:
        share = jnp.minimum((step - 1) / rises, 1.0)
        found = 1 - (1 - decay) * (jnp.cos(jnp.pi * share) + 1) / 2
    return jnp.minimum(found, (1 + step) / (10 + step)) if warmup else found


def _weight(sums: Sums) -> jax.Array:
    """The loss's weight. A batch of padding alone has no gradient, not an undefined one."""
    return jnp.maximum(sums["loss"][1], 1e-8)


def _accumulated(
    gradient: Callable[..., tuple[PyTree, tuple[Sums, PyTree]]],
    params: PyTree,
    collections: PyTree,
    batch: Batch,
    key: jax.Array,
    accumulate: int,
) -> tuple[PyTree, Sums, PyTree]:
    """Gradient and sums added over `accumulate` micro-batches in a row, and the collections after the last."""

    # Micro-batch i takes examples i, i + accumulate, ...: of a sharded batch, each has a share on every device.
    def split(x: jax.Array) -> jax.Array:
        return x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)

    def body(carry: tuple[PyTree, PyTree], micro: tuple[jax.Array, Batch]) -> tuple[tuple[PyTree, PyTree], None]:
        (total, collections), (index, part) = carry, micro
        grads, (sums, collections) = gradient(params, collections, part, jax.random.fold_in(key, index))
        return (jax.tree.map(jnp.add, total, (grads, sums)), collections), None

    parts = jax.tree.map(split, batch)
    first = jax.tree.map(lambda x: x[0], parts)
    grads, (sums, _) = jax.eval_shape(gradient, params, collections, first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, sums))
    carry, _ = jax.lax.scan(body, (zeros, collections), (jnp.arange(accumulate), parts))
    (grads, sums), collections = carry
    return grads, sums, collections


def eval_step(variables: Variables, batch: Batch, axis: Axis, *, model: nn.Module, task: Task) -> Sums:
    """The task's sums over one batch, without gradient or randomness. variables: State.eval_variables."""
    return axis.sum(task.sums(Apply(model, variables, axis.gather, train=False), batch, train=False))
