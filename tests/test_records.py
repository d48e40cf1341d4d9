"""What results/ holds: from which code its records are, and that the documentation says what they say."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from errors import UserError
from experiment import config as configs
from experiment import record
from results import summary, tables, trained
from results.rows import page
from studies import grid

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "path", [tables.README, tables.CONFIGS, tables.PLAN, page.PAGE], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_documentation_says_what_the_records_say(path):
    assert path.read_text() == tables.written()[path], "run python results/tables.py"


def test_readme_has_the_mean_of_the_seeds_and_not_the_best_step_by_the_same_split():
    (row,) = (row for row in summary.language() if row.source == "sst2.json")
    assert "mean of 3 seeds" in row.text
    assert row.text.partition("**")[2].partition("**")[0] in page.row(
        next(claim for claim in page.CLAIMS if claim.name == "sst2")
    )


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
    begun, state = (
        iter((0.0, 90.0, 200.0, 230.0, 300.0, 360.0)),
        {"status": 0, "progress": 0.0, "reached": 0.5, "same": True},
    )
    workdir.mkdir()
    (workdir / "metrics.jsonl").write_text(
        '{"step": 1, "train/loss": 1, "seconds": 2}\n{"step": 1, "validation/loss": 3}\n'
    )
    monkeypatch.setattr(trained, "ROOT", tmp_path)
    monkeypatch.setattr(trained.grid, "progress", lambda workdir: state["progress"])
    monkeypatch.setattr(trained, "same_config", lambda workdir, command: state["same"])
    monkeypatch.setattr(trained.time, "perf_counter", lambda: next(begun))
    monkeypatch.setattr(trained, "processor_seconds", iter(range(0, 600, 60)).__next__)  # a minute a start

    def ended(command: list[str]) -> int:
        state["progress"] = state["reached"]
        return state["status"]

    monkeypatch.setattr(trained, "ended", ended)
    flags, data = ["--config=c.py"], ["--config.data.data_dir=D"]
    with pytest.raises(
        SystemExit
    ) as stopped:  # by a signal to train.py, which saves and ends with 0, after 1.5 minutes
        trained.run(Path(workdir.name), flags, data)
    assert stopped.value.code == trained.STOPPED
    state["reached"] = 1.0
    command = f"python train.py --config=c.py --workdir={workdir.name}"
    found = {"command": command, "minutes": 2.0, "processor minutes": 2.0, "validation/loss": 3}
    assert trained.run(Path(workdir.name), flags, data) == found
    assert trained.run(Path(workdir.name), flags, data)["minutes"] == 2.0, "it has finished"
    state["same"] = False
    longer = trained.run(Path(workdir.name), ["--config=c.py", "--config.steps=9"], [])  # which the run goes on to
    assert longer["minutes"] == 3.0
    clock.unlink()
    state["same"] = True
    assert trained.spent(workdir, flags).minutes == pytest.approx(2 / 60), "of a version that kept no clock"
    clock.write_text("3.5\ntrain.py --config=c.py")  # of another
    assert trained.spent(workdir, flags) == trained.Clock(3.5)


def test_a_finished_run_that_was_not_scored_is_scored_by_the_next_start(tmp_path, monkeypatch):
    workdir = tmp_path / "runs" / "mine" / "seed-0"
    config = "--config=configs/vit_digits.py"
    saved = configs.plain(grid.read_config("a", (config, "--config.seed=0")))
    workdir.mkdir(parents=True)
    about = {"parameters": 1, "step_flops": 3e9, "total_steps": 5, "devices": "1 x cpu", "format": record.FORMAT}
    (workdir / "config.json").write_text(json.dumps(saved | about))
    (workdir / "metrics.jsonl").write_text('{"step": 5, "train/loss": 1, "seconds": 30}\n')
    monkeypatch.setattr(trained, "ROOT", tmp_path)
    monkeypatch.setattr(trained.grid, "progress", lambda workdir: 1.0)
    started: list[list[str]] = []
    monkeypatch.setattr(trained, "ended", lambda command: started.append(command) or 2)  # it "has finished all steps"
    score = subprocess.CompletedProcess([], 0, '{"step": 5, "test/accuracy": 0.9}')
    monkeypatch.setattr(trained.subprocess, "run", lambda *_, **__: score)
    planned = trained.Planned("configs/vit_digits.py", "")
    trained.keep(tmp_path / "mine.json", "seed 0", planned, {}, {"commit": "c"})
    run = json.loads((tmp_path / "mine.json").read_text())["seed 0"]
    assert (run["test/accuracy"], run["seconds of the whole command"], started) == (0.9, 30.0, [])
    changed = trained.Planned("configs/vit_digits.py", "", flags=("--config.optim.learning_rate=0.5",))
    with pytest.raises(SystemExit):
        trained.keep(tmp_path / "mine.json", "seed 0", changed, {}, {"commit": "c"})
    assert len(started) == 1, "train.py says which key differs"


def test_ctrl_c_leaves_time_to_save(tmp_path, monkeypatch):
    """A command that takes longer to end than the quarter of a second after which subprocess.run kills it."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(1)\n"
        "    pathlib.Path('saved').touch()\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "pathlib.Path('began').touch()\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "script.py").write_text(
        f"import pathlib, sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom results import trained\n"
        "trained.ROOT = pathlib.Path('.')\ntrained.ended(['slow.py'])\n"
    )
    script = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "began").exists():
        assert script.poll() is None
        time.sleep(0.1)
    os.killpg(script.pid, signal.SIGINT)  # as a terminal does it
    assert script.wait(timeout=30)
    assert (tmp_path / "saved").exists()
