"""What can be known of the place a run begins in: its libraries, and the folder that it writes to."""

import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TESTED_PYTHON = "3.11"
ALSO = ("jaxlib", "libtpu", "jax-cuda13-plugin", "jax-cuda12-plugin")


def versions() -> dict[str, Any]:
    """The libraries there are, and those that are not the ones of requirements.txt, which were tested together."""
    installed, differ = {"python": platform.python_version()}, {}
    if not platform.python_version().startswith(f"{TESTED_PYTHON}."):
        differ["python"] = TESTED_PYTHON
    needed = (ROOT / "requirements.txt").read_text().split("# Development")[0]
    for name, pin, marker in re.findall(r"^([\w.-]+)==([\w.]+)(;?)", needed, re.MULTILINE):
        found = _version(name)
        if found is None and marker:  # of another platform
            continue
        installed[name] = found or "not installed"
        if found != pin:
            differ[name] = pin
    installed |= {name: found for name in ALSO if (found := _version(name))}
    return {"tested": not differ, "installed": installed, "differ": differ}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def workdir(path: Path, state_bytes: int, kept: int) -> dict[str, Any]:
    """Whether the folder can be written to, and whether its checkpoints find room there.

    Args:
      state_bytes: of one checkpoint. kept: how many stay; one more is written before an older one goes.
    """
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
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
