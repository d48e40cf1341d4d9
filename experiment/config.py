"""From a config file to the whole config: every key with its default, and the small form that `:debug` asks for.

configs/ say only what differs. Here the keys that a config leaves out are filled in, from the signatures and
dataclasses that read them, so that each can be set on the command line and is written to config.json.
"""

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Iterator

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

import input_pipeline
import lookup
from errors import UserError, nearest, nearest_key
from experiment import config_file
from experiment.record import Record
from experiment.settings import Experiment
from lookup import Hint, Reader, Section, Value
from training import checkpoint, optim, parallel

# Sections whose keys depend on a name: the key that holds it, and where it is looked up.
NAMED = {
    "model": ("name", "models", "Model"),
    "task": ("name", "tasks", "Task"),
    "data": ("kind", "data.pipelines", "Pipeline"),
}
# The keys that decide which other keys there are, or what these are where they are left out.
CHOICES = (
    *(f"{section}.{key}" for section, (key, _, _) in NAMED.items()),
    *("optim.name", "optim.optimizer", "model.variant"),
)
SMALL = {  # what `:debug` changes, whatever the model and the data
    "steps": 4,
    "optim.warmup_steps": 1,
    "evaluation.every_steps": 2,
    "evaluation.page": False,
    "checkpoint.every_steps": 2,
    "log.every_steps": 1,
}

MOST_STEPS = 2**31

Keys = dict[str, lookup.Key]


def load(name: str, changes: Section | None = None) -> ConfigDict:
    """The whole config of a file and variant, "configs/vit_imagenet.py:B/16", with `:debug` at its end in its small
    form.

    Args:
      changes: values by key, {"optim.learning_rate": 1e-2}. The names of sections come first: they decide which other
        keys there are.

    Raises:
      UserError: there is no such file, it fails, or it has no such variant; or a key does not exist.
    """
    path, _, variant = name.partition(":")
    debug = variant.split(":")[-1] == "debug"
    variant = variant.removesuffix("debug").removesuffix(":") if debug else variant
    config = config_file.read(f"--config={name}", "configs", path, variant)
    changes = dict(changes or {})
    for key in CHOICES:
        if key in changes:
            choose(config, key, changes.pop(key))
    complete(config)
    if debug:
        shrink(config)
    for key, value in changes.items():
        check_key(config, key)
        config.update_from_flattened_dict({key: value})
    return config


def complete(config: ConfigDict) -> ConfigDict:
    """Fills in every key that the config leaves out, in place: a default, or a placeholder where there is none."""
    with config.unlocked(), config.ignore_type():
        for name, key in lookup.keys(Experiment).items():
            if _is_section(key.hint):
                _section(config, name)
        for section, keys in sections(config):
            _fill(_section(config, section), keys, f"config.{section}")
    return config


def check(config: ConfigDict) -> Experiment:
    """The whole config with every name, type and range checked, before a device or a data set is opened.

    Raises:
      UserError: a key, a type, a value or a combination of them that cannot be on any machine.
    """
    found = plain(complete(config))
    top = lookup.keys(Experiment)
    for section, keys in sections(found):
        here, there = (found[section], keys) if section else (found, top)
        if wrong := next((f"{section}.{key}".lstrip(".") for key in here if key not in there), ""):
            known = [*every_key(found), *top]
            raise UserError(f"config.{wrong} is not a setting: {nearest_key(wrong, known, there)}")
        lookup.check_keys(_called(section), keys, _within(found, section, keys))
    whole = lookup.call("config", Experiment, found)
    optim.make(**whole.optim, total_steps=whole.steps or MOST_STEPS, frozen=whole.step.frozen)
    return whole


def check_set(config: ConfigDict) -> None:
    """Type and range of the keys that are set, before what is open (None) follows from them.

    Raises:
      UserError: see `check`.
    """
    found = plain(config)
    for section, keys in sections(found):
        lookup.check_set(_called(section), keys, _within(found, section, keys))


