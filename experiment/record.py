"""What a run says of itself: config.json in its workdir, and how two such records differ."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from errors import UserError

FILE = "config.json"
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy")
# What may change between the parts of one run: where it runs and what is shown or kept, or how it gets past a bad step.
FREE = (
    *("parallel", "evaluation", "checkpoint", "log", "profile", "data.eval_splits"),
    *("step.nonfinite", "step.spike", "step.rollbacks", "step.timeout_seconds"),
    *("data.unreadable", "data.data_dir", "data.eval_batch_size", "data.eval_batch_tokens"),
)


def differences(
    saved: dict[str, Any], wanted: dict[str, Any], prefix: str = "", free: tuple[str, ...] = FREE
) -> list[str]:
    """Keys whose values differ, but for those of `free`, as "optim.learning_rate: 0.001 there, 0.01 here"."""
    found = []
    for key in sorted(saved.keys() | wanted.keys()):
        a, b = saved.get(key), wanted.get(key)
        if prefix + key in free:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.", free)
        elif json.loads(json.dumps(a)) != json.loads(json.dumps(b)):
            found.append(f"{prefix}{key}: {a!r} there, {b!r} here")
    return found


def read(workdir: Path) -> dict[str, Any]:
    """What a run wrote into its workdir about itself."""
    path = workdir / FILE
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run: there is no {path}. Give the --workdir of a training run.") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train into another --workdir.") from None


def write(workdir: Path, record: dict[str, Any]) -> None:
    """Replaces the file at once: a kill leaves the old one or the new one."""
    fresh = (workdir / FILE).with_suffix(".tmp")
    fresh.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(fresh, workdir / FILE)


def versions(*others: str) -> dict[str, str]:
    """Of Python and of the libraries that decide the result, and of others that had a part in it."""
    found = {"python": platform.python_version()}
    for package in PACKAGES + others:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this code, with "+" where files differ from it; "" outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
