"""The loop: what it writes, that it goes on exactly, and what it refuses."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import commands
import experiment
from data.pipelines import images
from errors import UserError
from experiment import restore, resume, scoring
from tests import conftest
from train import introduction, main, train
from training import lock, log, parallel

ROOT = Path(__file__).parents[1]
CHANGES = {"data.augment.mixup": 0.2, "model.dropout": 0.1, "step.ema_decay": 0.9}


def tiny(**changes: object) -> ConfigDict:
    """The tests' run with one layer: the loop is the same with more."""
    return conftest.tiny(**{"model.depth": 1} | changes)


@pytest.mark.parametrize(
    ("every", "saved", "best", "seen"),
    [
        (1, 2, "test/accuracy", "those of every 2 steps and the last"),
        (3, 2, "test/accuracy", "the last,"),  # 6 steps
        (1, 0, "test/accuracy", "the last,"),
        (2, 1, "test/accuracy", ""),
        (0, 4, "test/accuracy", ""),
        (3, 2, "", ""),
    ],
)
def test_evaluations_that_keep_best_cannot_see_are_told(every, saved, best, seen, workdir):
    keys = {"evaluation.every_steps": every, "checkpoint.every_steps": saved, "checkpoint.keep_best": best}
    run = experiment.build(tiny(**keys), workdir)
    said = [line for line in introduction(run, 0).splitlines() if "keep_best" in line]
    assert bool(said) == bool(seen)
    for line in said:
        assert f"sees only {seen}" in line
        assert line.endswith(f"--config.checkpoint.every_steps={every}")


def states_equal(a: Path, b: Path, step: int) -> None:
    """Both workdirs' checkpoints of a step hold the same bits."""
    one, other = (restore.load(w, which=str(step))[1] for w in (a, b))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


