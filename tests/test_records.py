"""What results/ holds: from which code its records are, and that the documentation says what they say."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from errors import UserError
from experiment import config as configs
from experiment import record
from results import tables, trained
from results.rows import page

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "path", [tables.README, tables.CONFIGS, tables.PLAN, page.PAGE], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_documentation_says_what_the_records_say(path):
    assert path.read_text() == tables.written()[path], "run python results/tables.py"


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with a script, a record and a page, whose code asks for its own commit."""
    for name in ("a.py", "notes.md", "result.json"):
        (tmp_path / name).write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "a")
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(record, "__file__", str(tmp_path / "package" / "record.py"))
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def test_a_record_may_change_but_not_the_code(repository):
    clean = record.clean_commit()
    (repository / "result.json").write_text("{}")
    (repository / "notes.md").write_text("more")
    assert record.clean_provenance()["commit"] == clean
    (repository / "a.py").write_text("changed = True")
    assert record.commit() == f"{clean}+"
    with pytest.raises(UserError, match=r"commit a\.py first"):
        record.clean_provenance()


def test_code_that_is_in_no_commit_is_a_change(repository):
    (repository / "configs").mkdir()
    (repository / "configs" / "mine.py").write_text("")
    with pytest.raises(UserError, match=r"commit configs/mine\.py first"):
        record.clean_commit()


def test_outside_a_repository_there_is_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record.commit() == ""
    with pytest.raises(UserError, match="not a git repository"):
        record.clean_commit()


SCRIPTS = [*sorted((ROOT / "results").glob("*.py")), ROOT / "results" / "bench" / "__main__.py"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_that_writes_a_record_asks_for_its_commit_first(path):
    text = path.read_text()
    body = text.partition("def measure(" if path.stem == "claims" else "def main(")[2]
    if path.stem in ("tables", "summary", "recorded", "later_rows", "trained"):
        assert ".json" not in body
    else:
        assert body.partition('"""\n')[2].lstrip().startswith("about = record.clean_provenance(")
        assert "about" in body.partition("provenance(")[2]


@pytest.mark.parametrize(
    "name",
    [
        *("alignment", "clip", "detection", "diffusion", "dino", "equal_budget", "fashion_mnist", "image_text"),
        *("language_model", "segmentation", "sst2", "translation", "video"),
    ],
)
def test_the_runs_of_every_script_have_configs(name):
    module = importlib.import_module(f"results.{name}")
    planned = repr([getattr(module, entry, "") for entry in ("RUNS", "QUESTIONS", "CONFIG")])
    found = set(re.findall(r"configs/\w+\.py(?::[\w+/.-]+)?", planned))
    assert found
    for one in found:
        configs.load(one)


def test_a_second_start_keeps_the_minutes_of_the_first(tmp_path, monkeypatch):
    workdir, clock = tmp_path / "rate-0.1-seed-0", tmp_path / "rate-0.1-seed-0.minutes"
    begun = iter((0.0, 90.0, 200.0, 230.0))
    workdir.mkdir()
    (workdir / "metrics.jsonl").write_text('{"train/loss": 1, "seconds": 2}\n{"validation/loss": 3}\n')
    monkeypatch.setattr(trained, "ROOT", tmp_path)
    monkeypatch.setattr(trained.grid, "progress", lambda workdir: float(clock.exists()))
    monkeypatch.setattr(trained.time, "perf_counter", lambda: next(begun))
    monkeypatch.setattr(trained.subprocess, "run", lambda command, cwd: subprocess.CompletedProcess(command, 0))
    runs = [trained.run(Path(workdir.name), ["--config=c.py"], ["--config.data.data_dir=D"]) for _ in range(2)]
    command = f"python train.py --config=c.py --workdir={workdir.name}"
    assert runs == [{"command": command, "minutes": 1.5, "validation/loss": 3}] * 2
    longer = trained.run(Path(workdir.name), ["--config=c.py", "--config.steps=9"], [])  # which the run goes on to
    assert longer["minutes"] == 2.0
