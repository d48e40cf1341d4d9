"""pyproject.toml installs every room and every root module, and its dependencies are those of requirements.txt."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

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


def pins(path: Path) -> dict[str, str]:
    """The version of each package that a file of requirements pins."""
    found = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in path.read_text().splitlines())
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


@pytest.mark.parametrize("lock", ["py311", "py312", "py313", "newest"])
def test_a_lock_has_every_package_of_requirements_at_its_version(lock):
    wanted, locked = pins(ROOT / "requirements.txt"), pins(ROOT / "locks" / f"{lock}.txt")
    newer = {"jax", "flax", "optax", "orbax-checkpoint"} if lock == "newest" else set()
    assert {name: locked.get(name) for name in wanted.keys() - newer} == {
        name: version for name, version in wanted.items() if name not in newer
    }
    assert newer <= locked.keys()
    lines = (ROOT / "locks" / f"{lock}.txt").read_text().splitlines()
    assert [line for line in lines if not re.match(r"#|[\w.-]+==[\w.]+( ; .*)?$", line)] == []  # no address, no path
