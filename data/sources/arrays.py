"""Arrays in memory: a NumPy archive, or arrays handed over by another source."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from data.order import Tensor
from data.sources import Example, Feature
from errors import UserError, nearest

NAMES = {"images": "image", "labels": "label"}  # in an archive, the plural is the same feature


class Source:
    """`name` is a .npz file that holds SPLIT_FEATURE, an array (n, ...), for each feature; optionally `classes`, the
    names of the labels. SPLIT_images (or SPLIT_image) is uint8 and SPLIT_labels (or SPLIT_label) integers.

    A uint8 array (n, height, width), such as masks, is images of one channel.
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
        path = Path(data_dir, name)
        if not path.is_file():
            raise UserError(f"config.data.name: there is no file {path}.")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                keys = {NAMES.get(key, key): f"{split}_{key}" for key in _features(archive, split)}
                if not keys:
                    there = {key.removesuffix("_images").split("_")[0] for key in archive if "_" in key}
                    raise UserError(f"{path} has no {split}_images or others: {nearest(split, there)}")
                for feature in wanted or ():
                    if feature not in keys:
                        raise UserError(f"{path} has no {split}_{feature}: {nearest(f'{split}_{feature}', archive)}")
                arrays = {feature: archive[key] for feature, key in keys.items() if feature in (wanted or keys)}
                names = tuple(str(c) for c in archive["classes"]) if "classes" in archive else ()
        except (TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            raise UserError(
                f"{path} is no archive of plain arrays, or a damaged one: write it with np.savez. Arrays of Python "
                "objects are pickles, which run what they hold, and are not loaded."
            ) from None
        self._hold(arrays, {"label": names}, f"{path} {split}")
        self._path, self._stem = path, split.split("[")[0]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], names: Mapping[str, tuple[str, ...]], what: str) -> "Source":
        """A source of arrays that are already here.

        Args:
          arrays: (n, ...) by feature.
          names: of the classes, by feature.
          what: the name of the set in errors.
        """
        source = cls.__new__(cls)
        source._hold(arrays, names, what)
        return source

    def _hold(self, arrays: Mapping[str, np.ndarray], names: Mapping[str, tuple[str, ...]], what: str) -> None:
        self._what, self._tensors = what, None
        self._arrays: dict[str, np.ndarray] = {}
        self.features: dict[str, Feature] = {}
        self.size = len(next(iter(arrays.values())))
        if not self.size:
            raise UserError(f"{what}: it holds no examples.")
        for name, array in arrays.items():
            if array.shape[:1] != (self.size,):
                raise UserError(f"{what}: {name} should have {self.size} examples, as the others: not {array.shape}.")
            self.features[name], self._arrays[name] = _described(name, array, names.get(name, ()), what)

    def read(self, index: Tensor) -> Example:
        """The examples of indices (b,)."""
        import tensorflow as tf

        if self._tensors is None:
            with tf.init_scope():
                self._tensors = {name: tf.constant(array) for name, array in self._arrays.items()}
        return {name: tf.gather(tensor, index) for name, tensor in self._tensors.items()}

    def parse(self, raw: Example) -> Example:
        """Nothing is left to do."""
        return raw

    def contents(self) -> dict[str, str]:
        """Sizes and checksums of the split's arrays, as the archive's directory has them."""
        if self._path is None:
            return {}
        with zipfile.ZipFile(self._path) as archive:
            return {
                member.filename: f"{member.file_size} bytes, CRC {member.CRC:08x}"
                for member in archive.infolist()
                if member.filename.startswith((f"{self._stem}_", "classes."))
            }

    def labels(self) -> np.ndarray | None:
        """See Labelled."""
        return self._arrays.get("label")

    def describe(self, index: int) -> str:
        """An example by its place."""
        return f"example {index} of {self._what}"

    _tensors: dict[str, Tensor] | None
    _path: Path | None = None  # of arrays that another source has handed over


def _features(archive: Iterable[str], split: str) -> list[str]:
    return [key.removeprefix(f"{split}_") for key in archive if key.startswith(f"{split}_")]


def _described(name: str, array: np.ndarray, names: tuple[str, ...], what: str) -> tuple[Feature, np.ndarray]:
    """What an array holds, and the array in the type that it is read as."""
    if name == "image" and (array.dtype != np.uint8 or array.ndim not in (3, 4)):
        raise UserError(
            f"{what}: images should be uint8 (n, height, width, channels), not {array.dtype} {array.shape}."
        )
    if name == "label" or names:
        return _labels(name, array, names, what)
    if array.dtype.kind in "SUO":
        texts = [x.encode() if isinstance(x, str) else bytes(x) for x in array.ravel().tolist()]
        return Feature("text", array.shape[1:]), np.array(texts, object).reshape(array.shape)
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        array = array if array.ndim == 4 else array[..., None]
        return Feature("image", array.shape[1:]), array
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    boxes = array.dtype == np.float32 and array.shape[-1:] == (4,) and name.startswith(("box", "bbox"))
    return Feature("boxes" if boxes else "array", array.shape[1:]), array


def _labels(name: str, array: np.ndarray, names: tuple[str, ...], what: str) -> tuple[Feature, np.ndarray]:
    if not np.issubdtype(array.dtype, np.integer) or (name == "label" and array.ndim != 1):
        raise UserError(f"{what}: labels should be integers, one an example, not {array.dtype} {array.shape}.")
    names = names or tuple(str(i) for i in range(int(array.max()) + 1))
    if ((array < 0) | (array >= len(names))).any():
        example = np.argwhere((array < 0) | (array >= len(names)))[0]
        wrong = array[tuple(example)]
        raise UserError(f"{what}: example {example[0]} has {name} {wrong}, outside 0 to {len(names) - 1}.")
    return Feature("label", array.shape[1:], names), array.astype(np.int64)
