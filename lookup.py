"""From a config section to the object it describes.

A section names a module by `name` (models/vit.py is "vit") and holds the arguments of what that module defines. Nothing
is registered: a file put beside the others is found.
"""

import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from errors import UserError, nearest

R = TypeVar("R")


def names(package: str, symbol: str) -> list[str]:
    """The modules of `package` that define `symbol` at their top level, read without importing them."""
    defines = re.compile(rf"^(class|def) {symbol}\b", re.MULTILINE)
    folder = Path(importlib.import_module(package).__path__[0])
    modules = (m.name for m in pkgutil.iter_modules([str(folder)]))
    return [
        name
        for name in modules
        if defines.search((folder / f"{name}.py").read_text() if (folder / f"{name}.py").exists() else "")
    ]


def find(package: str, symbol: str, name: str) -> Any:
    """`package.name.symbol`; an unknown name is a UserError that lists what exists."""
    known = names(package, symbol)
    if name not in known:
        raise UserError(f"there is no {name!r} in {package.replace('.', '/')}/: {nearest(name, known)}")
    return getattr(importlib.import_module(f"{package}.{name}"), symbol)


def call(section: str, function: Callable[..., R], arguments: Mapping[str, Any], **given: Any) -> R:
    """`function(**arguments, **given)`, with `arguments` (a config section) checked first against the signature.

    Raises:
      UserError: an argument the function does not have, one that is missing, or one of the wrong type.
    """
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    known = [name for name in parameters if name not in given and name not in ("parent", "self")]
    for name, value in arguments.items():
        if name not in known:
            raise UserError(f"{section}.{name} is not a setting: {nearest(name, known)}")
        if name in hints and not _fits(value, hints[name]):
            raise UserError(f"{section}.{name}={value!r} should be of type {_spell(hints[name])}.")
    for name in known:
        missing = parameters[name].default is inspect.Parameter.empty and name not in arguments
        if missing and parameters[name].kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            raise UserError(f"{section}.{name} is not set: add it to the config.")
    return function(**arguments, **given)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a config value may stand for an argument annotated with `hint`. What is no plain type passes."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, option) for option in typing.get_args(hint))
    if hint is None or hint is type(None):
        return value is None
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin = typing.get_origin(hint) or hint
    if origin is tuple:
        return isinstance(value, (tuple, list))
    if origin in (str, bool):
        return isinstance(value, origin)
    return True


def _spell(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(repr(option) for option in typing.get_args(hint))
    return getattr(hint, "__name__", str(hint)) if not typing.get_args(hint) else str(hint)
