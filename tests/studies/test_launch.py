"""Runs as processes: several at a time, failures, signals, locks."""

import dataclasses
import fcntl
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from errors import UserError
from studies import grid, launch


@dataclasses.dataclass(frozen=True)
class Script(grid.Job):
    """A job that runs Python code, which knows its folder as `here`."""

    code: str = ""

    def commands(self, folder: Path) -> list[list[str]]:
        return [["-c", f"here = {str(folder / self.name)!r}\n{self.code}"]]


def script(name: str, code: str) -> Script:
    return Script(name, {}, 0, (), code=code)


def test_a_failed_run_is_reported_and_the_others_go_on(tmp_path):
    told: list[launch.Outcome] = []
    jobs = [script("good", "print('well')"), script("bad", "raise SystemExit('no data')"), script("last", "pass")]
    outcomes = launch.here(jobs, tmp_path, 2, told.append)
    assert {outcome.job.name: outcome.state for outcome in outcomes} == {
        "good": "finished",
        "bad": "failed",
        "last": "finished",
    }
    assert {outcome.reason for outcome in told} == {"", "no data"}
    assert (tmp_path / "good" / "output.txt").read_text() == "well\n"
    assert '"failed"' in (tmp_path / "bad" / grid.ATTEMPTS).read_text()


def test_as_many_run_at_once_as_are_asked_for(tmp_path):
    meet = f"""
import pathlib, time
pathlib.Path(here, 'here').touch()
until = time.time() + 20
while len(list(pathlib.Path({str(tmp_path)!r}).glob('*/here'))) < 2:
    time.sleep(0.05)
    assert time.time() < until
"""
    outcomes = launch.here([script("a", meet), script("b", meet)], tmp_path, 2, lambda outcome: None)
    assert [outcome.state for outcome in outcomes] == ["finished"] * 2


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="macOS keeps no process to a core")
def test_each_of_those_that_run_at_once_has_its_own_cores(tmp_path):
    mine = os.sched_getaffinity(0)
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    for at_once in (1, len(mine), len(mine) + 1):
        names = [f"{at_once}-{number}" for number in range(at_once)]
        launch.here([script(name, code) for name in names], tmp_path, at_once, lambda outcome: None)
        counts = {len(json.loads((tmp_path / name / "output.txt").read_text())) for name in names}
        assert counts == {1 if at_once == len(mine) else len(mine)}
    assert os.sched_getaffinity(0) == mine


def test_a_signal_stops_what_runs_and_begins_nothing_more(tmp_path):
    wait = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit({launch.STOPPED}))
pathlib.Path(here, 'here').touch()
time.sleep(60)
"""

    def interrupt() -> None:
        while not (tmp_path / "a" / "here").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    told: list[launch.Outcome] = []
    outcomes = launch.here([script("a", wait), script("b", wait)], tmp_path, 1, told.append)
    thread.join()
    assert [outcome.state for outcome in outcomes] == ["stopped"] * 2
    assert [outcome.job.name for outcome in told] == ["a"]
    assert not (tmp_path / "b" / "here").exists()


def test_a_run_that_another_process_has_is_waited_for(tmp_path):
    (tmp_path / "a").mkdir()
    job = script("a", "import pathlib; pathlib.Path(here, 'ran').touch()")
    with ThreadPoolExecutor() as pool, (tmp_path / "a" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = pool.submit(launch.Runner(tmp_path), job)
        time.sleep(0.5)
        assert not (tmp_path / "a" / "ran").exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert outcome.result().state == "finished"
    assert (tmp_path / "a" / "ran").exists()


def test_an_unknown_option_of_submitit_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--launch=local: .*speed"):
        launch.submit([], tmp_path, "local", 1, {"speed": 3})