def choose(config: ConfigDict, key: str, name: str) -> None:
    """Chooses another model, task, kind of data or optimiser, in place. What it cannot have is dropped: keys that it
    does not know, and values that it does not allow. A variant of a model takes the place of the sizes of a config
    that has none.

    Args:
      key: one of CHOICES.
    """
    section, key = key.split(".")
    with config.unlocked():
        here = _section(config, section)
        own_sizes = key == "variant" and name and not here.get(key)
        here[key] = name
        there = _keys(section, here)
        if key not in there:
            raise UserError(f"config.{section}.{key} is not a setting: {nearest(key, there)}")
        for other in set(here) - {key}:
            if not _takes(there, other, here[other]) or (own_sizes and there[other].default is None):
                del here[other]
        for name, (hint, _) in there.items():  # a section within, which the other kind may have too, with other keys
            if dataclasses.is_dataclass(hint) and isinstance(here.get(name), ConfigDict):
                for lost in set(here[name]) - set(lookup.keys(typing.cast(Reader, hint))):
                    del here[name][lost]


def _takes(keys: Keys, name: str, value: Value) -> bool:
    """Whether a section of these keys can have a value. Sections within, and what is left open, are not looked at."""
    try:
        if name in keys and value is not None and not isinstance(value, ConfigDict):
            lookup.checked_value(name, keys[name].hint, value)
    except UserError:
        return False
    return name in keys


def shrink(config: ConfigDict) -> ConfigDict:
    """A small model, little data and a few steps, in place. What is small of a model, a task or a kind of data stands
    beside it, as `debug(section) -> changes`."""
    config.update_from_flattened_dict(SMALL)
    for section, (key, package, _) in NAMED.items():
        module = importlib.import_module(f"{package}.{config[section][key]}")
        here, source = config[section], config.get_ref("init_from")
        raw = here.items(preserve_field_references=True)
        following = [key for key, value in raw if isinstance(value, FieldReference) and value.get() == source.get()]
        config[section] = ConfigDict(here.to_dict())  # no key follows one of another section any more
        for key in following:
            config[section][key] = config.get_oneway_ref("init_from")
        if debug := getattr(module, "debug", None):
            config[section].update(debug(config[section].to_dict()))
    return complete(config)


def sections(config: Section) -> Iterator[tuple[str, Keys]]:
    """Each section of a config with its keys; "" is the top."""
    whole = lookup.keys(Experiment)
    yield "", {name: key for name, key in whole.items() if not _is_section(key.hint)}
    for section in (name for name, key in whole.items() if _is_section(key.hint)):
        yield section, _keys(section, config.get(section) or {})


def every_key(config: Section) -> Keys:
    """The keys of a config by their whole names: "steps", "data.augment.flip"."""
    found: Keys = {}
    for section, keys in sections(config):
        for name, key in keys.items():
            whole = f"{section}.{name}".lstrip(".")
            found |= {f"{whole}.{one}": of_one for one, of_one in inner(key)[0].items()} or {whole: key}
    return found


def check_key(config: ConfigDict, whole: str, path: str = "config") -> None:
    """That a whole config has a key.

    Args:
      whole: its whole name.
      path: the flag that gives it: "config" or "study".

    Raises:
      UserError: it does not; the line names the nearest keys.
    """
    here, wrong = config, f"{path}.{whole} is not a setting"
    for place, part in enumerate(parts := whole.split(".")):
        if not isinstance(here, ConfigDict):
            raise UserError(f"{wrong}: {'.'.join([path, *parts[:place]])} is one value, without keys of its own.")
        if part not in here:
            known = [*flatten_dict(config.to_dict(), sep="."), *config]
            raise UserError(f"{wrong}: {nearest_key(whole, known, here, path)}")
        here = here[part]


def describe(config: ConfigDict) -> list[str]:
    """Every key of a whole config as a line: its name, its value and what it means."""
    lines = []
    for section, keys in sections(config):
        here, prefix = (config[section], f"config.{section}") if section else (config, "config")
        of_section = meanings(section, here)
        for name, key in keys.items():
            if dataclasses.is_dataclass(key.hint):
                _, texts = inner(key)
                rows = [(f"{name}.{k}", here[name][k], texts.get(k, "")) for k in here[name]]
            else:
                rows = [(name, here.get(name), of_section.get(name, ""))]
            lines += [f"  --{prefix}.{k}={v!r}  {meaning}".rstrip() for k, v, meaning in rows]
    return lines


def inner(key: lookup.Key) -> tuple[Keys, dict[str, str]]:
    """The keys of a section within a section, and what each means; {} for a key that is not a section."""
    if not dataclasses.is_dataclass(key.hint):
        return {}, {}
    reader = typing.cast(Reader, key.hint)
    return lookup.keys(reader), lookup.meanings(reader)


