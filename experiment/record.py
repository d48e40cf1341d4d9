"""What a run says of itself: config.json in its workdir, records of older versions, and how two records differ."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

import lookup
import storage
from errors import UserError
from lookup import Json
from training import optim

Record = Json
MEND = "Put back a copy of it, or train into another --workdir."
# What a record says besides the config, which `experiment.config.check` reads, and the sections of that.
FACTS: dict[str, lookup.Hint] = {
    "total_steps": Annotated[int, Interval(ge=1, lt=2**31)],
    "known": Record,
    "classes": tuple[str, ...],  # of `known`, as the next two
    "numbers": tuple[int, ...],
    "tokenizers": dict[str, str],
    "format": PositiveInt,
    "data_fingerprint": dict[str, str],
    "history": tuple[Record, ...],
    "skipped_batches": tuple[tuple[int, int], ...],
    "parameters": NonNegativeInt,
    "step_flops": NonNegativeFloat,
    **dict.fromkeys(("devices", "commit", "command"), str),
    **dict.fromkeys(("model", "task", "data", "optim", "evaluation", "checkpoint"), Record),
}

FILE = "config.json"
LONGEST = 120  # characters of a value in a message
CODE = (":/*.py", ":/*.sh", ":/requirements*.txt")  # what a result depends on, as git's patterns
# Of a record: raised when a key is renamed or removed, or when a run without it was trained in another way than today's
# default. `_upgraded` reads the older ones. A key that is only new takes its default.
FORMAT = 3
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy")
# What may change between the parts of one run: how long it is, where it runs, what is shown or kept, how it gets past a
# bad step, and which average of its weights is evaluated.
FREE = (
    *("steps", "epochs", "parallel", "model.kernel", "evaluation", "checkpoint", "log", "profile", "data.eval_splits"),
    "hooks",
    *("step.nonfinite", "step.spike", "step.rollbacks", "step.timeout_seconds", "step.ema_warmup"),
    *("data.unreadable", "data.data_dir", "data.eval_batch_size", "data.eval_batch_tokens", "data.changed"),
)


def changes(saved: Record, wanted: Record, prefix: str = "") -> dict[str, tuple[lookup.Value, lookup.Value]]:
    """Keys whose values differ, with both: {"optim.learning_rate": (0.001, 0.01)}; None for one that is not there."""
    found: dict[str, tuple[lookup.Value, lookup.Value]] = {}
    for key in sorted(saved.keys() | wanted.keys()):
        a, b = saved.get(key), wanted.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= changes(a, b, f"{prefix}{key}.")
        elif json.loads(json.dumps(a)) != json.loads(json.dumps(b)):
            found[prefix + key] = (a, b)
    return found


def differences(saved: Record, wanted: Record, free: tuple[str, ...] = FREE) -> list[str]:
    """`changes` of keys and sections that are not `free`, as "optim.learning_rate: 0.001 there, 0.01 here"."""
    return [
        f"{key}: {_spell(a)} there, {_spell(b)} here"
        for key, (a, b) in changes(saved, wanted).items()
        if not any(f"{key}.".startswith(f"{one}.") for one in free)
    ]


def _spell(value: object) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def same_data(saved: Record, here: Record) -> bool:
    """Whether two runs know the same of their data. What one of them does not know, of an older version, is passed
    over."""
    return all(saved[key] == here[key] for key in saved.keys() & here.keys())


def read(workdir: Path) -> Record:
    """What a run wrote into its workdir about itself, in today's format.

    Raises:
      UserError: there is no record, it is damaged, or a newer version wrote it.
    """
    path = workdir / FILE
    try:
        record = of_json(path)
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run: there is no {path}. Give the --workdir of a training run.") from None
    try:
        record = lookup.checked_value("it", Record, record)
        for here in (record, record.get("known", {})):
            for key in FACTS.keys() & here.keys():
                lookup.checked_value(key, FACTS[key], here[key])
    except UserError as error:
        raise UserError(f"{path} is damaged: {error} {MEND}") from None
    if record.get("format", 1) > FORMAT:
        raise UserError(
            f"{path} was written by a newer version, in format {record['format']}, and this one reads formats up to "
            f"{FORMAT}: use the code of commit {record.get('commit') or 'that wrote it'}."
        )
    return _upgraded(record)


def of_json(path: Path) -> lookup.Value:
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
    if (before := record.get("format", 1)) >= FORMAT or "optim" not in record:
        return record
    if before < 2:
        renamed = {"skipped_batches": record.get("left_out", []), "optim": optim.from_earlier(record["optim"])}
        record = {key: value for key, value in record.items() if key != "left_out"} | renamed
    if record.get("step", {}).get("ema_decay"):  # its average began with the full decay
        record = record | {"step": {"ema_warmup": False} | record["step"]}
    return record | {"format": FORMAT}


def write(workdir: Path, record: Mapping[str, object]) -> None:
    """Replaces the file at once: a kill leaves the old one or the new one."""
    storage.replace(workdir / FILE, json.dumps(record, indent=2) + "\n")


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
    """The commit of this code, with "+" where code differs from it or is not in it; "" outside a repository."""
    try:
        return _git("rev-parse", "HEAD").strip() + ("+" if uncommitted() else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def uncommitted() -> list[str]:
    """The files of code that differ from the commit or are not in it. Records and documentation are not code."""
    return [line[3:] for line in _git("status", "--porcelain", "--untracked-files=all", "--", *CODE).splitlines()]


def _git(*arguments: str) -> str:
    """What git prints in the folder of this code."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout


def provenance() -> Record:
    """With what code a run is made: its commit and the versions of the libraries."""
    return {"commit": commit(), "versions": versions()}


def clean_provenance(*packages: str, copy_of: str = "") -> Record:
    """The same, and the versions of other packages, for a record in results/. Ask before the work begins.

    Args:
      copy_of: the commit that this code is a copy of, where it is in no repository.

    Raises:
      UserError: see `clean_commit`.
    """
    return {"commit": (not commit() and copy_of) or clean_commit(), "versions": versions(*packages)}


def clean_commit() -> str:
    """The commit that a record may name.

    Raises:
      UserError: there is none or code differs from it, so that nobody could repeat the result.
    """
    if not (found := commit()):
        raise UserError("a record names its commit, and this is not a git repository: clone it.")
    if found.endswith("+"):
        few = ", ".join(uncommitted()[:3]) + ", ..." * (len(uncommitted()) > 3)
        raise UserError(f"a record names its commit, from which the code differs: commit {few} first.")
    return found
