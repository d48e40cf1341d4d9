"""A folder as YOLO has it: a text file an image, a line a box."""

from pathlib import Path

import numpy as np

from data import box_files, listing
from data.image_file import SUFFIXES
from data.slices import names, stem
from data.text.files import whole
from errors import UserError, shown

OUTLINE = 6  # numbers from which a line is an outline and no box
LISTS = ("data.yaml", "dataset.yaml", "data.yml", "classes.txt", "obj.names")


class Source(box_files.Source):
    """NAME/images/SPLIT/x.jpg with NAME/labels/SPLIT/x.txt, or NAME/SPLIT/images with NAME/SPLIT/labels, or NAME/SPLIT
    with both; for the split "all", NAME/images with NAME/labels, or NAME with both. A line is a class's number, and x,
    y of the middle, width and height as shares of the image; or x, y of each corner of an outline, whose box is taken.
    Names of classes are in data.yaml, classes.txt or obj.names. An image without a text file has no boxes.
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
        pictures, labels = _folders(root, stem(split))
        paths, left_out = listing.walk(pictures, SUFFIXES)
        if pictures == labels:
            left_out = [(why, path) for why, path in left_out if not path.endswith(".txt")]
        if not paths:
            raise UserError(f"{pictures} holds no images.")
        classes = _classes(root)
        images, bad, without, outlines, seen = [], [], 0, 0, set()
        for path in paths:
            image = box_files.Labelled(path)
            file = labels / Path(path).relative_to(pictures).with_suffix(".txt")
            seen.add(file)
            without += not file.is_file()
            for number, line in enumerate(whole(file).splitlines() if file.is_file() else (), 1):
                try:
                    label, *box = map(float, line.split())
                    if label % 1:
                        raise ValueError("no number of a class")
                    if outline := len(box) >= OUTLINE:
                        box = _around(box)
                    x, y, width, height = box[:4]  # a fifth is a probability
                except ValueError:
                    if line.strip():
                        bad.append(f"{file.name}, line {number}")
                    continue
                outlines += outline
                image.boxes.append((x, y, width, height))
                image.labels.append(int(label) if 0 <= label < len(classes) else -1)
                image.ignored.append(False)
            images.append(image)
        if bad and not any(image.boxes for image in images):
            raise UserError(
                f"{root} has no line that is a box, such as {bad[0]}: a line is the number of a class, then x, y, "
                "width and height, with spaces between."
            )
        super().__init__(images, classes, "middle", split, wanted, root)
        alone = [path for path in sorted(labels.rglob("*.txt")) if path not in seen and path.name not in LISTS]
        where = shown(str(root))
        self.notes += (
            *listing.said(left_out, shown(str(pictures))),
            *([f"{where}: {without:,} images have no text file, and so no boxes."] if without else []),
            *([f"{where}: {outlines:,} lines are outlines; their boxes are taken."] if outlines else []),
            *([f"{where}: left out: {len(bad):,} lines that are no box ({bad[0]})."] if bad else []),
            *([f"{where}: {len(alone):,} text files are of no image ({alone[0].name})."] if alone else []),
        )


def _around(outline: list[float]) -> list[float]:
    """The box around the corners x, y, x, y ...: middle, width and height.

    Raises:
      ValueError: a corner has no y.
    """
    corners = np.array(outline).reshape(-1, 2)
    low, high = corners.min(0), corners.max(0)
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def _folders(root: Path, split: str) -> tuple[Path, Path]:
    """Of images and of text files."""
    if split == "all" and (root / "images").is_dir() and not (root / "images" / "all").is_dir():
        return root / "images", root / "labels"
    for one in names(split):
        inner, outer = [(root / name / one, root / one / name) for name in ("images", "labels")]
        for pictures, labels in zip(inner, outer, strict=True):
            if pictures.is_dir():
                return pictures, labels
    for both in [root / one for one in names(split)] + [root] * (split == "all"):
        if beside(both):
            return both, both
    raise UserError(f"{root} has no folder images/{split} and no {split}/images.")


def beside(folder: Path) -> bool:
    """Whether images stand in this folder with their text files beside them."""
    texts = {path.stem for path in folder.glob("*.txt")}
    return any(path.suffix.lower() in SUFFIXES and path.stem in texts for path in folder.glob("*.*"))


def _classes(root: Path) -> tuple[str, ...]:
    """The names of the classes."""
    for path in (root / name for name in LISTS):
        if not path.is_file():
            continue
        if path.suffix not in (".yaml", ".yml"):
            return tuple(line.strip() for line in whole(path).splitlines() if line.strip())
        import yaml

        try:
            found = (yaml.safe_load(whole(path)) or {}).get("names")
        except (yaml.YAMLError, AttributeError, ValueError):
            found = None
        if isinstance(found, dict) and sorted(found) == list(range(len(found))):
            found = [found[number] for number in range(len(found))]
        if not isinstance(found, list) or not found:
            raise UserError(f"{path} should have the classes as `names`, such as names: [cat, dog].")
        return tuple(map(str, found))
    raise UserError(
        f"{root} has no data.yaml with the names of its classes: write them into {root / 'classes.txt'}, a line each, "
        "number 0 first."
    )
