"""A person's images, each with a label image: a class for each pixel."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from data import label_maps, listing, sources
from data.order import tensorflow
from data.sources import Source
from data.sources.label_images import LABELS, LISTS, VOC, classes
from data.surveys import Survey, place, sample, splits, training
from data.surveys.images import looked_at
from errors import UserError
from lookup import Section

VOID = 255  # what label images have where there is no class
WHITE = (0, 255)  # what those have that are black and white: no set of several classes is without 1, 2 ...
MANY, MOSTLY = 16, 0.8  # so many numbers, most pixels black or white: edges are soft
WRITE = "Give each class a number of its own, 0, 1, 2 ...; of two classes, 0 and 255 will do."
EXPECTED = (
    "train/images and train/labels, images/train and labels/train, images and labels, VOC's JPEGImages and "
    "SegmentationClass, or a list train.csv"
)


def survey(section: Section) -> Survey:
    """See data/surveys."""
    path = place(section, folder=True)
    found, whole = _splits(path)
    train, keys, lines = training(section, found, whole, partial(_opened, section), lambda train: train.size)
    keys["source"] = "label_images"
    (height, width), look, told = looked_at(train)
    keys |= look
    lines += told
    pixels = _pixels(train, section.get("label_channel", -1))
    there = names = section.get("class_names") or classes(path)
    if not names and "label_numbers" not in section and _soft(pixels):
        raise UserError(
            f"{path}: its label images are black and white with grey in between, which would be {len(pixels)} classes: "
            "save them with 0 and 255 alone (by ImageMagick: mogrify -threshold 50% FILES)."
        )
    first, own = section.get("first_class", 0), section.get("label_numbers", ())
    void = section.get("ignored", () if VOID in own else (VOID,))
    if not own and "ignored" not in section and not first and sorted(pixels) == [*WHITE] and len(names) in (0, 2):
        own, void, names = WHITE, (), names or ("black", "white")
        keys["label_numbers"] = own
        lines += (
            f"Label images are black and white: 0 is {names[0]!r} and 255 is {names[1]!r}. If 255 is no class: "
            f'--config.data.ignored="({VOID},)".',
        )
    learned = [number for number in sorted(pixels) if number >= first and number not in void]
    if len(learned) < 2:
        no_class = [f"{number}, which is no class" for number in sorted(pixels) if number not in learned]
        only = " and ".join([*map(str, learned), *no_class])
        raise UserError(f"{path}: its label images have only {only}: there is nothing to tell apart. {WRITE}")
    if not names:
        names = tuple(f"class {number}" for number in own or range(first, learned[-1] + 1))
    if not there:
        keys["class_names"] = names
        lines += (f"The classes have no names: write them into {path / 'classes.txt'}, a line each, from 0 on.",)
    numbers = own or tuple(range(first, first + len(names)))
    if len(named := [number for number in learned if number in numbers]) < 2:
        raise UserError(
            f"{path}: its label images have the numbers {', '.join(map(str, learned))}, of which "
            f"{', '.join(map(str, named)) or 'none'} has a name: give each a line in {path / 'classes.txt'}, "
            f"that of {first} first."
        )
    if not there and (absent := [number for number in numbers if number not in pixels]):
        lines += (
            f"{len(absent)} of the {len(numbers)} classes, such as {absent[0]}, have no pixel in the label images that "
            f'were looked at. To say the numbers of the classes: --config.data.label_numbers="{tuple(learned)}".',
        )
    beyond = [number for number in learned if number not in numbers]
    keys["ignored"] = tuple(sorted({*void, *beyond}))
    if beyond and "ignored" not in section:
        line = f"Label images have {', '.join(map(str, beyond))}, which no class is: left out of loss and score."
        if not own and beyond == [first + len(names)]:  # as where the names are of 1, 2 ..., and 0 is unlabelled
            line += f" If {names[0]!r} is their number {first + 1}: --config.data.first_class={first + 1}"
        lines += (line,)
    words = f"{train.size:,} images with {len(names)} classes of pixels, mostly {height}x{width}"
    return Survey(keys, train.size, len(names), words, (height, width), notes=lines)


def _splits(path: Path) -> tuple[dict[str, str], str]:
    """The splits that there are, and the name of the only one if there are none."""
    folders, _ = listing.folders(path)
    inner = [one for one in folders if (path / one / "images").is_dir()]
    lists = [file.stem for file in path.iterdir() if file.suffix in LISTS and file.stem != "classes"]
    outer = listing.folders(path / "images")[0] if "images" in folders else []
    voc = [file.stem for file in (path / VOC[2]).glob("*.txt")]
    for names in (inner, outer, lists, voc):
        if "train" in (found := splits(names)):
            return found, "train"
    if ("images" in folders and any(one in folders for one in LABELS)) or all((path / one).is_dir() for one in VOC[:2]):
        return {}, "all"
    raise UserError(f"{path} has no images with label images. Expected is {EXPECTED}.")


def _opened(section: Section, split: str) -> Source:
    where = (section["name"], split, section.get("data_dir", ""))
    return sources.open(section.get("source", "label_images"), *where, wanted=("image", "mask"))


def _pixels(source: Source, channel: int) -> Counter[int]:
    """The numbers in some label images, and how many pixels have each.

    Raises:
      UserError: one of them is in colour.
    """
    tf = tensorflow()
    raw = source.read(tf.constant(sample(source.size), tf.int64))
    found: Counter[int] = Counter()
    for row in range(len(raw["mask"])):
        example = source.parse({name: x[row] for name, x in raw.items()})
        try:
            numbers, counts = np.unique(label_maps.read(example["mask"].numpy(), channel), return_counts=True)
        except ValueError as error:
            raise UserError(f"{source.describe(row)}: {error}") from None
        found.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    return found


def _soft(pixels: Counter[int]) -> bool:
    """Whether these are black, white and a little of many greys between, as a resized mask or a JPEG has them."""
    ends = [pixels[number] for number in WHITE]
    return min(ends) > 0 and len(pixels) >= MANY and sum(ends) >= MOSTLY * pixels.total()
