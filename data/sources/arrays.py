"""Images in memory: a NumPy archive, or arrays handed over by another source."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from errors import UserError, nearest


class Source:
    """`name` is a .npz file that holds SPLIT_images, uint8 (n, height, width[, channels]), and SPLIT_labels, int (n,);
    optionally `classes`, the labels' names."""

    random_access = True

    def __init__(self, name: str, split: str, data_dir: str = "", memory_limit_mb: int = 0):
        path = Path(data_dir, name)
        if not path.is_file():
            raise UserError(f"config.data.name: there is no file {path}.")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                splits = {key.removesuffix("_images") for key in archive if key.endswith("_images")}
                if split not in splits or f"{split}_labels" not in archive:
                    raise UserError(f"{path} has no {split}_images with {split}_labels: {nearest(split, splits)}")
                images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
                names = tuple(str(c) for c in archive["classes"]) if "classes" in archive else None
        except (TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            raise UserError(
                f"{path} is no archive of plain arrays, or a damaged one: write it with np.savez. Arrays of Python objects "
                "are pickles, which run what they hold, and are not loaded."
            ) from None
        self._hold(images, labels, names, f"{path} {split}")

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], what: str) -> "Source":
        """A source of arrays that are already here; `what` names them in errors."""
        source = cls.__new__(cls)
        source._hold(images, labels, classes, what)
        return source

    def _hold(self, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | None, what: str) -> None:
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise UserError(
                f"{what}: images should be uint8 (n, height, width, channels), not {images.dtype} {images.shape}."
            )
        if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(
                f"{what}: {len(images)} images need as many integer labels, not {labels.dtype} {labels.shape}."
            )
        if not len(images):
            raise UserError(f"{what}: it holds no images.")
        self.classes = classes or tuple(str(i) for i in range(int(labels.max()) + 1))
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.classes)))
        if wrong.size:
            raise UserError(
                f"{what}: example {wrong[0]} has label {labels[wrong[0]]}, outside 0 to {len(self.classes) - 1}."
            )
        self._images = images if images.ndim == 4 else images[..., None]
        self._labels = labels.astype(np.int64)
        self._what = what
        self._tensors: tuple[Any, Any] | None = None
        self.size = len(images)
        self.shape = self._images.shape[1:]

    def read(self, index: Any) -> dict[str, Any]:
        import tensorflow as tf

        if self._tensors is None:
            with tf.init_scope():
                self._tensors = tf.constant(self._images), tf.constant(self._labels)
        images, labels = self._tensors
        return {"image": tf.gather(images, index), "label": tf.gather(labels, index)}

    def parse(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw

    def describe(self, index: int) -> str:
        return f"example {index} of {self._what}"
