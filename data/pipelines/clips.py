"""Labelled clips: frames of a video."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveInt

from data import sources
from data.items import folder_class
from data.order import Tensor, tensorflow
from data.pipelines.augmentation import Share
from data.pipelines.base import Batch, Change, Section, Spec, Split, of_rows
from data.pipelines.examples import Pictures
from data.pipelines.images import Pixels
from data.sources import Example, Source
from errors import UserError, shown
from lookup import Probability, Rate


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    changes = {"batch_size": 8, "eval_batch_size": 16, "frames": min(section["frames"], 8)}
    return changes | {"image_size": min(section["image_size"], 32)}


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What training clips go through: the same for all frames of a clip.

    Attributes:
      crop: "random" takes a random rectangle (1409.4842), "none" the middle square.
      crop_min_area: the least share of a frame that a random crop has.
      flip: mirror half of the clips left to right.
      rotate: by up to so many degrees either way.
      zoom: by a factor between 1 - zoom and 1 + zoom.
      shear: x moves by up to so much of y.
      shift: by up to so much of the side either way.
    """

    crop: Literal["random", "none"] = "none"
    crop_min_area: Share = 0.3
    flip: bool = False
    rotate: Annotated[float, Interval(ge=0, le=180)] = 0.0
    zoom: Rate = 0.0
    shear: NonNegativeFloat = 0.0
    shift: Probability = 0.0

    @property
    def warps(self) -> bool:
        """Whether clips are rotated, zoomed, sheared or shifted."""
        return bool(self.rotate or self.zoom or self.shear or self.shift)


