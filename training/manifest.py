"""Digests of a checkpoint's files, by which damage by a disk or a copy is found before a file is used.

A manifest lies in the folder of its step, in the format of sha256sum: `cd checkpoints/600 && sha256sum --check
manifest.sha256` does by hand what `damage` does.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import storage

FILE = "manifest.sha256"
# Orbax's own notes on a step, by which nothing is restored. It completes them while it commits, after the manifest.
METADATA, COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
SMALL = 1 << 16  # bytes


def write(folder: Path) -> None:
    """Writes the manifest of a step whose files are complete and not yet committed: one renaming commits them all."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names.remove(METADATA)
    with ThreadPoolExecutor() as pool:
        _write(folder, "".join(pool.map(partial(_line, folder), names)))


def complete(folder: Path) -> None:
    """Adds the digests of Orbax's metadata to the manifest of a committed step. Before, only its form is checked."""
    _write(folder, _lines(folder) + _line(folder, METADATA) + _line(folder, COMMITTED))


def add(folder: Path, name: str, text: str) -> None:
    """Writes a further file into a committed step, or writes it again, and its digest into the manifest."""
    (folder / name).parent.mkdir(exist_ok=True)
    storage.replace(folder / name, text)
    if exists(folder):
        others = [line for line in _lines(folder).splitlines(keepends=True) if not line.endswith(f"  {name}\n")]
        _write(folder, "".join(others) + _line(folder, name))


def _write(folder: Path, lines: str) -> None:
    storage.replace(folder / FILE, lines + _seal(lines))


def exists(folder: Path) -> bool:
    """Whether a step has a manifest."""
    return (folder / FILE).exists()


def damage(folder: Path, quick: bool = False) -> str:
    """The first thing that is wrong with the files of a saved step; "" if all are as they were written.

    For a step without manifest, as older versions wrote them, only Orbax's metadata can be checked.

    Args:
      quick: looks at small files only, and does not miss those that are gone.
    """
    if not any(folder.iterdir()):
        return "" if quick else "its folder is empty"
    checks: list[tuple[str, Callable[[Path], bool]]] = [(METADATA, _names_items), (COMMITTED, _filled)]
    if exists(folder):
        checks.append((FILE, _sealed))
    else:
        checks += [("record/metadata", _is_json), ("state/_METADATA", _is_json), ("state/manifest.ocdbt", _filled)]
    wrong = next(filter(None, (_wrong(folder, *check, quick) for check in checks)), "")
    if wrong or not exists(folder):
        return wrong

    def changed(line: str) -> str:
        digest, name = line.split("  ", 1)
        return _wrong(folder, name, lambda p: (quick and p.stat().st_size > SMALL) or _digest(p) == digest, quick)

    with ThreadPoolExecutor() as pool:
        return next(filter(None, pool.map(changed, _lines(folder).splitlines())), "")


def _wrong(folder: Path, name: str, good: Callable[[Path], bool], quick: bool) -> str:
    """What is wrong with a file that should be there and `good`; "" for nothing."""
    try:
        return "" if good(folder / name) else f"{name} is not as it was written"
    except ValueError:  # no longer text, or no longer JSON
        return f"{name} is not as it was written"
    except FileNotFoundError:
        return "" if quick else f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"


def _names_items(path: Path) -> bool:
    return _is_json(path) and {"state", "record"} <= set(json.loads(path.read_text()).get("item_handlers") or ())


def _filled(path: Path) -> bool:
    return bool(path.read_bytes())


def _is_json(path: Path) -> bool:
    return isinstance(json.loads(path.read_text()), dict)


def _sealed(path: Path) -> bool:
    lines = _lines(path.parent)
    return path.read_text() == lines + _seal(lines)


def _seal(lines: str) -> str:
    """The manifest's last line, by which it vouches for itself; to sha256sum a comment."""
    return f"# {hashlib.sha256(lines.encode()).hexdigest()}\n"


def _lines(folder: Path) -> str:
    return (folder / FILE).read_text().partition("# ")[0]


def _line(folder: Path, name: str) -> str:
    return f"{_digest(folder / name)}  {name}\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
