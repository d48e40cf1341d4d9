"""From a config section to the object it describes.

A section names a module by `name` (models/vit.py is "vit") and holds the arguments of what that module defines. Nothing
is registered: a file put beside the others is found.

A key's name, type, range, default and meaning stand once: in the signature or the dataclass that reads it. `keys` lists
them for --help and for the defaults of a config, `call` checks a section against them.
"""

import dataclasses
import functools
import importlib
import inspect
import math
import pkgutil
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import docstring_parser
import pydantic
from annotated_types import Interval
from pydantic import AfterValidator

from errors import UserError, nearest

R = TypeVar("R")
Hint: TypeAlias = Any  # a type as a signature has it, for which Python has no type
Value: TypeAlias = Any  # of a config key
Json: TypeAlias = dict[str, Any]  # an object of JSON
Section: TypeAlias = Mapping[str, Value]
Reader: TypeAlias = Callable[..., object]  # what reads a section: a function or a class


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"should be a regular expression ({error})") from None
    return pattern


def _without_twins(values: tuple[object, ...]) -> tuple[object, ...]:
    if twin := next((value for value in values if values.count(value) > 1), None):
        raise ValueError(f"has {twin!r} more than once")
    return values


CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")  # a tab and a line feed may be in text
LARGEST = 2**32  # of any number in a config: what is larger is a slip, and would overflow on a device

# Types of keys that several sections use, beside pydantic's PositiveInt, NonNegativeFloat and so on.
Probability = Annotated[float, Interval(ge=0, le=1)]
Rate = Annotated[float, Interval(ge=0, lt=1)]  # of dropout, of a moving average
Size = Annotated[int, Interval(ge=1, le=2**20)]  # of a dimension
Depth = Annotated[int, Interval(ge=1, le=1000)]  # a number of layers
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
Steps = Annotated[int, Interval(ge=0, lt=2**31)]  # a number of steps, where 0 means "never"
Pattern = Annotated[str, AfterValidator(_compiles)]  # a regular expression over parameter paths
Distinct = AfterValidator(_without_twins)  # of a tuple: no value is there more than once


class Key(NamedTuple):
    """One key of a section: its type, and its default or, if it must be set, `inspect.Parameter.empty`."""

    hint: Hint
    default: Value


def names(package: str, symbol: str) -> list[str]:
    """The modules of `package` that define `symbol` at their top level, read without importing them."""
    return [name for name in _modules(package) if _defines(package, name, symbol)]


def find(package: str, symbol: str, name: str) -> Any:  # whatever the module defines
    """`package.name.symbol`.

    Raises:
      UserError: an unknown name; the line lists the modules that define `symbol`.
    """
    if name.isidentifier() and _defines(package, name, symbol):
        return getattr(importlib.import_module(f"{package}.{name}"), symbol)
    known, here = names(package, symbol), package.replace(".", "/")
    if name in _modules(package):
        raise UserError(f"{here}/{name}.py has no `{symbol}`. These have: {', '.join(known)}.")
    raise UserError(f"there is no {name!r} in {here}/: {nearest(name, known)}")


def _modules(package: str) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)]


def _defines(package: str, name: str, symbol: str) -> bool:
    found = [Path(folder, f"{name}.py") for folder in importlib.import_module(package).__path__]
    text = next((path.read_text() for path in found if path.exists()), "")
    return bool(re.search(rf"^(class|def) {symbol}\b", text, re.MULTILINE))


def keys(function: Reader, without: tuple[str, ...] = ()) -> dict[str, Key]:
    """The keys of the section that `function` reads: its parameters, except those named in `without`."""
    return {name: key for name, key in _keys(function).items() if name not in without}


@functools.cache
def _keys(function: Reader) -> dict[str, Key]:
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    return {p.name: Key(hints.get(p.name, object), p.default) for p in _parameters(function)}


def meanings(function: Reader) -> dict[str, str]:
    """What the docstring says of each key. A class has the texts of its bases too; "a, b: ..." speaks of both."""
    found: dict[str, str] = {}
    for one in reversed(function.__mro__) if inspect.isclass(function) else [function]:
        for entry in docstring_parser.parse(one.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE).params:
            for name in entry.arg_name.split(","):
                found[name.strip()] = " ".join((entry.description or "").split())
    return found


