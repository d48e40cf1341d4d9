"""Who may import whom (README's code map), read from the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"models", "tasks", "training", "data", "configs", "experiment", "analysis", "planning", "studies", "weights"}
DOORS = {"train", "evaluate", "predict", "visualize", "study", "plan", "convert"}
FREE = {"errors", "lookup", "storage"}
FACTS = {
    "models.tokens",
    "models.paths",
    "models.sizes",
}  # special ids, names of layers, published sizes: they import nothing
OF_OTHERS = {"_replace", "_fields", "_generate_examples", "_relative_position_bucket"}  # tuples, TFDS, transformers
MAY = {
    "configs": {"configs", "ml_collections", "models.sizes"},
    "models": {"models"} | FREE,
    "tasks": {"tasks", "models.boxes", "models.decoding", "models.tokens"} | FREE,
    "training": {"training", "models.paths"} | FREE,
    "data": {"data", "models.tokens"} | FREE,
    "weights": {"weights", "models.paths", "models.sizes", "models.sinusoids"} | FREE,
    "experiment": {"experiment", "input_pipeline", "models", "tasks", "training", "weights"} | FREE,
    "studies": {"studies", "experiment", "training"} | FREE,
    "analysis": {"analysis", "experiment", "models", "tasks", "studies", "training", "weights"} | FREE,
}


def imported(path: Path) -> set[str]:
    """The first names of everything a file imports, at its top or within a function; of `models` the files."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "models":
            names |= {f"models.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {".".join(name.split(".")[: 2 if name.startswith("models.") else 1]) for name in names}


@pytest.mark.parametrize("room", sorted(MAY))
def test_a_room_imports_only_its_own(room: str):
    ours = ROOMS | DOORS | FREE | {"input_pipeline", "commands"}
    for path in (ROOT / room).rglob("*.py"):
        names = {name for name in imported(path) if name.split(".")[0] in ours}
        assert not {name for name in names if not {name, name.split(".")[0]} & MAY[room]}, path


@pytest.mark.parametrize("name", sorted(FACTS))
def test_facts_that_several_rooms_share_import_nothing(name: str):
    assert imported(ROOT / f"{name.replace('.', '/')}.py") <= {"re", "typing"}


def test_configs_import_nothing_but_ml_collections():
    for path in (ROOT / "configs").rglob("*.py"):
        assert imported(path) <= MAY["configs"], path


def test_only_the_input_side_imports_tensorflow_and_it_imports_no_jax():
    for path in (p for p in ROOT.rglob("*.py") if not {".venv", "tests"} & set(p.relative_to(ROOT).parts)):
        inputs = path.name == "input_pipeline.py" or "data" in path.relative_to(ROOT).parts
        names = imported(path)
        assert inputs or not names & {"tensorflow", "tensorflow_datasets"}, path
        assert not (inputs and names & {"jax", "flax"}), path


def test_weights_compute_with_numpy_alone():
    for path in (ROOT / "weights").rglob("*.py"):
        assert not imported(path) & {"jax", "tensorflow"}, path


def test_nothing_but_doors_imports_the_analysis():
    for path in (p for room in ROOMS - {"analysis"} for p in (ROOT / room).rglob("*.py")):
        assert "analysis" not in imported(path), path


def test_no_command_asks_which_kind_of_data_or_task_it_serves():
    asking = [ROOT / f"{door}.py" for door in DOORS] + [ROOT / "experiment" / "scoring.py"]
    for path in (*asking, *(ROOT / "analysis").rglob("*.py")):
        assert not re.search(r"(data\.kind|task\.name|\[.kind.\]) *(==|!=|in\b)", path.read_text()), path


def private(node: ast.AST) -> str:
    """The name by which a line reaches into what is private; "" if it does not."""
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            return ""
        case ast.Attribute(attr=name):
            return name if re.match("_[a-z]", name) else ""
        case ast.ImportFrom(names=names):
            return next((alias.name for alias in names if re.match("_[a-z]", alias.name)), "")
        case ast.Call(args=[_, ast.Constant(value=str(name)), *_]):  # monkeypatch.setattr(module, "_name", ...)
            return name if re.match("_[a-z]+$", name) else ""
    return ""


def test_tests_use_only_what_is_public():
    for path in (ROOT / "tests").rglob("*.py"):
        found = {name for node in ast.walk(ast.parse(path.read_text())) if (name := private(node))}
        assert not found - OF_OTHERS, path


def test_an_import_changes_no_environment_and_warns_of_nothing():
    program = """
import os
before = dict(os.environ)
import experiment, commands, models.gpt, tasks.translate, training.step, weights
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_building_a_run_does_not_import_tensorflow():
    program = """
import sys
from pathlib import Path
import experiment
from tests.conftest import tiny
run = experiment.build(tiny(**{"data.source": "synthetic", "data.name": "10"}), Path("nowhere"))
next(run.pipeline.train_batches(0))
sys.exit("tensorflow" in sys.modules or "keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
