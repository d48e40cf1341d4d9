from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import MinLen

import lookup
import models
from errors import UserError


@dataclass
class Thing:
    size: int
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    limit: int | None = None
    some: Annotated[tuple[int, ...], MinLen(1)] = (1,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1, "rat": 0.5}, r"config.x.rat is not a setting: did you mean 'rate'\?"),
        ({"size": "1"}, r"config.x.size='1' should be a valid integer"),
        ({"size": True}, r"config.x.size=True should be a valid integer"),
        ({"size": 1, "rate": "x"}, r"config.x.rate='x' should be a valid number"),
        ({"size": 1, "kind": "c"}, r"config.x.kind='c' should be 'a' or 'b'"),
        ({"size": 1, "names": "x"}, r"config.x.names='x'"),
        ({"size": 1, "some": ()}, r"config.x.some=\(\) should have at least 1 item\.$"),
        ({}, r"config.x.size is not set"),
    ],
)
def test_a_section_that_does_not_fit_is_named_with_the_nearest_key(arguments, message):
    with pytest.raises(UserError, match=message):
        lookup.call("config.x", Thing, arguments)


def test_what_fits_is_passed_on():
    assert lookup.call("config.x", Thing, {"rate": 1, "limit": None}, size=3) == Thing(3, rate=1)


def test_what_the_caller_gives_cannot_be_set_by_the_config():
    with pytest.raises(UserError, match=r"config.x.size is not a setting"):
        lookup.call("config.x", Thing, {"size": 1}, size=3)


def test_an_unknown_module_lists_those_that_define_what_is_looked_for():
    with pytest.raises(UserError, match="did you mean 'vit'") as error:
        models.build("vitt", 10)
    assert "attention" not in str(error.value)


@pytest.mark.parametrize(("package", "symbol", "known"), [("models", "Model", "vit"), ("tasks", "Task", "classify")])
def test_every_name_that_is_listed_can_be_loaded(package, symbol, known):
    found = lookup.names(package, symbol)
    assert known in found
    for name in found:
        assert lookup.find(package, symbol, name)