@dataclass(kw_only=True)
class Pipeline(Pictures):
    """Batches: clip float32 (b, frames, height, width, channels), label int32 (b,), mask float32 (b,), 0 for what is
    padding or could not be read. With several views of each video, evaluation has clip (b, views, frames, ...), whose
    logits a model averages: a video is still counted once.

    Of a video that is longer than a clip, training takes a part at random and evaluation the middle one; of one that is
    shorter, the last frame is repeated. Frames are resized by their shorter side.

    Attributes:
      clip: which feature of the source is the clip; in TFDS's sets mostly "video".
      label: of a TFDS set with several, which.
      frames: of a clip.
      stride: frames of the video from one frame of the clip to the next.
      sampling: "stride", or "even": the clip has one frame of each of as many equal parts of the whole video.
      shuffled: whether the frames of each clip are in a random order, in training and evaluation alike.
      eval_clips: clips of each video that evaluation and prediction average, from its beginning to its end.
      eval_crops: squares of each, along the frames' longer side: the middle one; or three, with both ends.
      image_size: side of a frame in pixels.
      augment: what training clips go through.
    """

    clip: str = "clip"
    label: str = "label"
    frames: Annotated[int, Interval(ge=1, le=4096)]
    stride: PositiveInt = 1
    sampling: Literal["stride", "even"] = "stride"
    shuffled: bool = False
    eval_clips: Annotated[int, Interval(ge=1, le=100)] = 1
    eval_crops: Literal[1, 3] = 1
    image_size: Pixels
    augment: Augment = Augment()

    item: ClassVar[str] = "a video, an animated picture or a folder of frames"
    rank: ClassVar[int] = 4

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels."""
        return (self.frames, self.image_size, self.image_size, len(self.mean))

    @property
    def spec(self) -> Spec:
        """clip, label and mask."""
        return {"clip": ((1, *self.clip_shape), "float32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def views(self) -> tuple[int, ...]:
        """The views of a video in evaluation, as a dimension before that of frames; none for one."""
        count = self.eval_clips * self.eval_crops
        return (count,) if count > 1 else ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The clip and the label."""
        return self.clip, "label"

    def largest(self, split: str) -> Spec:
        """See Base."""
        clip = {"clip": ((1, *self.views, *self.clip_shape), "float32")}
        return of_rows(self.spec | clip, self.split(split).plan.most)

    def describe(self) -> list[str]:
        """How much there is."""
        lines = [f"{self.train_source.size:,} clips of {len(self.classes)} classes, batch {self.batch_size}."]
        clip = self.train_source.features[self.clip]
        if isinstance(clip, sources.Feature) and (clip.shape[0] or 0) < self._span:  # or of any length
            lines.append(f"Of videos of fewer than {self._span} frames, some are repeated.")
        if self.views:
            lines.append(
                f"Evaluation averages {self.views[0]} views of each video: {self.eval_clips} clips x {self.eval_crops} "
                "crops."
            )
        return [*lines, *super().describe()]

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples.

        Raises:
          UserError: classes that are not the run's.
        """
        prepared = super().prepare(split, train)
        self.check_classes(split, names := self.named(prepared.source))
        if names != self.classes:
            lost = next((name for name in self.classes if name not in names), "")
            why = f"lacks the class {lost!r}" if lost else "has its classes in another order than the training split"
            raise UserError(f"split {split!r} {why}.")
        return prepared

    def open(self, split: str) -> Source:
        """The source of a split.

        Raises:
          UserError: one whose examples are no clips.
        """
        place = (self.source, self.name, split, self.data_dir, self.memory_limit_mb)
        try:
            source = sources.open(*place, self.wanted, self.label)
        except UserError as error:
            if f" has no {self.clip}:" not in str(error):
                raise
            raise UserError(f"{error} Say which feature is the clip: --config.data.clip=NAME.") from None
        clip = source.features[self.clip]
        if not isinstance(clip, sources.Feature) or clip.kind != "clip":
            raise UserError(f"config.data.name={self.name!r}: its {self.clip!r} is no clip.")
        return source

    def draw(self, step: Tensor, split: Split, train: bool) -> Example:
        """How each clip is warped."""
        if not (train and self.augment.warps):
            return {}
        from data import augment

        rows, a = split.plan.most // self.feed.hosts, self.augment
        draws = augment.Draws(self.feed.seed, step, split.plan.most, self.feed.host * rows, rows)
        sizes = (self.image_size, self.image_size)
        return {"transform": augment.transforms(draws, *sizes, a.rotate, a.zoom, a.shear, a.shift)}

    def change(self, split: Split, train: bool) -> Change | None:
        """A part of the video, resized and normalised; of an evaluation all views."""
        tf = tensorflow()
        from data import augment, clip_views

        settings = self.augment

        def training(example: Example, row: Example) -> Example:
            seed = tf.stack([tf.cast(self.feed.seed, tf.int64), row["position"]])
            there = self._length(example[self.clip])
            taken = clip_views.random_moments(there, self.frames, self.stride, self.sampling, seed)
            if self.shuffled:
                taken = clip_views.shuffled(taken, seed + 3)
            clip = self._frames(example[self.clip], taken[0])
            if settings.crop == "random":
                clip = clip_views.random_part(clip, self.image_size, settings.crop_min_area, seed + 2)[0]
            else:
                clip = clip_views.squares(clip, self.image_size, 1)[0]
            clip = tf.ensure_shape(clip, self.clip_shape)
            if settings.warps:
                clip = clip_views.warped(clip, row["transform"])
            if settings.flip:
                mirrored = tf.random.stateless_uniform((), seed + 1) < 0.5
                clip = tf.where(mirrored, tf.reverse(clip, axis=[2]), clip)
            return {"clip": augment.normalise(clip, self.mean, self.std), "label": example["label"]}

        def evaluation(example: Example, row: Example) -> Example:
            place = tf.cast(row.get("index", 0), tf.int64)
            return {"clip": self._viewed(example[self.clip], place), "label": example["label"]}

        return training if train else evaluation

    def _length(self, video: Tensor) -> Tensor:
        """Frames of a video, a path or all of them: int32."""
        tf = tensorflow()
        from data import videos

        if video.dtype == tf.string:
            return videos.length_of(video)
        there = tf.shape(video)[0]
        with tf.control_dependencies([tf.debugging.assert_positive(there, "it has no frames.")]):
            return tf.identity(there)

    def _frames(self, video: Tensor, taken: Tensor) -> Tensor:
        """Some frames of a video, of the model's channels: uint8 (n, height, width, channels). taken: int32 (n,)."""
        tf = tensorflow()
        from data import clip_views, videos

        found = videos.frames_of(video, taken) if video.dtype == tf.string else tf.gather(video, taken)
        return clip_views.coloured(found, len(self.mean))

    def _viewed(self, video: Tensor, place: Tensor | int = 0) -> Tensor:
        """The views of a video that are scored, normalised: float32 (*views, frames, height, width, channels).

        Args:
          place: of the video in its split, by which its frames are shuffled.
        """
        tf = tensorflow()
        from data import augment, clip_views

        there = self._length(video)
        taken = clip_views.moments(there, self.frames, self.stride, self.eval_clips, self.sampling)
        if self.shuffled:
            taken = clip_views.shuffled(taken, tf.stack([tf.constant(0, tf.int64), tf.cast(place, tf.int64)]))
        found = clip_views.squares(self._frames(video, tf.reshape(taken, [-1])), self.image_size, self.eval_crops)
        views = tf.reshape(found, (self.eval_crops, self.eval_clips, *self.clip_shape))
        views = tf.reshape(tf.transpose(views, (1, 0, 2, 3, 4, 5)), (*self.views, *self.clip_shape))
        return augment.normalise(views, self.mean, self.std)

    def blank(self, train: bool) -> Example | None:
        """Black, where `unreadable` is "skip"."""
        if self.unreadable == "stop":
            return None
        tf = tensorflow()
        from data import augment

        black = tf.zeros(self.clip_shape if train else (*self.views, *self.clip_shape), tf.uint8)
        return {"clip": augment.normalise(black, self.mean, self.std), "label": tf.constant(0, tf.int64)}

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """See Base."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        shape = self.clip_shape if train else (*self.views, *self.clip_shape)
        readable = batch.get("readable", tf.ones(rows))
        return {
            "clip": tf.ensure_shape(batch["clip"], (rows, *shape)),
            "label": tf.cast(tf.ensure_shape(batch["label"], (rows,)), tf.int32),
            "mask": readable * tf.cast(batch["real"], tf.float32),
        }

    def items(self, argument: str) -> list[str]:
        """A video, a folder of frames, or the videos of a folder or of a pattern."""
        from data.sources import videos

        return videos.of_argument(argument)

    def truth(self, item: str) -> str:
        """The class that a folder above the video is named as."""
        return folder_class(item, self.classes)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Videos, animated pictures and folders of frames, as evaluation sees them: {"clip": float32 (n, ...)}.

        Raises:
          UserError: what holds no frames.
        """
        tf = tensorflow()
        from data import videos
        from data.batches import reason

        clips, notes = [], []
        for path in items:
            if not os.path.exists(path):
                raise UserError(f"cannot read {shown(path)}: there is no such file or folder.")
            try:
                there = videos.length(path)
                clips.append(self._viewed(tf.constant(os.fsencode(path))).numpy())
            except (tf.errors.OpError, ValueError, OSError) as error:
                raise UserError(f"cannot read {shown(path)} as a video: {reason(error)}") from None
            if there < self._span:
                notes.append(f"{shown(path)} has {there} frames, and a clip spans {self._span}: some are repeated.")
        return {"clip": np.stack(clips)}, notes

    @property
    def _span(self) -> int:
        """Frames that a video must have so that none is repeated."""
        return self.frames if self.sampling == "even" else (self.frames - 1) * self.stride + 1
