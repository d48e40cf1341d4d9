"""study.py on the command line: a grid of small runs, one of which fails; resumed, collected, submitted."""

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from tests.commandline import Done
from tests.commandline import command as typed
from tests.conftest import QUICK

ROOT = Path(__file__).parents[2]
STUDY = """
from configs.studies import base


VARIANTS = {"which": ("all", "one")}


def get_config(which="all"):
    study = base.get_config("Sizes", "figure 1", "Does size matter?")
    study.seeds = 1
    study.at_once = 2
    small = ("model.width=16", "model.depth=1", "model.mlp_dim=32", "steps=3", "evaluation.every_steps=0",
             "data.batch_size=32", "checkpoint.every_steps=0", "optim.warmup_steps=1", "checkpoint.keep_best=",
             "evaluation.page=False")
    heads = (2, 4, 3) if which == "all" else (2,)  # 16 does not divide by 3
    study.runs = tuple(base.run("configs/vit_digits.py", *small, f"model.heads={h}", heads=h, learning_rate="usual")
                       for h in heads)
    study.figures = (base.figure("comparison", variant="heads", metric="test/accuracy"),)
    return study
"""


def command(*arguments: object) -> Done:
    """study.py; the runs that it starts are processes of their own, of one device."""
    with mock.patch.dict(os.environ, XLA_FLAGS=QUICK):
        return typed("study.py", *arguments)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "sizes.py"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def ran(study) -> tuple[Path, Done]:
    folder = study.parent / "out"
    return folder, command(f"--study={study}", f"--workdir={folder}")


def test_a_study_with_a_failed_run_says_so_and_reports_the_others(ran):
    folder, done = ran
    assert done.returncode == 1, done.stderr
    assert "3-usual-seed0: failed: error: config.model.width=16 does not divide by heads=3" in done.stdout
    assert "1 of 3 runs are missing in the table: 3-usual-seed0." in done.stdout
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished", "finished", "missing"]
    assert {row["steps"] for row in rows[:2]} == {"3"}
    assert {row["learning_rate"] for row in rows} == {"usual"}, "a metric of the log took a label's place"
    assert float(rows[0]["total_flops"]) > 0
    text = (folder / "report.md").read_text()
    assert "2 of 3 runs, 1 seeds" in text
    assert "- 3-usual-seed0: missing: error: config.model.width=16 does not divide by heads=3" in text
    assert f"--workdir={folder}/2-usual-seed0" in text


def test_the_same_command_leaves_what_is_finished_alone(ran, study):
    folder, _ = ran
    before = (folder / "2-usual-seed0" / "metrics.jsonl").stat().st_mtime_ns
    done = command(f"--study={study}", f"--workdir={folder}")
    assert "3 runs, 2 of them finished" in done.stdout
    assert (folder / "2-usual-seed0" / "metrics.jsonl").stat().st_mtime_ns == before
    assert done.returncode == 1


def test_what_a_run_came_to_stays_when_its_checkpoints_or_folder_are_deleted(ran, study, tmp_path):
    for name in ("study.json", "table.json"):
        (tmp_path / name).write_text((ran[0] / name).read_text())
    shutil.copytree(ran[0] / "2-usual-seed0", tmp_path / "2-usual-seed0", ignore=shutil.ignore_patterns("checkpoints"))
    done = command(f"--study={study}", f"--workdir={tmp_path}")
    assert "3 runs, 2 of them finished" in done.stdout
    assert "2 of 3 runs" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "2-usual-seed0" / "checkpoints").exists()


def test_a_study_with_another_grid_in_its_folder_is_refused(ran, study):
    folder, _ = ran
    done = command(f"--study={study}", f"--workdir={folder}", "--config.steps=4")
    assert done.returncode == 2
    assert "Choose another --workdir" in done.stderr


def test_submitit_runs_the_same_grid_into_the_same_table(study, tmp_path):
    arguments = (f"--study={study}:one", f"--workdir={tmp_path}")
    submit = (sys.executable, "study.py", *arguments, "--launch=local", "--launch_options=timeout_min=5")
    environment = os.environ | {"XLA_FLAGS": QUICK}  # a process of its own: submitit's closes files of pytest
    done = subprocess.run(submit, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 runs submitted" in done.stdout
    until = time.monotonic() + 120
    while not (tmp_path / "2-usual-seed0" / "attempts.jsonl").exists():
        time.sleep(0.5)
        assert time.monotonic() < until
    collected = command(*arguments, "--collect")
    assert collected.returncode == 0, collected.stdout
    assert "1 of 1 runs" in (tmp_path / "report.md").read_text()


def test_a_dry_run_prints_one_command_a_run(study, tmp_path):
    done = command(f"--study={study}", f"--workdir={tmp_path / 'x'}", "--dry_run", "--config.data.data_dir=a b")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("python train.py --config=configs/vit_digits.py --config.seed=0 ") for line in lines)
    assert all("'--config.data.data_dir=a b'" in line for line in lines)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--study=configs/studies/FILE.py"),
        (["--study=configs/studies/vit_data_scalin.py"], "did you mean 'configs/studies/vit_data_scaling.py'"),
        (
            ["--study=configs/studies/vit_data_scaling.py:huge"],
            "there is no size 'huge': There is: fashion_mnist",
        ),
        (["--study=configs/studies/vit_head.py:tiny", "--config.optim.learning_rat=1"], "learning_rat"),
        (["--study=configs/studies/vit_head.py:tiny", "--study.seed=4"], "seeds"),
        (["--study=configs/studies/vit_head.py:tiny", "--collect"], "holds no finished run"),
        (["--study=configs/studies/vit_head.py:tiny", "x"], "'x' is not a flag"),
        (["--study=configs/studies/vit_head.py:tiny", "--launch=local", "--launch_options=x"], "should be KEY=VALUE"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments, message, tmp_path):
    done = command(f"--workdir={tmp_path / 'out'}", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error():
    line = f"{sys.executable} study.py --study=configs/studies/vit_compute.py --dry_run | head -1"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
