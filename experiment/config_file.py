"""Files of configs/ and configs/studies/: which there are, which variants each has, and what its get_config returns.

A file that has variants says which: VARIANTS = {"task": ("cifar10", "pets"), "model": ("B/16", "L/16")} lists the
values of the arguments `task` and `model` of its get_config. FILE.py:pets+L/16 gives both, FILE.py:pets the first. A
range in place of the names allows its numbers. A file without VARIANTS is given what follows the colon as it is.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from errors import UserError, nearest

ROOT = Path(__file__).parents[1]
NO_CONFIGS = ("base", "__init__")  # files of these folders that are none

Variants = Mapping[str, tuple[str, ...] | range]


def files(folder: str) -> list[str]:
    """The configs in a folder of the project, as a command names them: "configs/vit_digits.py"."""
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / folder).glob("*.py")) if path.stem not in NO_CONFIGS]


def variants(flag: str, folder: str, path: str) -> Variants:
    """What a file says of its variants; see `read` for the arguments."""
    with _one_line(flag, file := _find(flag, folder, path)):
        return getattr(_module(file), "VARIANTS", {})


def read(flag: str, folder: str, path: str, variant: str) -> ConfigDict:
    """What get_config of a file returns for a variant; "" is the default.

    Args:
      flag: "--config=FILE:VARIANT" as it was given, for messages.
      folder: that holds the project's own files of this kind.
      path: from the working directory or from the project.

    Raises:
      UserError: there is no such file, it is no config or fails, or it has no such variant.
    """
    file = _find(flag, folder, path)
    with _one_line(flag, file):
        module = _module(file)
        if not callable(get_config := getattr(module, "get_config", None)):
            raise UserError(f"{flag}: {path} has no get_config(), which returns the config.")
        config = get_config(**_arguments(flag, path, module, variant))
    if not isinstance(config, ConfigDict):
        raise UserError(f"{flag}: get_config() should return a ConfigDict, not {type(config).__name__}.")
    return config


def _find(flag: str, folder: str, path: str) -> Path:
    here = Path(os.path.expanduser(path))
    try:
        for file in (here, ROOT / here):
            if file.is_file():
                return file.resolve()
        what = (
            f"{path} is a folder"
            if here.is_dir()
            else f"there is no {flag.removeprefix('--').partition('=')[0]} {path}"
        )
    except OSError as error:
        what = f"cannot read {path} ({error.strerror})"
    raise UserError(f"{what}: {nearest(f'{folder}/{here.stem}.py', files(folder))}")


def _module(file: Path) -> ModuleType:
    """The file as a module of the package that its folder is, so that it can import its neighbours by `from .`"""
    if str(ROOT) not in sys.path:  # configs import one another
        sys.path.insert(0, str(ROOT))
    if file.is_relative_to(ROOT):
        package = ".".join(file.parent.relative_to(ROOT).parts)
    else:
        package = f"config_folder_{abs(hash(file.parent))}"
        sys.modules.setdefault(package, ModuleType(package)).__path__ = [str(file.parent)]
    name = f"{package}.{file.stem.replace('.', '_')}"
    spec = ModuleSpec(name, SourceFileLoader(name, str(file)), origin=str(file))
    spec.has_location = True
    module = module_from_spec(spec)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _arguments(flag: str, path: str, module: ModuleType, variant: str) -> dict[str, str | int]:
    """The arguments of get_config that a variant gives."""
    known: Variants = getattr(module, "VARIANTS", {})
    names = list(inspect.signature(module.get_config).parameters)
    if not variant:
        return {}
    if not names:
        raise UserError(f"{flag}: {path} has no variants" + ", except :debug." * flag.startswith("--config"))
    if not known:  # a file of the user's that judges its argument itself
        return {names[0]: variant}
    if unknown := set(known) - set(names):
        raise UserError(f"{flag}: VARIANTS of {path} names {min(unknown)!r}, which its get_config does not take.")
    arguments: dict[str, str | int] = {}
    for (name, values), text in zip(known.items(), variant.split("+", len(known) - 1), strict=False):
        if isinstance(values, range):
            if not text.isdecimal() or int(text) not in values:
                raise UserError(f"{flag}: {name} {text!r} should be a number from {values[0]} to {values[-1]}.")
            arguments[name] = int(text)
        elif text not in values:
            every = (*values, "debug") if flag.startswith("--config") and len(known) == 1 else values
            raise UserError(f"{flag}: there is no {name} {text!r}: {nearest(text, every)}")
        else:
            arguments[name] = text
    return arguments


@contextmanager
def _one_line(flag: str, file: Path) -> Iterator[None]:
    """Whatever a config raises, which is a program of the user's, in one line with the place where it happened."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{flag}: it is no Python file: {' '.join(str(error).split())}.") from None
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where, text = f"line {lines[-1]}: " if lines else "", " ".join(str(error).split())
        raise UserError(f"{flag}: {where}{type(error).__name__}{f': {text}' if text else ''}.") from None
