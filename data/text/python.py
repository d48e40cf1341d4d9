"""The source files of Python's standard library, of the interpreter that runs: nothing to download."""

import hashlib
import os
import sysconfig
import tokenize
from pathlib import Path

from data.slices import cut_text
from errors import UserError, nearest

SPLITS = {"train": range(18), "validation": range(18, 19), "test": range(19, 20)}  # twentieths of the files
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib-dynload", "__pycache__"}


def documents(name: str, split: str, data_dir: str) -> list[str]:
    """The files of a split, in the order of their names.

    Args:
      name: "" for all, or packages and modules with commas between: "json,textwrap".
      split: "train", "validation", "test", or a part of one. A hash of a file's name within the library decides which
        split it is in, so that another version of Python divides the files that both have in the same way.
      data_dir: not used.
    """
    stem = split.split("[")[0]
    if stem not in SPLITS:
        raise UserError(f"Python's standard library has no split {stem!r}: {nearest(stem, SPLITS)}")
    texts = [text for path in files(name) if twentieth(path) in SPLITS[stem] and (text := source_text(path))]
    return cut_text(texts, split, f"Python's standard library, {name or 'all of it'}")


def files(name: str) -> list[str]:
    """The files, as "json/decoder.py", without tests."""
    found = []
    for folder, folders, names in os.walk(_root()):
        folders[:] = [one for one in folders if one not in LEFT_OUT and not one.startswith("config-")]
        found += [(Path(folder) / one).relative_to(_root()).as_posix() for one in names if one.endswith(".py")]
    found = sorted(found)
    if not name:
        return found
    packages = {path.split("/")[0].removesuffix(".py") for path in found}
    wanted = [one.strip() for one in name.split(",")]
    for one in wanted:
        if one not in packages:
            raise UserError(f"config.data.name={name!r}: the standard library has no {one!r}: {nearest(one, packages)}")
    return [path for path in found if path.split("/")[0].removesuffix(".py") in wanted]


def twentieth(path: str) -> int:
    """Which of 20 equal parts a file is in."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % 20


def _root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def source_text(path: str) -> str:
    """A file's text; "" for the few that are written to be wrong."""
    try:
        with tokenize.open(_root() / path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return ""