def plain(config: ConfigDict) -> Record:
    """A config as plain dicts. A key that is None is left to its default."""

    def strip(value: Value) -> Value:
        if isinstance(value, dict):
            return {key: strip(v) for key, v in value.items() if v is not None}
        return value

    return strip(config.to_dict())


def _section(config: ConfigDict, section: str, path: str = "config") -> ConfigDict:
    """A section, which is empty where the config has none; "" is the top."""
    if section and config.get(section) is None:
        config[section] = ConfigDict()
    here = config[section] if section else config
    if not isinstance(here, ConfigDict):
        raise UserError(f"{path}.{section}={here!r} should be a section with keys of its own.")
    return here


def _called(section: str) -> str:
    return f"config.{section}".rstrip(".")


def _within(config: Section, section: str, keys: Keys) -> Section:
    """A section of a plain config; "" is the top, without the sections."""
    return config.get(section, {}) if section else {key: config[key] for key in keys if key in config}


def _is_section(hint: Hint) -> bool:
    return dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict


def _reader(section: str, here: Section) -> tuple[Reader, tuple[str, ...]]:
    """What reads a section, and which of its parameters are not keys of the config."""
    if not section:
        return Experiment, ()
    if section in NAMED:
        key, package, symbol = NAMED[section]
        if not (name := _name(section, here, key)):
            raise UserError(f"config.{section}.{key} is not set: it chooses what config.{section} describes.")
        try:
            reader = lookup.find(package, symbol, name)
        except UserError as error:
            raise UserError(f"config.{section}.{key}: {error}") from None
        return reader, (*input_pipeline.SIZES, "feed")
    if section == "parallel":
        return parallel.make, ("devices",)
    if section == "checkpoint":
        return checkpoint.Checkpoints, ("folder", "primary")
    return typing.cast(Reader, lookup.keys(Experiment)[section].hint), ()


def _name(section: str, here: Section, key: str, default: str = "") -> str:
    """The value of a key that decides which other keys there are."""
    value = here.get(key, default)
    if value is not None and not isinstance(value, str):
        raise UserError(f"config.{section}.{key}={' '.join(repr(value).split())} should be a valid string.")
    return value or default


def _keys(section: str, here: Section) -> Keys:
    """The keys of a section, that of its name first."""
    if section == "optim":
        return optim.keys(_name(section, here, "name", "adamw"), _name(section, here, "optimizer", "sgd"))
    reader, without = _reader(section, here)
    named = {NAMED[section][0]: lookup.Key(str, inspect.Parameter.empty)} if section in NAMED else {}
    if section == "data":
        return named | lookup.keys(reader, ("feed",))
    return named | lookup.keys(reader, without)


def meanings(section: str, here: Section) -> dict[str, str]:
    """What each key of a section means."""
    if section == "optim":
        return optim.meanings(here["name"], here.get("optimizer", "sgd"))
    named = {NAMED[section][0]: f"a file of {NAMED[section][1].replace('.', '/')}/."} if section in NAMED else {}
    return named | lookup.meanings(_reader(section, here)[0])


def _fill(here: ConfigDict, keys: Keys, path: str) -> None:
    for name, (hint, default) in keys.items():
        kind = plain_type(hint)
        if dataclasses.is_dataclass(hint):
            _fill(_section(here, name, path), lookup.keys(typing.cast(Reader, hint)), f"{path}.{name}")
        elif here.get(name) is None:  # also a key that the config leaves open, for its recipe
            missing = default is None or default is inspect.Parameter.empty
            missing = missing or name in here
            here[name] = placeholder(kind) if missing else kind(default) if kind is float else default
        elif kind is float and type(here[name]) is int:  # or the command line could give it no fraction
            here[name] = float(here[name])


def plain_type(hint: Hint) -> type:
    """int, float, bool, str or tuple: what the command line reads a key as."""
    hint = lookup.unannotated(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return plain_type(next(option for option in typing.get_args(hint) if option is not type(None)))
    if typing.get_origin(hint) is typing.Literal:
        return type(typing.get_args(hint)[0])
    return typing.cast(type, typing.get_origin(hint) or hint)
