"""What is done to images of one size: flips, warps, mixtures, normalisation.

All draws are stateless. They are made for the global batch from (seed, step) and each host takes its rows, so that the
batch is the same for any number of hosts. B global batch, b this host's share.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

Batch = dict[str, tf.Tensor]


def normalise(image: tf.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> tf.Tensor:
    """(image / 255 - mean) / std for each channel: float32.

    Args:
      image: (..., width, channels), both known.
    """
    scale, shift = 1 / (255 * np.array(std, np.float32)), np.array(mean, np.float32) / np.array(std, np.float32)
    width = image.shape[-2]  # A whole row is multiplied at once: numbers by channel alone cost five times as much.
    rows = tf.cast(tf.reshape(image, (-1, width * image.shape[-1])), tf.float32)
    return tf.reshape(rows * np.tile(scale.astype(np.float32), width) - np.tile(shift, width), tf.shape(image))


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers in [0, 1) for rows [start, start + rows) of a global batch of `batch` rows."""

    seed: int
    step: tf.Tensor
    batch: int
    start: int
    rows: int

    def seed_of(self, purpose: int) -> tf.Tensor:
        """Each purpose has its own."""
        return tf.random.fold_in(tf.stack([tf.cast(self.seed, tf.int64), tf.cast(self.step, tf.int64)]), purpose)

    def uniform(self, purpose: int, columns: int = 1) -> tf.Tensor:
        """(rows, columns) float32."""
        return tf.random.stateless_uniform((self.batch, columns), self.seed_of(purpose))[
            self.start : self.start + self.rows
        ]

    def beta(self, purpose: int, alpha: float) -> tf.Tensor:
        """(rows,) draws of Beta(alpha, alpha)."""
        x, y = tf.unstack(tf.random.stateless_gamma((2, self.batch), self.seed_of(purpose), alpha=alpha))
        # With a small alpha both can underflow to zero; either end of the interval is as likely then.
        return tf.math.divide_no_nan(x, x + y)[self.start : self.start + self.rows]


FLIP, WARP, MIXUP, CUTMIX, BOX, WHICH, ERASE, NOISE = range(8)


def mirrored(draws: Draws) -> tf.Tensor:
    """Which half of the images is mirrored: (b,) bool."""
    return draws.uniform(FLIP)[:, 0] < 0.5


