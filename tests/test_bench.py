"""What `make bench` and results/accelerator.py do, with contestants that do nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results.bench import lines, picture, table, turns
from results.bench.lines import OURS, Contestant, Line

ROOT = Path(__file__).parents[1]
STUB = """
import sys, time
from contestants import here

def steady(units):
    def work():
        print("a library's word")
        time.sleep(0.01)
        return units
    return here.Measured(work, lambda: {"GB": 1.5, "profile": ["a"]})

def seconds(value):
    return lambda: value

def absent():
    here.package("no_such_package")

def broken():
    raise ValueError("of its own")

def dies():
    return lambda: sys.exit("died in its turn")

def no_facts():
    return here.Measured(lambda: 1, lambda: sys.exit("no profiler here"))

def sleeps():
    time.sleep(60)

def slower(seconds):
    times = iter([0, 0, 0.1, *[seconds] * 9])
    return lambda: time.sleep(next(times)) or 1
"""


@pytest.fixture
def interpreters(tmp_path, monkeypatch) -> turns.Interpreters:
    """For contestants of a module `stub`."""
    (tmp_path / "contestants").mkdir()
    (tmp_path / "contestants" / "stub.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(turns, "LOGS", tmp_path / "logs")
    return turns.Interpreters(Path(sys.executable), tmp_path / "nowhere")


@pytest.mark.parametrize("together", [False, True])
def test_contestants_take_turns_and_those_that_fail_leave_the_line(interpreters, together):
    contestants = {
        OURS: Contestant("stub.steady", {"units": 8}),
        "half": Contestant("stub.steady", {"units": 4}, published=True),
        "absent": Contestant("stub.absent"),
        "uninstalled": Contestant("stub.steady", torch=True),
        "broken": Contestant("stub.broken"),
        "dies": Contestant("stub.dies"),
    }
    line = Line("stub", "Stub", "units/s", contestants, seconds=0.05, together=together)
    entry = line.words | turns.measure(line, 2, interpreters, lambda text: None)
    assert {name: len(values) for name, values in entry["values"].items()} == {OURS: 2, "half": 2}
    assert table.ratio(entry, "half") == pytest.approx(2, rel=0.5)
    assert set(entry["absent"]) == {"absent", "uninstalled"}
    assert "no_such_package" in entry["absent"]["absent"]
    assert "ValueError: of its own" in entry["failed"]["broken"]
    assert "died in its turn" in entry["failed"]["dies"]
    assert "python" not in entry["versions"]
    assert entry["others"] is None or 0 <= entry["others"] <= 1
    assert ", 1.5 GB" in table.cell(entry, OURS)
    assert entry["facts"]["half"]["profile"] == ["a"]


def test_of_what_should_be_small_less_is_ahead_and_the_table_says_who_is_absent(interpreters, tmp_path):
    contestants = {
        OURS: Contestant("stub.seconds", {"value": 4.0}),
        "slower": Contestant("stub.seconds", {"value": 6.0}, published=True),
        "quicker": Contestant("stub.seconds", {"value": 3.0}),
        "absent": Contestant("stub.absent"),
    }
    line = Line("stub", "Stub", "s", contestants, less=True, seconds=0.0, exact=True)
    entry = (
        line.words | turns.measure(line, 3, interpreters, lambda text: None) | {"commit": "0123456789", "others": 0.2}
    )
    assert entry["values"][OURS] == [4.0]  # more rounds would say the same
    table.write(tmp_path / "bench.json", "a command", {"stub": entry})
    assert table.rows(tmp_path / "bench.json") == [
        [
            "Stub; 20% of the machine was used by others",
            "4 s",
            "slower 6 (1.50×)",
            "quicker 3 (**0.75×**); absent: absent",
            "0123456",
        ]
    ]
    picture.draw({"stub": entry}, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_measured_stays_where_the_time_is_over(interpreters, tmp_path):
    contestants = {
        OURS: Contestant("stub.steady", {"units": 8}),
        "compiles for ever": Contestant("stub.sleeps"),
        "hangs": Contestant("stub.slower", {"seconds": 60}),
    }
    line = Line("stub", "Stub", "units/s", contestants, seconds=0.05, together=True)
    begun = time.monotonic()
    entry = line.words | turns.measure(line, 3, interpreters, lambda text: None, end=begun + 6)
    assert 5.4 <= time.monotonic() - begun < 12
    assert len(entry["values"][OURS]) >= 1
    assert len(entry["values"]["hangs"]) == 1
    assert entry["failed"].keys() == {"compiles for ever", "hangs"}
    assert "within 4 s" in entry["failed"]["compiles for ever"]
    assert entry["facts"][OURS]["GB"] == 1.5
    table.write(tmp_path / "bench.json", "a command", {"stub": entry | {"commit": "0123456789", "others": 0.0}})
    (row,) = table.rows(tmp_path / "bench.json")
    assert row[3].startswith("hangs ")
    assert row[3].endswith("; compiles for ever (failed): absent")


def test_what_was_measured_stays_where_the_facts_fail(interpreters):
    line = Line("stub", "Stub", "units/s", {OURS: Contestant("stub.no_facts")}, seconds=0.05)
    entry = turns.measure(line, 2, interpreters, lambda text: None)
    assert len(entry["values"][OURS]) == 2
    assert "no profiler here" in entry["failed"][OURS]


def test_every_line_names_contestants_that_exist():
    folder = ROOT / "results" / "bench" / "contestants"
    for line in lines.LINES:
        assert next(iter(line.contestants)) == OURS
        for contestant in line.contestants.values():
            file, _, function = contestant.function.partition(".")
            assert f"\ndef {function}(" in (folder / f"{file}.py").read_text(), line.name
    assert len({line.name for line in lines.LINES}) == len(lines.LINES)


def test_the_accelerators_command_runs_without_tensorflow_and_with_small_shapes_on_a_cpu(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('not on such machines')")
    command = [sys.executable, "results/accelerator.py", "--tiny", "--only=vit_s", f"--folder={tmp_path}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    entry = json.loads((tmp_path / "accelerator.json").read_text())["lines"]["vit_s"]
    facts = entry["facts"][OURS]
    assert entry["values"][OURS][0] > 0
    assert facts["% MFU"] > 0
    assert facts["profile"]
