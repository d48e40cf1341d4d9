"""Whether a data set is on this machine, without downloading or preparing it."""

from dataclasses import dataclass
from pathlib import Path

from data.sources import tfds

FOUND_BY_PATH = ("folder", "arrays", "files", "tsv")


@dataclass(frozen=True)
class Presence:
    """here: whether a run could begin to read it. where: the place that was looked at; "" for what is made up or comes
    with a library. classes: their number, where it is known of a set that is not here."""

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
        here, folder, classes = tfds.look(name, data_dir, label)
        return Presence(here, _short(folder), classes)
    by_path = source == "tfds" or source in FOUND_BY_PATH
    return Presence(path.exists(), _short(path)) if by_path else Presence(True)


def _short(path: Path) -> str:
    return str(path).replace(str(Path.home()), "~", 1)
