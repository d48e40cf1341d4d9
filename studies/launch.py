"""Launches the runs of a study: here, several at a time, or by SLURM. A stopped run resumes from its checkpoint."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from errors import UserError
from studies import grid

if TYPE_CHECKING:  # imported only to submit
    from submitit import Job as Handle
    from submitit.helpers import DelayedSubmission

OUTPUT = "output.txt"  # in a run's folder
STOPPED = 75  # exit status of a train.py that a signal stopped, by --stopped_status
State = Literal["finished", "failed", "stopped", "busy"]


@dataclass(frozen=True)
class Outcome:
    """How an attempt of a run ended.

    Attributes:
      job: the run.
      state: "busy" if another process works on it.
      seconds: of this attempt; 0 if it did not begin.
      reason: why it failed.
    """

    job: grid.Job
    state: State
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Runner:
    """Runs jobs, each in its own processes. `stop` ends them all; their state is saved.

    The processes of a run lock its folder. A study that was killed and started again waits for runs that are still
    running.

    Attributes:
      folder: of the study.
      stopping: whether `stop` was called.
      running: the processes.
    """

    folder: Path
    stopping: bool = False
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def __call__(self, job: grid.Job) -> Outcome:
        """Runs a job and the commands after it, unless it is finished."""
        if self.stopping:
            return Outcome(job, "stopped")
        workdir = self.folder / job.name
        workdir.mkdir(parents=True, exist_ok=True)
        with (workdir / "lock").open("w") as lock, (workdir / OUTPUT).open("a") as output:
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
                if command[0] == "train.py":
                    if grid.progress(workdir) == 1:
                        continue
                    command = [*command, f"--stopped_status={STOPPED}"]
                process = subprocess.Popen(
                    [sys.executable, *command],
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[lock.fileno()],
                    start_new_session=True,  # Ctrl-C signals this process only, which signals the run once
                )
                self.running.add(process)
                if self.stopping:  # `stop` was called since the check above
                    process.send_signal(signal.SIGTERM)
                status = process.wait()
                self.running.discard(process)
                if status:
                    break
            else:
                status = 0
        state: State = "finished" if not status else "stopped" if self.stopping or status == STOPPED else "failed"
        seconds = time.perf_counter() - begun
        with (workdir / grid.ATTEMPTS).open("a") as file:
            file.write(json.dumps({"state": state, "seconds": round(seconds, 1)}) + "\n")
        return Outcome(job, state, seconds, last_line(workdir / OUTPUT) if state == "failed" else "")

    def stop(self, *_: object) -> None:
        """Ends the running jobs. Each saves its state, to resume another time. A signal handler."""
        self.stopping = True
        for process in list(self.running):
            process.send_signal(signal.SIGTERM)


def here(jobs: Sequence[grid.Job], folder: Path, at_once: int, ended: Callable[[Outcome], None]) -> list[Outcome]:
    """Runs jobs on this machine. SIGINT and SIGTERM stop them; their state is saved.

    Args:
      jobs: to run.
      folder: of the study.
      at_once: jobs at a time, each on its own part of the cores.
      ended: is called with each outcome of a job that began.
    """
    runner = Runner(folder)
    previous = {number: signal.signal(number, runner.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    outcomes = []
    try:
        with ThreadPoolExecutor(at_once, initializer=_take_cores, initargs=(_parts(at_once),)) as pool:
            for future in as_completed([pool.submit(runner, job) for job in jobs]):
                outcomes.append(future.result())
                if outcomes[-1].seconds:  # it began
                    ended(outcomes[-1])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return outcomes


def _parts(count: int) -> "SimpleQueue[set[int]]":
    """The cores in `count` parts; all of them in each where there are fewer, nothing where a thread has no cores."""
    parts: SimpleQueue[set[int]] = SimpleQueue()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for number in range(count if cores else 0):
        parts.put({*(cores[number::count] if len(cores) >= count else cores)})
    return parts


def _take_cores(parts: "SimpleQueue[set[int]]") -> None:
    """Keeps this thread, and the processes that it starts, to one part: those that share cores wait for one another."""
    if not parts.empty():
        os.sched_setaffinity(0, parts.get())


class Submitted:
    """A job as submitit runs it. If SLURM preempts it, its state is saved and it is queued again."""

    def __init__(self, job: grid.Job, folder: Path):
        self.job, self.folder = job, folder

    def __call__(self) -> State:
        """Runs the job.

        Raises:
          RuntimeError: it failed.
        """
        self.runner = Runner(self.folder)
        outcome = self.runner(self.job)
        if outcome.state == "failed":
            raise RuntimeError(f"{self.job.name}: {outcome.reason}")
        return outcome.state

    def checkpoint(self) -> "DelayedSubmission":
        """Saves the state. submitit calls it on preemption and before a time limit, and queues what it returns."""
        import submitit

        self.runner.stop()
        for process in list(self.runner.running):  # not Popen.wait: this runs in a signal handler within it
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Submitted(self.job, self.folder))


def submit(
    jobs: Sequence[grid.Job], folder: Path, cluster: str, at_once: int, options: dict[str, object]
) -> "list[Handle[State]]":
    """Queues jobs through submitit.

    Args:
      jobs: to run.
      folder: of the study.
      cluster: "slurm", or "local" for processes on this machine.
      at_once: jobs at a time.
      options: of submitit's executor, such as timeout_min, gpus_per_node, slurm_partition.

    Raises:
      UserError: an option or a cluster that submitit does not have.
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
    """The last line of a run's output, which says why it failed."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
