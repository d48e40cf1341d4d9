"""Attention of an image encoder, taken from the forward pass that computes its output.

B batch, N tokens, H heads, L layers, R rows and C columns of patches. The last R * C tokens are the patches.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from experiment.probes import by_layer
from training.trees import Variables, by_name

PROBE = "attention/attention/0"  # where an encoder block sows the weights of its self-attention
SELF = ("attention/", "self_attention/")  # where a block of an encoder and one of a decoder attend to themselves
POOLING = f"pooling/{PROBE}"
MEMORY = 2**28  # bytes of attention weights held at once


class Seen(NamedTuple):
    """What one forward pass returned, on the devices or, from `passes` and `all_at_once`, as NumPy arrays.

    Attributes:
      output: what the model returns.
      attention: float32 weights of all layers. Rows are queries and sum to 1.
      reading: float32 weight of each token of the last layer in what the head reads. Each row sums to 1.
    """

    output: PyTree[Array | np.ndarray]
    attention: Float[Array | np.ndarray, "L B H N N"]
    reading: Float[Array | np.ndarray, "B N"]


def see(model: nn.Module, variables: Variables, image: Float[Array, "B height width channels"]) -> Seen:
    """One forward pass, not in training, with the attention of all layers."""
    output, sown = model.apply(variables, image, train=False, mutable="probe")
    probes: dict[str, Array] = by_name(sown["probe"])
    encoder = {path: value for path, value in probes.items() if path.startswith("encoder/")}
    attention = jnp.stack(by_layer(encoder, PROBE)).astype(jnp.float32)
    return Seen(output, attention, _reading(model, attention, probes.get(POOLING)))


def _reading(
    model: nn.Module, attention: Float[Array, "L B H N N"], pooling: Float[Array, "B H 1 N"] | None
) -> Float[Array, "B N"]:
    """The weight of each token in what the head reads.

    A pooling head: the attention of its query, averaged over its heads. Else equal weights: on the class token, on both
    learned tokens of a distilled model, or on all tokens if the head takes their mean.
    """
    if pooling is not None:
        return pooling.astype(jnp.float32).mean(1)[:, 0]
    batch, tokens = attention.shape[1], attention.shape[-1]
    if count := {"token": 1, "distilled": 2}.get(model.head):
        read = np.arange(tokens) < count
    else:
        read = np.arange(tokens) >= model.extra
    return jnp.tile(jnp.asarray(read / read.sum(), jnp.float32), (batch, 1))


def passes(
    model: nn.Module, variables: Variables, images: Float[np.ndarray, "B height width channels"]
) -> Iterator[Seen]:
    """`see` of images, a few at a time so that the attention weights fit MEMORY, as NumPy arrays."""
    run: Callable[..., Seen] = jax.jit(partial(see, model))
    size = int(np.prod(jax.eval_shape(run, variables, images[:1]).attention.shape))
    rows = max(1, MEMORY // (4 * size))
    for start in range(0, len(images), rows):
        yield Seen(*jax.device_get(run(variables, images[start : start + rows])))


def all_at_once(model: nn.Module, variables: Variables, images: Float[np.ndarray, "B height width channels"]) -> Seen:
    """`see` of a few images together, as NumPy arrays."""
    outputs, attention, reading = zip(*passes(model, variables, images), strict=True)
    return Seen(np.concatenate(outputs), np.concatenate(attention, axis=1), np.concatenate(reading))


def patch_maps(weights: Float[np.ndarray, "*batch N"], grid: tuple[int, int]) -> Float[np.ndarray, "*batch R C"]:
    """Weights over tokens as maps over the grid of patches. Tokens that are not patches are dropped."""
    return weights[..., weights.shape[-1] - grid[0] * grid[1] :].reshape(*weights.shape[:-1], *grid)
