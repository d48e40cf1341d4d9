"""Hooks: what they are told, what they may not do to a run, and the trackers that are installed."""

import json
import os
import sqlite3
import subprocess
import sys
import tomllib
import types
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from tests.own_hook import heard, own
from training.hooks import Hooks, find


def test_a_hook_that_fails_is_left_out_and_the_run_goes_on(tmp_path, capsys):
    hook, told = own(tmp_path, then="raise OSError('no network\\nat all')")
    with Hooks((hook,)) as hooks:
        hooks.begin({"model": {"name": "vit"}}, tmp_path, 0)
        for step in (1, 2):
            hooks.log(step, {"train/loss": 1.0})
        hooks.figures(2, tmp_path)
        hooks.status = "finished"
    assert [one[0] for one in heard(told)] == ["begin", "log"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"warning: the hook {hook!r} failed in log and is left out from here on: OSError: no network at all"


@pytest.mark.parametrize(("ends", "status"), [(None, "stopped"), (KeyboardInterrupt, "failed"), (UserError, "failed")])
def test_a_hook_is_told_how_the_run_ends(tmp_path, ends, status):
    hook, told = own(tmp_path)
    with pytest.raises(ends) if ends else nullcontext(), Hooks((hook,)) as hooks:
        if ends:
            raise ends
        hooks.status = "stopped"
    assert heard(told) == [["end", status]]


def test_other_hosts_call_no_hooks(tmp_path):
    hook, told = own(tmp_path)
    with Hooks((hook,), on=False) as hooks:
        hooks.log(1, {"train/loss": 1.0})
    assert not told.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wanbd", "there is no hook 'wanbd': did you mean 'wandb'"),
        ("nowhere.py", "there is no file nowhere.py"),
        ("no_such.module", "no_such.module cannot be imported"),
        ("json.decoder", "json.decoder defines no class Hook"),
    ],
)
def test_a_hook_that_is_not_there_is_one_line(name, message):
    with pytest.raises(UserError, match=message):
        find(name)


def test_a_file_that_fails_is_one_line(tmp_path):
    (tmp_path / "hook.py").write_text("1 / 0")
    with pytest.raises(UserError, match=r"hook.py fails: ZeroDivisionError: division by zero\.$"):
        find(str(tmp_path / "hook.py"))


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_library_that_is_absent_is_one_line_with_its_command(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"config.hooks needs {name} .*: \S*python -m pip install {name}==[\d.]+$"):
        Hooks((name,))


def test_the_versions_are_those_of_the_extras_and_of_make_test_trackers():
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = [line for line in (root / "requirements-trackers.txt").read_text().splitlines() if line[0] != "#"]
    assert lines == [sys.modules[find(name).__module__].INSTALL for name in ("wandb", "mlflow", "trackio")]
    assert lines[:2] == extras["wandb"] + extras["mlflow"]


def told_through(name: str, workdir: Path) -> None:
    """A run that begins, logs, draws, and goes on once."""
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(workdir / "attention.png")
    for start in (0, 2):
        with Hooks((name,)) as hooks:
            hooks.begin({"seed": 3, "model": {"name": "vit", "sizes": (1, 2)}}, workdir, start)
            hooks.log(start + 1, {"train/loss": 1.0 + start, "mfu": float("nan")})
            hooks.log(start + 2, {"test/accuracy": 0.5})
            hooks.figures(start + 2, workdir)
            hooks.status = "finished" if start else "stopped"


class Recorder(types.ModuleType):
    """A library whose every call is kept."""

    def __init__(self, name: str):
        super().__init__(name)
        self.calls: list[tuple[str, tuple, dict]] = []

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: object, **options: object) -> "Recorder":
            self.calls.append((name, arguments, options))
            return self

        call.__dict__["finish"] = call
        return call


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_what_is_called(name, tmp_path, monkeypatch, capsys):
    """Of a library that is not installed: begin, every log with our step, pictures, the end; one run for both parts."""
    library = Recorder(name)
    library.__dict__["summary"] = {}
    monkeypatch.setitem(sys.modules, name, library)
    told_through(name, tmp_path)
    assert capsys.readouterr().err == ""
    begun = [options for called, _, options in library.calls if called == "init"]
    assert len(begun) == 2
    key = "id" if name == "wandb" else "name"
    assert begun[0][key] == begun[1][key]
    assert begun[0]["resume"] == "allow"
    logged = [(arguments[0], options) for called, arguments, options in library.calls if called == "log"]
    steps = [row.get("step", options.get("step")) for row, options in logged if "train/loss" in row]
    assert steps == [1, 3]
    assert any("figures/attention" in row for row, _ in logged)
    assert [called for called, _, _ in library.calls].count("finish") == 2


@pytest.mark.filterwarnings("ignore")  # of its libraries
def test_weights_and_biases_keeps_a_run_offline(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb", reason="needs wandb: make test-trackers")
    monkeypatch.setenv("WANDB_MODE", "offline")
    told_through("wandb", tmp_path)
    assert "warning: the hook" not in capsys.readouterr().err
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    assert len({file.name for file in files}) == 1  # of one run
    assert b"test/accuracy" in files[0].read_bytes()


@pytest.mark.filterwarnings("ignore")  # of its libraries
@pytest.mark.parametrize("store", ["sqlite:///{}/mlflow.db", "{}/mlruns"])
def test_mlflow_keeps_a_run(tmp_path, monkeypatch, capsys, store):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: make test-trackers")
    if store.startswith("sqlite"):
        pytest.importorskip("sqlalchemy", reason="mlflow-skinny has no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.format(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    told_through("mlflow", tmp_path)
    assert "warning: the hook" not in capsys.readouterr().err
    client = mlflow.MlflowClient()
    (experiment,) = (one for one in client.search_experiments() if one.name == "attend")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3", "model.name": "vit", "model.sizes": "(1, 2)"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train/loss")] == [(1, 1.0), (3, 3.0)]
    assert [one.path for one in client.list_artifacts(run.info.run_id, "figures/2")] == ["figures/2/attention.png"]


def test_trackio_keeps_a_run(tmp_path):
    """In a process of its own: it reads its folder when it is imported."""
    pytest.importorskip("trackio", reason="needs trackio: make test-trackers")
    program = (
        "from pathlib import Path; from tests.training.test_hooks import told_through;"
        f"told_through('trackio', Path({str(tmp_path)!r}))"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "kept"), "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning: the hook" not in done.stderr
    with sqlite3.connect(tmp_path / "kept" / "attend.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step").fetchall()
    assert len({name for name, *_ in rows}) == 1
    logged = [(step, json.loads(metrics)) for _, step, metrics in rows]
    assert [(step, row["train/loss"]) for step, row in logged if "train/loss" in row] == [(1, 1.0), (3, 3.0)]
