"""A folder as COCO has it: one JSON file a split, which names the images."""

import json
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
        categories = sorted(whole["categories"], key=lambda one: one["id"])
        place = {one["id"]: number for number, one in enumerate(categories)}
        folders = (path.parent, *(root / f"{one}{year}" for one in names(stem(split)) for year in ("", "2017", "2014")))
        folders += (root / "images", root)
        images: dict[object, box_files.Labelled] = {}
        for one in whole["images"]:
            size = (int(one.get("height") or 0), int(one.get("width") or 0))
            images[one["id"]] = box_files.Labelled(_image(folders, one["file_name"]), size)
        strange = 0
        for one in whole["annotations"]:
            if one["image_id"] not in images or len(one.get("bbox") or ()) != 4:
                strange += 1
                continue
            image = images[one["image_id"]]
            image.boxes.append([float(x) for x in one["bbox"]])
            image.labels.append(place.get(one["category_id"], -1))
            image.ignored.append(bool(one.get("iscrowd", 0)))
        classes = tuple(str(one["name"]) for one in categories)
        super().__init__(list(images.values()), classes, "top_left", split, wanted, path)
        if strange:
            self.notes += (f"{shown(str(path))}: left out: {strange:,} annotations without a box or of no image.",)


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
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(fields) for row in rows):
            raise UserError(f"{path} is not COCO's: it should have a list {key!r} of {' and '.join(fields)}.")
    return whole
