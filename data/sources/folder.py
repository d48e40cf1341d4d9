"""A folder of images, one folder a class: NAME/SPLIT/CLASS/image.jpg (or NAME/CLASS/image.jpg for split "all")."""

import hashlib
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from data import fingerprint, listing
from data.image_file import SUFFIXES
from data.order import Tensor, tensorflow
from data.slices import cut, named, stem
from data.sources import Example, Feature, Features, Indexed, chosen
from errors import UserError, nearest, shown


class Files(Indexed):
    """Examples have what files on this disk hold, and a `label`: what sources of such files share."""

    holds: ClassVar[Feature] = Feature("image", (None,) * 3, encoded=True)

    def _hold(
        self,
        files: list[tuple[str, int]],
        classes: tuple[str, ...],
        wanted: tuple[str, ...] | None,
        what: str,
        root: Path,
    ) -> None:
        """Takes the files, each with its label. root: the folder that the split's fingerprint names them within."""
        features: Features = {self.holds.kind: self.holds, "label": Feature("label", (), classes)}
        self.features = chosen(features, wanted, what)
        self.size = len(files)
        self._root = root
        self._paths = [path for path, _ in files]
        self._labels = [label for _, label in files]
        self._tensors: tuple[Tensor, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """Paths and labels of indices (b,)."""
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                paths = [os.fsencode(path) for path in self._paths]  # a name need not be UTF-8
                self._tensors = tf.constant(paths), tf.constant(self._labels, tf.int64)
        paths, labels = self._tensors
        return {"path": tf.gather(paths, index), "label": tf.gather(labels, index)}

    def parse(self, raw: Example) -> Example:
        """One example, its file read."""
        tf = tensorflow()
        example = {"label": raw["label"]}
        if "image" in self.features:
            example["image"] = tf.io.read_file(raw["path"])
        return {name: example[name] for name in self.features}

    def contents(self) -> dict[str, str]:
        """Sizes of the files."""
        return fingerprint.of_files(self._paths, self._root)

    def labels(self) -> np.ndarray | None:
        """See Labelled."""
        return np.array(self._labels)

    def describe(self, index: int) -> str:
        """An example by its file."""
        return shown(self._paths[index])


def of_split(root: Path, split: str) -> tuple[Path, str]:
    """The folder of a split, which is `root` itself for "all", and the name that it has there.

    Raises:
      UserError: there is none.
    """
    there, _ = listing.folders(root)
    called = named(split, there)
    folder = root if called == "all" and "all" not in there else root / called
    if not folder.is_dir():
        raise UserError(
            f"{root} has no folder {called!r} for that split: {nearest(called, [*map(shown, there), 'all'])}"
        )
    return folder, called


class Source(Files):
    """Examples have `image`, the bytes of a file, and `label`. Classes are the sorted names of the folders. A class has
    the images in its folder and in the folders within.

    What is hidden, of another kind, or no plain file is left out and counted: see data/listing.py. A part of a split,
    "train[:80%]", has that part of every class, chosen by a hash of the files' names.
    """

    each: ClassVar[str] = "image"
    suffixes: ClassVar[tuple[str, ...]] = tuple(sorted(SUFFIXES))
    expected: ClassVar[str] = f"with {' '.join(suffixes)} files"

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        root = listing.root(data_dir, name)
        folder, called = of_split(root, stem(split))
        classes, left_out = listing.folders(folder)
        files: list[tuple[str, int]] = []
        for label, one in enumerate(classes):
            paths, others = self._listed(folder / one)
            files += [(path, label) for path in paths]
            left_out += others
        outside = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in self.suffixes and path.is_file()]
        why = f"{self.each}s outside a folder of a class"
        left_out += [(why, str(path)) for path in outside if not listing.hidden(path.name)]
        if not files:
            raise UserError(f"{folder} holds no {self.each}s: one folder a class is expected, {self.expected}.")
        counts = np.bincount([label for _, label in files], minlength=len(classes))
        names = tuple(map(shown, classes))
        self.notes = (
            *([f"Split {stem(split)!r} is the folder {called!r}."] if called != stem(split) else []),
            *listing.said(left_out, shown(str(folder))),
            *(f"{folder}: class {name!r} has no {self.each}." for name, n in zip(names, counts, strict=True) if not n),
        )
        if "[" in split:
            files = part(files, len(classes), folder, split, str(root))
        self._hold(files, names, wanted, str(root), folder)

    def _listed(self, folder: Path) -> tuple[list[str], listing.LeftOut]:
        """The files of one class, and what is left out."""
        return listing.walk(folder, self.suffixes)


def part(files: list[tuple[str, int]], classes: int, folder: Path, split: str, what: str) -> list[tuple[str, int]]:
    """The part of the files that a split "train[:80%]" names, in their order: about the same part of every class."""
    counts = np.bincount([label for _, label in files], minlength=classes)
    kept = set(cut(spread(files, counts, folder), split, what))
    return [file for file in files if file in kept]


def spread(files: list[tuple[str, int]], counts: np.ndarray, folder: Path) -> list[tuple[str, int]]:
    """The files in an order in which every part has about the same share of every class."""

    def digest(file: tuple[str, int]) -> bytes:
        return hashlib.sha256(os.fsencode(os.path.relpath(file[0], folder))).digest()

    place, seen = {}, [0] * len(counts)
    for file in sorted(files, key=digest):
        label = file[1]
        place[file] = (seen[label] + 0.5) / counts[label]
        seen[label] += 1
    return sorted(files, key=lambda file: (place[file], file[1]))
