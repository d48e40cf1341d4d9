"""What a training split consists of, in few words: by which a run that goes on notices that its data have changed."""

import hashlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

MANY = 1000  # files; more are told by folder
BLOCK = 10_000  # texts that are digested at a time


def of_files(files: Iterable[str | Path], root: Path) -> dict[str, str]:
    """Sizes of files by their path within `root`; where there are MANY, number, size and a digest by folder.

    No file is read.
    """
    sizes = {str(file).removeprefix(os.path.join(root, "")): _size(file) for file in files}
    if len(sizes) <= MANY:
        return {name: f"{size} bytes" for name, size in sizes.items()}
    folders: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, size in sorted(sizes.items()):
        folders[os.path.dirname(name)].append((os.path.basename(name), size))
    return {
        f"{folder or '.'}/": f"{len(rows)} files, {sum(size for _, size in rows)} bytes, {_digest(map(repr, rows))}"
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
