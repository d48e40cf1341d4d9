"""Faults of a run on two hosts, and the time until all hosts have ended.

    python results/hosts_drill.py [TIMES]

The hosts are processes on this machine; the signals are real. Writes results/hosts_drill.json and exits with 1 if a
drill was not survived: every host must end as expected, and the same command must then resume to the last step.
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402

Row = record.Record
STEPS, TIMEOUT = 60, 15.0
FLAGS = (
    f"--config.steps={STEPS} --config.checkpoint.every_steps=5 --config.log.every_steps=1 --config.data.batch_size=32 "
    f"--config.evaluation.every_steps=0 --config.log.peak_teraflops=1 --host_timeout={TIMEOUT}"
)
# A host that raises an exception at a step.
RAISES = """
import sys
import commands
commands.train_flags(); commands.host_flags()
import train
from data.pipelines import images
batches = images.Pipeline.train_batches
def broken(self, start):
    for number, batch in enumerate(batches(self, start)):
        if number == 8:
            raise OSError("the disk of this host is gone")
        yield batch
images.Pipeline.train_batches = broken
commands.run(train.main, "", config="configs/vit_digits.py")
"""
# drill: the host it strikes, the signal (None: an exception), and the exit status of each host (None: not checked).
DRILLS: dict[str, tuple[int, int | None, tuple[int | None, int | None]]] = {
    "kill -9 of host 1": (1, signal.SIGKILL, (1, -9)),
    "kill -9 of host 0, the coordinator": (0, signal.SIGKILL, (-9, 1)),
    "SIGSTOP of host 1": (1, signal.SIGSTOP, (1, None)),
    "SIGSTOP of host 0": (0, signal.SIGSTOP, (None, 1)),
    "an exception in host 1": (1, None, (1, 1)),
    "SIGTERM to host 0": (0, signal.SIGTERM, (0, 0)),
    "SIGTERM to host 1": (1, signal.SIGTERM, (0, 0)),
    "SIGINT to host 1": (1, signal.SIGINT, (0, 0)),
}


def start(workdir: Path, raising: bool = False, parallel: str = "pmap", hosts: int = 2) -> list[subprocess.Popen]:
    """Starts hosts of two devices each. raising: whether host 1 raises an exception."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "NPROC": "8"}
    processes = []
    for host in range(hosts):
        program = ["-c", RAISES] if raising and host == 1 else ["train.py"]
        log = workdir.with_name(f"{workdir.name}-{host}.log").open("w")
        processes.append(
            subprocess.Popen(
                [
                    *(
                        sys.executable,
                        *program,
                        "--config=configs/vit_digits.py:debug",
                        f"--workdir={workdir}",
                        *FLAGS.split(),
                    ),
                    *(
                        f"--config.parallel.mode={parallel}",
                        f"--coordinator=127.0.0.1:{port}",
                        f"--hosts={hosts}",
                        f"--host={host}",
                    ),
                ],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        )
    return processes


def log_of(workdir: Path, host: int) -> str:
    """The output of a host."""
    return workdir.with_name(f"{workdir.name}-{host}.log").read_text()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits until a condition holds, and returns whether it did in time."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def saved(workdir: Path) -> list[int]:
    """The steps of the checkpoints."""
    return sorted(int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit())


def drill(name: str, workdir: Path, moment: int, parallel: str) -> Row:
    """Runs one drill, a row of the record. moment: the step after whose checkpoint it strikes."""
    struck, number, expected = DRILLS[name]
    processes = start(workdir, raising=number is None, parallel=parallel)
    row: Row = {"drill": name, "parallel": parallel, "struck_after_step": moment}
    try:
        until(lambda: any(step >= moment for step in saved(workdir)) or None not in [p.poll() for p in processes], 120)
        begun = time.perf_counter()
        if number is not None:
            processes[struck].send_signal(number)
        others = [p for host, p in enumerate(processes) if expected[host] is not None]
        ended = until(lambda: None not in [p.poll() for p in others], 4 * TIMEOUT)
        row["seconds_until_all_ended"] = round(time.perf_counter() - begun, 1)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    statuses = [p.returncode for p in processes]
    right = all(e is None or s == e for s, e in zip(statuses, expected, strict=True))
    lines = [re.findall(r"^error: .*", log_of(workdir, host), re.MULTILINE) for host in range(2)]
    row |= {"statuses": statuses, "saved": saved(workdir)[-1:], "said": [line[-1] if line else "" for line in lines]}
    again = start(workdir, parallel=parallel)
    finished = [p.wait(180) for p in again] == [0, 0] and saved(workdir)[-1] == STEPS
    return row | {"survived": ended and right and finished}


def main(times: int) -> int:
    """Runs all drills and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    chance = random.Random(0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in DRILLS:
            for number in range(times):
                workdir = Path(folder, f"{len(rows)}")
                rows.append(drill(name, workdir, chance.choice([5, 10, 20]), ("pmap", "mesh")[number % 2]))
                print(json.dumps(rows[-1]), flush=True)
    table = [
        {
            "drill": name,
            "times": times,
            "survived": sum(row["survived"] for row in rows if row["drill"] == name),
            "seconds_until_all_ended": [row["seconds_until_all_ended"] for row in rows if row["drill"] == name],
        }
        for name in DRILLS
    ]
    result = {
        "command": f"python results/hosts_drill.py {times}",
        "expected": f"all hosts end, within {TIMEOUT:.0f} s of --host_timeout and a little, and the command resumes",
        "table": table,
        "log": rows,
        **about,
    }
    path = ROOT / "results" / "hosts_drill.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(table, indent=2))
    print(f"Written to {path}.")
    return 0 if all(row["survived"] for row in rows) else 1


if __name__ == "__main__":
    commands.script(main, __doc__, times=dict(type=int, nargs="?", default=4))
