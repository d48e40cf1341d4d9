"""What a workdir says of its run, damaged in any way: one line from every command that reads it."""

import json
from pathlib import Path

import pytest

import experiment
from analysis import table
from data.pipelines import ragged
from errors import UserError
from experiment import record, restore
from studies import grid
from tests.commandline import command
from tests.conftest import tiny
from training import log

DAMAGED = {
    "empty": b"",
    "cut short": b'{"model": {"name"',
    "binary": b"\x80\x81\x82",
    "zeros": bytes(100),
    "nested without end": b"[" * 100_000,
    "a list": b"[1, 2]",
    "null": b"null",
    "a number of ten thousand digits": b'{"total_steps": ' + b"9" * 10_000 + b"}",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A workdir with the record of a run that was never trained."""
    workdir = tmp_path_factory.mktemp("whole")
    config = tiny(**{"data.source": "synthetic", "data.name": "10"})
    record.write(workdir, experiment.build(config, workdir).record)
    return workdir


@pytest.fixture
def workdir(whole, tmp_path) -> Path:
    (tmp_path / record.FILE).write_bytes((whole / record.FILE).read_bytes())
    return tmp_path


def rewrite(workdir: Path, key: str, value: object) -> None:
    """The record with another value of a key."""
    path, *sections = workdir / record.FILE, *key.split(".")
    saved = here = json.loads(path.read_text())
    for section in sections[:-1]:
        here = here[section]
    if value is None:
        del here[sections[-1]]
    else:
        here[sections[-1]] = value
    path.write_text(json.dumps(saved))


@pytest.mark.parametrize("door", ["evaluate.py", "predict.py", "visualize.py", "convert.py"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_record_that_is_no_record(workdir, door, damage):
    (workdir / record.FILE).write_bytes(DAMAGED[damage])
    arguments = [workdir, workdir / "a.npz"] if door == "convert.py" else [f"--workdir={workdir}"]
    done = command(door, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"error: {workdir / record.FILE} is damaged" in done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("model", v) for v in (3, "vit", [1], [["name", "vit"]])],
        *[("data", v) for v in ({}, [], "x")],
        *[("model.name", v) for v in (7, "", "nope", None, {"a": 1})],
        *[("optim.name", v) for v in (7, {}, "nope")],
        *[("steps", v) for v in ("many", 1.5, -1, {})],
        *[("total_steps", v) for v in ("many", 1.5, 0, 1e99, [], None)],
        *[("known", v) for v in (3, [], "abc", None)],
        *[("known.classes", v) for v in ("abc", [1, 2], 3)],
        *[("skipped_batches", v) for v in (3, [3], [["a", "b"]])],
        *[("evaluation.fewshot", v) for v in (3, [1])],
        ("data.augment", "x"),
        ("checkpoint.keep_last", -1),
    ],
)
def test_a_record_with_something_wrong_inside(workdir, key, value):
    rewrite(workdir, key, value)
    with pytest.raises(UserError) as raised:
        restore.load(workdir)
    assert "\n" not in str(raised.value)
    assert "no checkpoint" not in str(raised.value)


def test_a_record_that_cannot_be_read(tmp_path):
    (tmp_path / record.FILE).mkdir()
    for workdir, message in ((tmp_path, "Is a directory"), (Path(__file__), "Not a directory")):
        with pytest.raises(UserError, match=f"cannot read .*: {message}"):
            restore.load(workdir)


@pytest.mark.parametrize(
    "line",
    [b"\x80", b"{", b"[1]", b"3", b"{}}", b'{"loss": 1}', b'{"step": "1"}', b'{"step": 2, "loss": {}}', bytes(9)],
)
def test_metrics_with_a_line_that_is_none(tmp_path, line):
    path = tmp_path / log.FILE
    path.write_bytes(b'{"step": 1, "loss": 0.5}\n' + line + b'\n{"step": 3, "loss": null}\n')
    with pytest.raises(UserError, match=rf"{log.FILE} is damaged.* 2.* Remove that line"):
        log.read(tmp_path)
    path.write_bytes(b'{"step": 1, "loss": 0.5}\n{"step": 2, "lo')  # what a kill leaves
    assert log.read(tmp_path) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_tokenizer_and_the_files_of_a_study(tmp_path, damage):
    for name in ("tokenizer.model", grid.FILE, "table.json", grid.ATTEMPTS):
        (tmp_path / name).write_bytes(DAMAGED[damage])
    with pytest.raises(UserError, match="is not the tokenizer that this run was trained with"):
        ragged.load({"tokenizer.model": "0" * 16}, tmp_path)
    with pytest.raises(UserError, match=r"study\.json is damaged"):
        grid.begin(tmp_path, [])
    with pytest.raises(UserError, match=r"table\.json is damaged"):
        table.kept(tmp_path)
