"""Images with a label map: a class for each pixel.

b this host's share of a batch, H and W the pixels of an image.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Interval
from pydantic import NonNegativeInt

from data import appearance
from data.items import check_plain
from data.order import tensorflow
from data.pipelines.base import Batch, Change, Section, Spec, Split, Unread
from data.pipelines.examples import FEW, Pictures
from data.pipelines.images import MOST_PIXELS, Pixels
from data.sources import Example, Feature, Source, synthetic
from errors import UserError, shown
from lookup import Probability

if TYPE_CHECKING:
    from data.label_maps import View

Side = Annotated[int, Interval(ge=0, le=MOST_PIXELS)]
Scale = Annotated[float, Interval(ge=0.05, le=20)]


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    size = min(section.get("image_size") or 32, 32)
    whole = {"image_size": size, "image_width": 0, "eval_size": 0, "eval_width": 0, "short_side": 0}
    return {"batch_size": 8, "eval_batch_size": 16} | whole


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What training images go through, and their label maps with them. See data/label_maps.py.

    Attributes:
      scales: least and largest factor by which an image is resized beyond its `short_side`, before it is cropped.
      flip: mirror half of the images left to right.
      brightness: up to so much of the full brightness is added or taken.
      contrast: differences from the mean become up to so much larger or smaller.
      saturation: so do those from grey, of images in colour.
      hue: turned by up to so much of the circle of colours.
    """

    scales: tuple[Scale, Scale] = (1.0, 1.0)
    flip: bool = False
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    saturation: Probability = 0.0
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.0

    @property
    def light(self) -> tuple[float, float, float, float]:
        """What the light changes by."""
        return self.brightness, self.contrast, self.saturation, self.hue


