"""Images, each with a label image of the same size: in folders, or by a list."""

import os
import re
from collections import defaultdict
from pathlib import Path

from data import fingerprint, listing
from data.image_file import SUFFIXES
from data.order import Tensor, tensorflow
from data.slices import cut, named, names, stem
from data.sources import Example, Feature, Features, Indexed, chosen
from data.sources.list import HEAD, cells
from data.text.files import lines
from errors import UserError, shown

LABELS = ("labels", "annotations", "masks")  # what the folder of label images can be called; that of images: "images"
ENDING = re.compile(r"[-_](masks?|labels?|gt|seg|l)$", re.IGNORECASE)  # of a label image's name: photo1_mask.png
VOC = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")  # images, label images, lists of names
LISTS = (".csv", ".tsv", ".txt")
CLASSES, ADE20K = "classes.txt", "objectInfo150.txt"
WITHOUT, ALONE = "images without a label image", "label images without an image"
MISSING = "pairs with a missing file"


class Source(Indexed):
    """NAME/SPLIT/images/x.jpg with NAME/SPLIT/labels/x.png; or NAME/images/SPLIT and NAME/labels/SPLIT, as ADE20K has
    them; or NAME/SPLIT.csv (.tsv, .txt) with two paths a line, which begin at NAME; or, for the split "all",
    NAME/images and NAME/labels. `labels` may be `annotations` or `masks`. Or as Pascal VOC: NAME/JPEGImages and
    NAME/SegmentationClass, of a split the names that NAME/ImageSets/Segmentation/SPLIT.txt lists.

    An image and a label image belong together by their path without its suffix; where no two do, without `_mask`,
    `_label`, `_gt`, `_seg` or `_L` at the end of the label image's. Files without a partner, and
    listed pairs with a missing file, are left out and counted.
    NAME/classes.txt names the classes 0, 1, ..., a line each; so does ADE20K's objectInfo150.txt.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        root = listing.root(data_dir, name)
        self._root = root
        pairs, self.notes = _listed(root, split) or _found(root, split)
        self._pairs = cut(pairs, split, str(root))
        one = Feature("image", (None, None, 1), classes(root), encoded=True)
        there = {"image": Feature("image", (None,) * 3, encoded=True), "mask": one}
        self.features: Features = chosen(there, wanted, str(root))
        self.size = len(self._pairs)
        self._tensors: tuple[Tensor, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """Paths of indices (b,)."""
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                image, mask = ([os.fsencode(path) for path in paths] for paths in zip(*self._pairs, strict=True))
                self._tensors = tf.constant(image), tf.constant(mask)
        return {name: tf.gather(paths, index) for name, paths in zip(("image", "mask"), self._tensors, strict=True)}

    def parse(self, raw: Example) -> Example:
        """One example, its files read."""
        tf = tensorflow()
        return {name: tf.io.read_file(raw[name]) for name in self.features}

    def contents(self) -> dict[str, str]:
        """Sizes of the files."""
        return fingerprint.of_files([path for pair in self._pairs for path in pair], self._root)

    def describe(self, index: int) -> str:
        """An example by its image's file."""
        return shown(self._pairs[index][0])


def classes(root: Path) -> tuple[str, ...]:
    """The names of the classes, none where the folder does not say them."""
    if (root / CLASSES).is_file():
        path, found = root / CLASSES, [line.strip() for line in lines(root / CLASSES)]
    elif (root / ADE20K).is_file():  # a table whose last column has a class's names, after a line of heads
        path = root / ADE20K
        whole = [line.split("\t")[-1].strip() for line in lines(path)[1:]]
        short = [names.split(",")[0] for names in whole]
        found = short if len(set(short)) == len(short) else whole
    else:
        return ()
    found = [name for name in found if name]
    if len(set(found)) < len(found):
        double = next(name for name in found if found.count(name) > 1)
        raise UserError(f"{path} has the class {double!r} twice: a name a line, in the order of their numbers.")
    return tuple(found)


