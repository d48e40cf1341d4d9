"""A person's images, each with a label image: a class for each pixel."""

from functools import partial
from pathlib import Path

import numpy as np

from data import label_maps, listing, sources
from data.order import tensorflow
from data.sources import Source
from data.sources.label_images import LABELS, LISTS, classes
from data.surveys import Survey, place, sample, splits, training
from data.surveys.images import looked_at
from errors import UserError
from lookup import Section

VOID = 255  # what label images have where there is no class
WRITE = "Give each class a number of its own, 0, 1, 2 ..., so that a mask in black and white has 0 and 1."
EXPECTED = "train/images and train/labels, images/train and labels/train, images and labels, or a list train.csv"


def survey(section: Section) -> Survey:
    """See data/surveys."""
    path = place(section, folder=True)
    found, whole = _splits(path)
    train, keys, lines = training(section, found, whole, partial(_opened, section), lambda train: train.size)
    keys["source"] = "label_images"
    (height, width), look, told = looked_at(train)
    keys |= look
    lines += told
    numbers = _numbers(train, section.get("label_channel", -1))
    if len(one := [number for number in numbers if number != VOID]) < 2:
        only = " and ".join([*map(str, one), *[f"{VOID}, which is no class" for number in numbers if number == VOID]])
        raise UserError(f"{path}: its label images have only {only}: there is nothing to tell apart. {WRITE}")
    names = section.get("class_names") or classes(path)
    if not names:
        names = tuple(f"class {number}" for number in range(max(one for one in numbers if one != VOID) + 1))
        keys["class_names"] = names
        lines += (f"The classes have no names: write them into {path / 'classes.txt'}, a line each, from 0 on.",)
    void = sorted({VOID, *(one for one in numbers if one >= len(names))})
    keys["ignored"] = tuple(void)
    if void != [VOID]:
        lines += (
            f"Label images have {', '.join(map(str, void[:-1]))}, which no class is: left out of loss and score.",
        )
    words = f"{train.size:,} images with {len(names)} classes of pixels, mostly {height}x{width}"
    return Survey(keys, train.size, len(names), words, (height, width), notes=lines)


def _splits(path: Path) -> tuple[dict[str, str], str]:
    """The splits that there are, and the name of the only one if there are none."""
    folders, _ = listing.folders(path)
    inner = [one for one in folders if (path / one / "images").is_dir()]
    lists = [file.stem for file in path.iterdir() if file.suffix in LISTS and file.stem != "classes"]
    outer = listing.folders(path / "images")[0] if "images" in folders else []
    for names in (inner, outer, lists):
        if "train" in (found := splits(names)):
            return found, "train"
    if "images" in folders and any(one in folders for one in LABELS):
        return {}, "all"
    raise UserError(f"{path} has no images with label images. Expected is {EXPECTED}.")


def _opened(section: Section, split: str) -> Source:
    where = (section["name"], split, section.get("data_dir", ""))
    return sources.open(section.get("source", "label_images"), *where, wanted=("image", "mask"))


def _numbers(source: Source, channel: int) -> list[int]:
    """The numbers in some label images.

    Raises:
      UserError: one of them is in colour.
    """
    tf = tensorflow()
    raw = source.read(tf.constant(sample(source.size), tf.int64))
    found: set[int] = set()
    for row in range(len(raw["mask"])):
        example = source.parse({name: x[row] for name, x in raw.items()})
        try:
            found |= set(np.unique(label_maps.read(example["mask"].numpy(), channel)).tolist())
        except ValueError as error:
            raise UserError(f"{source.describe(row)}: {error}") from None
    return sorted(found)
