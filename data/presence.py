"""Whether a data set is on this machine, without downloading or preparing it."""

from dataclasses import dataclass
from pathlib import Path

import storage
from data import catalogue

FOUND_BY_PATH = (
    *("folder", "list", "arrays", "label_images", "coco", "voc", "yolo", "videos", "captioned"),
    *("files", "tsv", "table", "class_folders", "conll"),
)


@dataclass(frozen=True)
class Presence:
    """Whether a data set is here.

    Attributes:
      here: whether a run could begin to read it.
      where: the place that was looked at; "" for what is made up or comes with a library.
      classes: their number, where it is known of a set that is not here.
    """

    here: bool
    where: str = ""
    classes: int | None = None


def look(source: str, name: str, data_dir: str, label: str = "label") -> Presence:
    """The data set that config.data names by these keys, the home folder in `where` as ~.

    Raises:
      UserError: TFDS has no set of this name.
    """
    path = Path(data_dir, name).expanduser()
    if source == "tfds" and not any(path.glob("*.*.txt")):  # as data/text/tfds.py reads a folder of translations
        here, folder, classes = catalogue.look(name, data_dir, label)
        return Presence(here, _short(folder), classes)
    if source == "tfds":
        return Presence(True, _short(path))
    if source not in FOUND_BY_PATH:
        return Presence(True)
    # Files may be several, with commas between, and globs: see data/text/files.py.
    several = source == "files" and not path.exists()
    names = map(str.strip, name.split(",")) if several else [name]
    paths = [storage.path(storage.joined(data_dir, one)) for one in names]
    missing = [one for one in paths if not (one.exists() or storage.matches(one))]
    return Presence(not missing, _short(missing[0] if missing else paths[0]))


def _short(path: Path) -> str:
    return str(path).replace(str(Path.home()), "~", 1)
