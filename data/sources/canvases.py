"""Handwritten digits of scikit-learn on cluttered canvases, with their boxes and a label map: nothing to download.

Canvas i of a split is composed from i alone. The digits of one split are in no other: those of "test" are the test
digits of data/builders/digits.py.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Int

from data.order import Tensor, tensorflow, uniform
from data.sources import Example, Feature, Features, Made, chosen
from errors import UserError

SIZES = {"train": 1_000_000, "validation": 1_000, "test": 1_000}
CLASSES = tuple("0123456789")
SIDE = 8  # pixels of a digit before its change
LEAST, LARGEST = 32, 512  # pixels of a canvas's side
MOST, SCRAPS = 6, 2  # digits of a canvas; quarters of digits, which are background
TRIALS = 8  # places that are tried for a digit; without a free one among them it is left out
DIGIT, SCRAP = (0.22, 0.45), (0.15, 0.3)  # least and largest side, as a share of the canvas's
INK, FAINT = (0.65, 1.0), (0.3, 0.5)  # brightness of digits and of scraps
ASPECT, ROTATION = np.log(1.25), np.deg2rad(12.0)  # the most either way
OVERLAP = 0.1  # the largest share of the smaller of two digits' squares that the other covers
SMOOTH, CELLS = 0.45, 5  # brightest background, which is interpolated between so many random numbers a side
NOISE, FIELDS = 0.04, 32  # deviation of a pixel's noise; noise fields, one of them is on each canvas
THRESHOLD = 0.35  # ink, of the brightest 1, from which a pixel belongs to a digit
PER_DIGIT = 5 + 2 * TRIALS  # random numbers: which, side, aspect, angle, brightness, and two a place


class Source(Made):
    """`name` is the canvas's side in pixels. Examples have `image` uint8 (side, side, 1), `objects` with `bbox` float32
    (n, 4) and `label` (n,), n from 1 to MOST, and `mask`, a label map uint8 (side, side): 0 background, 1 + label.

    A digit's box holds exactly its pixels, those of the label map and those that a later digit covers.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        super().__init__(split, SIZES, "canvases")
        if not name.isdigit() or not LEAST <= int(name) <= LARGEST:
            raise UserError(
                f"config.data.name={name!r}: canvases is named by its side in pixels, from {LEAST} to {LARGEST}."
            )
        self._side = int(name)
        there: Features = {
            "image": Feature("image", (self._side, self._side, 1)),
            "objects": {"bbox": Feature("boxes", (None, 4)), "label": Feature("label", (None,), CLASSES)},
            "mask": Feature("array", (self._side, self._side), ("background", *CLASSES)),
        }
        self.features: Features = chosen(there, wanted, "canvases")

    def read(self, index: Tensor) -> Example:
        """Canvases, with `bbox` (b, MOST, 4), `label` (b, MOST) and which of them there are, `there` (b, MOST)."""
        tf = tensorflow()
        digits, labels = of_split(self._split)
        with tf.init_scope():
            digits, labels, fields = tf.constant(digits), tf.constant(labels), tf.constant(noise(self._side))
        count = MOST * PER_DIGIT + SCRAPS * 7 + CELLS**2 + 2
        draws = uniform(self._number, index[:, None] + self._first, tf.range(count, dtype=tf.int64)[None])
        of_digits, of_scraps, cells, rest = tf.split(draws, [MOST * PER_DIGIT, SCRAPS * 7, CELLS**2, 2], axis=1)
        of_digits = tf.reshape(of_digits, (-1, MOST, PER_DIGIT))
        which = tf.cast(of_digits[..., 0] * float(len(labels)), tf.int32)
        side = _between(of_digits[..., 1], DIGIT)
        top_left, there = _placed(side, tf.reshape(of_digits[..., 5:], (-1, MOST, TRIALS, 2)))
        there &= tf.range(MOST) <= tf.cast(rest[:, :1] * MOST, tf.int32)  # the first always is
        ink = self._drawn(tf.gather(digits, which), side, top_left, of_digits[..., 2:4])
        ink *= tf.cast(there, tf.float32)[..., None, None]
        belongs = ink >= THRESHOLD
        canvas = self._background(digits, tf.reshape(of_scraps, (-1, SCRAPS, 7)), cells)
        brightness = _between(of_digits[..., 4], INK)[..., None, None]
        mask = tf.zeros_like(canvas, tf.uint8)
        label = tf.gather(labels, which)
        for one in range(MOST):  # a later digit covers the earlier ones
            canvas = canvas * (1 - ink[:, one]) + ink[:, one] * brightness[:, one]
            mask = tf.where(belongs[:, one], tf.cast(1 + label[:, one], tf.uint8)[:, None, None], mask)
        canvas += tf.gather(fields, tf.cast(rest[:, 1] * FIELDS, tf.int32))
        image = tf.cast(tf.round(255 * tf.clip_by_value(canvas, 0, 1)), tf.uint8)[..., None]
        there &= tf.reduce_any(belongs, (2, 3))
        return {"image": image, "mask": mask, "bbox": _boxes(belongs), "label": label, "there": there}

    def parse(self, raw: Example) -> Example:
        """One canvas, with the objects that it has."""
        tf = tensorflow()
        objects = {name: tf.boolean_mask(raw[name], raw["there"]) for name in ("bbox", "label")}
        example = {"image": raw["image"], "objects": objects, "mask": raw["mask"]}
        return {name: example[name] for name in self.features}

    def _background(self, digits: Tensor, scraps: Tensor, cells: Tensor) -> Tensor:
        """Smooth noise with quarters of digits on it: float32 (b, side, side)."""
        tf = tensorflow()
        cells = tf.reshape(cells * SMOOTH, (-1, CELLS, CELLS, 1))
        smooth = tf.image.resize(cells, (self._side, self._side), "bicubic")[..., 0]
        which = tf.cast(scraps[..., 0] * float(len(digits)), tf.int32)
        quarters = tf.reshape(digits[:, : SIDE // 2, : SIDE // 2], (-1, SIDE // 2, SIDE // 2))
        padded = tf.pad(quarters, ((0, 0), (SIDE // 4, SIDE // 4), (SIDE // 4, SIDE // 4)))
        side = 2 * _between(scraps[..., 1], SCRAP)  # of the digit that the scrap is a quarter of
        ink = self._drawn(tf.gather(padded, which), side, scraps[..., 5:7] * (1 - side[..., None]), scraps[..., 2:4])
        faint = ink * _between(scraps[..., 4], FAINT)[..., None, None]
        return tf.maximum(smooth, tf.reduce_max(faint, 1))

    def _drawn(self, pictures: Tensor, side: Tensor, top_left: Tensor, form: Tensor) -> Tensor:
        """Pictures (b, n, SIDE, SIDE) on black canvases of their own: float32 (b, n, canvas, canvas).

        Args:
          side: (b, n) of the square that a picture fills, as a share of the canvas's. top_left: (b, n, 2) of it, alike.
          form: (b, n, 2) in [0, 1): how much narrower than high, and turned by how much.
        """
        tf = tensorflow()
        aspect, angle = tf.exp((2 * form[..., 0] - 1) * ASPECT), (2 * form[..., 1] - 1) * ROTATION
        # From places of the canvas to places of the picture, about both middles.
        scale = SIDE / (side * self._side)
        x_scale, y_scale = scale * tf.sqrt(aspect), scale / tf.sqrt(aspect)
        a, b = x_scale * tf.cos(angle), -x_scale * tf.sin(angle)
        c, d = y_scale * tf.sin(angle), y_scale * tf.cos(angle)
        y, x = tf.unstack((top_left + side[..., None] / 2) * self._side - 0.5, axis=-1)
        middle, zero = (SIDE - 1) / 2, tf.zeros_like(a)
        rows = [a, b, middle - a * x - b * y, c, d, middle - c * x - d * y, zero, zero]
        drawn = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.reshape(pictures, (-1, SIDE, SIDE, 1)),
            transforms=tf.reshape(tf.stack(rows, axis=-1), (-1, 8)),
            output_shape=[self._side, self._side],
            fill_value=0.0,
            interpolation="BILINEAR",
        )
        return tf.reshape(drawn, (-1, pictures.shape[1], self._side, self._side))


def _between(draws: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + draws * (ends[1] - ends[0])


def _placed(side: Tensor, trials: Tensor) -> tuple[Tensor, Tensor]:
    """Where each square stands: the first place tried that is free.

    Args:
      side: float32 (b, MOST), as shares of the canvas's side. trials: (b, MOST, TRIALS, 2) in [0, 1).

    Returns:
      top and left (b, MOST, 2), and whether there was a free place, bool (b, MOST).
    """
    tf = tensorflow()
    places = trials * (1 - side[..., None, None])
    taken: list[Tensor] = []
    there: list[Tensor] = []
    for one in range(MOST):
        free = tf.ones_like(places[:, one, :, 0], tf.bool)
        for other in range(one):
            low = tf.maximum(places[:, one], taken[other][:, None])
            high = tf.minimum(places[:, one] + side[:, one, None, None], (taken[other] + side[:, other, None])[:, None])
            shared = tf.reduce_prod(tf.maximum(high - low, 0), axis=-1)
            smaller = tf.square(tf.minimum(side[:, one], side[:, other]))
            free &= (shared <= OVERLAP * smaller[:, None]) | ~there[other][:, None]
        taken.append(tf.gather(places[:, one], tf.argmax(free, axis=1), batch_dims=1))
        there.append(tf.reduce_any(free, 1))
    return tf.stack(taken, 1), tf.stack(there, 1)


def _boxes(belongs: Tensor) -> Tensor:
    """The boxes of pixels, bool (b, n, side, side): (ymin, xmin, ymax, xmax) as shares of the side, float32 (b, n, 4);
    of no area where there are none."""
    tf = tensorflow()
    found = []
    for axis in (3, 2):
        line = tf.reduce_any(belongs, axis)  # (b, n, side)
        side = line.shape[-1]
        first = tf.argmax(line, -1)
        last = side - tf.argmax(tf.reverse(line, [-1]), -1)
        found.append((first, tf.where(tf.reduce_any(line, -1), last, first)))
    (top, bottom), (left, right) = found
    return tf.cast(tf.stack([top, left, bottom, right], -1), tf.float32) / side


@cache
def of_split(split: str) -> tuple[Float32[np.ndarray, "n 8 8"], Int[np.ndarray, " n"]]:
    """The digits that canvases of a split are composed of, in [0, 1], and their labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    rest, test = train_test_split(np.arange(len(digits.target)), test_size=0.2, stratify=digits.target, random_state=0)
    train, validation = train_test_split(rest, test_size=0.125, stratify=digits.target[rest], random_state=0)
    mine = {"train": train, "validation": validation, "test": test}[split]
    return (digits.images[mine] / 16).astype(np.float32), digits.target[mine].astype(np.int64)


@cache
def noise(side: int) -> Float32[np.ndarray, "fields side side"]:
    """Fields of normal noise."""
    return np.random.default_rng(0).normal(0, NOISE, (FIELDS, side, side)).astype(np.float32)
