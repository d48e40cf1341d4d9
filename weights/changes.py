"""What is done to an array on its way between another implementation and this one, and back.

D width, H heads, K head size, C channels, h and w of a convolution's window.
"""

import numpy as np

from weights.tables import Change

SAME = Change("", lambda a, heads: (a,), lambda a: a)
# PyTorch's Linear (out, in) and Conv2d (out, in, h, w) are Flax's Dense (in, out) and Conv (h, w, in, out).
DENSE = Change("transposed", lambda a, heads: (a.T,), lambda a: a.T)
CONVOLUTION = Change("transposed", lambda a, heads: (a.transpose(2, 3, 1, 0),), lambda a: a.transpose(3, 2, 0, 1))
# A convolution whose window is one pixel is a Dense layer.
ONE_PIXEL = Change("reshaped", lambda a, heads: (a.reshape(a.shape[-2:]),), lambda a: a[None, None])
# The same of PyTorch's, (out, in, 1, 1).
ONE_PIXEL_OUT = Change("transposed", lambda a, heads: (a[:, :, 0, 0].T,), lambda a: a.T[:, :, None, None])
# The published GroupNorms keep (C,) as (1, 1, 1, C).
CHANNELS = Change("reshaped", lambda a, heads: (a.reshape(-1),), lambda a: a.reshape(1, 1, 1, -1))


def _heads(a: np.ndarray, heads: int) -> np.ndarray:
    """(H K, D) -> (D, H, K)"""
    return a.T.reshape(a.shape[1], heads, -1)


def _no_heads(a: np.ndarray) -> np.ndarray:
    return a.reshape(a.shape[0], -1).T


# A Linear layer (H K, D) is our projection (D, H, K); its bias (H K,) is (H, K).
HEADS = Change("split in heads", lambda a, heads: (_heads(a, heads),), _no_heads)
HEADS_BIAS = Change("split in heads", lambda a, heads: (a.reshape(heads, -1),), lambda a: a.reshape(-1))
# And back: a Linear layer (D, H K) is (H, K, D).
OUT = Change(
    "split in heads", lambda a, heads: (a.T.reshape(heads, -1, a.shape[0]),), lambda a: a.reshape(-1, a.shape[-1]).T
)
# Query, key and value as one: (3 H K, D), bias (3 H K,).
QKV = Change(
    "split in three and heads",
    lambda a, heads: tuple(_heads(part, heads) for part in np.split(a, 3)),
    lambda *parts: np.concatenate([_no_heads(part) for part in parts]),
)
QKV_BIAS = Change(
    "split in three and heads",
    lambda a, heads: tuple(part.reshape(heads, -1) for part in np.split(a, 3)),
    lambda *parts: np.concatenate([part.reshape(-1) for part in parts]),
)
# The same of a layer that keeps its matrix as (in, out): (D, 3 H K), and back (H K, D).
COLUMNS_QKV = Change(
    "split in three and heads",
    lambda a, heads: tuple(part.reshape(len(a), heads, -1) for part in np.split(a, 3, axis=1)),
    lambda *parts: np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1),
)
COLUMNS_OUT = Change(
    "split in heads",
    lambda a, heads: (a.reshape(heads, -1, a.shape[-1]),),
    lambda a: a.reshape(-1, a.shape[-1]),
)
# The bias of the output layer (V,) that transformers keeps as (1, V).
LOGITS_BIAS = Change("reshaped", lambda a, heads: (a.reshape(-1),), lambda a: a[None])
# The same of a model whose stages have different numbers of heads, all of one size K, which these are given for H.
BY_SIZE = Change("split by head size", lambda a, size: HEADS.ours(a, len(a) // size), HEADS.theirs)
BY_SIZE_BIAS = Change("split by head size", lambda a, size: HEADS_BIAS.ours(a, len(a) // size), HEADS_BIAS.theirs)
BY_SIZE_OUT = Change("split by head size", lambda a, size: OUT.ours(a, a.shape[1] // size), OUT.theirs)
BY_SIZE_QKV = Change("split in three, by head size", lambda a, size: QKV.ours(a, len(a) // (3 * size)), QKV.theirs)
BY_SIZE_QKV_BIAS = Change(
    "split in three, by head size", lambda a, size: QKV_BIAS.ours(a, len(a) // (3 * size)), QKV_BIAS.theirs
)
