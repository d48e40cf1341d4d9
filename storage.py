"""Where files are: in folders of this machine, or in a bucket, gs://BUCKET/... or s3://BUCKET/..., through fsspec.

A bucket has objects and no folders. An object is written whole or not at all; there is no renaming, no appending and no
file lock, but one that is only to be made anew is refused where there is one. Credentials and addresses are those of
the libraries: AWS_ENDPOINT_URL and the AWS profile, STORAGE_EMULATOR_HOST and Google's application default credentials.

Neither etils nor TensorFlow reads s3:// beside an installed TensorFlow, whose wheels have no file system for it.
"""

import atexit
import errno
import fcntl
import functools
import importlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import IO, Any, Self

from errors import UserError

INSTALL = {"gs": "gcsfs==2026.10.1", "s3": "s3fs==2026.9.0"}  # the extras of pyproject.toml
SCHEME = re.compile(r"(\w+)://")
PRIVATE = "attend-buckets"  # in the folder of temporary files: what is on its way between here and a bucket


class Bucket(PosixPath):
    """A path in a bucket, with pathlib's methods. Its errors are OSErrors, as those of a disk."""

    def __str__(self) -> str:
        return re.sub(r"^(\w+):/(?!/)", r"\1://", super().__str__())

    @property
    def store(self) -> Any:
        """fsspec's file system, which has no types."""
        import fsspec

        return fsspec.filesystem(self.parts[0].rstrip(":"), use_listings_cache=False)  # others write there too

    def absolute(self) -> Self:
        """As it is."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """As it is."""
        return self

    def _type(self) -> str:
        try:
            with explained(self):
                return self.store.info(str(self))["type"]
        except FileNotFoundError:
            return ""

    def exists(self, **_: bool) -> bool:
        """Whether it is an object, or the beginning of the names of some."""
        return self._type() != ""

    def is_dir(self, **_: bool) -> bool:
        """Whether it is the beginning of the names of some."""
        return self._type() == "directory"

    def is_file(self, **_: bool) -> bool:
        """Whether it is an object."""
        return self._type() == "file"

    def iterdir(self) -> Iterator[Self]:
        """What is there, one level deep."""
        with explained(self):
            found = [name.rstrip("/") for name in self.store.ls(str(self), detail=False)]
        return (self / name.rpartition("/")[2] for name in found if not str(self).endswith(f"://{name}"))

    def glob(self, pattern: str, **_: bool) -> Iterator[Self]:  # type: ignore[override]
        """The same, of names like this one."""
        return (path for path in (self.iterdir() if self.is_dir() else ()) if fnmatchcase(path.name, pattern))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: there are no folders, and a bucket of a mistyped name is not made."""

    def rmdir(self) -> None:
        """Nothing, for the same reason."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes an object."""
        if not (there := self.exists()) and not missing_ok:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        if there:
            with explained(self):
                self.store.rm_file(str(self))

    def objects(self) -> dict[str, int]:
        """Sizes of what is there at any depth, by name within this path."""
        with explained(self):
            found = self.store.find(str(self), detail=True)
        start = len(str(self).partition("://")[2]) + 1
        return {name[start:]: about["size"] for name, about in found.items() if name[start:]}

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects within this path."""
        if found := [f"{self}/{name}" for name in names]:
            with explained(self):
                self.store.rm(found)

    def rename(self, target: Path | str) -> Self:
        """Copies an object, or all that are there, and removes the old ones. A kill can leave both."""
        to = type(self)(target)
        pairs = [(self, to)] if self.is_file() else [(self / name, to / name) for name in self.objects()]
        for old, new in pairs:
            with explained(old):
                self.store.cp_file(str(old), str(new))
        for old, _ in pairs:
            old.unlink(missing_ok=True)
        return to

    def open(  # type: ignore[override]
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """An object: read when it is opened, written when it is closed; with buffering=0 at every `write`."""
        file = _Object(self, mode.replace("b", "").replace("t", ""), buffering)
        return file if "b" in mode else io.TextIOWrapper(file, encoding or "utf-8", errors, newline)


class _Object(io.BytesIO):
    def __init__(self, path: Bucket, mode: str, buffering: int):
        super().__init__()
        self._path, self._mode, self._at_once = path, mode, buffering == 0
        if mode == "x" and path.exists():  # an emulator may not know the condition
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if mode == "r" or (mode == "a" and path.exists()):
            with explained(path):
                super().write(path.store.cat_file(str(path)))
            self.seek(0, os.SEEK_SET if mode == "r" else os.SEEK_END)

    def write(self, data: Any) -> int:  # whatever has bytes
        count = super().write(data)
        if self._at_once:
            self._put()
        return count

    def _put(self) -> None:
        with explained(self._path):
            mode = "create" if self._mode == "x" else "overwrite"
            self._path.store.pipe_file(str(self._path), self.getvalue(), mode=mode)

    def close(self) -> None:
        try:
            if not self.closed and self._mode != "r" and not self._at_once:
                self._put()
        finally:
            super().close()


@contextmanager
def explained(path: Bucket) -> Iterator[None]:
    """What a service or its library raises, as the error of a file."""
    try:
        yield
    except OSError as error:
        number = error.errno or (errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EIO)
        said = error.strerror or (os.strerror(number) if number == errno.ENOENT else _line(error))
        raise OSError(number, said, str(path)) from None
    except Exception as error:  # of botocore, aiohttp, google.auth: each has its own
        raise OSError(errno.EIO, _line(error), str(path)) from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def path(text: str | os.PathLike[str]) -> Path:
    """A file or folder as a person writes it: ~ is their home, gs:// and s3:// are buckets.

    Raises:
      UserError: another service, or the library for this one is not installed.
    """
    text = os.fspath(text)
    if not (scheme := SCHEME.match(text)):
        return Path(os.path.expanduser(text))
    if scheme[1] not in INSTALL:
        raise UserError(f"{text}: there is no way to read {scheme[0]} here. Give a folder, gs://... or s3://...")
    if not text[scheme.end() :].strip("/"):
        raise UserError(f"{text} names no bucket: write {scheme[0]}BUCKET/FOLDER.")
    _load(scheme[1], text)
    return Bucket(text)


def _load(scheme: str, text: str) -> None:
    library = INSTALL[scheme].partition("==")[0]
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise UserError(f'{text} needs {library} ({error}): pip install "{INSTALL[scheme]}"') from None


def is_remote(path: Path) -> bool:
    """Whether it is in a bucket, where only this module's functions and pathlib's methods reach it."""
    return isinstance(path, Bucket)


def replace(path: Path, text: str) -> None:
    """Writes a file at once: a kill leaves the old one or the new one."""
    if isinstance(path, Bucket):
        path.write_text(text)
        return
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text)
    os.replace(fresh, path)


def touch(path: Path) -> None:
    """Gives a file today's time."""
    if isinstance(path, Bucket):
        path.write_bytes(path.read_bytes())
    else:
        os.utime(path)


