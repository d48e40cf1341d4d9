"""Several hosts, as real processes that speak over loopback."""

import os
import re
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from errors import UserError
from experiment import restore
from tests.commandline import command
from tests.conftest import QUICK, tiny
from train import train
from training import hosts, log

ROOT = Path(__file__).parents[1]
# A host that trains, and where it is the last one sends itself SIGTERM while it makes batch `stop`.
TRAINS = """
import os, signal, sys
from pathlib import Path
from data.pipelines import images
from tests.conftest import QUICK, tiny
from train import train
from training import hosts
os.environ["XLA_FLAGS"] = os.environ["FLAGS"]  # not the tests' eight devices
port, count, host, stop, workdir, mode = sys.argv[1:]
batches = images.Pipeline.train_batches
def interrupted(self, start):
    for number, batch in enumerate(batches(self, start)):
        if number == int(stop) and int(host) == int(count) - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch
images.Pipeline.train_batches = interrupted
hosts.join(f"127.0.0.1:{port}", int(count), int(host), 60)
changes = {"parallel.mode": mode} | ({"parallel.tensor": 2} if mode == "mesh" else {})
train(tiny(**LONGER, **changes), Path(workdir))
hosts.part()
"""
# A host that does nothing but be there; "raises" fails, as any command would.
WAITS = """
import sys
import time
import commands
from training import hosts
port, count, host, does = sys.argv[1:]
def main(arguments):
    hosts.wait("start")
    print("here", flush=True)
    if does == "raises":
        raise OSError("no such disk")
    time.sleep(600)
commands.config_flag("")
commands.host_flags()
sys.argv[1:] = [f"--coordinator=127.0.0.1:{port}", f"--hosts={count}", f"--host={host}", "--host_timeout=5"]
commands.run(main, "", config="configs/vit_digits.py")
"""
# A last evaluation batch of one example, which is fewer than there are devices.
LONGER = {
    "steps": 40,
    "model.depth": 1,
    "optim.name": "sgd",
    "checkpoint.keep_best": "",
    "data.eval_splits": ("test[:97]",),
    "evaluation.every_steps": 0,
    "checkpoint.every_steps": 100,
}


def start(program: str, *arguments: object, devices: int = 1) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    return subprocess.Popen(
        [sys.executable, "-c", f"LONGER = {LONGER!r}\n" + program, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_two_hosts_stop_together_and_go_on_with_half_a_model_each_and_it_is_one_run(tmp_path):
    """SIGTERM on one of two pmapped hosts; two that split the model continue to the metrics of one host."""
    port, workdir = free_port(), tmp_path / "hosts"
    two = [start(TRAINS, port, 2, host, 8, workdir, "pmap", devices=2) for host in range(2)]
    said = [p.communicate(timeout=300) for p in two]
    assert [p.returncode for p in two] == [0, 0], said
    step = int(re.search(r"Stopped at step (\d+) of 40", said[0][0])[1])
    assert 3 <= step < 40
    assert "Stopped" not in said[1][0]  # one speaks
    assert [p.name for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()] == [str(step)]

    port = free_port()
    halves = [start(TRAINS, port, 2, host, 1000, workdir, "mesh") for host in range(2)]
    said = [p.communicate(timeout=300) for p in halves]
    assert [p.returncode for p in halves] == [0, 0], said

    train(tiny(**LONGER), tmp_path / "one")
    figures = [{k: v for row in log.read(w) for k, v in row.items() if "/" in k} for w in (workdir, tmp_path / "one")]
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
    states = [restore.load(w)[1] for w in (workdir, tmp_path / "one")]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), *(jax.device_get(s.params) for s in states))


@pytest.mark.parametrize(
    ("struck", "how", "statuses", "line"),
    [
        (1, signal.SIGKILL, (1, -9), r"error: host 1 has not been heard of for 5 s. Host 0 ends too."),
        (0, signal.SIGKILL, (-9, 1), r"error: host 0, the coordinator, died or is out of reach. Host 1 ends too."),
        (1, signal.SIGSTOP, (1, -9), r"error: host 1 has not been heard of for 5 s"),
        (0, signal.SIGSTOP, (-9, 1), r"error: host 0 has not been heard of for 5 s"),
        (1, None, (1, 1), r"error: host 1 ended: OSError: no such disk. Host 0 ends too. The same command continues"),
    ],
)
def test_the_end_of_one_host_is_that_of_all(struck, how, statuses, line):
    port = free_port()
    two = [start(WAITS, port, 2, host, "raises" if host == struck and how is None else "waits") for host in range(2)]
    other = two[1 - struck]
    for process in two:
        assert process.stdout.readline() == "here\n"
    if how is not None:
        two[struck].send_signal(how)
    _, errors = other.communicate(timeout=60)
    if how == signal.SIGSTOP:
        two[struck].kill()
    two[struck].communicate(timeout=60)
    assert (two[0].returncode, two[1].returncode) == statuses
    assert re.search(line, errors), errors


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--hosts=2"], r"--coordinator=HOST:PORT, --hosts=N and --host=0 ... N-1 go together"),
        (["--hosts=2", "--host=2", "--coordinator=h:1"], r"--host=2 should be less than --hosts=2"),
        (["--hosts=2", "--host=1", "--coordinator=h"], r"--coordinator=h should be HOST:PORT"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags, line):
    done = command("train.py", "--config=configs/vit_digits.py:debug", *flags)
    assert done.returncode == 2
    assert re.fullmatch(f"error: {line}.*\n", done.stderr), done.stderr


def test_a_host_that_the_others_do_not_meet_says_so():
    """In a process of its own, which jax would abort."""
    flags = ("--hosts=2", "--host=1", f"--coordinator=127.0.0.1:{free_port()}", "--host_timeout=1")
    done = subprocess.run(
        [sys.executable, "train.py", "--config=configs/vit_digits.py:debug", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    line = r"error: not all hosts met at 127.0.0.1:\d+ within 3 s: start the same command on each.*\n"
    assert re.fullmatch(line, done.stderr), done.stderr


def test_a_port_that_is_taken_is_known_before_jax_would_crash():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"host 0 cannot listen on port {port} \(Address already in use\)"):
            hosts.join(f"127.0.0.1:{port}", 2, 0, 1)
    with pytest.raises(UserError, match=r"--coordinator=127.0.0.1:70000 should be HOST:PORT"):
        hosts.join("127.0.0.1:70000", 2, 0, 1)
