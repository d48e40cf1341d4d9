"""Labelled images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Interval

from data import appearance, sources
from data.items import check_plain, folder_class
from data.order import Tensor, tensorflow
from data.pipelines.augmentation import Augment, Share
from data.pipelines.base import Batch, Change, Known, Section, Spec, Split, of_rows
from data.pipelines.examples import Pictures
from data.sources import Example, Source
from errors import UserError, shown

if TYPE_CHECKING:
    from data.augment import Draws

MOST_PIXELS = 2**14  # of a side
Pixels = Annotated[int, Interval(ge=1, le=MOST_PIXELS)]
OTHER = {"dark": "light", "light": "dark"}  # backgrounds


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return {"batch_size": 16, "eval_batch_size": 64, "image_size": min(section.get("image_size") or 32, 32)}


@dataclass(kw_only=True)
class Pipeline(Pictures):
    """Batches: image float32 (b, height, width, channels), label int32 (b,), mask float32 (b,), 0 for what is padding
    or could not be read; while mixing also partner int32 (b,) and share float32 (b,).

    Attributes:
      label: of a TFDS set with several, which; or what is asked of its images: see data/labels.py.
      image_size: height in pixels.
      image_width: width in pixels; 0 for the height.
      invert: "auto" inverts an image given to predict.py to a model of one channel whose background is light where that
        of the training images is dark, or the reverse, and says so; "never" leaves it as it is.
      interpolation: the filter that images are resized with, in training, evaluation and prediction.
      antialias: whether it grows with the factor by which an image shrinks, as Pillow's does, so that all pixels count;
        without it, as in big_vision's recipes, resizing is quicker.
      augment: what training images go through.
      eval_crop: "center" takes the middle square of an image in evaluation, "none" all of it.
      eval_crop_share: side of that square, as a share of the image's shorter side.
    """

    label: str = "label"
    image_size: Pixels
    image_width: Annotated[int, Interval(ge=0, le=MOST_PIXELS)] = 0
    invert: Literal["auto", "never"] = "auto"
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"
    antialias: bool = True
    augment: Augment = Augment()  # noqa: RUF009 - frozen
    eval_crop: Literal["center", "none"] = "none"
    eval_crop_share: Share = 0.875

    lost: ClassVar[str] = ""  # what a mixture of two images does not have; "" where they can be mixed

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= mean <= 1 for mean in self.mean) or not all(1 / 255 <= std <= 1 for std in self.std):
            raise UserError(
                f"config.data.mean={self.mean} and std={self.std} should be of values from 0 to 1, to which images are "
                "scaled: divide those of 0 to 255 by 255, 127.5 to 0.5."
            )
        if self.augment.mixes and self.lost:
            raise UserError(
                f"a mixture of two images has no {self.lost}: set config.data.augment.mixup and cutmix to 0."
            )
        if self.augment.repeats > self.batch_size:
            raise UserError(
                f"config.data.augment.repeats={self.augment.repeats} are more than batch_size={self.batch_size}."
            )
        rows = self.batch_size // self.feed.hosts
        if rows % 2 and self.augment.mixes:
            raise UserError(f"config.data.batch_size gives a host {rows} images: mixup and cutmix need an even number.")

    @property
    def known(self) -> Known:
        """The names of the classes and, of a model of one channel, whether the images' background is dark or light."""
        return super().known | ({"background": self._background} if self._background else {})

    @cached_property
    def _background(self) -> str:
        return self.feed.known.get("background", "") if self.feed.known else appearance.background(self._sample)

    @cached_property
    def _sample(self) -> list[np.ndarray]:
        """Some training images: see `_some`."""
        return self._some(self.train_source)

    def _some(self, source: Source) -> list[np.ndarray]:
        """Some images of a source; none where the model sees colours."""
        return appearance.sample(source) if len(self.mean) == 1 else []

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self.image_size, self.image_width or self.image_size, len(self.mean))

    @property
    def spec(self) -> Spec:
        """image, label and mask."""
        return {"image": ((1, *self.image_shape), "float32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """All batches have one shape; those that are mixed have also partner and share."""
        mixed: Spec = {}
        if self.augment.mixes and self.source != "synthetic":
            mixed = {"partner": ((1,), "int32"), "share": ((1,), "float32")}
        return [(1.0, of_rows(self.spec | mixed, self.batch_size))]

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
        """How much there is, what was left out, and what the model does not see."""
        lines = [f"{self.train_source.size:,} images of {len(self.classes)} classes, batch {self.batch_size}."]
        coloured = sum(map(appearance.in_colour, self._sample))
        if 2 * coloured > len(self._sample):
            lines.append(
                "The images are in colour, and the model sees them in grey: config.data.mean has one number, not three."
            )
        return list(dict.fromkeys([*lines, *super().describe()]))

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
        super().check()

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples. The classes of a split are found by name among the run's; it may lack some.

        Raises:
          UserError: a class that the run does not know.
        """
        prepared = super().prepare(split, train)
        names = sources.classes(prepared.source)
        if train:
            return prepared
        notes = [*prepared.notes]
        if self._unnamed(prepared.source):
            notes.append(
                f"Split {split!r}: its labels have no names, and are taken for the places of the run's classes."
            )
        elif names != self.classes:
            self.check_classes(split, names)
            if missing := [name for name in self.classes if name not in names]:
                notes.append(f"Split {split!r} lacks {len(missing):,} of {len(self.classes):,} classes ({missing[0]}).")
        if self._background and (seen := appearance.background(self._some(prepared.source))) == OTHER[self._background]:
            notes.append(
                f"Split {split!r}: the images have a {seen} background, those of the training a {self._background} one."
            )
        return replace(prepared, notes=tuple(notes))

    def _places(self, source: Source) -> np.ndarray | None:
        """See `places`; None where they are the same."""
        found = self.places(source)
        return None if self._unnamed(source) or (found == np.arange(len(found))).all() else found

    def _unnamed(self, source: Source) -> bool:
        """Whether a source's labels are mere numbers, and those of the run have names."""
        names = sources.classes(source)
        numbers = names == tuple(map(str, range(len(names))))
        return numbers and len(names) <= len(self.classes) and not any(name.isdigit() for name in self.classes)

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
                interpolation=self.interpolation,
                antialias=self.antialias,
                randaugment_layers=settings.randaugment_layers,
                randaugment_magnitude=settings.randaugment_magnitude,
            )
            if settings.flip:
                view = image
                image = tf.cond(row["mirrored"], lambda: tf.reverse(view, axis=[1]), lambda: view)
            if settings.warps:
                image = augment.warp(image[None], row["transform"][None])[0]
            return example | {"image": augment.normalise(image, self.mean, self.std)}

        def evaluation(example: Example, _: Example) -> Example:
            view = self._view(example["image"], len(self.mean))
            return example | {"image": augment.normalise(view, self.mean, self.std)}

        return training if train else evaluation

    def blank(self, train: bool) -> Example | None:
        """Black, where `unreadable` is "skip"."""
        del train
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
        label = tf.ensure_shape(batch["label"], (rows,))
        if (places := self._places(split.source)) is not None:
            there = (label >= 0) & (label < len(places))
            label = tf.where(there, tf.gather(places, tf.where(there, label, 0)), -1)
        out = {"image": image, "label": tf.cast(label, tf.int32), "mask": mask}
        if train and self.augment.erase:
            out["image"] = augment.erase(image, draws, self.augment.erase)
        if train and self.augment.mixes:
            out = augment.mix(out, draws, self.augment.mixup, self.augment.cutmix)
        return out

    def wrong(self, batch: Batch, split: Split) -> tuple[int, str] | None:
        """A label that is not one of the source's classes."""
        same = self._places(split.source) is None
        last, label = len(sources.classes(split.source) if same else self.classes) - 1, batch["label"]
        rows = np.flatnonzero((label < 0) | (label > last))
        if not rows.size:
            return None
        return int(rows[0]), f"has label {label[rows[0]]}, outside 0 to {last}: is this split labelled?"

    def truth(self, item: str) -> str:
        """The class that a folder above the file is named as."""
        return folder_class(item, self.classes)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files as the model sees them in evaluation: {"image": float32 (n, height, width, channels)}."""
        tf = tensorflow()
        from data import augment
        from data.batches import reason

        images, notes = [], []
        grey = len(self.mean) == 1
        for path in items:
            what = shown(path)
            check_plain(path)
            try:
                file = tf.io.read_file(os.fsencode(path))
                image = self._view(file, len(self.mean)).numpy()
                if grey and appearance.in_colour(self._view(file, 3).numpy()):
                    notes.append(f"{what} is in colour, and the model sees it in grey.")
            except (tf.errors.OpError, ValueError) as error:
                raise UserError(f"cannot read {what}: {reason(error)}") from None
            if grey and self.invert == "auto" and {appearance.background([image]), self._background} == set(OTHER):
                image = 255 - image
                notes.append(
                    f"{what} has a {OTHER[self._background]} background and the training images a {self._background} "
                    "one: it is inverted. To leave it as it is: --config.data.invert=never"
                )
            images.append(augment.normalise(image, self.mean, self.std).numpy())
        return {"image": np.stack(images)}, notes

    def _view(self, image: Tensor, channels: int) -> Tensor:
        """The one view of an image that is scored: uint8."""
        from data import images

        return images.for_evaluation(
            image,
            size=self.image_shape[:2],
            channels=channels,
            crop=self.eval_crop,
            crop_share=self.eval_crop_share,
            interpolation=self.interpolation,
            antialias=self.antialias,
        )