def changed(path: Path) -> int | None:
    """When a file was written, by the clock of where it is, in nanoseconds; None where there is none."""
    try:
        if isinstance(path, Bucket):
            with explained(path):
                return int(path.store.modified(str(path)).timestamp() * 1e9)
        with path.open() as file:  # opened anew, or NFS would show an old one
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def on_disk(path: Path) -> Path:
    """The folder of this machine where what goes to `path` is first: for a bucket, a private one."""
    return private() if isinstance(path, Bucket) else path


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file or folder for a library that writes to a disk alone: `path`, or one that is then copied to the bucket."""
    if not isinstance(path, Bucket):
        yield path
        return
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        yield (here := Path(folder, path.name))
        upload(here, path)


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """The same for one that reads."""
    if not isinstance(path, Bucket):
        yield path
        return
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        download(path, here := Path(folder, path.name))
        yield here


def upload(here: Path, path: Bucket, last: str = "") -> None:
    """Copies a file, or all files of a folder, into a bucket; the one named `last` when all others are there."""
    if here.is_file():
        pairs = [(str(here), str(path))]
    else:
        files = sorted(file for file in here.rglob("*") if file.is_file())
        pairs = [(str(file), f"{path}/{file.relative_to(here).as_posix()}") for file in files]
    marker = [pair for pair in pairs if pair[0] == str(here / last)] if last else []
    for part in ([pair for pair in pairs if pair not in marker], marker):
        if part:
            with explained(path):
                path.store.put([old for old, _ in part], [new for _, new in part])


def download(path: Bucket, here: Path) -> None:
    """Copies an object, or all that are there, to this machine."""
    names = [""] if path.is_file() else list(path.objects())
    pairs = [(str(path / name), here / name) for name in names]
    for _, file in pairs:
        file.parent.mkdir(parents=True, exist_ok=True)
    if pairs:
        with explained(path):
            path.store.get([old for old, _ in pairs], [str(new) for _, new in pairs])


@functools.cache
def private() -> Path:
    """A folder of this process, on the disk that TMPDIR names. Those that killed processes have left are removed."""
    root = Path(tempfile.gettempdir(), f"{PRIVATE}-{os.getuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    for other in root.glob("*.lock"):
        with other.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process lives
                continue
            shutil.rmtree(other.with_suffix(""), ignore_errors=True)
            other.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    lock = folder.with_suffix(".new").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # until the process ends, however it does
    named = Path(lock.name).rename(folder.with_suffix(".lock"))

    def leave() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        named.unlink(missing_ok=True)
        lock.close()

    atexit.register(leave)
    return folder
