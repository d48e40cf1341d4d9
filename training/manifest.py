"""Digests of a checkpoint's files, so that what a disk or a copy has changed is found before it is used.

A manifest lies in the folder of its step and is what sha256sum writes: `cd checkpoints/600 && sha256sum --check
manifest.sha256` does by hand what `damage` does.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILE = "manifest.sha256"
# Orbax completes these as it commits, after the manifest. The first counts into the seal, but for the time of the
# commit; of the second nothing but its presence matters.
METADATA, COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
SMALL = 1 << 16  # bytes


def write(folder: Path) -> None:
    """Writes the manifest of a step whose files are complete and not yet committed: one renaming commits them all."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / METADATA)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest, files))
    lines = "".join(f"{digest}  {path.relative_to(folder)}\n" for digest, path in zip(digests, files, strict=True))
    (folder / FILE).write_text(f"{lines}# {_seal(folder, lines)}\n")


def exists(folder: Path) -> bool:
    return (folder / FILE).exists()


def damage(folder: Path, quick: bool = False) -> str:
    """The first thing that is wrong with the files of a saved step; "" if all are as they were written.

    Of a step without manifest, as older versions wrote them, this can be told of Orbax's metadata alone.

    Args:
      quick: looks at small files only, and does not miss those that are gone.
    """
    if not exists(folder):
        return "" if quick else _unreadable(folder)
    try:
        lines, _, seal = (folder / FILE).read_text().rpartition("# ")
        whole = seal == f"{_seal(folder, lines)}\n"
    except ValueError:  # no longer text, or no longer JSON
        whole = False
    except OSError as error:
        return "" if quick else _unread(Path(error.filename).name, error)
    if not whole:
        return f"{FILE} or {METADATA} is not as it was written"
    if not quick and not (folder / COMMITTED).exists():
        return f"{COMMITTED} is missing"

    def wrong(line: str) -> str:
        digest, name = line.split("  ", 1)
        try:
            if quick and (folder / name).stat().st_size > SMALL:
                return ""
            return "" if _digest(folder / name) == digest else f"{name} is not as it was written"
        except OSError as error:
            return "" if quick else _unread(name, error)

    with ThreadPoolExecutor() as pool:
        return next(filter(None, pool.map(wrong, lines.splitlines())), "")


def _unreadable(folder: Path) -> str:
    if not any(folder.iterdir()):
        return "its folder is empty"
    for name in (METADATA, "record/metadata", "state/_METADATA"):
        try:
            json.loads((folder / name).read_text())
        except ValueError:
            return f"{name} is not as it was written"
        except OSError as error:
            return _unread(name, error)
    return "" if (folder / "state/manifest.ocdbt").exists() else "state/manifest.ocdbt is missing"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path, lines: str) -> str:
    """Of a manifest's own lines and Orbax's metadata: one digest for the two files that tell of the others."""
    metadata = json.loads((folder / METADATA).read_text())
    metadata.pop("commit_timestamp_nsecs", None)
    return hashlib.sha256((lines + json.dumps(metadata, sort_keys=True)).encode()).hexdigest()


def _unread(name: str, error: OSError) -> str:
    return f"{name} is missing" if isinstance(error, FileNotFoundError) else f"{name} cannot be read ({error.strerror})"