def rows(workdir: Path) -> list[dict]:
    """metrics.jsonl without the figures of speed."""
    keep = lambda name: "/" in name or name in ("step", "learning_rate")  # noqa: E731
    return [{k: v for k, v in row.items() if keep(k)} for row in log.read(workdir)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Six uninterrupted steps, by a clock that goes on by a second whenever the host waits for the sums of a step."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    fetch, waits = parallel.Mesh.fetch, []
    with pytest.MonkeyPatch.context() as patch:
        for module in ("train", "training.meter"):
            patch.setattr(f"{module}.time", SimpleNamespace(perf_counter=lambda: float(len(waits))))
        patch.setattr(parallel.Mesh, "fetch", lambda *arguments: fetch(*arguments, *waits.append(1) or ()))
        train(tiny(**CHANGES), workdir)
    return workdir


def test_a_run_leaves_metrics_config_checkpoints_and_events(whole):
    figures = log.read(whole)
    assert [row["step"] for row in figures] == [2, 3, 4, 6, 6]
    assert {
        "train/loss",
        "train/accuracy",
        "train/grad_norm",
        "learning_rate",
        "images_per_second",
        "input_wait",
        "mfu",
        "memory_gb",
    } <= figures[0].keys()
    assert {"test/loss", "test/accuracy"} <= figures[-1].keys()
    assert [row["seconds"] for row in figures if "seconds" in row] == [2, 2, 2]  # of step 3 too, before its evaluation
    record = json.loads((whole / "config.json").read_text())
    assert record["optim"]["warmup_steps"] == 2
    assert record["versions"]["jax"] == jax.__version__
    assert record["known"]["classes"] == [str(i) for i in range(10)]
    assert "commit" in record
    assert {"4", "6"} <= {p.name for p in (whole / "checkpoints").iterdir()}
    assert list((whole / "tensorboard").glob("events*"))


def test_n_steps_and_n_more_are_2n_bit_for_bit(whole, workdir, monkeypatch):
    """Ended by an error in an evaluation where no checkpoint was due, by SIGTERM, and by an error in the last one."""
    score = scoring.score

    def trained_with(change):
        with monkeypatch.context() as patch:
            patch.setattr(scoring, "score", change)
            with contextlib.suppress(MemoryError):
                assert train(tiny(**CHANGES), workdir) is None
        saved = experiment.build(tiny(**CHANGES), workdir).checkpoints.latest()
        return saved, [row["step"] for row in log.read(workdir)]

    def out_of_memory(*arguments):
        raise MemoryError

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return score(*arguments)

    assert trained_with(out_of_memory) == (3, [2])
    assert trained_with(interrupted) == (4, [2, 3, 4])  # it begins with that evaluation
    assert trained_with(out_of_memory) == (6, [2, 3, 4, 6])
    scores = train(tiny(**CHANGES), workdir)
    assert {"step": 6} | scores == pytest.approx(log.read(whole)[-1])
    states_equal(whole, workdir, 6)
    assert rows(workdir)[:2] + rows(workdir)[3:] == rows(whole)[:2] + rows(whole)[3:]  # line 4 is of one step, not two
    assert lock.read(workdir) == {}
    with pytest.raises(UserError, match="has finished all 6 steps"):
        train(tiny(**CHANGES), workdir)


def test_a_launcher_can_tell_a_saved_run_from_a_finished_one(monkeypatch):
    monkeypatch.setattr(commands, "FLAGS", SimpleNamespace(config=None, workdir="run", stopped_status=75))
    monkeypatch.setattr("train.train", lambda config, workdir: {})
    assert main([]) == 0
    monkeypatch.setattr("train.train", lambda config, workdir: None)
    assert main([]) == 75


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(whole, workdir, capsys):
    shutil.copytree(whole, workdir)
    data = max((workdir / "checkpoints" / "6").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 3] ^= 16
    data.write_bytes(content)
    with pytest.raises(UserError, match=r"step 6 in .* is damaged.*checkpoint.damaged=fall_back"):
        train(tiny(**CHANGES, **{"checkpoint.damaged": "refuse"}), workdir)
    train(tiny(**CHANGES), workdir)
    assert "Continues from step 4" in capsys.readouterr().out
    states_equal(whole, workdir, 6)
    assert rows(workdir) == rows(whole)
    assert (workdir / "checkpoints" / "damaged" / "6" / data.relative_to(workdir / "checkpoints" / "6")).exists()


def test_a_checkpoint_serves_another_precision_of_compute(whole):
    config = restore.saved_config(whole)
    config.model.dtype = "bfloat16"
    run, state, _ = restore.load(whole, config, from_data=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype("float32")}
    scores, _ = scoring.score(run, state, slow=False)
    assert scores["test/loss"] != log.read(whole)[-1]["test/loss"]
    assert scores["test/loss"] == pytest.approx(log.read(whole)[-1]["test/loss"], rel=1e-2)


def test_pmap_trains_as_a_mesh_does(workdir, whole):
    train(tiny(**CHANGES | {"model.dropout": 0.0, "parallel.mode": "pmap"}), workdir)
    other = workdir.with_name("mesh")
    train(tiny(**CHANGES | {"model.dropout": 0.0}), other)
    for a, b in zip(rows(workdir), rows(other), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_another_config_in_the_same_workdir_is_refused_by_its_keys(whole):
    before = (whole / "config.json").read_text()
    with pytest.raises(
        UserError, match=r"another config, which differs in optim.learning_rate: 0.003 there, 0.1 here; seed"
    ):
        train(tiny(**CHANGES, **{"optim.learning_rate": 0.1, "seed": 5}), whole)
    assert (whole / "config.json").read_text() == before


def test_a_finished_run_says_so(whole):
    with pytest.raises(UserError, match=r"has finished all 6 steps. Score it with: .*python evaluate.py"):
        train(tiny(**CHANGES), whole)


def test_where_a_run_goes_on_may_change(whole):
    run = experiment.build(tiny(**CHANGES, **{"parallel.mode": "pmap", "log.every_steps": 1}), whole)
    with pytest.raises(UserError, match="has finished"):  # and not: another config
        resume.start(run)


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_what_a_nan_does_is_the_configs_choice(policy, workdir, monkeypatch, capsys):
    changes = {"checkpoint.every_steps": 1, "log.every_steps": 1}
    config = tiny(**changes | {"step.nonfinite": policy})
    pipeline = images.Pipeline
    batches = pipeline.train_batches

    def poisoned(self, start):
        for number, batch in enumerate(batches(self, start), start + 1):
            yield batch | {"image": batch["image"] * (np.nan if number == 3 else 1)}

    monkeypatch.setattr(pipeline, "train_batches", poisoned)
    if policy == "stop":
        with pytest.raises(UserError, match=r"not finite at step 3. The newest checkpoint is step 2.*nonfinite=skip"):
            train(config, workdir)
        assert experiment.build(config, workdir).checkpoints.latest() == 2
        assert train(tiny(**changes | {"step.nonfinite": "skip"}), workdir)["test/loss"] > 0
    else:
        assert train(config, workdir)["test/loss"] > 0
        assert "not finite at step 3: skipped" in capsys.readouterr().out
        assert [row["train/nonfinite"] for row in log.read(workdir) if "train/nonfinite" in row] == [0, 0, 1, 0, 0, 0]


def test_a_run_that_a_signal_stops_while_figures_are_drawn_is_saved_and_so_is_its_profile(workdir, monkeypatch):
    def drawn(run, state, step):
        if state:
            os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr("train.drawn", drawn)
    changes = {"profile.first_step": 2, "profile.steps": 1, "checkpoint.every_steps": 0}
    config = tiny(**changes, **{"evaluation.figures": ("samples",)})
    assert train(config, workdir) is None
    assert experiment.build(config, workdir).checkpoints.latest() == 3
    assert list((workdir / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.batch_size": 12},
            r"config.data.batch_size=12 does not divide by 8 devices x 1 micro-batches: try .*=16",
        ),
        ({"step.accumulate": 3}, r"does not divide by 8 devices x 3 micro-batches: try --config.data.batch_size=24"),
        ({"model.name": "vt"}, r"there is no 'vt' in models/: did you mean 'vit'"),
        ({"model.patch": 3}, r"an image of 8x8 does not divide into patches of 3"),
        ({"model.variant": "B/15"}, r"config.model.variant='B/15' does not exist: did you mean 'B/1"),
        ({"task.name": "clasify"}, r"did you mean 'classify'"),
        ({"data.name": "digit"}, r"TFDS has no set 'digit'"),
        ({"data.eval_splits": ("tset",)}, r"digits has no split 'tset': did you mean 'test'"),
        ({"parallel.mode": "tpu"}, r"config.parallel.mode='tpu' should be 'auto', 'pmap' or 'mesh'"),
        ({"optim.name": "adamm"}, r"config.optim.name='adamm' is not an optimiser: did you mean 'adam'"),
        ({"optim.decay": (".*/kernl",)}, r"config.optim.decay: '.*kernl' matches no parameter"),
        ({"steps": 0, "epochs": 0.0}, r"the run has no steps"),
        ({"checkpoint.keep_best": "tset/accuracy"}, r"keep_best='tset/accuracy' is of no split of .*'test'"),
        ({"log.every_steps": 0}, r"config.log.every_steps=0 should be greater than 0"),
        ({"step.ema_decay": 1.5}, r"config.step.ema_decay=1.5 should be less than 1"),
        ({"step.spike": 0.5}, r"config.step.spike=0.5 should be 0, which turns it off, or greater than 1"),
        ({"step.timeout_seconds": -1.0}, r"config.step.timeout_seconds=-1.0 should be greater than or equal to 0"),
        (
            {"step.nonfinite": "rolback"},
            r"config.step.nonfinite='rolback' should be 'stop', 'skip' or 'rollback': did you mean 'rollback'",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(changes, message, workdir):
    with pytest.raises(UserError, match=message):
        train(tiny(**changes), workdir)
    assert not workdir.exists()


def test_a_run_killed_while_it_saves_ends_where_the_uninterrupted_one_does(tmp_path):
    """Real processes, kill -9 while step 8 is saved. `make smoke` does it at fifty moments."""
    flags = [f"--config.{key}.every_steps=4" for key in ("checkpoint", "log")]
    flags += ["--config.steps=16", "--config.optim.warmup_steps=5", "--config.data.eval_splits=('test[:64]',)"]
    flags += ["--config.checkpoint.keep_best=", "--config.model.depth=1", "--config.evaluation.page=False"]
    environment = os.environ | {"XLA_FLAGS": conftest.QUICK}

    def command(workdir: Path) -> list[str]:
        return [
            sys.executable,
            str(ROOT / "train.py"),
            "--config=configs/vit_digits.py",
            f"--workdir={workdir}",
            *flags,
        ]

    def start(workdir: Path) -> subprocess.Popen:
        return subprocess.Popen(command(workdir), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait() == 0
    process, checkpoints = start(tmp_path / "killed"), tmp_path / "killed" / "checkpoints"
    while not list(checkpoints.glob("8*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert start(tmp_path / "killed").wait() == 0
    states_equal(tmp_path / "whole", tmp_path / "killed", 16)
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
