"""A folder of videos, one folder a class: NAME/SPLIT/CLASS/x.mp4, or NAME/SPLIT/CLASS/x with a picture for each frame
(or NAME/CLASS/... for split "all")."""

import os
from pathlib import Path

import numpy as np

from data import fingerprint, listing, videos
from data.order import Tensor, tensorflow
from data.slices import cut, stem
from data.sources import Example, Feature, Features, Indexed, chosen, folder
from errors import UserError, shown

SUFFIXES = (*videos.FILES, ".apng", ".gif", ".webp")
EMPTY, OUTSIDE = "folders without a frame", "videos outside a folder of a class"


class Source(Indexed):
    """Examples have `clip`, the path of a video (see data/videos.py), and `label`. Classes are the sorted names of the
    folders. A folder within a class is one video if it holds pictures, or holds further videos.

    What is hidden, of another kind, or no plain file, and folders without a frame, are left out and counted. A part of
    a split, "train[:80%]", has that part of every class, chosen by a hash of the videos' names.
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
        whole, called = folder.of_split(root, stem(split))
        classes, left_out = listing.folders(whole)
        files: list[tuple[str, int]] = []
        for label, one in enumerate(classes):
            found, others = _videos(whole / one)
            files += [(path, label) for path in found]
            left_out += others
        outside = [path for path in sorted(whole.iterdir()) if path.is_file() and path.suffix.lower() in SUFFIXES]
        left_out += [(OUTSIDE, str(path)) for path in outside if not listing.hidden(path.name)]
        if not files:
            raise UserError(
                f"{whole} holds no videos: one folder a class is expected, with files ({' '.join(SUFFIXES)}) or "
                "folders of frames."
            )
        counts = np.bincount([label for _, label in files], minlength=len(classes))
        names = tuple(map(shown, classes))
        self.notes = (
            *([f"Split {stem(split)!r} is the folder {called!r}."] if called != stem(split) else []),
            *listing.said(left_out, shown(str(whole))),
            *(f"{whole}: class {name!r} has no video." for name, n in zip(names, counts, strict=True) if not n),
        )
        if "[" in split:
            kept = set(cut(folder.spread(files, counts, whole), split, str(root)))
            files = [file for file in files if file in kept]
        self._paths, self._labels, self._root = [path for path, _ in files], [label for _, label in files], whole
        videos.check(self._paths)
        clip = Feature("clip", (None, None, None, 3), encoded=True)
        self.features: Features = chosen({"clip": clip, "label": Feature("label", (), names)}, wanted, str(root))
        self.size = len(files)
        self._tensors: tuple[Tensor, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """Paths and labels of indices (b,)."""
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                paths = [os.fsencode(path) for path in self._paths]  # a name need not be UTF-8
                self._tensors = tf.constant(paths), tf.constant(self._labels, tf.int64)
        paths, labels = self._tensors
        found = {"clip": tf.gather(paths, index), "label": tf.gather(labels, index)}
        return {name: found[name] for name in self.features}

    def contents(self) -> dict[str, str]:
        """Sizes of the files."""
        files = [file for path in self._paths for file in (videos.pictures(path) if os.path.isdir(path) else [path])]
        return fingerprint.of_files(files, self._root)

    def labels(self) -> np.ndarray | None:
        """See Labelled."""
        return np.array(self._labels)

    def describe(self, index: int) -> str:
        """An example by its file."""
        return shown(self._paths[index])


def _videos(path: Path) -> tuple[list[str], listing.LeftOut]:
    """The videos in a folder and its sub-folders, sorted, and what is left out."""
    files, left_out = listing.walk(path, (*SUFFIXES, *videos.FRAMES))
    found = {file for file in files if file.lower().endswith(videos.FILES)}
    animated = {file for file in files if file.lower().endswith(SUFFIXES)} - found
    frames = [file for file in files if file not in found and file not in animated]
    folders = {os.path.dirname(file) for file in frames} - {str(path)}
    found |= folders | {file for file in animated if os.path.dirname(file) not in folders}
    left_out += [(listing.OTHER, file) for file in frames if os.path.dirname(file) == str(path)]
    holding = {str(parent) for file in files for parent in Path(file).parents}
    walked = [one for one, _, _ in os.walk(path) if one not in holding and one != str(path)]
    empty = [(EMPTY, one) for one in walked if not listing.hidden(os.path.basename(one))]
    return sorted(found), left_out + empty
