"""How far back the loss reaches: the norm of its gradient by each token's embedding (1211.5063, section 2).

In a recurrence ∂L/∂e_t passes through the Jacobians of all cells after t, ∏ ∂h_{k+1}/∂h_k, whose norm shrinks or grows
exponentially with the distance. In attention every token is one step away.

B batch, S tokens, E embedding, R runs.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree
from matplotlib.figure import Figure

import tasks
from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject, apply
from errors import UserError
from experiment import Run
from models.tokens import PAD
from training.trees import Variables


def lacks(subject: Subject) -> str:
    """A model that reads no tokens."""
    if not subject.reads_tokens:
        return "the model reads no sentences"
    return "its texts have a tower of their own" if subject.has("text/.*") else ""


def arrays(subject: Subject) -> Arrays:
    """Gradient norms of one batch of the evaluation split, of this run and of those beside it.

    Returns:
      names (R,); norms (R, S), NaN after the end of a shorter run's; first_over_last, of this run: the norm at the
      first token over the norm at the last symbol.
    """
    runs = subject.runs()
    batches = [islice(run.pipeline.eval_batches(run.pipeline.eval_splits[0]), 1) for run, _ in runs]
    curves = [norms(run, variables, own) for (run, variables), own in zip(runs, batches, strict=True)]
    table = np.full((len(curves), max(map(len, curves))), np.nan, np.float32)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    names = [_name(run.config["model"]) for run, _ in runs]
    last = curves[0][-2:].max()  # of the sentence's end and of the symbol before it
    return {
        "names": np.array(names),
        "norms": table,
        "first_over_last": curves[0][0] / max(last, np.finfo(np.float32).tiny),
    }


def norms(run: Run, variables: Variables, batches: Iterable[Mapping[str, np.ndarray]]) -> Float[np.ndarray, " S"]:
    """‖∂L/∂e_t‖, where L is a sentence's loss in evaluation, averaged over the sentences that have a token t.

    If the model translates, e_t is the source's embedding and L the sum over the target's tokens.

    Args:
      run: whose model reads tokens.
      variables: of the model, one copy for all devices, as run.devices.get_state returns them.
      batches: as run.pipeline.eval_batches yields them.

    Returns:
      float32, S the greatest length.

    Raises:
      UserError: the model has no token embedding, or there are no sentences.
    """
    one = jax.jit(partial(of_batch, run.model, run.task))
    total, count = np.zeros(0), np.zeros(0)
    for batch in batches:
        norm, real = jax.device_get(one(variables, batch))
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
    """A curve for each run, over the tokens."""
    figure = picture.begin(6, 3.8, "How far back the loss reaches")
    axes = figure.subplots()
    for name, curve in zip(arrays["names"], arrays["norms"], strict=True):
        axes.plot(np.arange(1, len(curve) + 1), curve, label=picture.literal(name), linewidth=1.5)
    axes.set(xlabel="token", ylabel="gradient norm of its embedding", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _name(model: Mapping[str, str]) -> str:
    """A name for config.model: the cell of a recurrence, else the model's name."""
    return model.get("cell", model["name"].replace("classifier", "transformer encoder")) + (
        f" + {model['attention']}" if model.get("attention") else ""
    )


def of_batch(
    model: nn.Module, task: tasks.Task, variables: Variables, batch: tasks.Batch
) -> tuple[Float[Array, "B S"], Bool[Array, "B S"]]:
    """‖∂L/∂e_t‖ of one batch, and which tokens are real: see `norms`."""

    def loss(shift: Callable[[jax.Array], jax.Array]) -> tuple[Float[Array, ""], Int[Array, "B S"]]:
        """The sum of the sentences' losses if `shift` is applied to the embedded tokens, and the tokens."""
        tokens: list[jax.Array] = []

        def intercept(
            call: Callable[..., PyTree], arguments: PyTree, keywords: PyTree, context: nn.module.InterceptorContext
        ) -> PyTree:
            """Shifts what the first embedding returns. A model that translates embeds the source first."""
            result = call(*arguments, **keywords)
            embeds = isinstance(context.module, nn.Embed) and context.method_name == "__call__"
            if not embeds or tokens:
                return result
            tokens.append(arguments[0])
            return shift(result)

        with nn.intercept_methods(intercept):
            summed = task.sums(apply(model, variables, train=False), batch, train=False)["loss"][0]
        if not tokens:
            raise UserError("this model embeds no tokens: gradients by token are of models that read sentences.")
        return summed, tokens[0]

    embedded: list[jax.Array] = []

    def keep(x: jax.Array) -> jax.Array:
        embedded.append(x)
        return x

    jax.eval_shape(lambda: loss(keep))
    zeros = jnp.zeros(embedded[0].shape, embedded[0].dtype)
    gradient, tokens = jax.grad(lambda zeros: loss(lambda x: x + zeros), has_aux=True)(zeros)
    real = tokens != PAD
    if "mask" in batch and batch["mask"].ndim == 1:  # a weight for each example
        real &= batch["mask"][:, None] > 0
    if "index" in batch:
        real &= batch["index"][:, None] >= 0
    return jnp.linalg.norm(gradient.astype(jnp.float32), axis=-1), real
