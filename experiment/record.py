"""What a run says of itself: config.json in its workdir, records of older versions, and how two records differ."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval
from pydantic import NonNegativeFloat, NonNegativeInt

import lookup
from errors import UserError
from training import optim

Record = dict[str, Any]  # JSON
MEND = "Put back a copy of it, or train into another --workdir."
# What a record says besides the config, which `experiment.config.check` reads, and the sections of that.
FACTS: dict[str, lookup.Hint] = {
    "total_steps": Annotated[int, Interval(ge=1, lt=2**31)],
    "known": dict[str, Any],
    "classes": tuple[str, ...],  # of `known`, as the next one
    "tokenizers": dict[str, str],
    "skipped_batches": tuple[tuple[int, int], ...],
    "parameters": NonNegativeInt,
    "step_flops": NonNegativeFloat,
    **dict.fromkeys(("devices", "commit", "command"), str),
    **dict.fromkeys(("model", "task", "data", "optim", "evaluation", "checkpoint"), dict[str, Any]),
}

FILE = "config.json"
FORMAT = 2  # of a record: raised when a key is renamed or removed; `_upgraded` reads the older ones
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy")
# What may change between the parts of one run: where it runs, what is shown or kept, and how it gets past a bad step.
FREE = (
    *("parallel", "evaluation", "checkpoint", "log", "profile", "data.eval_splits"),
    *("step.nonfinite", "step.spike", "step.rollbacks", "step.timeout_seconds"),
    *("data.unreadable", "data.data_dir", "data.eval_batch_size", "data.eval_batch_tokens"),
)


def differences(saved: Record, wanted: Record, prefix: str = "", free: tuple[str, ...] = FREE) -> list[str]:
    """Keys whose values differ, except those in `free`, as "optim.learning_rate: 0.001 there, 0.01 here"."""
    lines = []
    for key in sorted(saved.keys() | wanted.keys()):
        a, b = saved.get(key), wanted.get(key)
        if prefix + key in free:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.", free)
        elif json.loads(json.dumps(a)) != json.loads(json.dumps(b)):
            lines.append(f"{prefix}{key}: {a!r} there, {b!r} here")
    return lines


def read(workdir: Path) -> Record:
    """What a run wrote into its workdir about itself, in today's format.

    Raises:
      UserError: there is no record, or it is damaged.
    """
    path = workdir / FILE
    try:
        record = of_json(path)
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run: there is no {path}. Give the --workdir of a training run.") from None
    try:
        record = lookup.checked_value("it", dict[str, Any], record)
        for here in (record, record.get("known", {})):
            for key in FACTS.keys() & here.keys():
                lookup.checked_value(key, FACTS[key], here[key])
    except UserError as error:
        raise UserError(f"{path} is damaged: {error} {MEND}") from None
    return _upgraded(record)


def of_json(path: Path) -> Any:  # whatever it holds
    """The content of a JSON file in a workdir.

    Raises:
      FileNotFoundError: there is none.
      UserError: it cannot be read, or is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, no JSON, nested without end
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}). {MEND}") from None


def _upgraded(record: Record) -> Record:
    """A record of an older version as today's version writes it. Keys that are new take their defaults later."""
    if record.get("format", 1) >= FORMAT or "optim" not in record:
        return record
    renamed = {"skipped_batches": record.get("left_out", []), "optim": optim.from_earlier(record["optim"])}
    return {key: value for key, value in record.items() if key != "left_out"} | renamed | {"format": FORMAT}


def write(workdir: Path, record: Mapping[str, object]) -> None:
    """Replaces the file at once: a kill leaves the old one or the new one."""
    fresh = (workdir / FILE).with_suffix(".tmp")
    fresh.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(fresh, workdir / FILE)


def versions(*others: str) -> dict[str, str]:
    """Versions of Python, of the libraries that decide the result, and of `others`."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES + others:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


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


def provenance() -> Record:
    """With what code a result was made: its commit and the versions of the libraries."""
    return {"commit": commit(), "versions": versions()}


def clean_commit() -> str:
    """The commit that a script in results/ may name in its record.

    Raises:
      UserError: files differ from the commit, so that nobody could repeat the result.
    """
    if not (found := commit()) or found.endswith("+"):
        raise UserError(
            "a record names its commit, and the working tree differs from it: commit or stash your changes."
        )
    return found
