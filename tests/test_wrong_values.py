"""Values that a key cannot have: one line each that names the key, before anything is computed or written.

Every key of every family with values of other types; hundreds of random wrong values over all configs; and values that
are possible by themselves and not beside the others.
"""

import copy
import functools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lookup
from errors import UserError
from experiment import config as configs
from experiment import config_file, run
from tests.families import COMMON, FAMILIES
from train import train

WRONG: dict[type, tuple[object, ...]] = {
    int: ("many", 1.5, True, math.nan, -(2**40), 2**80, (), {}),
    float: ("much", math.nan, math.inf, (1.0,), 1e30, {}),
    bool: ("yes", 2, ()),
    str: (7, ("a",), "\0", {}),
    tuple: (3, "a", (None,), ({},), (math.nan,), 1.5),
}
SIGNED = ("stop", "gate_bias")  # numbers that may be below 0


@functools.cache
def whole(name: str, family: str = "") -> configs.ConfigDict:
    """The whole config of a file, or of a family."""
    return configs.load(name, COMMON | FAMILIES[family] if family else None)


@functools.cache
def keys(name: str, family: str = "") -> dict[str, type]:
    """Every key of a config, with the type that the command line reads it as."""
    config, found = whole(name, family), {}
    for section, of_section in configs.sections(config):
        for key, (hint, _) in of_section.items():
            here = f"{section}.{key}".lstrip(".")
            inner = lookup.keys(hint) if isinstance(_value(config, here), configs.ConfigDict) else {}
            found |= {f"{here}.{k}": configs.plain_type(v.hint) for k, v in inner.items()}
            if not inner:
                found[here] = configs.plain_type(hint)
    return found


def _value(config: configs.ConfigDict, key: str) -> object:
    return functools.reduce(lambda here, part: here[part], key.split("."), config)


def changed(config: configs.ConfigDict, changes: dict[str, Any]) -> configs.ConfigDict:
    """A copy with other values, whatever they are: a config file can hold anything."""
    config = copy.deepcopy(config)
    with config.unlocked(), config.ignore_type():
        for key, value in changes.items():
            section, _, name = key.rpartition(".")
            (_value(config, section) if section else config)[name] = value
    return config


def line(config: configs.ConfigDict, workdir: Path) -> str:
    """What a person is told by `train`; "" if it would begin to train. Anything but a UserError is raised."""
    try:
        train(config, workdir)
    except UserError as error:
        return str(error)
    except Trains:
        return ""
    raise AssertionError("nothing was trained and nothing said")


class Trains(Exception):
    """A run that would begin."""


@pytest.fixture(autouse=True, scope="module")
def nothing_trains():
    """The first thing that a run does is to count what a step computes, for its record."""

    def stop(self: run.Run) -> None:
        raise Trains

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Run, "mean_step_flops", stop)
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_of_another_type_is_one_line_that_names_its_key(family, tmp_path):
    mine = keys("configs/vit_digits.py", family)
    earlier = {k for f in list(FAMILIES)[: list(FAMILIES).index(family)] for k in keys("configs/vit_digits.py", f)}
    accepted, unnamed = [], []
    for key, kind in mine.items():
        for value in WRONG.get(kind, ()) if key not in earlier else ():
            said = line(changed(whole("configs/vit_digits.py", family), {key: value}), tmp_path / "run")
            if not said:
                accepted.append((key, value))
            elif "\n" in said or key.split(".")[-1] not in said:
                unnamed.append((key, value, said))
    assert not accepted
    assert not unnamed
    assert not list(tmp_path.iterdir())


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 2**63, -(2**63), 10**30]),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3)), max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)


def impossible(kind: type, name: str, value: object) -> bool:
    """Whether no key of this type can have the value, by what types and numbers are, and not by what the code says."""
    if value is None:
        return False  # the default
    if isinstance(value, (int, float)) and not isinstance(value, bool) and kind in (int, float):
        whole_number = kind is float or isinstance(value, int)
        return not whole_number or not abs(value) < 2**33 or (value < 0 and name not in SIGNED)
    if kind is tuple:
        return not isinstance(value, tuple) or any(x is None or x != x for x in value)
    return not isinstance(value, kind) or (isinstance(value, str) and "\0" in value)


@st.composite
def wrong_changes(draw: st.DrawFn) -> tuple[str, str, object]:
    """A config, one of its keys, and a value that this key cannot have."""
    name = draw(st.sampled_from(config_file.files("configs")))
    key, kind = draw(st.sampled_from(sorted(keys(name).items(), key=lambda item: item[0])))
    value = draw(ANYTHING.filter(lambda v: impossible(kind, key.split(".")[-1], v)))
    return name, key, value


def test_no_random_wrong_value_of_any_config_trains_or_takes_long(tmp_path):
    """The deadline is of each case, in milliseconds."""
    tried: set[str] = set()

    @settings(
        max_examples=400,
        derandomize=True,
        deadline=5000,
        database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(wrong_changes())
    def case(change: tuple[str, str, object]) -> None:
        name, key, value = change
        tried.add(repr(change))
        said = line(changed(whole(name), {key: value}), tmp_path / "run")
        assert said, "accepted"
        assert "\n" not in said
        assert key.split(".")[-1] in said

    case()
    assert len(tried) >= 300
    assert not list(tmp_path.iterdir())
