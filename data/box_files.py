"""Files of images with boxes that stand in other files: what the sources coco, voc and yolo share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from data import fingerprint
from data.image_file import MOST_PIXELS
from data.order import Tensor, tensorflow
from data.slices import cut
from data.sources import Example, Feature, Features, Indexed, chosen
from errors import UserError, shown

Form = Literal["corners", "top_left", "middle"]  # x, y, x, y | x, y, width, height | the same with the middle's x, y
FORMS = {
    "corners": "x, y of two corners",
    "top_left": "x, y, width, height",
    "middle": "x, y of the middle, width, height",
}
FRACTION = 1.5  # the largest number of most boxes, where they are shares of the image's sides
MOSTLY = 0.95  # of the boxes that must lie within their images for a form to be theirs
SLACK = 1.02  # of a side, by which a box may reach beyond the image and count as within


@dataclass
class Labelled:
    """One image with its boxes as the files have them.

    Attributes:
      path: of the image.
      size: height and width; (0, 0) where the files do not say.
      boxes: four numbers each.
      labels: the class of each; -1 for one that is not in the list.
      ignored: whether it is neither right nor wrong.
      areas: in pixels of the image, of objects whose files say it; [] where they do not.
    """

    path: str
    size: tuple[int, int] = (0, 0)
    boxes: list[Sequence[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ignored: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


class Source(Indexed):
    """Examples have `image`, the bytes of a file, and `objects`: `bbox` (n, 4), `label` (n,), `is_crowd` (n,),
    `area` (n,), 0 where it is not known; and `size` (2,), height and width of the image as the files say, or 0.

    Images that are missing are left out, and counted. Classes of one name are one. Numbers are told by themselves: of
    boxes that are shares of 1 or pixels, as most of them are, whatever the format says; and by which corner they stand,
    where they fit their images in one way.
    """

    def __init__(
        self,
        images: list[Labelled],
        classes: tuple[str, ...],
        form: Form,
        split: str,
        wanted: tuple[str, ...] | None,
        root: Path,
        numbers: tuple[int, ...] = (),
        without: str = "",
    ):
        """Args: images: with their boxes. form: that the format prescribes. root: the folder, for messages. numbers: of
        the classes, as the files have them. without: why there may be no boxes, for messages."""
        what = shown(str(root))
        there = [one for one in images if os.path.isfile(one.path)]
        missing = [shown(one.path) for one in images if not os.path.isfile(one.path)]
        if not there:
            raise UserError(f"{what}: none of its {len(images):,} images is there{': '.join(['', *missing[:1]])}.")
        notes = [f"{what}: left out: {len(missing):,} images that are missing ({missing[0]})."] if missing else []
        there = cut(there, split, str(root))
        for one in there:
            one.size = one.size if all(0 < side <= MOST_PIXELS for side in one.size) else (0, 0)
        boxes = np.array([box for one in there for box in one.boxes], np.float64).reshape(-1, 4)
        if not len(boxes):
            raise UserError(f"{what}, split {split!r}: its {len(there):,} images have no boxes{without}.")
        if not classes:
            raise UserError(f"{what}, split {split!r}: its {len(boxes):,} boxes have no class with a name.")
        counts = np.array([len(one.boxes) for one in there])
        largest = np.abs(boxes[np.isfinite(boxes).all(1)]).max(1)
        shares = bool(np.median(largest) <= FRACTION) if len(largest) else True  # one wrong box changes no other
        sizes = np.repeat([(1, 1) if shares else _size(one) for one in there], counts, axis=0).reshape(-1, 2)
        found, told = corners(boxes, sizes, form)
        notes += [f"{what}: {line}" for line in told]
        usual = form == "middle"  # YOLO's are shares
        if shares != usual:
            units = ("shares of the image's sides", "pixels")
            notes.append(f"{what}: the boxes are {units[not shares]}, not {units[shares]}, and read as such.")
        self._boxes, self._counts = found.astype(np.float32), counts
        self._starts = np.cumsum(counts) - counts
        labels = np.array([label for one in there for label in one.labels], np.int64)
        names = tuple(dict.fromkeys(classes))
        if len(names) < len(classes):
            double = next(name for name in names if classes.count(name) > 1)
            notes.append(f"{what}: {len(classes)} classes have {len(names)} names: those called {double!r} are one.")
            same = np.array([names.index(name) for name in classes])
            labels = np.where(labels >= 0, same[np.maximum(labels, 0)], -1)
            # Exports have the name of the whole set first, as a class of its own: the number of the last one stays.
            by_name = dict(zip(classes, numbers, strict=False))
            classes, numbers = names, tuple(by_name.values())
        self._labels = labels
        self._ignored = np.array([ignored for one in there for ignored in one.ignored], bool)
        self._areas = np.array([x for one in there for x in one.areas or [0.0] * len(one.boxes)], np.float32)
        self._sizes = np.array([one.size for one in there], np.int32)
        self._paths = [one.path for one in there]
        self._root, self._tensors = root, None
        self.size, self.notes = len(there), tuple(notes)
        objects: Features = {
            "bbox": Feature("boxes", (None, 4)),
            "label": Feature("label", (None,), classes, numbers=numbers),
            "is_crowd": Feature("array", (None,)),
            "area": Feature("array", (None,)),
            "size": Feature("array", (2,)),
        }
        image = Feature("image", (None,) * 3, encoded=True)
        self.features: Features = chosen({"image": image, "objects": objects}, wanted, str(root))

    _tensors: tuple[Tensor, ...] | None

    def _held(self) -> tuple[Tensor, ...]:
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                paths = [os.fsencode(path) for path in self._paths]
                of_images = (self._starts, self._counts, self._sizes)
                of_boxes = (self._boxes, self._labels, self._ignored, self._areas)
                self._tensors = (tf.constant(paths), *map(tf.constant, (*of_images, *of_boxes)))
        return self._tensors

    def read(self, index: Tensor) -> Example:
        """Paths, and where the boxes of each begin and how many there are."""
        tf = tensorflow()
        columns = dict(zip(("path", "start", "count", "size"), self._held(), strict=False))
        return {name: tf.gather(column, index) for name, column in columns.items()}

    def parse(self, raw: Example) -> Example:
        """One example, its file read."""
        tf = tensorflow()
        columns = self._held()[4:]
        mine = slice(raw["start"], raw["start"] + raw["count"])
        names = ("bbox", "label", "is_crowd", "area")
        objects = {name: column[mine] for name, column in zip(names, columns, strict=True)}
        example = {"objects": objects | {"size": raw["size"]}}
        if "image" in self.features:
            example["image"] = tf.io.read_file(raw["path"])
        return {name: example[name] for name in self.features}

    def objects(self) -> tuple[np.ndarray, ...]:
        """Of all boxes: the image of each, box, label and whether it is ignored."""
        return np.repeat(np.arange(self.size), self._counts), self._boxes, self._labels, self._ignored

    def contents(self) -> dict[str, str]:
        """Sizes of the images, and a digest of the boxes."""
        boxes = fingerprint.of_texts([self._boxes.tobytes().hex(), str(self._labels.tolist())])
        return fingerprint.of_files(self._paths, self._root) | {"boxes": boxes["texts"]}

    def describe(self, index: int) -> str:
        """An example by its file."""
        return shown(self._paths[index])


def corners(
    boxes: Float[np.ndarray, "n 4"], sizes: Int[np.ndarray, "n 2"], form: Form
) -> tuple[Float[np.ndarray, "n 4"], list[str]]:
    """Boxes as (ymin, xmin, ymax, xmax), shares of the image, not cut at its edges; and lines on what was told.

    Args:
      boxes: as the files have them.
      sizes: height and width of each one's image, in the boxes' unit.
      form: that the format prescribes. Another is taken where nearly all boxes fit in that one and not in this.
    """
    lines = []
    read = {one: _as(boxes, one) / np.tile(sizes, (1, 2)) for one in ("corners", "top_left", "middle")}
    fits = {one: _within(found).mean() for one, found in read.items()}
    taken: Form = form
    if fits[form] < MOSTLY:
        other = max(("corners", "top_left", "middle"), key=lambda one: fits[one])
        if fits[other] >= MOSTLY:
            taken = other  # type: ignore[assignment]
            lines.append(
                f"read as {FORMS[form]}, {1 - fits[form]:.0%} of the boxes would not lie within their images; they are "
                f"read as {FORMS[taken]}."
            )
    found = read[taken]
    if taken == "corners" and (turned := (found[:, 0] > found[:, 2]) | (found[:, 1] > found[:, 3])).any():
        lines.append(f"{turned.sum():,} boxes have their corners in the other order; they are turned.")
        found = np.concatenate([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])], axis=1)
    if odd := int((~np.isfinite(found).all(1)).sum()):
        lines.append(f"left out: {odd:,} boxes that are no numbers.")
    found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    beyond = ((found < -1e-3) | (found > 1 + 1e-3)).any(1)
    if beyond.any():
        lines.append(f"{beyond.sum():,} of {len(found):,} boxes reach beyond their image and are cut at its edges.")
    return found, lines


def _as(boxes: Float[np.ndarray, "n 4"], form: Form) -> Float[np.ndarray, "n 4"]:
    """(ymin, xmin, ymax, xmax) of boxes in a form."""
    a, b, c, d = boxes.T
    if form == "corners":
        return np.stack([b, a, d, c], axis=1)
    if form == "top_left":
        return np.stack([b, a, b + d, a + c], axis=1)
    return np.stack([b - d / 2, a - c / 2, b + d / 2, a + c / 2], axis=1)


def _within(box: Float[np.ndarray, "n 4"]) -> np.ndarray:
    """Whether a box lies within its image, sides in the right order."""
    inside = (box > 1 - SLACK).all(1) & (box < SLACK).all(1)
    return inside & (box[:, 0] <= box[:, 2]) & (box[:, 1] <= box[:, 3])


def _size(one: Labelled) -> tuple[int, int]:
    """Height and width of an image: as its files say, or of the image itself."""
    if min(one.size) > 0:
        return one.size
    from PIL import Image, ImageOps

    try:
        with Image.open(one.path) as image:
            upright = ImageOps.exif_transpose(image) if image.getexif() else image
            return upright.height, upright.width
    except Exception:  # of a damaged file Pillow raises anything; who reads its pixels says so
        return 1, 1
