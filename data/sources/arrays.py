"""Arrays in memory: a NumPy archive, or arrays handed over by another source."""

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import storage
from data.order import Tensor, tensorflow
from data.slices import bounds, named, stem
from data.sources import Example, Feature, Indexed, numbered
from errors import UserError, nearest

NAMES = {"images": "image", "labels": "label"}  # in an archive, the plural is the same feature


class Source(Indexed):
    """`name` is a .npz file that holds SPLIT_FEATURE, an array (n, ...), for each feature; optionally `classes`, the
    names of the labels. SPLIT_images (or SPLIT_image) is uint8 and SPLIT_labels (or SPLIT_label) integers.

    A uint8 array (n, height, width), such as masks, is images of one channel. A part, "train[:80%]", is of the examples
    in their order.
    """

    size: int
    _arrays: dict[str, np.ndarray]

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 1024,
        wanted: tuple[str, ...] | None = None,
    ):
        path = storage.here(data_dir, name)
        if not path.is_file():
            raise UserError(f"config.data.name: there is no file {path}.")
        if not zipfile.is_zipfile(path):
            raise _damaged(path)
        with _damage_said(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            there = sorted({key.split("_")[0] for key in archive if "_" in key})
            called = named(stem(split), there)
            keys = {NAMES.get(key, key): f"{called}_{key}" for key in _features(archive, called)}
            if not keys:
                raise UserError(f"{path} has no {called}_images or others: {nearest(called, there)}")
            for feature in wanted or ():
                if feature not in keys:
                    raise UserError(f"{path} has no {called}_{feature}: {nearest(f'{called}_{feature}', archive)}")
            keys = {feature: key for feature, key in keys.items() if feature in (wanted or keys)}
            _fits(archive.zip, [*keys.values(), "classes"], path, memory_limit_mb)
            arrays = {feature: archive[key] for feature, key in keys.items()}
            names = tuple(str(c) for c in archive["classes"].ravel()) if "classes" in archive else ()
        what = f"{path} {called}"
        if called != stem(split):
            self.notes = (f"Split {stem(split)!r} is that of {called}_images.",)
        self._hold(arrays, {"label": names}, what)
        self._path, self._stem = path, called
        if "[" in split:
            start, stop = bounds(split, self.size, str(path))
            if start >= stop:
                raise UserError(f"{path}: {split!r} is empty, of {self.size} examples.")
            self._arrays = {name: array[start:stop] for name, array in self._arrays.items()}
            self._first, self.size = start, stop - start

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
        self._what, self._tensors, self._first = what, None, 0
        self._arrays = {}
        self.features: dict[str, Feature] = {}
        self.size = next((len(array) for array in arrays.values() if array.ndim), 0)
        if not self.size:
            raise UserError(f"{what}: it holds no examples.")
        for name, array in arrays.items():
            if array.shape[:1] != (self.size,):
                raise UserError(f"{what}: {name} should have {self.size} examples, as the others: not {array.shape}.")
            self.features[name], self._arrays[name] = _described(name, array, names.get(name, ()), what)

    def read(self, index: Tensor) -> Example:
        """The examples of indices (b,)."""
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                self._tensors = {name: tf.constant(array) for name, array in self._arrays.items()}
        return {name: tf.gather(tensor, index) for name, tensor in self._tensors.items()}

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
        return f"example {self._first + index} of {self._what}"

    _tensors: dict[str, Tensor] | None
    _path: Path | None = None  # of arrays that another source has handed over


@contextmanager
def _damage_said(path: Path) -> Iterator[None]:
    """What a damaged archive raises, as one line. zipfile, zlib and NumPy raise anything."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except Exception:
        raise _damaged(path) from None


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is no archive of plain arrays, or a damaged one: write it with np.savez. Arrays of Python objects are "
        "pickles, which run what they hold, and are not loaded."
    )


def _fits(archive: zipfile.ZipFile, keys: list[str], path: Path, limit_mb: int) -> None:
    """Checks the sizes that an archive claims before anything of them is reserved.

    Raises:
      UserError: an array claims more than its part of the archive holds, or far more than the file is unpacked to.
    """
    files = {file.filename.removesuffix(".npy"): file for file in archive.infolist()}
    size = 0
    for key in (key for key in keys if key in files):
        with archive.open(files[key]) as part:
            version = min(2, np.lib.format.read_magic(part)[0])
            shape, _, dtype = getattr(np.lib.format, f"read_array_header_{version}_0")(part)
            claimed = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and claimed > files[key].file_size:
            raise UserError(f"{path}: {key} claims {shape} of {dtype}, more than the file holds: it is damaged.")
        size += files[key].file_size
    if size > max(limit_mb << 20, path.stat().st_size):
        raise UserError(
            f"{path} unpacks to {size >> 20:,} MiB. If that is right, allow it with "
            f"--config.data.memory_limit_mb={(size >> 20) + 1}"
        )


def _features(archive: Iterable[str], split: str) -> list[str]:
    return [key.removeprefix(f"{split}_") for key in archive if key.startswith(f"{split}_")]


def _described(name: str, array: np.ndarray, names: tuple[str, ...], what: str) -> tuple[Feature, np.ndarray]:
    """What an array holds, and the array in the type that it is read as."""
    if name == "image" and (array.dtype != np.uint8 or array.ndim not in (3, 4)):
        raise UserError(
            f"{what}: images should be uint8 (n, height, width, channels), not {array.dtype} {array.shape}."
        )
    if name == "image" and (0 in array.shape or array.shape[3:] not in ((), (1,), (3,), (4,))):
        last = " The channels come last: np.moveaxis(images, 1, -1)." if array.shape[1] in (1, 3, 4) else ""
        raise UserError(
            f"{what}: images should have a height, a width, and 1 (grey), 3 (RGB) or 4 (RGBA) channels, not "
            f"{array.shape}.{last}"
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
    names = names or numbered(int(array.max(initial=0)), what)
    if ((array < 0) | (array >= len(names))).any():
        example = np.argwhere((array < 0) | (array >= len(names)))[0]
        wrong = array[tuple(example)]
        raise UserError(f"{what}: example {example[0]} has {name} {wrong}, outside 0 to {len(names) - 1}.")
    return Feature("label", array.shape[1:], names), array.astype(np.int64)
