"""A path in a bucket, with pathlib's methods, through fsspec.

universal_pathlib has such paths too, which are no pathlib.Path and make a bucket whose name is mistyped. etils asks
TensorFlow where that is installed, and its wheels have no file system for s3://.
"""

import errno
import io
import os
import re
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import PosixPath, PurePosixPath
from typing import TYPE_CHECKING, Self

from errors import ServiceError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from typing_extensions import Buffer

# What the disk of this machine can be at fault for, while objects are copied to or from it.
OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG}
REFUSED = "credential|forbidden|denied|unauthori[sz]ed|anonymous|token|access ?key|signature"
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
}


class Bucket(PosixPath):
    """A path in a bucket, with pathlib's methods. Its errors are those of a disk, and ServiceError."""

    def __str__(self) -> str:
        return re.sub(r"^(\w+):/(?!/)", r"\1://", super().__str__())

    @property
    def store(self) -> "AbstractFileSystem":
        """fsspec's file system of the service."""
        import fsspec

        return fsspec.filesystem(self.parts[0].rstrip(":"), use_listings_cache=False)  # others write there too

    def absolute(self) -> Self:
        """As it is."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """As it is."""
        return self

    def stat(self, **_: bool) -> os.stat_result:
        """Its kind and its size."""
        with explained(self):
            about = self.store.info(str(self))
        kind = stat.S_IFDIR if about["type"] == "directory" else stat.S_IFREG
        return os.stat_result((kind, 0, 0, 1, 0, 0, about["size"] or 0, 0, 0, 0))

    def _kind(self) -> int:
        try:
            return self.stat().st_mode
        except FileNotFoundError:
            return 0

    def exists(self, **_: bool) -> bool:
        """Whether it is an object, or the beginning of the names of some."""
        return self._kind() != 0

    def is_dir(self, **_: bool) -> bool:
        """Whether it is the beginning of the names of some."""
        return stat.S_ISDIR(self._kind())

    def is_file(self, **_: bool) -> bool:
        """Whether it is an object."""
        return stat.S_ISREG(self._kind())

    def iterdir(self) -> Generator[Self, None, None]:
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
        if not missing_ok and not self.exists():  # S3 does not tell
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        with suppress(FileNotFoundError), explained(self):
            self.store.rm_file(str(self))

    def marks(self) -> dict[str, str]:
        """What is there at any depth, by name within this path ("" for an object itself), each with a mark that another
        content does not have. Left out is what has no such name as a file: of a folder, or one that leads elsewhere."""
        with explained(self):
            found = self.store.find(str(self), detail=True)
        start = len(str(self).partition("://")[2]) + 1
        return {
            name[start:]: f"{about['size']} {about.get('ETag') or about.get('etag')}"
            for name, about in found.items()
            if _plain(name[start:])
        }

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects within this path."""
        if found := [f"{self}/{name}" for name in names]:
            with explained(self):
                self.store.rm(found)

    def rename(self, target: str | os.PathLike[str]) -> Self:
        """Copies an object, or all that are there, and removes the old ones. A kill can leave both."""
        to = type(self)(target)
        pairs = [(self / name, to / name) for name in self.marks()]
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
    ) -> "_Object | _Text":
        """An object: read when it is opened, written when it is closed; with buffering=0 at every `write`. One whose
        `with` ends in an error is not written."""
        mode, binary = mode.replace("b", "").replace("t", ""), "b" in mode
        content = b""
        if mode == "x" and self.exists():  # an emulator may not know the condition
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        if mode == "r" or (mode == "a" and self.exists()):
            with explained(self):
                content = self.store.cat_file(str(self))
        file = _Object(self, mode, content, buffering == 0)
        return file if binary else _Text(file, encoding or "utf-8", errors, newline)


def _plain(name: str) -> bool:
    return not name or (str(PurePosixPath(name)) == name and name[0] != "/" and ".." not in name.split("/"))


class _Object(io.BytesIO):
    def __init__(self, path: Bucket, mode: str, content: bytes, at_once: bool):
        super().__init__(content)
        self._path, self._mode, self._at_once, self.kept = path, mode, at_once, True
        self.seek(0, os.SEEK_END if mode == "a" else os.SEEK_SET)

    def write(self, data: "Buffer") -> int:
        count = super().write(data)
        if self._at_once:
            self._put()
        return count

    def _put(self) -> None:
        mode = "create" if self._mode == "x" else "overwrite"
        try:
            with explained(self._path):
                self._path.store.pipe_file(str(self._path), self.getvalue(), mode=mode)
        except FileNotFoundError:
            raise OSError(errno.ENOENT, f"there is no bucket {self._path.parts[1]!r}", str(self._path)) from None
        except ServiceError:
            if self._mode == "x" and self._path.exists():  # services say in different ways that another was quicker
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._path)) from None
            raise

    def close(self) -> None:
        try:
            if not self.closed and self.kept and self._mode != "r" and not self._at_once:
                self._put()
        finally:
            super().close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.kept = kind is None
        self.close()


class _Text(io.TextIOWrapper):
    def __init__(self, file: _Object, encoding: str, errors: str | None, newline: str | None):
        super().__init__(file, encoding, errors, newline)
        self._file = file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.kept = kind is None
        self.close()


@contextmanager
def explained(path: Bucket) -> Iterator[None]:
    """What a service or its library raises, as the error of a file where it is one, else as a ServiceError."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except FileExistsError:  # the condition of mode "x"
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except Exception as error:  # of botocore, aiohttp, google.auth: each has its own
        if isinstance(error, OSError) and error.errno in OF_DISK:
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(".: ")
        service = path.parts[0].rstrip(":")
        mend = "Run the same command again when it answers: what was saved is kept."
        if isinstance(error, PermissionError) or re.search(REFUSED, said, re.IGNORECASE):
            mend = f"Credentials that may read and write there come from {CREDENTIALS[service]}. {mend}"
        raise ServiceError(f"{path}: {said}. {mend}") from error
