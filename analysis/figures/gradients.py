"""How far back the loss reaches: the norm of its gradient by each token's embedding, over time steps (1211.5063, section 2).

In a recurrence ∂L/∂e_t passes through the Jacobians of all cells after t, ∏ ∂h_{k+1}/∂h_k, whose norm shrinks or grows
exponentially with the distance; in attention every token is one step away.

B batch, S tokens, E embedding, R runs.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from errors import UserError
from experiment import Run

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def norms(run: Run, params: Any, batches: Iterable[dict[str, np.ndarray]], from_end: bool = False) -> np.ndarray:
    """‖∂L/∂e_t‖, L a sentence's loss in evaluation, averaged over the sentences that have a token t.

    Args:
      run: of a model that reads tokens. Of one that translates, e_t is the source's and L the sum over the target's tokens.
      params: not copied for each device, as run.devices.get_state gives them.
      batches: as run.pipeline.eval_batches gives them. from_end: count t back from the last token, EOS, which is 0.

    Returns:
      float32 (S,), S the greatest length.

    Raises:
      UserError: a model that has no embedding of tokens, or no sentences.
    """
    one = jax.jit(partial(_norms, run.model, run.task))
    total, count = np.zeros(0), np.zeros(0)
    for batch in batches:
        norm, real = jax.device_get(one(params, batch))
        place = np.broadcast_to(np.arange(real.shape[1]), real.shape)
        place = (real.sum(1, keepdims=True) - 1 - place if from_end else place)[real]
        missing = max(0, real.shape[1] - len(total))
        total, count = np.pad(total, (0, missing)), np.pad(count, (0, missing))
        np.add.at(total, place, norm[real])
        np.add.at(count, place, 1)
    if not count.any():
        raise UserError("there are no sentences to take gradients of: choose another split.")
    length = int(count.nonzero()[0][-1]) + 1
    return (total[:length] / np.maximum(count[:length], 1)).astype(np.float32)


def draw(curves: dict[str, np.ndarray], path: Path, axis: str = "time step") -> None:
    """Writes the picture of each run's norms (S,), by its name, over `axis`; and beside it, as .npz, `names` (R,) and
    `norms` (R, S), NaN after a shorter run's end."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, curve in curves.items():
        axes.plot(curve, label=name)
    axes.set_yscale("log")
    axes.set_xlabel(axis)
    axes.set_ylabel("gradient norm of the token's embedding")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    table = np.full((len(curves), max(map(len, curves.values()))), np.nan, np.float32)
    for row, curve in zip(table, curves.values(), strict=True):
        row[: len(curve)] = curve
    np.savez(path.with_suffix(".npz"), names=np.array(list(curves)), norms=table)


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
