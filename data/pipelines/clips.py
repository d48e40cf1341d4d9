"""Labelled clips: frames of a video."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from data import sources
from data.order import Tensor, tensorflow
from data.pipelines.base import Batch, Change, Known, Section, Spec, Split, Unread
from data.pipelines.examples import Examples, check_channels
from data.pipelines.images import Pixels
from data.sources import Example, Source
from errors import UserError, shown


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    del section
    return {"batch_size": 8, "eval_batch_size": 16}


@dataclass(kw_only=True)
class Pipeline(Examples):
    """Batches: clip float32 (b, frames, height, width, channels), label int32 (b,), mask float32 (b,), 0 for padding.

    Of a video that is longer than a clip, training takes a part at random and evaluation the middle one; of one that is
    shorter, the last frame is repeated.

    Attributes:
      frames: of a clip.
      stride: frames of the video from one frame of the clip to the next.
      image_size: side of a frame in pixels.
      mean, std: of each channel, of values in [0, 1]; their number is that of the channels.
      flip: whether half of the training clips are mirrored.
    """

    frames: PositiveInt
    stride: PositiveInt = 1
    image_size: Pixels
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[PositiveFloat, ...] = (0.5, 0.5, 0.5)
    flip: bool = False

    item: ClassVar[str] = "an animated picture or a folder of frames"
    rank: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self.mean, self.std)
        self._trained = tuple(self.feed.known["classes"]) if self.feed.known else ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: of a trained run its own."""
        return self._trained or sources.classes(self.train_source)

    @property
    def known(self) -> Known:
        """The names of the classes."""
        return {"classes": list(self.classes)}

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of classes."""
        return {"outputs": len(self.classes)}

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels."""
        return (self.frames, self.image_size, self.image_size, len(self.mean))

    @property
    def spec(self) -> Spec:
        """clip, label and mask."""
        return {"clip": ((1, *self.clip_shape), "float32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def wanted(self) -> tuple[str, ...]:
        """clip and label."""
        return "clip", "label"

    def describe(self) -> list[str]:
        """How much there is."""
        line = f"{self.train_source.size:,} clips of {len(self.classes)} classes, batch {self.batch_size}."
        return [line, *super().describe()]

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples.

        Raises:
          UserError: classes that are not the run's.
        """
        prepared = super().prepare(split, train)
        if sources.classes(prepared.source) != self.classes:
            raise UserError(f"split {split!r} has other classes than those that the model was trained on.")
        return prepared

    def open(self, split: str) -> Source:
        """The source of a split.

        Raises:
          UserError: one whose examples are no clips.
        """
        source = super().open(split)
        clip = source.features["clip"]
        if not isinstance(clip, sources.Feature) or clip.kind != "clip":
            raise UserError(f"config.data.name={self.name!r}: its examples are no clips.")
        return source

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        if classes is None:
            raise UserError(f"{self.name} is not here and its number of classes is not known.")
        epoch = examples / self.batch_size if examples else None
        return Unread({"outputs": classes}, self.spec, self.shapes, epoch)

    def change(self, split: Split, train: bool) -> Change | None:
        """A part of the video, resized and normalised."""
        tf = tensorflow()
        from data import augment

        def change(example: Example, row: Example) -> Example:
            clip, seed = example["clip"], tf.stack([tf.cast(self.feed.seed, tf.int64), row["position"]])
            there = tf.shape(clip)[0]
            spare = tf.maximum(there - (self.frames - 1) * self.stride - 1, 0)
            first = tf.random.stateless_uniform((), seed, 0, spare + 1, tf.int32) if train else spare // 2
            taken = tf.minimum(first + self.stride * tf.range(self.frames), there - 1)
            clip = self._sized(tf.gather(clip, taken))
            if train and self.flip:
                mirrored = tf.random.stateless_uniform((), seed + 1) < 0.5
                clip = tf.where(mirrored, tf.reverse(clip, axis=[2]), clip)
            return {"clip": augment.normalise(clip, self.mean, self.std), "label": example["label"]}

        return change

    def _sized(self, clip: Tensor) -> Tensor:
        """Frames of the model's size and channels, uint8: the short side resized and the middle taken."""
        tf = tensorflow()
        channels = len(self.mean)
        if clip.shape[-1] not in (None, channels):
            clip = tf.image.rgb_to_grayscale(clip) if channels == 1 else tf.image.grayscale_to_rgb(clip)
        if clip.shape[1:3] != (self.image_size, self.image_size):
            rows, columns = tf.unstack(tf.shape(clip)[1:3])
            side = tf.minimum(rows, columns)
            clip = tf.image.crop_to_bounding_box(clip, (rows - side) // 2, (columns - side) // 2, side, side)
            clip = tf.image.resize(clip, (self.image_size, self.image_size), antialias=True)
            clip = tf.cast(tf.round(tf.clip_by_value(clip, 0, 255)), tf.uint8)
        return tf.ensure_shape(clip, self.clip_shape)

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """See Base."""
        del train
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        return {
            "clip": tf.ensure_shape(batch["clip"], (rows, *self.clip_shape)),
            "label": tf.cast(tf.ensure_shape(batch["label"], (rows,)), tf.int32),
            "mask": tf.cast(batch["real"], tf.float32),
        }

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Animated pictures (GIF, WebP, PNG) and folders of frames: {"clip": float32 (n, frames, ...)}.

        Raises:
          UserError: what holds no frames.
        """
        from data import augment

        clips, notes = [], []
        for path in items:
            frames = pictures(path)
            first = max(len(frames) - (self.frames - 1) * self.stride - 1, 0) // 2
            taken = np.minimum(first + self.stride * np.arange(self.frames), len(frames) - 1)
            if taken[-1] == taken[-2:][0] and self.frames > 1:
                notes.append(f"{shown(path)} has {len(frames)} frames: the last one is repeated.")
            clip = self._sized(tensorflow().constant(frames[taken]))
            clips.append(augment.normalise(clip, self.mean, self.std).numpy())
        return {"clip": np.stack(clips)}, notes


def pictures(path: str) -> np.ndarray:
    """The frames of an animated picture, or of a folder by their names: uint8 (n, height, width, 3).

    Raises:
      UserError: there are none, or they differ in size.
    """
    from PIL import Image, ImageSequence, UnidentifiedImageError

    what = shown(path)
    files = sorted(one for one in Path(path).iterdir() if one.is_file()) if os.path.isdir(path) else [Path(path)]
    found: list[np.ndarray] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                found += [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
        except (OSError, UnidentifiedImageError) as error:
            if len(files) == 1:
                raise UserError(f"cannot read {what} as frames: {' '.join(str(error).split())}") from None
    if not found:
        raise UserError(f"{what} holds no frames: give an animated GIF, WebP or PNG, or a folder of pictures.")
    if len({frame.shape for frame in found}) > 1:
        raise UserError(f"the frames of {what} differ in size.")
    return np.stack(found)
