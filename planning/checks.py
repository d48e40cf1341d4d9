"""Checks of the environment of a run: the libraries, and the folder it writes to."""

import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import TypedDict

import storage

ROOT = Path(__file__).parents[1]
TESTED_PYTHON = "3.11"
ALSO = ("jaxlib", "libtpu", "jax-cuda13-plugin", "jax-cuda12-plugin")


class Versions(TypedDict):
    """Installed libraries.

    Attributes:
      tested: whether all are those of requirements.txt, which were tested together.
      installed: versions by name.
      differ: of those that differ, the version of requirements.txt.
    """

    tested: bool
    installed: dict[str, str]
    differ: dict[str, str]


class Workdir(TypedDict):
    """The folder a run writes to.

    Attributes:
      path: of the folder.
      writable: whether this user may write there.
      checkpoint_bytes: of one checkpoint.
      checkpoints: the most that are there at a time.
      needed_bytes: of all of these.
      free_bytes: of the file system.
      room: whether they fit.
    """

    path: str
    writable: bool
    checkpoint_bytes: int
    checkpoints: int
    needed_bytes: int
    free_bytes: int
    room: bool


def versions() -> Versions:
    """Installed libraries against requirements.txt."""
    installed = {"python": platform.python_version()}
    differ: dict[str, str] = {}
    if not platform.python_version().startswith(f"{TESTED_PYTHON}."):
        differ["python"] = TESTED_PYTHON
    needed = (ROOT / "requirements.txt").read_text()
    for name, pin, marker in re.findall(r"^([\w.-]+)==([\w.]+)(;?)", needed, re.MULTILINE):
        version = installed_version(name)
        if version is None and marker:  # required on another platform
            continue
        installed[name] = version or "not installed"
        if version != pin:
            differ[name] = pin
    installed |= {name: version for name in ALSO if (version := installed_version(name))}
    return {"tested": not differ, "installed": installed, "differ": differ}


def installed_version(package: str) -> str | None:
    """The installed version; None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def workdir(path: Path, state_bytes: int, kept: int) -> Workdir:
    """Whether a folder is writable and has room for a run's checkpoints.

    Args:
      path: of the folder, which need not exist.
      state_bytes: of one checkpoint.
      kept: how many checkpoints stay. One more is written before an older one is deleted.
    """
    disk = storage.on_disk(path)
    existing = next(p for p in (disk, *disk.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    return {
        "path": str(path),
        "writable": existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        "checkpoint_bytes": state_bytes,
        "checkpoints": kept + 1,
        "needed_bytes": state_bytes * (kept + 1),
        "free_bytes": free,
        "room": free > state_bytes * (kept + 1),
    }
