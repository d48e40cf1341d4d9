"""The config of a run, with what differs from the defaults marked, and the command that makes the run again."""

import inspect
import json
from collections.abc import Iterator
from typing import NamedTuple

from analysis.page.html import Html, element, section, table
from experiment import config as configs
from experiment import record
from lookup import Value


class Setting(NamedTuple):
    """One key of a config.

    Attributes:
      key: with its section, "optim.learning_rate".
      value: of the run.
      default: of today's code; None where there is none.
      differs: whether the value is not the default.
      meaning: as --help says it.
    """

    key: str
    value: Value
    default: Value
    differs: bool
    meaning: str


def settings(config: record.Record) -> Iterator[Setting]:
    """Every key of a whole config, as the record of a run has it, or `Run.config`."""
    for section_name, keys in configs.sections(config):
        here = config.get(section_name, {}) if section_name else config
        meanings = configs.meanings(section_name, here)
        prefix = f"{section_name}." if section_name else ""
        for name, key in keys.items():
            if isinstance(value := here.get(name), dict):
                inner, texts = configs.inner(key)
                for one, (_, default) in inner.items():
                    yield setting(f"{prefix}{name}.{one}", value.get(one), default, texts.get(one, ""))
            else:
                yield setting(f"{prefix}{name}", value, key.default, meanings.get(name, ""))


def setting(key: str, value: Value, default: Value, meaning: str) -> Setting:
    """A key with its default. A value of None is the default."""
    default = None if default is inspect.Parameter.empty else default
    differs = value is not None and plain(value) != plain(default)
    return Setting(key, value, default, differs, meaning)


def plain(value: Value) -> Value:
    """A value as JSON has it, and whole numbers as such: 1.0 is 1."""
    value = json.loads(json.dumps(value, default=str))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def part(config: record.Record) -> Html:
    """The section: what differs, and all keys under it."""
    found = [one for one in settings(config) if one.value is not None]
    different = [one for one in found if one.differs]
    rows = [
        [code(one.key), code(spelled(one.value)), code("–" if one.default is None else spelled(one.default))]
        for one in different
    ]
    every = [
        [code(one.key), element("td", code(spelled(one.value)), class_="differs" if one.differs else None), one.meaning]
        for one in found
    ]
    return section(
        "config",
        "Config",
        element(
            "p",
            f"{len(different)} of {len(found)} keys differ from their defaults. Each can be set on the command line: ",
            code("--config.KEY=VALUE"),
        ),
        table(["Key", "Value", "Default"], rows, class_="plain keys"),
        element(
            "details",
            element("summary", f"All {len(found)} keys, with their meaning"),
            table(["Key", "Value", "Meaning"], every, class_="plain keys meanings"),
        ),
    )


def code(text: str) -> Html:
    """Text as it is typed."""
    return element("code", text)


def spelled(value: Value) -> str:
    """A value as the command line takes it."""
    if isinstance(value, (list, tuple)):
        return repr(tuple(value))
    return value if isinstance(value, str) and value else repr(value)


def command(saved: record.Record) -> Html:
    """The section on how to make the run again. saved: the record of the run."""
    commit, versions = saved.get("commit", ""), saved.get("versions", {})
    clean = commit.removesuffix("+")
    lines = [f"git checkout {clean}"] if clean else []
    lines.append(f"python {saved.get('command') or 'train.py'}")
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    dirty = " The code differed from that commit when the run began." if commit.endswith("+") else ""
    changes = [
        f"From step {row['step']:,}: "
        + ", ".join(f"{key} {old!r} → {new!r}" for key, (old, new) in row["changes"].items())
        for row in saved.get("history", ())
        if row.get("changes")
    ]
    return section(
        "reproduce",
        "Reproduce",
        element("pre", element("code", "\n".join(lines))),
        element("p", f"On {saved.get('devices', 'unknown devices')}; {libraries}.{dirty}", class_="note"),
        element("p", "The run was continued with changed settings:") if changes else None,
        element("ul", *[element("li", line) for line in changes]) if changes else None,
    )
