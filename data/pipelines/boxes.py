"""Images with boxes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, cast

import numpy as np
from annotated_types import Interval
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt

from data import appearance, box_files
from data.items import check_plain
from data.order import Tensor, tensorflow
from data.pipelines.base import Batch, Change, Known, Section, Spec, Split
from data.pipelines.box_augmentation import AREA, Augment
from data.pipelines.examples import Pictures
from data.pipelines.images import MOST_PIXELS, Pixels
from data.sources import Example, Feature, Features, Source, synthetic
from errors import UserError, shown

REASONS = (
    "of no area",
    "outside of their image",
    "of an unknown class",
    "crowds or difficult ones",
    "beyond max_boxes",
)
SCANNED = 20_000  # examples of a split, up to which what is left out is counted before training
IGNORED = ("is_crowd", "is_difficult")  # what sets call boxes that are neither right nor wrong


def debug(section: Section) -> dict[str, object]:
    """What a `:debug` variant changes."""
    width = min(section.get("image_width") or section.get("image_size") or 32, 32)
    return {
        "batch_size": 8,
        "eval_batch_size": 16,
        "image_size": min(section.get("image_size") or 32, 32),
        "image_width": width,
    }


@dataclass(kw_only=True)
class Pipeline(Pictures):
    """Batches: image float32 (b, height, width, channels); extent float32 (b, 2), the share of its height and width,
    from the top left, that is image and not padding; boxes float32 (b, M, 4) as (ymin, xmin, ymax, xmax), shares
    of that image; labels int32 (b, M), -1 for no box; ignored int32 (b, M), 1 for a box that is neither right nor wrong
    (crowds; only in evaluation); area float32 (b, M), in the image's own pixels, of the object where the set says it
    (COCO's, of its outline) and else of its box; size int32 (b, 2), the image's own height and width in pixels; mask
    float32 (b,), 0 for padding.

    Attributes:
      image_size: height of the canvas in pixels.
      image_width: width of the canvas; 0 for the height.
      resize: "fit" keeps an image's shape: it is made as large as the canvas allows, and the rest is padding; "stretch"
        fills the canvas.
      short_side: of "fit": the length that an image's shorter side gets, where the canvas allows it; 0 for the largest.
      max_boxes: M; what an image has beyond them is left out, and counted.
      augment: what training images go through.
    """

    image_size: Pixels
    image_width: Annotated[int, Interval(ge=0, le=MOST_PIXELS)] = 0
    resize: Literal["fit", "stretch"] = "fit"
    short_side: NonNegativeInt = 0
    max_boxes: PositiveInt = 100
    augment: Augment = Augment()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers = tuple((self.feed.known or {}).get("numbers", range(len(self._trained))))

    def named(self, source: Source) -> tuple[str, ...]:
        """See Labelled."""
        return of_classes(source).names

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the data set's files call each of the classes: COCO's category_id."""
        return self._numbers if self._trained else of_classes(self.train_source).called

    @property
    def known(self) -> Known:
        """The names and the numbers of the classes."""
        return super().known | {"numbers": list(self.numbers)}

    @property
    def canvas(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self.image_size, self.image_width or self.image_size, len(self.mean))

    @property
    def spec(self) -> Spec:
        """See Pipeline."""
        boxes = self.max_boxes
        return {
            "image": ((1, *self.canvas), "float32"),
            "extent": ((1, 2), "float32"),
            "boxes": ((1, boxes, 4), "float32"),
            "labels": ((1, boxes), "int32"),
            "ignored": ((1, boxes), "int32"),
            "area": ((1, boxes), "float32"),
            "size": ((1, 2), "int32"),
            "mask": ((1,), "float32"),
        }

    @property
    def wanted(self) -> tuple[str, ...]:
        """image and objects."""
        return "image", "objects"

    def open(self, split: str) -> Source:
        """The source of a split.

        Raises:
          UserError: its objects have no boxes with labels.
        """
        source = super().open(split)
        if not isinstance(source, synthetic.Source):
            objects = source.features.get("objects")
            if not isinstance(objects, Mapping) or not {"bbox", "label"} <= objects.keys():
                raise UserError(
                    f"config.data.source={self.source!r}, name={self.name!r} has no `objects` with `bbox` and `label`."
                )
        return source

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples; with what is left out, where it is counted.

        Raises:
          UserError: classes that are not the training split's.
        """
        prepared = super().prepare(split, train)
        if isinstance(prepared.source, synthetic.Source):
            return prepared
        if not train:
            self.check_classes(split, self.named(prepared.source))
        return replace(prepared, notes=(*prepared.notes, *self._counts(prepared.source, split)))

    def describe(self) -> list[str]:
        """How much there is, and what was left out."""
        lines = [f"{self.train_source.size:,} images of {len(self.classes)} classes, batch {self.batch_size}."]
        return list(dict.fromkeys([*lines, *super().describe()]))

    def _counts(self, source: Source, split: str) -> list[str]:
        """What of a split's boxes is left out; nothing where that is not known before they are read."""
        if isinstance(source, box_files.Source):
            image, bbox, label, ignored = source.objects()
        elif source.random_access and source.size <= SCANNED:
            image, bbox, label, ignored = _read(source)
        else:
            return []
        place = self.places(source)
        known = (label >= 0) & (label < len(place))
        known &= place[np.where(known, label, 0)] >= 0
        empty, outside = _areas(bbox) <= AREA, _areas(np.clip(bbox, 0, 1)) <= AREA
        reasons = np.select([empty, outside, ~known, ignored], range(4), 4)
        good = np.bincount(image[reasons == 4], minlength=source.size)  # of each image
        counts = [*np.bincount(reasons, minlength=5)[:4], np.maximum(good - self.max_boxes, 0).sum()]
        without = int((good == 0).sum())
        lines = [f"{count:,} {why}" for count, why in zip(counts, REASONS, strict=True) if count]
        if lines and not good.any() and split == self.train_split:
            why = ", ".join(lines)
            raise UserError(f"{self.name}, split {split!r}: of {len(bbox):,} boxes none can be used: {why}.")
        said = [f"Split {split!r}: of {len(bbox):,} boxes, left out are {', '.join(lines)}."] if lines else []
        return said + [f"Split {split!r}: {without:,} of {source.size:,} images have no box."] * (without > 0)

    def change(self, split: Split, train: bool) -> Change | None:
        """An image on its canvas, with its boxes."""
        tf = tensorflow()
        from data import augment, box_views

        objects = cast(Features, split.source.features["objects"])
        ignoring = [name for name in IGNORED if name in objects]
        places = tf.constant(self.places(split.source))
        settings = self.augment if train else None

        def changed(example: Example, row: Example) -> Example:
            raw = example["objects"]
            label = tf.cast(raw["label"], tf.int64)
            there = (label >= 0) & (label < len(places))
            label = tf.where(there, tf.gather(places, tf.where(there, label, 0)), -1)
            ignored = tf.zeros_like(label, tf.bool)
            for name in ignoring:
                ignored |= tf.cast(raw[name], tf.bool)
            seed = tf.stack([tf.cast(self.feed.seed, tf.int64), tf.cast(row.get("position", 0), tf.int64)])
            view = box_views.view(
                example["image"], raw["bbox"], self.canvas, self.resize == "fit", self.short_side, settings, seed
            )
            if "size" in objects:
                view = box_views.upright(view, raw["size"])
            seen = view.seen & (label >= 0)
            if train:
                seen &= ~ignored
            of_box = tf.reduce_prod((view.boxes[:, 2:] - view.boxes[:, :2]) * tf.cast(view.size, tf.float32), 1)
            stated = tf.cast(raw["area"], tf.float32) if "area" in objects else tf.zeros_like(of_box)
            area = tf.where(stated > 0, stated, of_box)
            kept = [tf.boolean_mask(x, seen)[: self.max_boxes] for x in (view.boxes, label, ignored, area)]
            spare = self.max_boxes - tf.shape(kept[1])[0]

            def filled(x: Tensor, value: float) -> Tensor:
                ends = [[0, spare]] + [[0, 0]] * (x.shape.rank - 1)
                return tf.ensure_shape(tf.pad(x, ends, constant_values=value), (self.max_boxes, *x.shape[1:]))

            return {
                "image": augment.normalise(view.image, self.mean, self.std) * view.inside,
                "extent": view.extent,
                "boxes": filled(kept[0], 0),
                "labels": filled(tf.cast(kept[1], tf.int32), -1),
                "ignored": filled(tf.cast(kept[2], tf.int32), 0),
                "area": filled(kept[3], 0),
                "size": view.size,
            }

        return changed

    def blank(self, train: bool) -> Example | None:
        """Nothing, where `unreadable` is "skip"."""
        del train
        if self.unreadable == "stop":
            return None
        tf = tensorflow()
        empty = {name: tf.zeros(shape[1:], dtype) for name, (shape, dtype) in self.spec.items() if name != "mask"}
        return empty | {"labels": empty["labels"] - 1, "extent": empty["extent"] + 1, "size": empty["size"] + 1}

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """The entries of `spec`."""
        del train
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        mask = batch["readable"] * tf.cast(batch["real"], tf.float32)
        return {
            name: mask if name == "mask" else tf.ensure_shape(batch[name], (rows, *shape[1:]))
            for name, (shape, _) in self.spec.items()
        }

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files as the model sees them in evaluation: image, extent and size."""
        tf = tensorflow()
        from data import augment, box_views, images
        from data.batches import reason

        rows, notes = [], []
        for path in items:
            what = shown(path)
            check_plain(path)
            try:
                file = tf.io.read_file(os.fsencode(path))
                fit, none = self.resize == "fit", tf.zeros((0, 4))
                view = box_views.view(file, none, self.canvas, fit, self.short_side, None, None)
                if len(self.mean) == 1 and appearance.in_colour(images.decode(file, 3).numpy()):
                    notes.append(f"{what} is in colour, and the model sees it in grey.")
            except (tf.errors.OpError, ValueError) as error:
                raise UserError(f"cannot read {what}: {reason(error)}") from None
            image = augment.normalise(view.image, self.mean, self.std) * view.inside
            rows.append({"image": image.numpy(), "extent": view.extent.numpy(), "size": view.size.numpy()})
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}, notes


def _read(source: Source) -> tuple[np.ndarray, ...]:
    """Of all boxes of a source: the image of each, box, label and whether it is ignored."""
    tf = tensorflow()
    ignoring = [name for name in IGNORED if name in cast(Features, source.features["objects"])]
    parts = []
    for first in range(0, source.size, 1000):
        raw = source.read(tf.range(first, min(first + 1000, source.size), dtype=tf.int64))
        rows = tf.data.Dataset.from_tensor_slices(raw).map(lambda r: source.parse(r)["objects"])
        for image, objects in enumerate(rows.as_numpy_iterator(), first):
            label = objects["label"]
            ignored = np.any([np.zeros(len(label), bool), *(objects[name] for name in ignoring)], axis=0)
            parts.append((np.full(len(label), image), objects["bbox"].reshape(-1, 4), label, ignored))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def of_classes(source: Source) -> Feature:
    """The `label` of a source's objects, which has names."""
    objects = source.features["objects"]
    label = objects["label"] if isinstance(objects, Mapping) else objects
    if not isinstance(label, Feature):
        raise UserError("the objects' `label` should be a class, not a dictionary.")
    if not label.names:
        raise UserError("the classes of the objects have no names: name them in the data set.")
    return label


def _areas(bbox: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """The areas of boxes in shares of their image; 0 where an end is before its beginning."""
    return np.maximum(bbox[:, 2:] - bbox[:, :2], 0).prod(1)
