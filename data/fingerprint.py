"""What a training split consists of, in few words: by which a run that goes on notices that its data have changed."""

import hashlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

MANY = 1000  # files; more are told by folder
MOST = 100_000  # files whose sizes are asked for
BLOCK = 10_000  # texts that are digested at a time


def of_files(files: Iterable[str | Path], root: Path) -> dict[str, str]:
    """Sizes of files by their path within `root`; where there are MANY, number, size and a digest by folder; of more
    than MOST, whose sizes would take minutes to ask a file server for, by number and names alone.

    No file is read.
    """
    inside = f"{root}{os.sep}"
    paths = map(str, files)
    names = [path.removeprefix(inside) if path.startswith(inside) else os.path.relpath(path, root) for path in paths]
    if len(names) > MOST:
        return _by_folder(dict.fromkeys(names, 0), sized=False)
    sizes = {name: _size(root / name) for name in names}
    if len(sizes) > MANY:
        return _by_folder(sizes, sized=True)
    return {name: f"{size} bytes" for name, size in sizes.items()}


def _by_folder(sizes: dict[str, int], sized: bool) -> dict[str, str]:
    folders: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, size in sorted(sizes.items()):
        folders[os.path.dirname(name)].append((os.path.basename(name), size))
    return {
        f"{folder or '.'}/": f"{len(rows)} files, "
        + f"{sum(size for _, size in rows)} bytes, " * sized
        + _digest(map(repr, rows))
        for folder, rows in folders.items()
    }


def of_texts(*columns: Iterable[str]) -> dict[str, str]:
    """Number, size and digest of texts that are in memory, column by column."""
    found = {}
    for number, texts in enumerate(columns, 1):
        texts = list(texts)
        name = "texts" if len(columns) == 1 else f"column {number}"
        found[name] = f"{len(texts)} of {sum(map(len, texts))} characters, {_digest(texts)}"
    return found


def _size(file: str | Path) -> int:
    """Bytes; -1 for a file that is not on this machine."""
    try:
        return os.path.getsize(file)
    except OSError:
        return -1


def _digest(texts: Iterable[str]) -> str:
    digest, rest = hashlib.sha256(), iter(texts)
    while block := list(itertools.islice(rest, BLOCK)):
        digest.update("\0".join([*block, ""]).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