@dataclass(kw_only=True)
class Pipeline(Pictures):
    """Batches: image float32 (b, H, W, channels), label int32 (b, H, W), −1 for what is ignored, and mask float32 (b,),
    0 for what is padding or could not be read; in evaluation also size int32 (b, 2), height and width of what is image.

    Images keep their proportions. They are resized to a short side and cropped in training; an evaluation sees all of
    them. What does not fill the batch's size is filled up with black and ignored. Evaluated is the label map as it is
    resized with the image.

    Attributes:
      label_map: which feature of the examples is the label map.
      class_names: of the classes 0, 1, ...; () for what the data set itself says: a folder's classes.txt.
      first_class: the number of the first class in the label images; lower ones are ignored: 1 where 0 is unlabelled.
      label_numbers: what the label images have for each of the classes, (0, 255) of masks in black and white; () for
        first_class, first_class + 1, ...
      ignored: numbers in the label images of what is ignored.
      label_channel: of label images in colour, the one that has the classes; −1 where none does.
      image_size: height that training images are cropped to, in pixels.
      image_width: width that they are cropped to; 0 for the height.
      short_side: of an image that is resized; 0 for the smaller of height and width.
      eval_size, eval_width: height and width in evaluation, within which the whole image is; 0 for those of training.
      interpolation: the filter that images are resized with. Label maps take the nearest pixel.
      antialias: whether it grows with the factor by which an image shrinks: see data/pipelines/images.py.
      augment: what training images go through.
    """

    label_map: str = "mask"
    class_names: tuple[str, ...] = ()
    first_class: NonNegativeInt = 0
    label_numbers: tuple[NonNegativeInt, ...] = ()
    ignored: tuple[NonNegativeInt, ...] = (255,)
    label_channel: Annotated[int, Interval(ge=-1, le=2)] = -1
    image_size: Pixels
    image_width: Side = 0
    short_side: Side = 0
    eval_size: Side = 0
    eval_width: Side = 0
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"
    antialias: bool = True
    augment: Augment = Augment()

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.augment.scales
        if low > high:
            raise UserError(f"config.data.augment.scales={(low, high)} should have the smaller factor first.")
        if len(set(self.class_names)) < len(self.class_names):
            raise UserError("config.data.class_names has a name twice.")
        if len(set(self.label_numbers)) < len(self.label_numbers):
            raise UserError(f"config.data.label_numbers={self.label_numbers} has a number twice.")
        if self.label_numbers and self.first_class:
            raise UserError("config.data.label_numbers says each class's number: leave config.data.first_class at 0.")
        if both := [number for number in self.label_numbers if number in self.ignored]:
            rest = tuple(number for number in self.ignored if number not in both)
            raise UserError(
                f"config.data.label_numbers has {both[0]}, which config.data.ignored leaves out: set "
                f'--config.data.ignored="{rest}".'
            )

    def named(self, source: Source) -> tuple[str, ...]:
        """See Labelled: those of the config, or else of the source.

        Raises:
          UserError: nothing names them, all are ignored, or config.data.label_numbers is of more or fewer classes.
        """
        names = self._named(source)
        if self.label_numbers and len(self.label_numbers) != len(names):
            raise UserError(
                f"config.data.label_numbers={self.label_numbers} are {len(self.label_numbers)} numbers, for "
                f"{len(names)} classes ({', '.join(names[:FEW])}): one for each, in their order."
            )
        if set(self._numbers(len(names))) <= set(self.ignored):
            raise UserError(f"config.data.ignored={self.ignored} leaves out every class: no pixel would be learned.")
        return names

    def _named(self, source: Source) -> tuple[str, ...]:
        if self.class_names:
            return self.class_names
        feature = source.features[self.label_map]
        if isinstance(feature, Feature) and feature.names:
            return feature.names
        if isinstance(source, synthetic.Source):
            return tuple(map(str, range(int(self.name))))
        raise UserError(
            f"the classes of {self.name} have no names: set --config.data.class_names=\"('sky', 'road', ...)\", in the "
            "order of their numbers in the label images; of a folder, write them into its classes.txt, a line each."
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """What label images have for each of the classes."""
        return self._numbers(len(self.classes))

    def _numbers(self, classes: int) -> tuple[int, ...]:
        return self.label_numbers or tuple(range(self.first_class, self.first_class + classes))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels in training."""
        return (self.image_size, self.image_width or self.image_size, len(self.mean))

    @property
    def whole_shape(self) -> tuple[int, int, int]:
        """Height, width and channels in evaluation."""
        height, width, channels = self.image_shape
        return (self.eval_size or height, self.eval_width or self.eval_size or width, channels)

    def _spec(self, shape: tuple[int, int, int]) -> Spec:
        return {"image": ((1, *shape), "float32"), "label": ((1, *shape[:2]), "int32"), "mask": ((1,), "float32")}

    @property
    def spec(self) -> Spec:
        """image, label and mask."""
        return self._spec(self.image_shape)

    def largest(self, split: str) -> Spec:
        """The global batch of an evaluation split."""
        spec = self._spec(self.whole_shape) | {"size": ((1, 2), "int32")}
        return {name: ((self.split(split).plan.most, *shape[1:]), dtype) for name, (shape, dtype) in spec.items()}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The image and the label map."""
        return "image", self.label_map

    def describe(self) -> list[str]:
        """How much there is, and what was left out."""
        names = self.classes if len(self.classes) < FEW else (*self.classes[:FEW], "...")
        lines = [
            f"{self.train_source.size:,} images, batch {self.batch_size}; {len(self.classes)} classes of pixels: "
            f"{', '.join(names)}."
        ]
        return list(dict.fromkeys([*lines, *super().describe()]))

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples. A split whose classes have names must have the run's.

        Raises:
          UserError: others, or in another order.
        """
        prepared = super().prepare(split, train)
        feature = prepared.source.features[self.label_map]
        names = feature.names if isinstance(feature, Feature) else ()
        if not train and names and not self.class_names and names != self.classes:
            pairs = enumerate(zip_longest(names, self.classes))
            number, (theirs, ours) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
            raise UserError(
                f"split {split!r} has other classes of pixels than the training split: class {number} is {theirs!r} "
                f"there and {ours!r} here. They should be the same and in the same order."
            )
        return prepared

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        return super().unread(len(self.class_names) or classes, examples)

    def _view(self, shape: tuple[int, int, int]) -> "View":
        from data.label_maps import View

        short_side = self.short_side or min(self.image_shape[:2])
        return View(shape[:2], short_side, shape[2], self.interpolation, self.antialias)

    def change(self, split: Split, train: bool) -> Change:
        """One view of an image, normalised, and of its label map."""
        tf = tensorflow()
        from data import augment, label_maps

        settings, view = self.augment, self._view(self.image_shape if train else self.whole_shape)
        numbers = self.numbers

        def training(example: Example, row: Example) -> Example:
            seed = tf.stack([tf.cast(self.feed.seed, tf.int64), row["position"]])
            image, label = view.random(example["image"], number(example), seed, settings.scales, settings.flip)
            if any(settings.light):
                image = label_maps.jittered(image, tf.random.fold_in(seed, 1), *settings.light)
            return {"image": augment.normalise(image, self.mean, self.std), "label": label}

        def evaluation(example: Example, _: Example) -> Example:
            image, label, size = view.whole(example["image"], number(example))
            return {"image": augment.normalise(image, self.mean, self.std), "label": label, "size": size}

        def number(example: Example) -> Example:
            """The class of each pixel, IGNORED or, where there is no such class, the number of classes or more."""
            label = label_maps.decode(example[self.label_map], self.label_channel)
            kept = label >= self.first_class
            for one in self.ignored:
                kept &= label != one
            found = label - self.first_class
            if self.label_numbers:
                found = label + len(numbers)  # no class
                for place, one in enumerate(numbers):
                    found = tf.where(label == one, place, found)
            return tf.where(kept, found, label_maps.IGNORED)

        return training if train else evaluation

    def blank(self, train: bool) -> Example | None:
        """Black and ignored, where `unreadable` is "skip"."""
        if self.unreadable == "stop":
            return None
        tf = tensorflow()
        from data import augment, label_maps

        shape = self.image_shape if train else self.whole_shape
        image = augment.normalise(tf.zeros(shape, tf.uint8), self.mean, self.std)
        whole = {} if train else {"size": tf.constant(shape[:2])}
        return {"image": image, "label": tf.fill(shape[:2], label_maps.IGNORED)} | whole

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Images and label maps, and how much each row weighs."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        shape = self.image_shape if train else self.whole_shape
        out = {
            "image": tf.ensure_shape(batch["image"], (rows, *shape)),
            "label": tf.ensure_shape(batch["label"], (rows, *shape[:2])),
            "mask": batch["readable"] * tf.cast(batch["real"], tf.float32),
        }
        return out if train else out | {"size": batch["size"]}

    def wrong(self, batch: Batch, split: Split) -> tuple[int, str] | None:
        """A class that there is not."""
        highest = batch["label"].max(axis=(1, 2))
        rows = np.flatnonzero(highest >= len(self.classes))
        if not rows.size:
            return None
        numbers = self.numbers
        number = int(highest[rows[0]]) + (-len(numbers) if self.label_numbers else self.first_class)
        classes = ", ".join(map(str, numbers)) if self.label_numbers else f"{numbers[0]} to {numbers[-1]}"
        return int(rows[0]), (
            f"has class {number} in its label image, and the {len(numbers)} classes are {classes}: name it as one, or "
            f'leave such pixels out, --config.data.ignored="{(*self.ignored, number)}".'
        )

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files as the model sees them in evaluation: image (n, H, W, channels), size int32 (n, 2) of what is
        image, and original int32 (n, 2), height and width of the file."""
        tf = tensorflow()
        from data import augment, images
        from data.batches import reason

        view, found, notes = self._view(self.whole_shape), [], []
        for path in items:
            what = shown(path)
            check_plain(path)
            try:
                file = tf.io.read_file(os.fsencode(path))
                image, _, size = view.whole(file, None)
                original = tf.shape(images.decode(file, len(self.mean)))[:2]
                if len(self.mean) == 1 and appearance.in_colour(replace(view, channels=3).whole(file, None)[0].numpy()):
                    notes.append(f"{what} is in colour, and the model sees it in grey.")
            except (tf.errors.OpError, ValueError) as error:
                raise UserError(f"cannot read {what}: {reason(error)}") from None
            found.append((augment.normalise(image, self.mean, self.std).numpy(), size.numpy(), original.numpy()))
        names = ("image", "size", "original")
        return {name: np.stack(arrays) for name, arrays in zip(names, zip(*found, strict=True), strict=True)}, notes