def call(section: str, function: Callable[..., R], arguments: Section, **given: object) -> R:
    """`function(**arguments, **given)`, with `arguments` (a config section) checked first against the signature.

    An argument whose type is a dataclass is a section of its own. Lists count as tuples.

    Raises:
      UserError: a key the function does not have, one that is missing, or a value of the wrong type or out of range.
    """
    return function(**check(section, function, arguments, without=tuple(given)), **given)


def check(section: str, function: Reader, arguments: Section, without: tuple[str, ...] = ()) -> dict[str, Value]:
    """The arguments of `call`, checked and with tuples for lists, without the call.

    Args:
      without: parameters that a config cannot set.

    Raises:
      UserError: see `call`.
    """
    return check_keys(section, keys(function, without), arguments)


def check_keys(section: str, known: Mapping[str, Key], arguments: Section) -> dict[str, Value]:
    """The same of the keys that a section has.

    Raises:
      UserError: see `call`.
    """
    checked = check_set(section, known, arguments)
    for name, key in known.items():
        if key.default is inspect.Parameter.empty and name not in arguments:
            raise UserError(f"{section}.{name} is not set: add it to the config.")
    return checked


def check_set(section: str, known: Mapping[str, Key], arguments: Section) -> dict[str, Value]:
    """The same where keys that must be set may still be open.

    Raises:
      UserError: see `call`.
    """
    checked = {}
    for name, value in arguments.items():
        if name not in known:
            raise UserError(f"{section}.{name} is not a setting: {nearest(name, known)}")
        if wrong := _impossible(value):
            raise UserError(f"{section}.{name}={value!r} {wrong}.")
        checked[name] = checked_value(f"{section}.{name}", known[name].hint, value)
    return checked


def unannotated(hint: Hint) -> Hint:
    """A key's type without its range."""
    return unannotated(typing.get_args(hint)[0]) if typing.get_origin(hint) is Annotated else hint


def _parameters(function: Reader) -> list[inspect.Parameter]:
    found = list(inspect.signature(function).parameters.values())
    own = {"self"} | ({"parent", "name"} if any(p.name == "parent" for p in found) else set())  # of flax's modules
    ends = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p for p in found if p.name not in own and p.kind not in ends]


def checked_value(key: str, hint: Hint, value: Value) -> Value:
    """A value of this type, with tuples for lists.

    Args:
      key: what it is of, for the error line.

    Raises:
      UserError: another type, or out of range.
    """
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return call(key, typing.cast(Reader, hint), value)
    value = _tuples(value)
    try:
        checked = _adapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        raise UserError(_line(key, value, error)) from None
    if _flags(checked) != _flags(value):  # pydantic takes True for 1.0
        raise UserError(f"{key}={value!r} should be a valid number.")
    return checked


def _flags(value: Value) -> Value:
    """Which parts of a value are True or False."""
    return tuple(map(_flags, value)) if isinstance(value, tuple) else isinstance(value, bool)


def _impossible(value: Value) -> str:
    """What no key may be, whatever its type; "" for nothing."""
    if isinstance(value, (tuple, list)):
        return next(filter(None, map(_impossible, value)), "")
    if isinstance(value, (int, float)) and LARGEST < abs(value) < math.inf:
        return f"should be a number of at most {LARGEST:,}"
    return "should be text without control characters" if isinstance(value, str) and CONTROL.search(value) else ""


@functools.cache
def _adapter(hint: Hint) -> pydantic.TypeAdapter[Value]:
    if dataclasses.is_dataclass(hint):
        hint = typing.Annotated[hint, pydantic.InstanceOf()]
    config = pydantic.ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    return pydantic.TypeAdapter(hint, config=config)


def _tuples(value: Value) -> Value:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _line(key: str, value: Value, error: pydantic.ValidationError) -> str:
    """One line for the first thing that is wrong with a value: the key, the value, what is allowed, the nearest
    name."""
    first = next((e for e in error.errors() if e["type"] != "none_required"), error.errors()[0])
    place = "".join(f"[{i}]" for i in first["loc"] if isinstance(i, int))
    message = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    message = re.sub(r"^\w+ (should have .*) after validation.*", r"\1", message)  # Tuple should have at least 1 item
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        options = re.findall(r"'([^']+)'", message)
        message += f": {nearest(first['input'], options).partition('There is')[0]}".rstrip(": ")
    wrong = first["input"] if place else value
    return f"{key}{place}={wrong!r} {message}".rstrip(".") + ("" if message.endswith("?") else ".")
