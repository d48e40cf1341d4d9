"""pyproject.toml installs every room and every root module, and its dependencies are those of requirements.txt."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_root_module_is_installed():
    assert SETUPTOOLS["py-modules"] == sorted(path.stem for path in ROOT.glob("*.py"))


def test_every_room_is_installed_and_nothing_else():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    patterns = SETUPTOOLS["packages"]["find"]["include"]
    assert rooms == {room for room in rooms if any(fnmatch(room, pattern) for pattern in patterns)}
    assert all(any(fnmatch(room, pattern) for room in rooms) for pattern in patterns)


def test_every_folder_with_code_of_a_room_is_a_package():
    rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
    folders = {path.parent for room in rooms for path in room.rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_dependencies_are_read_from_lines_that_setuptools_understands():
    assert SETUPTOOLS["dynamic"]["dependencies"]["file"] == ["requirements.txt"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert not [line for line in lines if line.startswith("-")]
