"""A folder of images, one folder a class: NAME/SPLIT/CLASS/image.jpg (or NAME/CLASS/image.jpg for split "all")."""

from pathlib import Path

import numpy as np

from data import fingerprint
from data.order import Tensor
from data.sources import Example, Feature, Features, chosen
from errors import UserError, nearest

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}


class Source:
    """Examples have `image`, the bytes of a file, and `label`. Classes are the sorted names of the folders; files of
    other kinds are passed over.
    """

    random_access = True

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        root = Path(data_dir, name).expanduser()
        if not root.is_dir():
            raise UserError(f"config.data.name: there is no folder {root}.")
        folder = root if split == "all" else root / split
        if not folder.is_dir():
            there = [p.name for p in root.iterdir() if p.is_dir()]
            raise UserError(f"{root} has no folder {split!r} for that split: {nearest(split, [*there, 'all'])}")
        folders = sorted(p for p in folder.iterdir() if p.is_dir())
        files = [
            (file, label)
            for label, f in enumerate(folders)
            for file in sorted(f.iterdir())
            if file.suffix.lower() in SUFFIXES
        ]
        if not files:
            raise UserError(
                f"{folder} holds no images: one folder a class is expected, with {' '.join(sorted(SUFFIXES))} files."
            )
        image, label = Feature("image", (None,) * 3, encoded=True), Feature("label", (), tuple(p.name for p in folders))
        self.features: Features = chosen({"image": image, "label": label}, wanted, str(root))
        self.size = len(files)
        self._root = folder
        self._paths = [str(file) for file, _ in files]
        self._labels = [label for _, label in files]
        self._tensors: tuple[Tensor, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """Paths and labels of indices (b,)."""
        import tensorflow as tf

        if self._tensors is None:
            with tf.init_scope():
                self._tensors = tf.constant(self._paths), tf.constant(self._labels, tf.int64)
        paths, labels = self._tensors
        return {"path": tf.gather(paths, index), "label": tf.gather(labels, index)}

    def parse(self, raw: Example) -> Example:
        """One example, its file read."""
        import tensorflow as tf

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
        return self._paths[index]
