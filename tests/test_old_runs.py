"""Workdirs of an older version (format 1 of config.json): they are scored, used and continued.

tests/old_runs/runs.tar.xz holds two runs of six steps that were stopped after step 3, of the commit before format 2;
expected.json holds what that version made of the rest, and digests of the batches that it read.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment import restore
from tests.commandline import command
from train import train
from training import log

FOLDER = Path(__file__).parent / "old_runs"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.fixture
def workdir(tmp_path, request) -> Path:
    with tarfile.open(FOLDER / "runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / request.param


def digest(batches: Iterable[dict[str, np.ndarray]]) -> str:
    found = hashlib.sha256()
    for batch in batches:
        for name in sorted(batch):
            found.update(name.encode())
            found.update(np.ascontiguousarray(batch[name]).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("workdir", EXPECTED, indirect=True)
def test_an_old_run_reads_the_batches_that_it_would_have_read(workdir):
    run, expected = restore.parts(restore.saved_config(workdir), workdir), EXPECTED[workdir.name]
    assert digest(islice(run.batches(3), 5)) == expected["train_batches"]
    evaluated = ({k: v for k, v in batch.items() if k != "index"} for batch in run.pipeline.eval_batches("test"))
    assert digest(evaluated) == expected["eval_batches"]


@pytest.mark.parametrize("workdir", EXPECTED, indirect=True)
def test_an_old_run_is_scored_used_and_continued(workdir, tmp_path):
    saved = [row for row in log.read(workdir) if row["step"] <= 3][-1]
    done = command("evaluate.py", f"--workdir={workdir}", "--json", "--config.parallel.mode=mesh")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert {name: scores[name] for name in saved if "/" in name} == pytest.approx(
        {name: value for name, value in saved.items() if "/" in name}, rel=1e-5
    )

    Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    item = {"digits": tmp_path / "a.png", "pairs": "1 2 3"}[workdir.name]
    done = command("predict.py", f"--workdir={workdir}", "--json", item)
    assert done.returncode == 0, done.stderr

    config = restore.saved_config(workdir)
    config.parallel.mode = "mesh"
    config.evaluation.page = False
    train(config, workdir)
    rows = [row for row in log.read(workdir) if row["step"] > 3]
    expected = EXPECTED[workdir.name]["metrics"]
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, then in zip(rows, expected, strict=True):
        assert {name: row[name] for name in then} == pytest.approx(then, rel=1e-4, abs=1e-6)
