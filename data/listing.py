"""Which files of a folder are examples, and what is left out and why: one rule for every split."""

import os
from collections.abc import Sequence
from pathlib import Path

import storage
from errors import UserError, shown

SYSTEM = ("__MACOSX", "__pycache__", "@eaDir", "lost+found")  # folders that systems make
LeftOut = list[tuple[str, str]]  # the reason, and a path

FOLDER, FILE = "a folder", "a file"
HIDDEN, OTHER = "hidden", "of another kind"
NOWHERE, SPECIAL, AGAIN = "links that lead nowhere", "no plain files", "links to what is read already"


def hidden(name: str) -> bool:
    """Whether a file or folder is not meant to be seen: `.git`, `.ipynb_checkpoints`, `._a.jpg` of macOS."""
    return name.startswith(".") or name in SYSTEM


def folders(path: Path) -> tuple[list[str], LeftOut]:
    """The names of the folders in a folder, sorted; and what else is there, except plain files."""
    found: list[str] = []
    left_out: LeftOut = []
    for entry in _entries(str(path)):
        kind = _kind(entry)
        if kind == FOLDER:
            found.append(entry.name)
        elif kind != FILE:
            left_out.append((kind, entry.path))
    return found, left_out


def walk(folder: Path, suffixes: Sequence[str]) -> tuple[list[str], LeftOut]:
    """The files in a folder and its sub-folders that end in one of `suffixes`, sorted, and what is left out.

    Links are followed, but no folder is read twice.

    Raises:
      UserError: a folder cannot be read.
    """
    real = os.path.realpath(folder)
    found: list[str] = []
    left_out: LeftOut = []
    seen, waiting = {real, *map(str, Path(real).parents)}, [str(folder)]
    while waiting:
        for entry in _entries(waiting.pop()):
            kind = _kind(entry)
            if kind == FOLDER:
                if (there := os.path.realpath(entry.path)) in seen:
                    left_out.append((AGAIN, entry.path))
                else:
                    seen.add(there)
                    waiting.append(entry.path)
            elif kind == FILE and entry.name.lower().endswith(tuple(suffixes)):
                found.append(entry.path)
            else:
                left_out.append((OTHER if kind == FILE else kind, entry.path))
    return sorted(found, key=lambda path: path.split(os.sep)), left_out


def said(left_out: LeftOut, what: str) -> list[str]:
    """One line on what was left out, by reason, each with an example; nothing if nothing was."""
    reasons = sorted({reason for reason, _ in left_out})
    paths = {reason: [path for r, path in left_out if r == reason] for reason in reasons}
    parts = [f"{len(paths[reason]):,} {reason} ({shown(os.path.basename(paths[reason][0]))})" for reason in reasons]
    return [f"{what}: left out: {', '.join(parts)}."] if parts else []


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {shown(path)}: {error.strerror}.") from None


def _kind(entry: os.DirEntry[str]) -> str:
    """FOLDER, FILE, or why it is left out."""
    if hidden(entry.name):
        return HIDDEN
    try:
        if entry.is_dir():
            return FOLDER
        if entry.is_file():
            return FILE
    except OSError:  # a link to itself
        return NOWHERE
    return NOWHERE if entry.is_symlink() and not os.path.exists(entry.path) else SPECIAL


def root(data_dir: str, name: str) -> Path:
    """The folder that config.data.name says, within config.data.data_dir.

    Raises:
      UserError: there is none.
    """
    found = storage.here(data_dir, name)
    if not found.is_dir():
        raise UserError(f"there is no folder {found}: set config.data.name to the folder of the data.")
    return found
