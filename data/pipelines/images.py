"""Labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from data import sources
from data.order import Tensor, tensorflow
from data.pipelines.base import Batch, Change, Known, Section, Spec, Split, Unread
from data.pipelines.examples import Examples
from data.sources import Example, Source
from errors import UserError
from lookup import Probability, Rate

if TYPE_CHECKING:
    from data.augment import Draws

Share = Annotated[float, Interval(gt=0, le=1)]
MOST_PIXELS = 2**14  # of a side
Pixels = Annotated[int, Interval(ge=1, le=MOST_PIXELS)]


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return {"batch_size": 16, "eval_batch_size": 64, "image_size": min(section["image_size"], 32)}


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What training images go through. See data/images.py and data/augment.py.

    Attributes:
      crop: "random" takes a random rectangle of each image (1409.4842), "none" all of it.
      crop_min_area: the least share of the image that a random crop has.
      flip: mirror half of the images left to right.
      rotate: by up to so many degrees either way.
      zoom: by a factor between 1 - zoom and 1 + zoom.
      shear: x moves by up to so much of y.
      shift: by up to so much of the side either way.
      randaugment_layers: operations of RandAugment (1909.13719) an image; 0 turns it off.
      randaugment_magnitude: of these operations, up to 10 in the paper.
      mixup: alpha of the Beta distribution of a mixture's share (1710.09412); 0 turns it off.
      cutmix: the same of a pasted rectangle's area (1905.04899); with both, each image takes either with even chance.
      erase: chance that a rectangle of an image is replaced by noise (1708.04896).
      repeats: views of each image in a batch (1902.05509); an epoch has as many views as before, of fewer images.
    """

    crop: Literal["random", "none"] = "none"
    crop_min_area: Share = 0.05
    flip: bool = False
    rotate: Annotated[float, Interval(ge=0, le=180)] = 0.0
    zoom: Rate = 0.0
    shear: NonNegativeFloat = 0.0
    shift: Probability = 0.0
    randaugment_layers: Annotated[int, Interval(ge=0, le=100)] = 0
    randaugment_magnitude: Annotated[float, Interval(ge=0, le=30)] = 10.0
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    erase: Probability = 0.0
    repeats: PositiveInt = 1

    @property
    def warps(self) -> bool:
        """Whether images are rotated, zoomed, sheared or shifted."""
        return bool(self.rotate or self.zoom or self.shear or self.shift)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with their neighbours."""
        return bool(self.mixup or self.cutmix)


@dataclass(kw_only=True)
class Pipeline(Examples):
    """Batches: image float32 (b, height, width, channels), label int32 (b,), mask float32 (b,), 0 for what is padding
    or could not be read; while mixing also partner int32 (b,) and share float32 (b,).

    Attributes:
      label: of a TFDS set with several, which; or what is asked of its images: see data/labels.py.
      image_size: height in pixels.
      image_width: width in pixels; 0 for the height.
      mean, std: of each channel, of values in [0, 1]. Their number is that of the channels, to which images are
        converted.
      augment: what training images go through.
      eval_crop: "center" takes the middle square of an image in evaluation, "none" all of it.
      eval_crop_share: side of that square, as a share of the image's shorter side.
    """

    label: str = "label"
    image_size: Pixels
    image_width: Annotated[int, Interval(ge=0, le=MOST_PIXELS)] = 0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[PositiveFloat, ...] = (0.5, 0.5, 0.5)
    augment: Augment = Augment()
    eval_crop: Literal["center", "none"] = "none"
    eval_crop_share: Share = 0.875

    item: ClassVar[str] = "an image file"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise UserError(
                f"config.data.mean={self.mean} and std={self.std} need one number a channel, for 1 or 3 channels."
            )
        rows = self.batch_size // self.feed.hosts
        if self.augment.mixes and rows % 2:
            raise UserError(f"config.data.batch_size gives a host {rows} images: mixup and cutmix need an even number.")
        self._trained = tuple(self.feed.known["classes"]) if self.feed.known else ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: of a trained run its own, whose data set need not be here."""
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
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self.image_size, self.image_width or self.image_size, len(self.mean))

    @property
    def spec(self) -> Spec:
        """image, label and mask."""
        return {"image": ((1, *self.image_shape), "float32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def wanted(self) -> tuple[str, ...]:
        """image and label."""
        return "image", "label"

    @property
    def repeats(self) -> int:
        """See Augment."""
        return self.augment.repeats

    def open(self, split: str) -> Source:
        """The source of a split, whose label is `label`."""
        place = (self.source, self.name, split, self.data_dir, self.memory_limit_mb)
        return sources.open(*place, self.wanted, self.label)

    def describe(self) -> list[str]:
        """One line."""
        return [f"{self.train_source.size:,} images of {len(self.classes)} classes, batch {self.batch_size}."]

    def check(self) -> None:
        """Everything about evaluation that can be known before the first step.

        Raises:
          UserError: a split that does not exist, or classes that are not the training split's.
        """
        if self.augment.repeats > 1 and not self.train_source.random_access:
            raise UserError(
                "config.data.augment.repeats needs a set that is read by index: prepare it with "
                "file_format=array_record, or set it to 1."
            )
        for split in self.eval_splits:
            classes = sources.classes(self.opened(split))
            if self._trained and len(classes) != len(self.classes):
                raise UserError(
                    f"the model tells {len(self.classes)} classes apart, and split {split!r} has {len(classes)}: "
                    "choose a data set with the same classes."
                )
            if not self._trained and classes != self.classes:
                raise UserError(
                    f"split {split!r} has other classes than the training split: {_differ(classes, self.classes)}"
                )

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        if classes is None:
            raise UserError(
                f"{self.name} is not here and its number of classes is not known: name it by "
                "--config.data.source=synthetic --config.data.name=CLASSES --config.steps=N."
            )
        epoch = examples / self.batch_size if examples else None
        return Unread({"outputs": classes}, self.spec, self.shapes, epoch)

    def _whole(self, split: Split, train: bool) -> bool:
        """Whether batches of pixels can be read as they are: nothing is done to single images."""
        augment = self.augment
        alone = augment.crop != "none" or augment.randaugment_layers if train else self.eval_crop != "none"
        return sources.shape(split.source) == self.image_shape and not alone

    def draw(self, step: Tensor, split: Split, train: bool) -> Example:
        """Which images are mirrored, and how each is warped."""
        from data import augment

        draws, found = self._draws(step, split), {}
        if train and self.augment.flip:
            found["mirrored"] = augment.mirrored(draws)
        if train and self.augment.warps:
            found["transform"] = self._transforms(draws)
        return found

    def _draws(self, step: Tensor, split: Split) -> "Draws":
        from data import augment

        rows = split.plan.most // self.feed.hosts
        return augment.Draws(self.feed.seed, step, split.plan.most, self.feed.host * rows, rows)

    def _transforms(self, draws: "Draws") -> Tensor:
        from data import augment

        a = self.augment
        return augment.transforms(draws, *self.image_shape[:2], a.rotate, a.zoom, a.shear, a.shift)

    def change(self, split: Split, train: bool) -> Change | None:
        """One view of an image, normalised; None for images that are here as the model takes them."""
        if self._whole(split, train):
            return None
        tf = tensorflow()
        from data import augment, images

        settings = self.augment

        def training(example: Example, row: Example) -> Example:
            image = images.for_training(
                example["image"],
                tf.stack([tf.cast(self.feed.seed, tf.int64), row["position"]]),
                size=self.image_shape[:2],
                channels=len(self.mean),
                crop=settings.crop,
                crop_min_area=settings.crop_min_area,
                randaugment_layers=settings.randaugment_layers,
                randaugment_magnitude=settings.randaugment_magnitude,
            )
            if settings.flip:
                image = augment.flip(image[None], row["mirrored"][None])[0]
            if settings.warps:
                image = augment.warp(image[None], row["transform"][None])[0]
            return example | {"image": augment.normalise(image, self.mean, self.std)}

        def evaluation(example: Example, _: Example) -> Example:
            return example | {"image": self._view(example["image"])}

        return training if train else evaluation

    def blank(self) -> Example | None:
        """Black, where `unreadable` is "skip"."""
        if self.unreadable == "stop":
            return None
        tf = tensorflow()
        from data import augment

        black = augment.normalise(tf.zeros(self.image_shape, tf.uint8), self.mean, self.std)
        return {"image": black, "label": tf.constant(0, tf.int64)}

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Normalises what is read whole, erases and mixes."""
        tf = tensorflow()
        from data import augment

        rows = split.plan.most // self.feed.hosts
        image = tf.ensure_shape(batch["image"], (rows, *self.image_shape))
        draws = self._draws(batch["step"], split)
        if self._whole(split, train):
            if train and self.augment.flip:
                image = augment.flip(image, augment.mirrored(draws))
            if train and self.augment.warps:
                image = augment.warp(image, self._transforms(draws))
            image = augment.normalise(image, self.mean, self.std)
        mask = batch.get("readable", tf.ones(rows)) * tf.cast(batch["real"], tf.float32)
        out = {"image": image, "label": tf.cast(tf.ensure_shape(batch["label"], (rows,)), tf.int32), "mask": mask}
        if train and self.augment.erase:
            out["image"] = augment.erase(image, draws, self.augment.erase)
        if train and self.augment.mixes:
            out = augment.mix(out, draws, self.augment.mixup, self.augment.cutmix)
        return out

    def wrong(self, batch: Batch, split: Split) -> tuple[int, str] | None:
        """A label that is not one of the source's classes."""
        last, label = len(sources.classes(split.source)) - 1, batch["label"]
        rows = np.flatnonzero((label < 0) | (label > last))
        if not rows.size:
            return None
        return int(rows[0]), f"has label {label[rows[0]]}, outside 0 to {last}: is this split labelled?"

    def picture(self, image: np.ndarray) -> np.ndarray:
        """A normalised image (height, width, channels) as it looks, in [0, 1]."""
        return np.clip(image * np.array(self.std) + np.array(self.mean), 0, 1)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files as the model sees them in evaluation: {"image": float32 (n, height, width, channels)}."""
        tf = tensorflow()
        from data.batches import reason

        images = []
        for path in items:
            try:
                images.append(self._view(tf.io.read_file(path)).numpy())
            except tf.errors.OpError as error:
                raise UserError(f"cannot read {path}: {reason(error)}") from None
        return {"image": np.stack(images)}, []

    def _view(self, image: Tensor) -> Tensor:
        """The one view of an image that is scored, normalised."""
        from data import augment, images

        size, channels = self.image_shape[:2], len(self.mean)
        view = images.for_evaluation(
            image, size=size, channels=channels, crop=self.eval_crop, crop_share=self.eval_crop_share
        )
        return augment.normalise(view, self.mean, self.std)


def _differ(a: tuple[str, ...], b: tuple[str, ...]) -> str:
    if len(a) != len(b):
        return f"{len(a)} against {len(b)}."
    return f"{next(x for x in zip(a, b, strict=True) if x[0] != x[1])}."
