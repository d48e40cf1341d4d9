"""Who may import whom (README's code map), read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"models", "tasks", "training", "data", "configs", "analysis", "planning", "studies", "weights"}
SCRIPTS = {"train", "evaluate", "predict", "visualize", "study", "plan", "convert"}
FREE = {"errors", "lookup"}
MAY = {
    "configs": {"configs", "ml_collections"},
    "models": {"models"} | FREE,
    "tasks": {"tasks"} | FREE,
    "training": {"training"} | FREE,
    "data": {"data"} | FREE,
    "weights": {"weights"} | FREE,
    "studies": {"studies", "training", "record"} | FREE,
    "analysis": {"analysis", "experiment", "models", "record", "studies", "training"} | FREE,
}


def imported(path: Path) -> set[str]:
    """The first names of everything a file imports, at its top or within a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", sorted(MAY))
def test_a_room_imports_only_its_own(room: str):
    ours = (
        ROOMS
        | SCRIPTS
        | FREE
        | {
            "experiment",
            "trained",
            "distillation",
            "transfer",
            "scoring",
            "resume",
            "input_pipeline",
            "commands",
            "record",
        }
    )
    for path in (ROOT / room).rglob("*.py"):
        assert not (imported(path) & ours) - MAY[room], path


def test_configs_import_nothing_but_ml_collections():
    for path in (ROOT / "configs").rglob("*.py"):
        assert imported(path) <= MAY["configs"], path


def test_only_the_input_side_imports_tensorflow_and_it_imports_no_jax():
    for path in (p for p in ROOT.rglob("*.py") if not {".venv", "tests"} & set(p.relative_to(ROOT).parts)):
        inputs = path.name == "input_pipeline.py" or "data" in path.relative_to(ROOT).parts
        names = imported(path)
        assert inputs or not names & {"tensorflow", "tensorflow_datasets"}, path
        assert not (inputs and names & {"jax", "flax"}), path


def test_weights_know_numpy_alone():
    for path in (ROOT / "weights").rglob("*.py"):
        assert not imported(path) & {"jax", "flax", "tensorflow"}, path


def test_nothing_but_root_modules_imports_the_weights():
    for path in (p for room in ROOMS - {"weights"} for p in (ROOT / room).rglob("*.py")):
        assert "weights" not in imported(path), path


def test_nothing_but_root_scripts_imports_the_analysis():
    for path in (p for room in ROOMS - {"analysis"} for p in (ROOT / room).rglob("*.py")):
        assert "analysis" not in imported(path), path


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
