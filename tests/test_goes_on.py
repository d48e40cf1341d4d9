"""A run that goes on: what may change on the way, how the record tells it, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import experiment
from errors import UserError
from experiment import resume
from tests.conftest import tiny
from train import train
from training import log


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Forty-eight small images of two classes."""
    root, chance = tmp_path_factory.mktemp("images") / "set", np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(chance.integers(0, 256, (8, 8), np.uint8))
                image.save(root / split / name / f"{i:02}.png")
    return root


def config(folder: Path, **changes: object):
    return tiny(
        **{"data.source": "folder", "data.name": str(folder), "data.eval_batch_size": 16, "model.depth": 1} | changes
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder) -> Path:
    workdir = tmp_path_factory.mktemp("whole") / "run"
    train(config(folder), workdir)
    return workdir


@pytest.fixture
def copy(whole, workdir) -> Path:
    shutil.copytree(whole, workdir)
    return workdir


def read(workdir: Path) -> dict:
    return json.loads((workdir / "config.json").read_text())


def test_a_finished_run_is_trained_further_with_other_settings_and_the_record_tells_it(copy, folder, capsys):
    changes = {
        "steps": 8,
        "log.every_steps": 1,
        "data.eval_splits": ("train",),
    }
    # No step that is saved has this metric.
    changes |= {"checkpoint.keep_best": "train/loss", "checkpoint.keep_best_mode": "min"}
    train(config(folder, **changes), copy)
    assert "goes on to step 8 instead of 6: from here on its learning rate is that of a schedule for 8 steps" in (
        capsys.readouterr().out
    )
    rates = {row["step"]: row["learning_rate"] for row in log.read(copy) if "learning_rate" in row}
    schedule = experiment.build(config(folder, steps=8), copy).schedule
    assert [rates[step] for step in (7, 8)] == pytest.approx([float(schedule(step - 1)) for step in (7, 8)])
    (row,) = read(copy)["history"]
    assert row["step"] == 6
    assert row["changes"] == {
        "checkpoint.keep_best": ["test/accuracy", "train/loss"],
        "checkpoint.keep_best_mode": ["max", "min"],
        "data.eval_splits": [["test"], ["train"]],
        "log.every_steps": [2, 1],
        "steps": [6, 8],
        "total_steps": [6, 8],
    }
    assert read(copy)["steps"] == 8


def test_a_run_can_end_earlier_but_not_before_where_it_is(copy, folder, capsys):
    shutil.rmtree(copy / "checkpoints" / "6")
    run = experiment.build(config(folder, steps=5), copy)
    assert resume.start(run) == 4
    assert "goes on to step 5 instead of 6" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"is at step 4, past the 3 steps that are asked for: set more"):
        resume.start(experiment.build(config(folder, steps=3), copy))


def test_nothing_is_noted_where_nothing_changed(copy, folder):
    shutil.rmtree(copy / "checkpoints" / "6")
    resume.start(experiment.build(config(folder), copy))
    assert read(copy)["history"] == []


def test_training_data_that_changed_are_refused_by_name_unless_told_to_go_on(copy, folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "other")
    fingerprint = experiment.build(config(moved), copy).pipeline.fingerprint
    assert fingerprint == read(copy)["data_fingerprint"]
    shutil.copy(moved / "train/cat/00.png", moved / "train/cat/99.png")
    (moved / "train/dog/03.png").unlink()
    (moved / "train/dog/04.png").write_bytes((moved / "train/dog/04.png").read_bytes() + b"more")

    saved = read(copy)
    saved["data"]["name"], saved["total_steps"] = str(moved), 8
    (copy / "config.json").write_text(json.dumps(saved))
    with pytest.raises(UserError) as refused:
        resume.start(experiment.build(config(moved, steps=8), copy))
    for part in ("cat/99.png is new", "dog/03.png is gone", "dog/04.png: ", "--config.data.changed=continue"):
        assert part in str(refused.value)
    assert read(copy) == saved

    run = experiment.build(config(moved, steps=8, **{"data.changed": "continue"}), copy)
    assert resume.start(run) == 6
    assert read(copy)["data_fingerprint"] == run.pipeline.fingerprint != fingerprint
    assert any("cat/99.png is new" in line for line in read(copy)["history"][0]["data"])


def test_a_run_without_a_fingerprint_goes_on_and_has_one_then(copy, folder):
    saved = read(copy)
    del saved["data_fingerprint"]
    (copy / "config.json").write_text(json.dumps(saved))
    resume.start(experiment.build(config(folder, steps=8), copy))
    assert len(read(copy)["data_fingerprint"]) == 32
