"""Runs that meet bad batches, and input that hangs."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiment
from data.pipelines import images
from errors import UserError
from tasks import classify
from tests.test_train import rows, states_equal, tiny
from train import train
from training import log

ROOT = Path(__file__).parents[1]
ROLLBACK = {"steps": 8, "step.nonfinite": "rollback", "log.every_steps": 3, "evaluation.every_steps": 0}
BAD = {1, 5}  # from step 1 back to the beginning; then step 4 reads batch 5, and it goes back to step 2
SKIPPED = {1, 4, 5}
plain = images.Pipeline.train_batches


def feeding(change):
    """train_batches whose batch number n, from 1 on, is change(n, batch)."""

    def train_batches(pipeline, start):
        for number, batch in enumerate(plain(pipeline, start), start + 1):
            yield change(number, batch)

    return train_batches


def poisoned(number: int, batch: dict) -> dict:
    return batch | {"image": batch["image"] * (np.nan if number in BAD else 1)}


def hanging(number: int, batch: dict) -> dict:
    if number == 10:
        threading.Event().wait()
    return poisoned(number, batch)


@pytest.fixture(scope="module")
def without(tmp_path_factory) -> Path:
    """A run whose data never had the batches that are skipped."""

    def train_batches(pipeline, start):
        assert start == 0
        return (batch for number, batch in enumerate(plain(pipeline, start), 1) if number not in SKIPPED)

    workdir = tmp_path_factory.mktemp("without") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images.Pipeline, "train_batches", train_batches)
        train(tiny(**ROLLBACK), workdir)
    return workdir


def skipped(workdir: Path) -> list[list[int]]:
    return json.loads((workdir / "config.json").read_text())["skipped_batches"]


def test_a_run_rolled_back_is_one_that_never_saw_those_batches(without, workdir, monkeypatch, capsys):
    monkeypatch.setattr(images.Pipeline, "train_batches", feeding(poisoned))
    train(tiny(**ROLLBACK), workdir)
    assert skipped(workdir) == [[1, 1], [4, 5]]
    said = capsys.readouterr().out
    assert "Back to step 0, to skip batches 1 to 1: the loss or its gradient was not finite at step 1." in said
    assert "Back to step 2, to skip batches 4 to 5: the loss or its gradient was not finite at step 4." in said
    states_equal(workdir, without, 8)
    assert rows(workdir)[1:] == rows(without)[1:]  # the first line is of the steps since the rollback


def test_a_run_that_hangs_after_a_rollback_ends_at_once_and_goes_on_to_the_same_bits(without, workdir, monkeypatch):
    """In a process of its own, which ends as by kill -9: os._exit leaves no time to finish anything."""
    changes = ROLLBACK | {"step.timeout_seconds": 3}
    program = f"""
from tests.test_faults import *
images.Pipeline.train_batches = feeding(hanging)
train(tiny(**{changes!r}), Path({str(workdir)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert skipped(workdir) == [[1, 1], [4, 5]]
    saved = experiment.build(tiny(**ROLLBACK), workdir).checkpoints.latest()
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: step 7 has not ended after 3 s (config.step.timeout_seconds=3)")  # it reads batch 10
    assert f"stacks in {workdir}/stacks-0.txt; the newest checkpoint is step {saved}, and the same command" in line
    stacks = (workdir / "stacks-0.txt").read_text()
    for frame in ("train.py", "in train_from", "in hanging", "in __next__"):
        assert frame in stacks

    monkeypatch.setattr(images.Pipeline, "train_batches", feeding(poisoned))
    train(tiny(**ROLLBACK), workdir)
    states_equal(workdir, without, 8)
    assert rows(workdir)[-2:] == rows(without)[-2:]


def test_a_spike_rolls_back_so_often_or_is_skipped(workdir, monkeypatch, capsys):
    """Batches 24 and 34 have ten times their loss."""
    sums = classify.Task.sums

    def spiked(task, apply, batch, train):
        found = sums(task, apply, batch, train)
        loss, weight = found["loss"]
        return found | {"loss": (loss * jnp.where(batch["image"].max() > 50, 10, 1), weight)}

    def bright(number, batch):
        return batch | {"image": batch["image"] + (100 if number in (24, 34) else 0)}

    monkeypatch.setattr(classify.Task, "sums", spiked)
    monkeypatch.setattr(images.Pipeline, "train_batches", feeding(bright))
    changes = {"steps": 34, "step.spike": 3.0, "step.rollbacks": 1, "evaluation.every_steps": 0}
    changes |= {"checkpoint.every_steps": 10, "log.every_steps": 1}
    what = "more than 3 times the usual one at step"
    with pytest.raises(UserError, match=f"{what} 30, and the run has been rolled back 1 times"):
        train(tiny(**changes | {"step.nonfinite": "rollback"}), workdir)
    assert skipped(workdir) == [[21, 24]]
    train(tiny(**changes | {"step.nonfinite": "skip"}), workdir)
    assert f"{what} 30: skipped." in capsys.readouterr().out
    assert [row["step"] for row in log.read(workdir) if row.get("train/spike")] == [30]
    assert [row["step"] for row in log.read(workdir)] == [*range(1, 35), 34]


def test_a_checkpoint_without_the_usual_loss_is_one_that_has_seen_none(workdir):
    """Older versions wrote such."""
    run = experiment.build(tiny(), workdir)
    begun = run.devices.get_state(run.initialise())
    older = {name: value for name, value in vars(begun).items() if name != "usual"}
    with run.checkpoints as checkpoints:
        checkpoints.save(2, older, {})
    restored = run.restore(2)
    assert isinstance(restored, type(begun))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), jax.device_get(begun))
