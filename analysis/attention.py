"""What an encoder of images attends to, from the very forward pass that gives its output.

B batch, N tokens, H heads, L layers; the last rows * columns tokens are patches.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from training import paths

LAYER = re.compile(r"encoder/(blocks|block_\d+)/attention/attention/0")
POOLING = "pooling/attention/attention/0"
MEMORY = 2**28  # bytes of attention that are held at once


class Seen(NamedTuple):
    """Attributes:
    output: what the model returns. attention: float32 (L, B, H, N, N), rows are queries and sum to 1.
    reading: float32 (B, N), how much each token of the last layer counts in what the head sees; sums to 1.
    """

    output: Any
    attention: Any
    reading: Any


def see(model: nn.Module, params: Any, image: jax.Array) -> Seen:
    """One forward pass out of training, with the attention of all layers, whether these are scanned or written out."""
    output, probes = model.apply({"params": params}, image, train=False, mutable="probe")
    found = paths.table(probes["probe"])
    layers = [weights for name, weights in sorted(found.items()) if LAYER.fullmatch(name)]
    attention = (layers[0] if layers[0].ndim == 5 else jnp.stack(layers)).astype(jnp.float32)
    return Seen(output, attention, _reading(model, attention, found.get(POOLING)))


def _reading(model: Any, attention: jax.Array, pooling: jax.Array | None) -> jax.Array:
    """The class token alone; both learned tokens of a distilled model, whose logits are averaged; all tokens alike where
    their mean is taken; or what the pooling's query attends to (B, H, 1, N), over its heads."""
    if pooling is not None:
        return pooling.astype(jnp.float32).mean(1)[:, 0]
    batch, tokens = attention.shape[1], attention.shape[-1]
    count = {"token": 1, "distilled": 2}.get(model.head, tokens)
    return jnp.tile((jnp.arange(tokens) < count) / count, (batch, 1)).astype(jnp.float32)


def passes(model: nn.Module, params: Any, images: np.ndarray) -> Iterator[Seen]:
    """`see` of images (B, height, width, channels), a few at a time, as NumPy arrays."""
    run: Callable[..., Seen] = jax.jit(partial(see, model))
    size = int(np.prod(jax.eval_shape(run, params, images[:1]).attention.shape))
    rows = max(1, MEMORY // (4 * size))
    for start in range(0, len(images), rows):
        yield Seen(*jax.device_get(run(params, images[start : start + rows])))


def all_at_once(model: nn.Module, params: Any, images: np.ndarray) -> Seen:
    """`see` of a few images, as NumPy arrays."""
    parts = list(passes(model, params, images))
    outputs, attention, reading = zip(*parts, strict=True)
    return Seen(np.concatenate(outputs), np.concatenate(attention, axis=1), np.concatenate(reading))


def patch_maps(weights: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Weights over tokens (..., N) as maps over the patches (..., rows, columns); what is no patch is left out."""
    return weights[..., weights.shape[-1] - grid[0] * grid[1] :].reshape(*weights.shape[:-1], *grid)
