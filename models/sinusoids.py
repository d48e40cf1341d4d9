"""Sinusoidal positions in one and two dimensions, in NumPy, so that any package may import this file.

N positions, D width.
"""

import numpy as np
from jaxtyping import Float32


def sinusoid_1d(length: int, width: int) -> Float32[np.ndarray, "N D"]:
    """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(p / 10000^(2i/D)) (1706.03762, section 3.5).

    Raises:
      ValueError: an odd width.
    """
    if width % 2:
        raise ValueError(f"sinusoidal positions need an even width, not {width}.")
    angle = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, width).astype(np.float32)


def sinusoid_halves(length: int, width: int) -> Float32[np.ndarray, "N D"]:
    """The same with all sines before all cosines, as in tensor2tensor and Marian."""
    both = sinusoid_1d(length, width)
    return np.concatenate([both[:, 0::2], both[:, 1::2]], axis=-1)


def sinusoid_2d(rows: int, columns: int, width: int) -> Float32[np.ndarray, "N D"]:
    """Half of the width encodes the row and half the column of a grid, whose N = rows * columns places go row by row.

    Raises:
      ValueError: a width that does not divide by 4.
    """
    if width % 4:
        raise ValueError(f"two-dimensional sinusoidal positions need a width that divides by 4, not {width}.")
    row, column = sinusoid_1d(rows, width // 2), sinusoid_1d(columns, width // 2)
    grid = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=-1)
    return grid.astype(np.float32)


def sinusoid_2d_halves(rows: int, columns: int, width: int) -> Float32[np.ndarray, "N D"]:
    """The same with the column before the row, and all sines of each before all cosines: as published diffusion
    Transformers have it. `width` divides by 4."""
    row, column = sinusoid_halves(rows, width // 2), sinusoid_halves(columns, width // 2)
    return np.concatenate([np.tile(column, (rows, 1)), np.repeat(row, columns, axis=0)], axis=-1)
