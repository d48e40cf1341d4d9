"""Every key of every section, with values that it cannot have: one line each, before anything is computed or
written."""

import functools
import math
from pathlib import Path
from typing import Any

import pytest

import experiment
import lookup
from errors import UserError
from experiment import config as configs
from tests.families import COMMON, FAMILIES

WRONG: dict[type, tuple[object, ...]] = {
    int: ("many", 1.5, True, math.nan, -(2**40)),
    float: ("much", math.nan, math.inf, (1.0,)),
    bool: ("yes", 2),
    str: (7, ("a",)),
    tuple: (3, "a", (None,), ({},)),
}


def keys(family: str) -> dict[str, type]:
    """Every key that the configs of no earlier family have, with the type that the command line reads it as."""
    found, earlier = all_keys(family), set()
    for other in list(FAMILIES)[: list(FAMILIES).index(family)]:
        earlier |= all_keys(other).keys() - {"model.variant"}
    return {key: kind for key, kind in found.items() if key not in earlier}


@functools.cache
def all_keys(family: str) -> dict[str, type]:
    """Every key that the family's configs have, with the type that the command line reads it as."""
    config = configs.load("configs/vit_digits.py", COMMON | FAMILIES[family])
    found = {}
    for section, of_section in configs.sections(config):
        for name, key in of_section.items():
            if isinstance(config[section][name] if section else config[name], configs.ConfigDict):
                inner = lookup.keys(key.hint)
                found |= {f"{section}.{name}.{k}": configs.plain_type(v.hint) for k, v in inner.items()}
            else:
                found[f"{section}.{name}" if section else name] = configs.plain_type(key.hint)
    return found


def build(family: str, changes: dict[str, Any], workdir: Path) -> str:
    """The error line of a config; "" if it is accepted. Anything but a UserError is raised."""
    config = configs.load("configs/vit_digits.py", COMMON | FAMILIES[family])
    with config.unlocked(), config.ignore_type():
        for key, value in changes.items():
            *sections, name = key.split(".")
            here = config
            for section in sections:
                here = here[section]
            here[name] = value
    try:
        experiment.build(config, workdir)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_of_another_type_is_one_line_that_names_its_key(family, tmp_path):
    accepted, unnamed = [], []
    for key, kind in keys(family).items():
        for value in WRONG.get(kind, ()):
            line = build(family, {key: value}, tmp_path / "run")
            if not line:
                accepted.append((key, value))
            elif "\n" in line or key.split(".")[-1] not in line:
                unnamed.append((key, value, line))
    assert not accepted
    assert not unnamed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["vit", "transformer", "gpt"])
def test_a_number_out_of_range_is_never_a_traceback(family, tmp_path):
    for key, kind in keys(family).items():
        for value in {int: (-1, 0), float: (-1.0, 1e9)}.get(kind, ()):
            build(family, {key: value}, tmp_path / "run")
    assert not list(tmp_path.iterdir())
