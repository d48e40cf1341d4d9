"""A folder as COCO has it: one JSON file a split, which names the images."""

import json
import math
from pathlib import Path

from data import box_files, listing
from data.slices import names, stem
from errors import UserError, shown
from lookup import Json


class Source(box_files.Source):
    """NAME/annotations/instances_SPLIT.json (or instances_SPLIT2017.json) with images in NAME/SPLIT (SPLIT2017) or
    NAME/images; NAME/SPLIT.json; or NAME/SPLIT/_annotations.coco.json with the images beside it.

    Classes are those of `categories`, by their ids. Crowds (iscrowd) are neither right nor wrong.
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
        path = _find(root, stem(split))
        whole = _read(path)
        categories = sorted(whole["categories"], key=lambda one: (isinstance(one["id"], str), one["id"]))
        place = {str(one["id"]): number for number, one in enumerate(categories)}  # some tools write ids as texts
        if len(place) < len(categories):
            double = next(one["id"] for i, one in enumerate(categories) if place[str(one["id"])] != i)
            raise UserError(f"{shown(str(path))} has two categories of the id {double}: give each its own.")
        folders = (path.parent, *(root / f"{one}{year}" for one in names(stem(split)) for year in ("", "2017", "2014")))
        folders += (root / "images", root)
        images: dict[str, box_files.Labelled] = {}
        for one in whole["images"]:
            (height,), (width,) = (_numbers([one.get(side) or 0]) or [0] for side in ("height", "width"))
            images[str(one["id"])] = box_files.Labelled(_image(folders, one["file_name"]), (int(height), int(width)))
        strange = 0
        for one in whole["annotations"]:
            box, image = _numbers(one.get("bbox")), images.get(str(one["image_id"]))
            if image is None or len(box) != 4:
                strange += 1
                continue
            image.boxes.append(box)
            image.labels.append(place.get(str(one["category_id"]), -1))
            image.ignored.append(one.get("iscrowd") in (1, "1"))
            image.areas.append((_numbers([one.get("area")]) or [0.0])[0])
        classes = tuple(str(one["name"]) for one in categories)
        numbers = tuple(one["id"] for one in categories if isinstance(one["id"], int))
        numbers = numbers if len(numbers) == len(classes) else ()
        without = f": {strange:,} annotations have no bbox [x, y, width, height], or are of no image" if strange else ""
        super().__init__(list(images.values()), classes, "top_left", split, wanted, path, numbers, without)
        where, double = shown(str(path)), len(whole["images"]) - len(images)
        if strange:
            self.notes += (f"{where}: left out: {strange:,} annotations without a box or of no image.",)
        if double:
            self.notes += (f"{where}: left out: {double:,} images that have the id of a later one.",)


def _find(root: Path, split: str) -> Path:
    """The JSON file of a split."""
    tried = []
    for one in names(split):
        tried += [root / "annotations" / f"instances_{one}{year}.json" for year in ("", "2017", "2014")]
        tried += [root / "annotations" / f"{one}.json", root / f"{one}.json", root / one / "_annotations.coco.json"]
    for path in tried:
        if path.is_file():
            return path
    there = sorted(path.relative_to(root).as_posix() for path in root.glob("**/*.json"))[:5]
    raise UserError(
        f"{root} has no annotations/instances_{split}.json, {split}.json or {split}/_annotations.coco.json"
        + (f"; there is {', '.join(map(shown, there))}." if there else ", nor any other JSON file.")
    )


def _image(folders: tuple[Path, ...], name: str) -> str:
    """The file of an image: in the first folder that has it."""
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), str(folders[0] / name))


def _read(path: Path) -> Json:
    """The file, if it is COCO's.

    Raises:
      UserError: it is not.
    """
    try:
        whole = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {' '.join(str(error).split())}.") from None
    wanted = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    for key, fields in wanted.items():
        rows = whole.get(key) if isinstance(whole, dict) else None
        if not isinstance(rows, list) or not all(_has(row, fields) for row in rows):
            raise UserError(f"{path} is not COCO's: it should have a list {key!r} of {' and '.join(fields)}.")
    return whole


def _has(row: object, fields: tuple[str, ...]) -> bool:
    """Whether a row has these fields: numbers or texts, and a file's name a text."""
    kinds = {"file_name": str}
    return isinstance(row, dict) and all(isinstance(row.get(one), kinds.get(one, int | str)) for one in fields)


def _numbers(found: object) -> list[float]:
    """A list of numbers; [] of anything else."""
    try:
        numbers = [float(x) for x in found] if isinstance(found, list) else []
    except (TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
