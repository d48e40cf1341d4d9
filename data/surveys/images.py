"""A person's labelled images: folders, a list of files, or arrays."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data import appearance, image_file, listing, sources
from data.batches import reason
from data.order import tensorflow
from data.sources import Labelled, Source
from data.sources.label_images import LABELS
from data.surveys import Survey, among, in_use, named, place, sample, splits, training
from errors import UserError, shown
from lookup import Section, Value

LISTS = (".csv", ".tsv", ".txt")
EXPECTED = (
    "a folder for each class, FOLDER/CLASS/x.jpg, or for each split and class, FOLDER/train/CLASS/x.jpg; or a list "
    "FILE.csv of paths and classes"
)


def survey(section: Section) -> Survey:
    """See data/surveys."""
    path = place(section, beside=True)
    found, whole, source = _kind(path, section.get("source"))
    train, keys, lines = training(section, found, whole, partial(_opened, section, source), lambda train: train.size)
    keys["source"] = source
    classes = sources.classes(train)
    if "images" in classes and {*classes} <= {"images", *LABELS}:
        raise UserError(
            f"{path} has no folders of classes, but images with label images (--config=configs/my_masks.py) or with "
            f"boxes (--config=configs/my_boxes.py). Expected is {EXPECTED}."
        )
    if isinstance(train, Labelled) and (labels := train.labels()) is not None:
        lines += in_use(labels.tolist(), classes, path, EXPECTED)
    (height, width), look, told = looked_at(train)
    keys |= look
    lines += told
    colour = "in colour" if len(look["mean"]) == 3 else "grey"
    words = f"{train.size:,} images of {len(classes)} classes, {colour}, mostly {height}x{width}"
    return Survey(keys, train.size, len(classes), words, (height, width), notes=lines)


def _kind(path: Path, source: str | None) -> tuple[dict[str, str], str, str]:
    """The splits that there are, the name of the only one if there are none, and the source."""
    if path.is_file() or source in ("list", "arrays"):
        known = "arrays" if path.suffix == ".npz" else "list"
        if path.is_file() and path.suffix not in (*LISTS, ".npz"):
            raise UserError(f"config.data.name={path} is one file, {path.suffix}: expected is {EXPECTED}.")
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return splits({key.split("_")[0] for key in archive.files}), "train", source or known
        there = [] if path.is_file() else [file.stem for file in path.iterdir() if file.is_file()]
        return splits(there), "train", source or known
    folders, _ = listing.folders(path)
    found = splits(folders)
    if "train" in found or source == "folder":
        return found, "all", "folder"
    lists = sorted(file.name for file in path.iterdir() if file.suffix in LISTS and not listing.hidden(file.name))
    if "train" in splits([Path(name).stem for name in lists]):
        return splits([Path(name).stem for name in lists]), "train", "list"
    if len(folders) == 1 and lists:
        raise UserError(
            f"{path} has one folder, {folders[0]!r}, and lists: name the one that says each image's class, "
            f"{named(path / lists[0])}"
        )
    if len(folders) == 1 and listing.folders(path / folders[0])[0]:
        raise UserError(f"{path} holds one folder: {named(path / folders[0])}")
    if not folders:
        hint = f"; or name a list, {named(path / lists[0])}" if lists else "."
        raise UserError(f"{path} has no folders of classes. Expected is {EXPECTED}{hint}")
    return {}, "all", "folder"


def _opened(section: Section, source: str, split: str) -> Source:
    return sources.open(source, section["name"], split, section.get("data_dir", ""), wanted=("image", "label"))


def looked_at(source: Source) -> tuple[tuple[int, int], dict[str, Value], tuple[str, ...]]:
    """The median height and width of some images; the keys of config.data for their channels, three if one of them is
    in colour; and a line on those that cannot be read.

    Raises:
      UserError: none of them can be read.
    """
    tf = tensorflow()
    places = sample(source.size)
    raw = source.read(tf.constant(places, tf.int64))
    sizes, colours, bad = [], [], []
    for row in range(len(next(iter(raw.values())))):
        try:
            example = source.parse({name: x[row] for name, x in raw.items()})["image"].numpy()
            pixels = image_file.read(example, 3) if isinstance(example, bytes) else example
        except (ValueError, tf.errors.OpError) as error:  # whoever reads all of them names it
            bad.append(f"{shown(source.describe(places[row]))}: {reason(error)}")
            continue
        sizes.append(pixels.shape[:2])
        colours.append(pixels.shape[-1] == 3 and appearance.in_colour(_small(pixels)))
    if not sizes:
        raise UserError(bad[0])
    height, width = (among([size[side] for size in sizes]) for side in (0, 1))
    channels = 3 if any(colours) else 1
    told = (f"{len(bad)} of {len(places)} images that were looked at cannot be read: {bad[0]}",) if bad else ()
    return (height, width), {"mean": (0.5,) * channels, "std": (0.5,) * channels}, told


def _small(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).reduce(max(1, min(pixels.shape[:2]) // 64)))
