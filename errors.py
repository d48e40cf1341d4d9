"""What a person is told when something they wrote cannot be done."""

import difflib
import errno
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend. Its message is one line that names the mend; a command prints it and exits
    with 2."""


class DiskFull(UserError):
    """There is no space left. What waits to be written cannot be, so that commands end without trying it."""


class ServiceError(Exception):
    """A bucket's service does not answer, or refuses. That may pass: a command prints the line and exits with 1, so
    that launch scripts run it again."""


class NoDevice(UserError):
    """JAX has no device to compute on."""


MOST_NAMED = 60  # names that a line lists
MOST_PROPOSED = 4  # keys that it proposes for an unknown one
ROOT = os.path.dirname(os.path.abspath(__file__))
# What a disk, a mount or the rights of a file can be at fault for.
OF_FILES = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR),
}


def explained(error: Exception) -> Exception:
    """An error of the machine, for lack of space, memory or a device or because of a file, as a UserError; others as
    they are."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("no space left on the disk. Free some and run the same command again to continue.")
    if isinstance(error, OSError) and error.errno in OF_FILES:
        what = error.filename or "a file or a connection"
        return UserError(f"{what}: {error.strerror}. Mend it and run the same command again: what was saved is kept.")
    if isinstance(error, MemoryError) or re.search("RESOURCE_EXHAUSTED|Out of memory|OOM when", text):
        asked = re.search(r"(\d{6,}) bytes", text)
        which = f"{int(asked[1]) / 1e9:,.1f} GB were asked for at once" if asked else text[:200] or "of the host"
        return UserError(
            f"out of memory ({which}). Lower --config.data.batch_size (of texts batch_tokens, of an evaluation "
            "eval_batch_size), raise --config.step.accumulate, or set --config.model.remat=full; plan.py, with "
            "the same flags, says what fits."
        )
    if isinstance(error, RuntimeError) and "Unable to initialize backend" in text:
        return NoDevice(
            f"JAX has no device: {text.partition(' (set JAX_PLATFORMS')[0][:300]}. Set JAX_PLATFORMS=cpu, or unset it, "
            "or install JAX for this machine (README.md, One command for each machine)."
        )
    return error


def command(script: str, *arguments: str) -> str:
    """A command of this project as it can be pasted where this one was typed: with the same Python, quoted.

    Args:
      script: "predict.py".
    """
    return shlex.join([_python(), _from_here(os.path.join(ROOT, script)), *arguments])


def flag(name: str, value: object) -> str:
    """A flag as it can be pasted: quoted where its value has a space."""
    return shlex.quote(f"--{name}={value}")


def module(name: str, *arguments: str) -> str:
    """The same of a module of an installed library.

    Args:
      name: "tensorboard.main".
    """
    return shlex.join([_python(), "-m", name, *arguments])


def installs(*packages: str) -> str:
    """The command that installs packages for this Python; without any, those of requirements.txt."""
    return module("pip", "install", *(packages or ("-r", _from_here(os.path.join(ROOT, "requirements.txt")))))


def _python() -> str:
    """This Python as it is called where the command was typed."""
    usual = shutil.which("python") or ""
    same = os.path.dirname(usual) == os.path.dirname(sys.executable)
    return "python" if same else _from_here(sys.executable)


def _from_here(path: str) -> str:
    """A path from the working directory, where it is within that."""
    here = os.path.relpath(path)
    return path if here.startswith("..") else here


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error line about an unknown name: the closest known one in any case, and all of them, if few."""
    known = sorted(known)
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    return hint + _all(known)


def nearest_key(wrong: str, keys: Iterable[str], beside: Iterable[str], path: str = "config") -> str:
    """The same of an unknown key of a config, which may be meant for another section: config.log.every_steps for
    log_every_steps.

    Args:
      wrong: the whole key, "data.mixup".
      keys: all whole keys.
      beside: the names that there are in its place, which are listed.
      path: what the keys are of, "config" or "study".
    """
    close = " or ".join(f"{path}.{key}" for key in closest_keys(wrong, keys))
    return (f"did you mean {close}? " if close else "") + _all(sorted(beside))


def closest_keys(wrong: str, keys: Iterable[str]) -> list[str]:
    """The keys that an unknown one may stand for, by its name, its spelling or its initials: data.augment.mixup for
    data.mixup, optim.learning_rate for lr."""
    wrong, keys = wrong.lower(), sorted(keys)
    section, _, name = wrong.rpartition(".")
    names = {key: key.rpartition(".")[2].lower() for key in keys}

    def closest(to: str, spelled: dict[str, str], cutoff: float) -> list[str]:
        return [key for key in spelled if spelled[key] in difflib.get_close_matches(to, spelled.values(), 1, cutoff)]

    found = closest(name, {key: names[key] for key in keys if key.rpartition(".")[0] == section}, 0.6)
    if same := [key for key in keys if names[key] == name]:
        found += sorted(same, key=lambda key: -difflib.SequenceMatcher(None, wrong, key).ratio())
    elif whole := closest(wrong.replace(".", "_"), {key: key.replace(".", "_").lower() for key in keys}, 0.82):
        found = whole
    else:
        found += closest(name, names, 0.85)
        found += [key for key in keys if "".join(word[:1] for word in names[key].split("_")) == name]
    return list(dict.fromkeys(found))[:MOST_PROPOSED]


def _all(known: list[str]) -> str:
    more = f", and {len(known) - MOST_NAMED:,} more" if len(known) > MOST_NAMED else ""
    return f"There is: {', '.join(known[:MOST_NAMED]) or 'nothing'}{more}."


def shown(text: str) -> str:
    """A path, a name or an argument as it can be printed: bytes that are not UTF-8 as \\xe9."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
