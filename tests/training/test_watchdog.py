"""The watchdog in processes of its own, which it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = """
import ctypes, sys, threading, time
from pathlib import Path
from training import watchdog
folder = Path(sys.argv[1])
"""


def start(program: str, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", BEGIN + program, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_thread_that_is_stuck_in_c_ends_the_process_with_every_threads_stack(tmp_path):
    for name in ("4", "12", "13.orbax-checkpoint-tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    process = start(
        """
def another_thread():
    threading.Event().wait()

threading.Thread(target=another_thread, daemon=True).start()
with watchdog.Watchdog(folder / "checkpoints", 0.5, host=1) as watch:
    for _ in range(15):  # more than the limit in all
        watch.feed("step 6")
        time.sleep(0.1)
    watch.feed("the save of step 6", slow=True)
    time.sleep(1.2)
    print("slow is no hang")
    watch.feed("step 7")
    ctypes.CDLL(None).sleep(1000)  # lets other threads run, as a device call does
""",
        tmp_path,
    )
    out, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert out == "slow is no hang\n"
    stacks = (tmp_path / "stacks-1.txt").read_text()
    for text in (error, stacks):
        assert "step 7 has not ended after" in text
        assert "in another_thread" in text
        assert 'File "<string>", line' in text
    last = error.splitlines()[-1]
    assert last.startswith("error: step 7 has not ended")
    assert "config.step.timeout_seconds=0.5" in last
    assert f"stacks in {tmp_path}/stacks-1.txt; the newest checkpoint is step 12, and the same command" in last


def test_a_folder_that_cannot_be_written_hinders_nothing(tmp_path):
    process = start(
        'with watchdog.Watchdog(folder / "x" / "y", 0.2, host=0) as w: w.feed("step 1"); time.sleep(1000)', tmp_path
    )
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert error.splitlines()[-1].endswith("stacks in the lines above; no checkpoint was found.")


def test_a_call_that_holds_the_interpreter_ends_it_too(tmp_path):
    process = start(
        """
with watchdog.Watchdog(folder / "checkpoints", 0.5, host=0) as watch:
    watch.feed("step 1")
    time.sleep(0.3)
    ctypes.PyDLL(None).sleep(1000)
""",
        tmp_path,
    )
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert 'File "<string>", line' in error


@pytest.mark.parametrize("seconds", [0, 2])
def test_a_stopped_process_and_one_without_a_limit_go_on(tmp_path, seconds):
    process = start(
        f"""
with watchdog.Watchdog(folder / "checkpoints", {seconds}, host=0) as watch:
    watch.feed("step 1")
    print("begun", flush=True)
    for _ in range(10):
        time.sleep(0.1)
print("done")
""",
        tmp_path,
    )
    assert process.stdout.readline() == "begun\n"
    if seconds:
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.4)
        process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == "done\n"
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
