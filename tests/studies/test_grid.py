"""The runs of a study, and mistakes in one, before anything runs."""

import importlib
from pathlib import Path

import pytest

from analysis import report
from configs.studies import base
from errors import UserError
from experiment import config_file
from studies import grid

ROOT = Path(__file__).parents[2]
NAMES = sorted(p.stem for p in (ROOT / "configs" / "studies").glob("*.py") if p.stem not in ("base", "__init__"))
DIGITS = "configs/vit_digits.py"


def study(*runs: dict, **changes: object) -> grid.Study:
    config = base.get_config("A study", "figure 1", "Why?")
    config.runs = runs
    config.update(changes)
    return grid.read(config)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", ["", "tiny"])
def test_every_study_has_runs_that_train_would_take_and_three_seeds(name, size):
    assert f"| `{name}.py` |" in (ROOT / "configs" / "README.md").read_text()
    one = grid.read(importlib.import_module(f"configs.studies.{name}").get_config(size))
    jobs = grid.jobs(one)
    assert len(jobs) == 3 * len(one.runs) == len({job.name for job in jobs})
    assert one.paper
    assert one.figures
    report.check(one)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_size_is_an_error(name):
    with pytest.raises(UserError, match="no size 'tinny': did you mean 'tiny'"):
        config_file.read("--study", "configs/studies", f"configs/studies/{name}.py", "tinny")


def test_a_job_is_a_command_with_seed_changes_and_workdir():
    one = study(base.run(DIGITS, "steps=3", model="a b/c", images=5), after=("visualize.py curves",), seeds=2)
    last = grid.jobs(one, ["--config.log.every_steps=1"])[-1]
    train, after = last.commands(Path("out"))
    flags = [f"--config={DIGITS}", "--config.seed=1", "--config.steps=3", "--config.log.every_steps=1"]
    assert train == ["train.py", *flags, "--workdir=out/a_b_c-5-seed1"]
    assert after == ["visualize.py", "--workdir=out/a_b_c-5-seed1", "curves"]
    assert (last.labels, last.length) == ({"model": "a b/c", "images": 5}, 3)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "study.runs is empty"),
        ([base.run(DIGITS, x=1), base.run(DIGITS, x=1)], "two runs of the study share the workdir 1-seed0"),
        ([base.run(DIGITS, "optim.learning_rat=1", x=1)], "run 1-seed0 of the study: .*learning_rat"),
        ([base.run(DIGITS, "optim.learning_rate=fast", x=1)], "run 1-seed0 of the study: .*fast"),
        ([base.run("configs/vit_digit.py", x=1)], "there is no config configs/vit_digit.py"),
        ([base.run(DIGITS, x=1), base.run(DIGITS, y=1)], "has the labels y, and the first run x"),
    ],
)
def test_a_wrong_study_is_one_line(runs, message):
    with pytest.raises(UserError, match=message):
        grid.jobs(study(*runs))


@pytest.mark.parametrize("change", ["--config.seed=3", "--config.model.heads=2"])
def test_what_the_runs_differ_in_is_not_changed_for_all(change):
    runs = study(base.run(DIGITS, "steps=3", "model.heads=2", x=2), base.run(DIGITS, "steps=3", "model.heads=4", x=4))
    with pytest.raises(UserError, match="would be the same in all runs of the study"):
        grid.jobs(runs, [change])
    assert grid.jobs(runs, ["--config.steps=4"])[0].flags[-1] == "--config.steps=4"


def test_a_folder_of_another_study_is_refused_and_unchanged(tmp_path):
    grid.begin(tmp_path, grid.jobs(study(base.run(DIGITS, "steps=3", x=1))))
    before = (tmp_path / grid.FILE).read_text()
    with pytest.raises(UserError, match=r"run 1-seed0 differs: --config.steps=3 --config.steps=4"):
        grid.begin(tmp_path, grid.jobs(study(base.run(DIGITS, "steps=4", x=1))))
    assert (tmp_path / grid.FILE).read_text() == before
    grid.begin(tmp_path, grid.jobs(study(base.run(DIGITS, "steps=3", x=1), base.run(DIGITS, "steps=3", x=2))))


def test_a_run_is_done_when_what_comes_after_it_is(tmp_path):
    plain, drawn = (
        grid.jobs(study(base.run(DIGITS, "steps=3", x=name), after=after, seeds=1))[0]
        for name, after in (("plain", ()), ("drawn", ("visualize.py curves",)))
    )
    for job in (plain, drawn):
        (tmp_path / job.name / "checkpoints" / "3").mkdir(parents=True)
        (tmp_path / job.name / "config.json").write_text('{"total_steps": 3}')
        assert not grid.done(job, tmp_path)
        (tmp_path / job.name / "metrics.jsonl").write_text('{"step": 3}\n')
    assert grid.done(plain, tmp_path)
    assert not grid.done(drawn, tmp_path)
    (tmp_path / drawn.name / grid.ATTEMPTS).write_text('{"state": "failed", "seconds": 1}\n')
    assert not grid.done(drawn, tmp_path)
    (tmp_path / drawn.name / grid.ATTEMPTS).write_text('{"state": "finished", "seconds": 1}\n')
    assert grid.done(drawn, tmp_path)