def _listed(root: Path, split: str) -> tuple[list[tuple[str, str]], tuple[str, ...]] | None:
    """The pairs of NAME/SPLIT.csv, .tsv or .txt, or of VOC's list; None if there is none."""
    for voc in (root / VOC[2] / f"{one}.txt" for one in names(stem(split))):
        if voc.is_file():
            listed = [line.strip() for line in lines(voc) if line.strip()]
            return _there([(str(root / VOC[0] / f"{x}.jpg"), str(root / VOC[1] / f"{x}.png")) for x in listed], voc)
    paths = [root / f"{one}{suffix}" for one in names(stem(split)) for suffix in LISTS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    pairs = []
    for number, line in enumerate(lines(path), 1):
        row = cells(line, path.name)
        if (number == 1 and row[0].lower() in HEAD) or not line.strip():
            continue
        if len(row) != 2 or not all(row):
            raise UserError(f"{path}, line {number}: it should be the paths of an image and its label image: {line!r}.")
        pairs.append((str(root / row[0]), str(root / row[1])))
    return _there(pairs, path)


def _there(pairs: list[tuple[str, str]], path: Path) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """The pairs of a list of whose files both are there, and a line on the others.

    Raises:
      UserError: it lists none, or none is there.
    """
    if not pairs:
        raise UserError(f"{path} is empty.")
    missing = [[one for one in pair if not os.path.isfile(one)] for pair in pairs]
    kept = [pair for pair, absent in zip(pairs, missing, strict=True) if not absent]
    left_out = [(MISSING, absent[0]) for absent in missing if absent]
    if not kept:
        raise UserError(f"{path}: of none of its {len(pairs):,} pairs both files are there, such as {left_out[0][1]}.")
    return kept, tuple(listing.said(left_out, shown(str(path))))


def _found(root: Path, split: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """The pairs of a split's folders, and lines on what was left out."""
    images, labels = _folders(root, split)
    (pictures, others), (maps, more) = (listing.walk(folder, SUFFIXES) for folder in (images, labels))
    stems = {_stem(path, images) for path in pictures}
    alike = any(_stem(path, labels) in stems for path in maps)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in maps:
        name = _stem(path, labels)
        by_stem[name if alike else ENDING.sub("", name)].append(path)
    if double := next((paths for paths in by_stem.values() if len(paths) > 1), None):
        raise UserError(f"{labels} has two label images for one image: {', '.join(map(os.path.basename, double))}.")
    left_out = others + more
    pairs = []
    for path in pictures:
        if found := by_stem.pop(_stem(path, images), None):
            pairs.append((path, found[0]))
        else:
            left_out.append((WITHOUT, path))
    left_out += [(ALONE, path) for paths in by_stem.values() for path in paths]
    if not pairs:
        examples = [f" ({os.path.basename(paths[0])})" if paths else "" for paths in (pictures, maps)]
        raise UserError(
            f"no image of {images}{examples[0]} has a label image of the same name in {labels}{examples[1]}."
        )
    return pairs, tuple(listing.said(left_out, shown(str(images.parent))))


def _folders(root: Path, split: str) -> tuple[Path, Path]:
    """The folders of images and of label images of a split."""
    there, _ = listing.folders(root)
    called = named(stem(split), there)
    if called == "all" and not {"all"} & {*there, *listing.folders(root / "images")[0]}:
        pair = [*((root / "images", root / one) for one in LABELS), (root / VOC[0], root / VOC[1])]
    elif (root / called / "images").is_dir():
        parent = root / called
        pair = [(parent / "images", parent / one) for one in LABELS]
    else:
        called = named(stem(split), listing.folders(root / "images")[0]) if "images" in there else called
        pair = [(root / "images" / called, root / one / called) for one in LABELS]
    for images, labels in pair:
        if images.is_dir() and labels.is_dir():
            return images, labels
    raise UserError(
        f"{root} has no split {stem(split)!r}: there should be {stem(split)}/images and {stem(split)}/labels, or "
        f"images/{stem(split)} and labels/{stem(split)}, or a list {stem(split)}.csv. There is: "
        f"{', '.join(map(shown, there)) or 'nothing'}."
    )


def _stem(path: str, folder: Path) -> str:
    return os.path.splitext(os.path.relpath(path, folder))[0]
