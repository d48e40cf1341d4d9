"""Handwritten digits of scikit-learn that move: clips in which the class is the digit, the direction, or both; nothing
to download.

Clip i of a split is composed from i alone, by tfds.video.moving_sequence. Digits of one split are in no other.
"""

import numpy as np

from data.order import Tensor, tensorflow, uniform
from data.sources import Example, Feature, Features, Made, canvases, chosen
from errors import UserError

SIZES = {"train": 100_000, "validation": 2_000, "test": 2_000}
FRAMES = (2, 64)
LEAST, LARGEST = 24, 128  # pixels of a frame's side
DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
ASKED = ("digit", "direction", "both")
WAY = (0.5, 0.9)  # least and most of the free way that a digit goes, which ends before it would bounce
NOISE = 0.05  # the brightest of each pixel's noise, so that frames differ in more than the digit


class Source(Made):
    """`name` is the side of a frame in pixels, the number of frames and what is asked: "32,8,direction".

    Examples have `clip` uint8 (frames, side, side, 1) and `label`.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        super().__init__(split, SIZES, "moving_digits")
        side, frames, asked = [*name.split(","), "", ""][:3]
        if not (side.isdigit() and frames.isdigit()) or asked not in ASKED:
            raise UserError(
                f"config.data.name={name!r}: moving_digits is named by pixels of a side, frames and what is asked "
                f"({', '.join(ASKED)}): 32,8,direction."
            )
        for what, number, (low, high) in (("side", int(side), (LEAST, LARGEST)), ("frames", int(frames), FRAMES)):
            if not low <= number <= high:
                raise UserError(f"config.data.name={name!r}: {what} should be from {low} to {high}.")
        self._side, self._frames, self._asked = int(side), int(frames), asked
        both = tuple(f"{digit} {direction}" for digit in canvases.CLASSES for direction in DIRECTIONS)
        names = {"digit": canvases.CLASSES, "direction": DIRECTIONS, "both": both}[asked]
        there: Features = {
            "clip": Feature("clip", (self._frames, self._side, self._side, 1)),
            "label": Feature("label", (), names),
        }
        self.features: Features = chosen(there, wanted, "moving_digits")

    def read(self, index: Tensor) -> Example:
        """What clips are composed of: the digit's picture and label, its direction, and random numbers."""
        tf = tensorflow()
        digits, labels = canvases.of_split(self._split)
        with tf.init_scope():
            digits, labels = tf.constant(digits), tf.constant(labels)
        draws = uniform(self._number, index[:, None] + self._first, tf.range(5, dtype=tf.int64)[None])
        which = tf.cast(draws[:, 0] * float(len(labels)), tf.int32)
        direction = tf.cast(draws[:, 1] * len(DIRECTIONS), tf.int64)
        return {
            "digit": tf.gather(digits, which),
            "of": tf.gather(labels, which),
            "direction": direction,
            "draws": draws[:, 2:],
            "number": index + self._first,
        }

    def parse(self, raw: Example) -> Example:
        """One clip."""
        from tensorflow_datasets.video import moving_sequence

        tf = tensorflow()
        angle = tf.cast(raw["direction"], tf.float32) * (2 * np.pi / len(DIRECTIONS))
        toward = tf.round(tf.stack([tf.sin(angle), tf.cos(angle)]) * 1e3) / 1e3  # down and right are positive
        toward /= tf.reduce_max(tf.abs(toward))
        way = toward * (WAY[0] + raw["draws"][0] * (WAY[1] - WAY[0]))
        start = tf.where(way < 0, -way, 0.0) + raw["draws"][1:] * (1 - tf.abs(way))  # where the way stays inside
        picture = tf.cast(tf.round(255 * raw["digit"]), tf.uint8)
        picture = tf.repeat(tf.repeat(picture, 2, axis=0), 2, axis=1)[..., None]
        moving = moving_sequence.image_as_moving_sequence(
            picture,
            sequence_length=self._frames,
            output_size=(self._side, self._side),
            velocity=way / (self._frames - 1),
            start_position=tf.ensure_shape(start, (2,)),
        )
        place = tf.range(self._frames * self._side**2, dtype=tf.int64)
        noise = tf.reshape(uniform(len(SIZES), raw["number"], place), (self._frames, self._side, self._side, 1))
        bright = tf.cast(moving.image_sequence, tf.float32) + 255 * NOISE * noise
        clip = tf.cast(tf.round(tf.minimum(bright, 255.0)), tf.uint8)
        label = {"digit": raw["of"], "direction": raw["direction"]}
        label["both"] = raw["of"] * len(DIRECTIONS) + raw["direction"]
        example = {"clip": clip, "label": label[self._asked]}
        return {name: example[name] for name in self.features}
