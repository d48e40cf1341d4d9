"""Copies between this machine and a bucket."""

import atexit
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from errors import UserError
from storage.bucket import Bucket, explained

SHARE = 256  # objects that are fetched together, after which those that have come are noted
PRIVATE = "attend-buckets"  # in the folder of temporary files: what is on its way between here and a bucket


def on_disk(path: Path) -> Path:
    """The folder of this machine where what goes to `path` is first: for a bucket, a private one."""
    return private() if isinstance(path, Bucket) else path


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path on a disk for a library that can write only there: `path`, or one that is then copied to the bucket."""
    with _beside(path) as here:
        yield here
        if isinstance(path, Bucket):
            upload(here, path)


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """The same for one that reads."""
    with _beside(path) as here:
        if isinstance(path, Bucket):
            download(path, here)
        yield here


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The same name on a disk: `path` or, for a bucket, in a folder that is removed afterwards."""
    if not isinstance(path, Bucket):
        yield path
        return
    with tempfile.TemporaryDirectory(dir=private()) as folder:
        yield Path(folder, path.name)


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
    get([(path / name, here / name) for name in path.marks()])


def get(pairs: Sequence[tuple[Bucket, Path]]) -> None:
    """Copies objects, each to its file."""
    for _, file in pairs:
        file.parent.mkdir(parents=True, exist_ok=True)
    if pairs:
        with explained(pairs[0][0]):
            pairs[0][0].store.get([str(old) for old, _ in pairs], [str(new) for _, new in pairs])


@functools.cache
def private() -> Path:
    """A folder of this process, on the disk that TMPDIR names. Those that killed processes have left are removed.

    Raises:
      UserError: another user has made one of this name.
    """
    root = Path(tempfile.gettempdir(), f"{PRIVATE}-{os.getuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    about = root.lstat()  # anybody can make a folder of this name first
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise UserError(f"{root} is not a folder that only you can open: remove it, or choose another disk by TMPDIR.")
    for other in root.glob("*.lock"):
        with suppress(FileNotFoundError), other.open() as file:  # another process removes them too
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


@functools.cache
def kept(path: Bucket) -> Path:
    """A copy that stays on this machine, in ~/.cache/attend/buckets or XDG_CACHE_HOME: only what has changed is fetched
    again. Of a pattern, that of the folder before it."""
    pattern = next((i for i, part in enumerate(path.parts) if set(part) & set("*?[")), len(path.parts))
    if path.parts[pattern:]:
        return Path(kept(Bucket(*path.parts[:pattern])), *path.parts[pattern:])
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "attend", "buckets")
    copy, index = Path(cache, path.parts[0].rstrip(":"), *path.parts[1:]), Path(cache, "index")
    index.mkdir(parents=True, exist_ok=True)
    index /= hashlib.sha256(str(path).encode()).hexdigest()
    before = json.loads(index.read_text()) if index.exists() else {}
    if not (now := path.marks()):
        raise FileNotFoundError(errno.ENOENT, "there is nothing of this name", str(path))
    for name in before.keys() - now.keys():
        (copy / name).unlink(missing_ok=True)
    old = [name for name in now if before.get(name) != now[name] or not (copy / name).exists()]
    held = {name: now[name] for name in now.keys() - set(old)}
    for start in range(0, len(old), SHARE):
        part = old[start : start + SHARE]
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            get([(path / name, Path(folder, str(number))) for number, name in enumerate(part)])
            for number, name in enumerate(part):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, str(number)).replace(copy / name)
        held |= {name: now[name] for name in part}
        fresh = index.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(held))
        fresh.replace(index)
    return copy
