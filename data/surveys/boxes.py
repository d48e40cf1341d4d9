"""A person's images with boxes: COCO's, Pascal VOC's or YOLO's files."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from data import listing, sources
from data.order import tensorflow
from data.sources import Feature, Source, voc, yolo
from data.surveys import Survey, place, splits, training
from data.surveys.images import looked_at
from errors import UserError
from lookup import Section

EXPECTED = (
    "COCO: annotations/instances_train.json, train.json or train/_annotations.coco.json; Pascal VOC: ImageSets/Main/"
    "train.txt, train/*.xml or Annotations/*.xml; YOLO: images/train and labels/train, images and "
    "labels, or x.txt beside x.jpg"
)


def survey(section: Section) -> Survey:
    """See data/surveys."""
    path = place(section, folder=True)
    found, whole, source = _kind(path)
    source = section.get("source", source)
    train, keys, lines = training(section, found, whole, partial(_opened, section, source), lambda train: train.size)
    keys["source"] = source
    (height, width), look, told = looked_at(train)
    keys |= look
    lines += told
    most = max(_counts(train))
    objects = train.features["objects"]
    label = objects["label"] if isinstance(objects, Mapping) else objects
    classes = label.names if isinstance(label, Feature) else ()
    words = f"{train.size:,} images with up to {most} boxes of {len(classes)} classes, mostly {height}x{width}"
    return Survey(keys, train.size, len(classes), words, (height, width), most, lines)


def _kind(path: Path) -> tuple[dict[str, str], str, str]:
    """The splits that there are, the name of the only one if there are none, and the source."""
    folders, _ = listing.folders(path)
    json = [*path.glob("*.json"), *path.glob("annotations/*.json")]
    names = {file.stem.removeprefix("instances_").removesuffix("2017").removesuffix("2014") for file in json}
    names |= {file.parent.name for file in path.glob("*/_annotations.coco.json")}
    if names:
        found = splits(names)
        return found, min(names), "coco"
    listed = {file.stem for file in path.glob("ImageSets/Main/*.txt")}
    listed |= {one for one in folders if one not in voc.FILES and any((path / one).glob("*.xml"))}
    if listed or any(any((path / one).glob("*.xml")) for one in (*voc.FILES, ".")):
        return splits(listed), "all", "voc"
    if "images" in folders and "labels" in folders:
        return splits(listing.folders(path / "images")[0]), "all", "yolo"
    if "train" in (found := splits([one for one in folders if (path / one / "labels").is_dir()])):
        return found, "all", "yolo"
    if "train" in (found := splits([one for one in folders if yolo.beside(path / one)])) or yolo.beside(path):
        return found if "train" in found else {}, "all", "yolo"
    raise UserError(f"{path} has no boxes in a form that is known. Expected is {EXPECTED}.")


def _opened(section: Section, source: str, split: str) -> Source:
    return sources.open(source, section["name"], split, section.get("data_dir", ""), wanted=("image", "objects"))


def _counts(source: Source) -> list[int]:
    """How many boxes each image has, of some thousands."""
    tf = tensorflow()
    raw = source.read(tf.range(min(source.size, 5000), dtype=tf.int64))
    return raw["count"].numpy().tolist() if "count" in raw else [100]
