"""A folder as Pascal VOC has it: one XML file an image."""

import math
from pathlib import Path
from xml.etree import ElementTree

from data import box_files, listing
from data.image_file import SUFFIXES
from data.slices import names, stem
from data.text.files import whole
from errors import UserError, shown

FILES = ("Annotations", "annotations", "labels")  # what the folder of XML files can be called
PICTURES = ("JPEGImages", "images")  # and that of the images


class Source(box_files.Source):
    """NAME/Annotations/*.xml of the images that NAME/ImageSets/Main/SPLIT.txt lists, in NAME/JPEGImages; or
    NAME/SPLIT/*.xml with the images beside them; or, for the split "all", all of NAME/Annotations, or of NAME.
    `Annotations` may be `annotations` or `labels`, and `JPEGImages` may be `images`.

    Classes are the sorted names of the split's objects. Difficult ones are neither right nor wrong.
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
        files, folder = _files(root, stem(split))
        images, objects = [], []
        for path in files:
            tree = _read(path)
            usual = [f"{path.stem}{suffix}" for suffix in (".jpg", *SUFFIXES)]
            tried = [folder / name for name in (tree.findtext("filename"), *usual) if name]
            file = next(filter(Path.is_file, tried), folder / usual[0])
            sides = (_number(tree.findtext(f"size/{side}")) for side in ("height", "width"))
            height, width = (int(side) if math.isfinite(side) else 0 for side in sides)
            images.append(box_files.Labelled(str(file), (height, width)))
            objects.append(tree.findall("object"))
        classes = tuple(sorted({(one.findtext("name") or "").strip() for found in objects for one in found} - {""}))
        place = {one: number for number, one in enumerate(classes)}
        for image, found in zip(images, objects, strict=True):
            for one in found:
                image.boxes.append([_number(one.findtext(f"bndbox/{x}")) for x in ("xmin", "ymin", "xmax", "ymax")])
                image.labels.append(place.get((one.findtext("name") or "").strip(), -1))
                image.ignored.append((one.findtext("difficult") or "0").strip() == "1")
        super().__init__(images, classes, "corners", split, wanted, root)


def _files(root: Path, split: str) -> tuple[list[Path], Path]:
    """The XML files of a split, and the folder of its images."""
    if split == "all" and not (root / "all").is_dir():
        for folder in (*(root / one for one in FILES), root):
            if found := sorted(folder.glob("*.xml")):
                there = [root / one for one in PICTURES if (root / one).is_dir()]
                return found, [*there, root][0] if folder != root else root
    for one in names(split):
        listed = root / "ImageSets" / "Main" / f"{one}.txt"
        if listed.is_file():
            lines = [line.split()[0] for line in whole(listed).splitlines() if line.strip()]
            return [root / "Annotations" / f"{line}.xml" for line in lines], root / "JPEGImages"
        if found := sorted((root / one).glob("*.xml")):
            return found, root / one
    raise UserError(f"{root} has no ImageSets/Main/{split}.txt and no {split}/*.xml.")


def _read(path: Path) -> ElementTree.Element:
    try:
        file = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(str(path))}: {error.strerror}.") from None
    if b"<!DOCTYPE" in file or b"<!ENTITY" in file:  # which could name other files, or grow without end
        raise UserError(f"{shown(str(path))} has a document type of its own, which VOC's do not: remove it.")
    try:
        return ElementTree.fromstring(file)
    except ElementTree.ParseError as error:
        raise UserError(f"{shown(str(path))} is no XML: {error}.") from None


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return float("nan")