def flip(image: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Images (b, height, width, channels) left to right where they are `mirrored`, bool (b,)."""
    rows = tf.reshape(image, (-1, *image.shape[2:]))  # the quickest shape for this
    return tf.raw_ops.Select(condition=mirrored, x=tf.reshape(tf.reverse(rows, axis=[1]), tf.shape(image)), y=image)


def transforms(
    draws: Draws, height: int, width: int, rotate: float, zoom: float, shear: float, shift: float
) -> tf.Tensor:
    """Random rotations, zooms, shears and shifts about the middle of an image, for `warp`: float32 (b, 8).

    Args:
      rotate: up to so many degrees either way.
      zoom: by a factor between 1 - zoom and 1 + zoom.
      shear: x moves by up to so much of y.
      shift: up to so much of the side either way; by whole pixels, which keeps it sharp, if nothing else.
    """
    u = tf.unstack(draws.uniform(WARP, 5) * 2 - 1, axis=1)
    angle, scale, slant = u[0] * (rotate * np.pi / 180), 1 + u[1] * zoom, u[2] * shear
    dx, dy = u[3] * shift * width, u[4] * shift * height
    if not (rotate or zoom or shear):
        dx, dy = tf.round(dx), tf.round(dy)
    # Rows of the map from an output pixel to the input pixel it shows, about the middle (cx, cy).
    a, b = tf.cos(angle) / scale, (slant - tf.sin(angle)) / scale
    c, d = tf.sin(angle) / scale, tf.cos(angle) / scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x, y = cx - dx, cy - dy
    zero = tf.zeros_like(a)
    return tf.stack([a, b, cx - a * cx - b * cy + x - cx, c, d, cy - c * cx - d * cy + y - cy, zero, zero], axis=1)


def warp(image: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """uint8 (b, height, width, channels) after `transforms`; what comes in from outside is black."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=transforms,
        output_shape=image.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


NOISES = 16  # fields of noise a batch, which its rows take in turn: one for each row would cost more than the model


def erase(image: tf.Tensor, draws: Draws, chance: float) -> tf.Tensor:
    """A rectangle of each image replaced by normal noise, with a chance (1708.04896): of 2 % to a third of the area,
    and three tenths to ten thirds as high as wide, cut at the edges.

    Args:
      image: normalised, float32 (b, height, width, channels).
    """
    height, width = image.shape[1], image.shape[2]
    u = draws.uniform(ERASE, 5)
    area, ratio = 0.02 + u[:, 1] * (1 / 3 - 0.02), tf.exp((u[:, 2] * 2 - 1) * np.log(10 / 3))
    rows_in = _inside(u[:, 3], tf.sqrt(area * ratio), height)
    columns_in = _inside(u[:, 4], tf.sqrt(area / ratio), width)
    box = rows_in[:, :, None] & columns_in[:, None, :] & (u[:, 0] < chance)[:, None, None]
    noise = tf.random.stateless_normal((NOISES, *image.shape[1:]), draws.seed_of(NOISE))
    row = draws.start + tf.range(draws.rows)
    return tf.where(box[..., None], tf.gather(noise, row % NOISES), image)


def mix(batch: Batch, draws: Draws, mixup: float, cutmix: float) -> Batch:
    """Each image mixed with its neighbour in the batch (0 with 1, 2 with 3, ...), which keeps a mixture on one host.
    Beside one that could not be read, an image stays as it is.

    Args:
      batch: `image` float32 (b, height, width, channels), `label` (b,) and `mask` (b,), 0 for what could not be read; b
        even.
      mixup: alpha of the Beta distribution of the share (1710.09412). cutmix: the same of a pasted rectangle's area
        (1905.04899). 0 turns one off; with both, each image takes either with even chance.

    Returns:
      The batch with `image` mixed, `partner` (b,), the other's label, and `share` (b,) float32, that of `label`.
    """
    image, rows = batch["image"], draws.rows

    def other(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reverse(tf.reshape(x, (rows // 2, 2, *x.shape[1:])), axis=[1]), x.shape)

    def column(x: tf.Tensor) -> tf.Tensor:
        return x[:, None, None, None]

    share, alone = tf.ones(rows), other(batch["mask"]) == 0
    if mixup:
        share = tf.where(alone, 1.0, draws.beta(MIXUP, mixup))
        blended = column(share) * image + column(1 - share) * other(image)
    if cutmix:
        height, width = image.shape[1], image.shape[2]
        side = tf.sqrt(1 - draws.beta(CUTMIX, cutmix))
        where = draws.uniform(BOX, 2)
        rows_in = _inside(where[:, 0], side, height)
        columns_in = _inside(where[:, 1], side, width)
        inside = rows_in[:, :, None] & columns_in[:, None, :] & ~alone[:, None, None]
        box = tf.cast(inside, tf.float32)[..., None]
        pasted = image * (1 - box) + other(image) * box
        kept = 1 - tf.reduce_mean(box, axis=(1, 2, 3))
        if mixup:
            cut = draws.uniform(WHICH)[:, 0] < 0.5
            blended = tf.where(column(cut), pasted, blended)
            share = tf.where(cut, kept, share)
        else:
            blended, share = pasted, kept
    return batch | {"image": blended, "partner": other(batch["label"]), "share": share}


def _inside(center: tf.Tensor, side: tf.Tensor, length: int) -> tf.Tensor:
    """Which of `length` pixels lie within side * length around center * length, cut at the edges: (b, length)."""
    pixel = tf.range(length, dtype=tf.float32)[None] + 0.5
    return tf.abs(pixel - center[:, None] * length) <= side[:, None] * length / 2
