"""Where files are: in folders of this machine, or in a bucket, gs://BUCKET/... or s3://BUCKET/...

A bucket has objects and no folders. An object is written whole or not at all; there is no renaming, no appending and no
file lock, but one that is only to be made anew is refused where there is one. Credentials and addresses are those of
the libraries: AWS_ENDPOINT_URL and the AWS profile, STORAGE_EMULATOR_HOST and Google's application default credentials.
"""

import glob
import importlib
import logging
import os
import re
from pathlib import Path

from errors import UserError, installs
from storage.bucket import Bucket, explained
from storage.copies import download, fetched, kept, on_disk, private, upload, written

__all__ = (
    "Bucket",
    "changed",
    "download",
    "fetched",
    "here",
    "is_address",
    "joined",
    "matches",
    "on_disk",
    "path",
    "private",
    "replace",
    "touch",
    "upload",
    "written",
)
INSTALL = {"gs": "gcsfs==2026.10.1", "s3": "s3fs==2026.9.0"}  # the extras of pyproject.toml
SCHEME = re.compile(r"(\w+)://")


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
    load(scheme[1], text)
    return Bucket(text)


def load(scheme: str, text: str) -> None:
    library = INSTALL[scheme].partition("==")[0]
    try:
        importlib.import_module(library)
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what fails in the end is raised
    except ImportError as error:
        raise UserError(f"{text} needs {library} ({error}): {installs(INSTALL[scheme])}") from None


def is_address(text: str) -> bool:
    """Whether a text names something in a bucket."""
    scheme = SCHEME.match(text)
    return scheme is not None and scheme[1] in INSTALL


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


def matches(path: Path) -> bool:
    """Whether something has this name, in which * and ** may stand for others."""
    if isinstance(path, Bucket):
        with explained(path):
            return bool(path.store.glob(str(path)))
    return bool(glob.glob(str(path), recursive=True))


def joined(folder: str, name: str) -> str:
    """`name` within `folder`, where it is not an address of its own."""
    return name if SCHEME.match(name) else os.path.join(folder, name)


def here(folder: str, name: str = "", beside: bool = False) -> Path:
    """A file or folder on this machine, `name` within `folder`: of a bucket, a copy that is kept.

    Args:
      beside: whether a file comes with all else that is in its folder.

    Raises:
      UserError: see `path`; or it cannot be copied.
    """
    text = joined(folder, name) if name else folder
    if not SCHEME.match(text):
        return Path(os.path.expanduser(text))
    source = path(text)
    assert isinstance(source, Bucket)
    try:
        return kept(source.parent) / source.name if beside and source.is_file() else kept(source)
    except OSError as error:
        raise UserError(f"cannot copy {text}: {error.strerror}.") from None
