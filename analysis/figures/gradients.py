"""How far back the loss reaches: the norm of its gradient by each token's embedding, over time steps (1211.5063, section 2).

In a recurrence ∂L/∂e_t passes through the Jacobians of all cells after t, ∏ ∂h_{k+1}/∂h_k, whose norm shrinks or grows
exponentially with the distance; in attention every token is one step away.

B batch, S tokens, E embedding, R runs.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from errors import UserError
from experiment import Run


def lacks(subject: Subject) -> str:
    return "the model reads no sentences" if subject.reads_images else ""


def arrays(subject: Subject) -> Arrays:
    """Of one batch of the evaluation split, by this run and those beside it: norms (R, S), NaN after a shorter run's
    end; first_over_last: how much of the last symbol's gradient is left at the first, by this run."""
    runs = [(subject.run, subject.params), *map(subject.load, subject.beside)]
    curves = [
        norms(run, params, islice(run.pipeline.eval_batches(run.pipeline.eval_splits[0]), 1)) for run, params in runs
    ]
    table = np.full((len(curves), max(map(len, curves))), np.nan, np.float32)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    names = [_named(run.config["model"]) for run, _ in runs]
    last = curves[0][-2:].max()  # of the sentence's end and of the symbol before it
    return {
        "names": np.array(names),
        "norms": table,
        "first_over_last": curves[0][0] / max(last, np.finfo(np.float32).tiny),
    }


def norms(run: Run, params: Any, batches: Iterable[dict[str, np.ndarray]]) -> np.ndarray:
    """‖∂L/∂e_t‖, L a sentence's loss in evaluation, averaged over the sentences that have a token t.

    Args:
      run: of a model that reads tokens. Of one that translates, e_t is the source's and L the sum over the target's tokens.
      params: not copied for each device, as run.devices.get_state gives them.
      batches: as run.pipeline.eval_batches gives them.

    Returns:
      float32 (S,), S the greatest length.

    Raises:
      UserError: a model that has no embedding of tokens, or no sentences.
    """
    one = jax.jit(partial(_norms, run.model, run.task))
    total, count = np.zeros(0), np.zeros(0)
    for batch in batches:
        norm, real = jax.device_get(one(params, batch))
        place = np.broadcast_to(np.arange(real.shape[1]), real.shape)[real]
        missing = max(0, real.shape[1] - len(total))
        total, count = np.pad(total, (0, missing)), np.pad(count, (0, missing))
        np.add.at(total, place, norm[real])
        np.add.at(count, place, 1)
    if not count.any():
        raise UserError("there are no sentences to take gradients of: choose another split.")
    length = int(count.nonzero()[0][-1]) + 1
    return (total[:length] / np.maximum(count[:length], 1)).astype(np.float32)


def draw(arrays: Arrays) -> Figure:
    figure = picture.begin(6, 3.8, "How far back the loss reaches")
    axes = figure.subplots()
    for name, curve in zip(arrays["names"], arrays["norms"], strict=True):
        axes.plot(np.arange(1, len(curve) + 1), curve, label=name, linewidth=1.5)
    axes.set(xlabel="token", ylabel="gradient norm of its embedding", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _named(model: dict[str, Any]) -> str:
    """A recurrence by its cell, others by their name."""
    return model.get("cell", model["name"].replace("classifier", "transformer encoder")) + (
        f" + {model['attention']}" if model.get("attention") else ""
    )


def _norms(model: nn.Module, task: Any, params: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Of one batch: ‖∂L/∂e_t‖ (B, S), and which tokens are real (B, S)."""

    def loss(shift: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, jax.Array]:
        """The sum of the sentences' losses where the embedded tokens are shifted, and the tokens."""
        seen: list[jax.Array] = []

        def between(call: Any, arguments: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
            result = call(*arguments, **keywords)
            embeds = isinstance(context.module, nn.Embed) and context.method_name == "__call__"
            if not embeds or seen:  # a model that translates embeds the source first
                return result
            seen.append(arguments[0])
            return shift(result)

        def apply(*inputs: jax.Array) -> Any:
            return model.apply({"params": params}, *inputs, train=False)

        with nn.intercept_methods(between):
            summed = task.sums(apply, batch, train=False)["loss"][0]
        if not seen:
            raise UserError("this model embeds no tokens: gradients by time step are of models that read sentences.")
        return summed, seen[0]

    embedded: list[jax.Array] = []

    def keep(x: jax.Array) -> jax.Array:
        embedded.append(x)
        return x

    jax.eval_shape(lambda: loss(keep))
    zeros = jnp.zeros(embedded[0].shape, embedded[0].dtype)
    gradient, tokens = jax.grad(lambda zeros: loss(lambda x: x + zeros), has_aux=True)(zeros)
    real = tokens != 0
    if "mask" in batch:
        real &= batch["mask"][:, None] > 0
    return jnp.linalg.norm(gradient.astype(jnp.float32), axis=-1), real
