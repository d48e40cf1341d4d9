"""Hooks that are told of a run's progress: one file a tracker, found by its name, config.hooks=("wandb",).

A hook is a class `Hook` with any of the methods of `Hook` below; a user's own is a file, ("my_hook.py",), or a module
that can be imported, ("my_package.hooks",). Its library is imported when it is named and not before. A hook that fails
is told once and left out from there on: no run ends because of it. One host calls them.
"""

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol, Self, cast

import lookup
import storage
from errors import UserError, installs, nearest

PACKAGE = "training.hooks"
IDS = "hooks.json"  # in a workdir: what a tracker calls the run, so that one that goes on stays one
Config = lookup.Section  # nested: the whole config, and with what it runs


class Hook(Protocol):
    """What a hook may have. Each method is optional."""

    def begin(self, config: Config, workdir: Path, step: int) -> None:
        """Before the first step. step: that the run continues from; 0 for a new one."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """At every log line and every evaluation, with what metrics.jsonl has."""

    def figure(self, step: int, name: str, path: Path) -> None:
        """A picture of config.evaluation.figures was drawn, a PNG."""

    def end(self, status: str) -> None:
        """The run ends: "finished", "stopped" (by a signal, and saved) or "failed"."""


class Hooks:
    """The hooks of a run.

    Args:
      names: config.hooks.
      on: whether this is the host that calls them.

    Raises:
      UserError: there is no such hook, or its library is not installed.
    """

    def __init__(self, names: tuple[str, ...], on: bool = True):
        self._hooks = {name: find(name)() for name in names} if on else {}
        self.status = "failed"

    def begin(self, config: Config, workdir: Path, step: int) -> None:
        """See Hook."""
        self._each("begin", config, workdir, step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Hook."""
        self._each("log", step, metrics)

    def figures(self, step: int, folder: Path) -> None:
        """Hands on the pictures in a folder."""
        if not self._hooks:
            return
        with storage.fetched(folder) as here:
            for path in sorted(here.glob("*.png")):
                self._each("figure", step, path.stem, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._each("end", self.status)

    def _each(self, method: str, *arguments: object) -> None:
        for name, hook in list(self._hooks.items()):
            try:
                if call := getattr(hook, method, None):
                    call(*arguments)
            except Exception as error:  # of whatever kind: the run is worth more
                del self._hooks[name]
                why = " ".join(str(error).split())[:300]
                print(
                    f"warning: the hook {name!r} failed in {method} and is left out from here on: "
                    f"{type(error).__name__}{f': {why}' if why else ''}",
                    file=sys.stderr,
                    flush=True,
                )


def find(name: str) -> Callable[[], Hook]:
    """The class of a hook by its name, file or module.

    Raises:
      UserError: there is none, or what it imports is not there.
    """
    known = lookup.names(PACKAGE, "Hook")
    try:
        if name in known:
            module = importlib.import_module(f"{PACKAGE}.{name}")
        elif name.endswith(".py"):
            module = _of_file(Path(os.path.expanduser(name)))
        elif "." in name:
            module = importlib.import_module(name)
        else:
            raise UserError(
                f"there is no hook {name!r}: {nearest(name, known)} A file of your own: a path ending in .py."
            )
    except ImportError as error:
        raise UserError(f"config.hooks: {name} cannot be imported ({error}).") from None
    if not isinstance(getattr(module, "Hook", None), type):
        raise UserError(f"config.hooks: {name} defines no class Hook: see training/hooks/__init__.py.")
    return cast(Callable[[], Hook], module.Hook)


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"config.hooks: there is no file {path}.")
    spec = importlib.util.spec_from_file_location(f"hook_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:
        raise
    except Exception as error:
        raise UserError(
            f"config.hooks: {path} fails: {type(error).__name__}: {' '.join(str(error).split())}."
        ) from None
    return module


def library(name: str, install: str) -> ModuleType:
    """A tracker's library.

    Args:
      install: what pip installs it by.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"config.hooks needs {name} ({error}): {installs(install)}") from None


def remembered(workdir: Path, tracker: str, made: Callable[[], str]) -> str:
    """What a tracker calls the run in a workdir: as it was the first time, or newly made."""
    path = workdir / IDS
    ids = json.loads(path.read_text()) if path.exists() else {}
    if tracker not in ids:
        ids[tracker] = made()
        path.write_text(json.dumps(ids))
    return ids[tracker]
