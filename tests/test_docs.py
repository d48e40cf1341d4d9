"""What README.md and docs/ tell people to type: every command parses, and the examples run."""

import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest

import commands
from experiment import config as configs
from tests import commandline

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"`(python (\w+)\.py [^`]*)`")
ROWS = [line for line in (ROOT / "docs" / "coming_from.md").read_text().splitlines() if line.startswith("| ")]
COMING = [
    found for line in ROWS for found in COMMAND.findall(line.rstrip(" |").rpartition(" | ")[2])
]  # the last column
BEGUN = sorted(
    {
        " ".join(shlex.split(found, comments=True))
        for path in ("README.md", "docs/guide.md", "configs/README.md")
        for found in re.findall(
            r"^(?:\.venv/bin/)?python ((?:train|study|plan)\.py .*)", (ROOT / path).read_text(), re.M
        )
        if not re.search(r"/my_\w+\.py|--help", found)
    }
)  # what needs no run; configs/my_*.py follow from data: test_own_data.py
RUNS = {"vit_digits": "vit", "vit_b16": "vit", "gpt": "gpt", "transformer": "transformer"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, untrained) -> Path:
    """Where the commands are typed: with the runs that they name."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs").mkdir()
    for name, family in RUNS.items():
        (folder / "runs" / name).symlink_to(untrained(family))
    return folder


def test_there_are_commands_of_each_kind():
    assert len(COMING) > 50
    assert {door for _, door in COMING} == {"train", "predict", "evaluate", "convert"}


def test_the_guide_begins_each_family():
    assert len(BEGUN) > 25


@pytest.mark.parametrize("typed", [*(typed for typed, _ in COMING), *(f"python {command}" for command in BEGUN)])
def test_a_command_parses(typed, folder, monkeypatch):
    """With its flags, its config, its keys and the types and ranges of their values."""
    monkeypatch.chdir(folder)
    parsed: list[list[str]] = []

    def run(main: object, description: str, config: str = "") -> None:
        arguments = commands._parse(sys.argv, config)
        if "config" in commands.FLAGS:
            configs.check(commands.FLAGS.config)
        parsed.append(arguments)

    with mock.patch.object(commands, "run", run):
        assert commandline.command(*shlex.split(typed)[1:]).returncode == 0
    assert len(parsed) == 1
    assert not [argument for argument in parsed[0] if argument.startswith("-")]


def test_the_examples_of_linen_and_nnx_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = (ROOT / "docs" / "linen_and_nnx.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    (folder / "typed.py").write_text("\n".join(blocks))  # one after another, as a reader types them
    runpy.run_path(str(folder / "typed.py"))
