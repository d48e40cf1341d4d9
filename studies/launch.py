"""How a run of a study is run: here, several at a time, or by SLURM. Either way it goes on where it was stopped."""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import UserError
from studies import grid

STOPPED = 75  # the exit status that train.py is told to end with when a signal stops it


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "finished", "failed", "stopped", or "busy": another process has it. seconds: of this attempt."""

    job: grid.Job
    state: str
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Runner:
    """Runs jobs, each in processes of its own; `stop` ends them all, saved.

    A run's folder is locked by the processes that work on it, so that a study that was killed and begun again waits for
    the runs that outlived it.
    """

    folder: Path
    stopping: bool = False
    running: set[subprocess.Popen] = field(default_factory=set)

    def __call__(self, job: grid.Job) -> Outcome:
        if self.stopping:
            return Outcome(job, "stopped")
        workdir = self.folder / job.name
        workdir.mkdir(parents=True, exist_ok=True)
        with (workdir / "lock").open("w") as lock, (workdir / "output.txt").open("a") as output:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self.stopping:
                        return Outcome(job, "busy")
                    time.sleep(1)
            begun = time.perf_counter()
            for command in job.commands(self.folder):
                if command[1] == "train.py":
                    if grid.progress(workdir) == 1:
                        continue
                    command = [*command, f"--stopped_status={STOPPED}"]
                process = subprocess.Popen(
                    command,
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[lock.fileno()],
                    start_new_session=True,  # Ctrl-C is for this process, which tells the run once
                )
                self.running.add(process)
                if self.stopping:  # asked for since the question above
                    process.send_signal(signal.SIGTERM)
                status = process.wait()
                self.running.discard(process)
                if status:
                    break
            else:
                status = 0
        state = "finished" if not status else "stopped" if self.stopping or status == STOPPED else "failed"
        seconds = time.perf_counter() - begun
        with (workdir / grid.ATTEMPTS).open("a") as file:
            file.write(json.dumps({"state": state, "seconds": round(seconds, 1)}) + "\n")
        return Outcome(job, state, seconds, last_line(workdir / "output.txt") if state == "failed" else "")

    def stop(self, *_: Any) -> None:
        """Ends what runs: each run saves its state, and goes on from there another time."""
        self.stopping = True
        for process in list(self.running):
            process.send_signal(signal.SIGTERM)


def here(jobs: Sequence[grid.Job], folder: Path, at_once: int, ended: Callable[[Outcome], None]) -> list[Outcome]:
    """Runs jobs on this machine, `at_once` at a time; `ended` is told of each. SIGINT and SIGTERM stop them, saved."""
    runner = Runner(folder)
    previous = {number: signal.signal(number, runner.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    outcomes = []
    try:
        with ThreadPoolExecutor(at_once) as pool:
            for future in as_completed([pool.submit(runner, job) for job in jobs]):
                outcomes.append(future.result())
                if outcomes[-1].seconds:  # it was begun
                    ended(outcomes[-1])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return outcomes


class Submitted:
    """A job as submitit runs it. Where SLURM takes the node away, the run is saved and the job queued again."""

    def __init__(self, job: grid.Job, folder: Path):
        self.job, self.folder = job, folder

    def __call__(self) -> str:
        self.runner = Runner(self.folder)
        outcome = self.runner(self.job)
        if outcome.state == "failed":
            raise RuntimeError(f"{self.job.name}: {outcome.reason}")
        return outcome.state

    def checkpoint(self) -> Any:
        """Called by submitit on preemption and before a time limit."""
        import submitit

        self.runner.stop()
        for process in list(self.runner.running):  # Popen.wait cannot be called: this is a signal handler within it
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Submitted(self.job, self.folder))


def submit(jobs: Sequence[grid.Job], folder: Path, cluster: str, at_once: int, options: dict[str, Any]) -> list[Any]:
    """Queues jobs through submitit, `at_once` at a time: its handles.

    Args:
      cluster: "slurm", or "local" for processes on this machine. options: of submitit's executor, such as timeout_min,
        gpus_per_node, slurm_partition.
    """
    import submitit

    try:
        executor = submitit.AutoExecutor(folder=folder.resolve() / "submitit" / "%j", cluster=cluster)
        executor.update_parameters(
            name=folder.name, slurm_array_parallelism=at_once, **{"timeout_min": 60 * 24} | options
        )
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UserError(f"--launch={cluster}: {' '.join(str(error).split())}") from None
    with executor.batch():
        return [executor.submit(Submitted(job, folder.resolve())) for job in jobs]


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
