"""Contestants take turns: each in a process of its own that waits while the others are measured."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lookup import Json
from results.bench import load
from results.bench.lines import Contestant, Line

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "runs" / "bench"
PATIENCE = 400.0  # seconds that a contestant may take to be built, or for a turn
BUILT, TURNS = 0.75, 0.9  # shares of a line's time after which contestants must be built, and have taken their turns
Entry = Json  # of the record
Say = Callable[[str], None]


class Failed(Exception):
    """A contestant ended or fell silent. The message is the last line of its log."""


class Missing(Exception):
    """A contestant is not installed. The message says what is missing."""


@dataclass(frozen=True)
class Interpreters:
    """Of the contestants.

    Attributes:
      ours: runs this code, and published JAX code.
      peers: has PyTorch and what else requirements-bench.txt names.
    """

    ours: Path
    peers: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Interpreters":
        """This one, and that of PEERS_PYTHON or of .venv/bench."""
        peers = environment.get("PEERS_PYTHON") or ROOT / ".venv" / "bench" / "bin" / "python"
        return cls(Path(sys.executable), Path(peers))


class Process:
    """The process of a contestant: see worker.py."""

    def __init__(self, line: Line, name: str, contestant: Contestant, interpreters: Interpreters, end: float):
        """Starts it. What it prints goes to a log in LOGS.

        Args:
          end: when, by time.monotonic, it is waited for no longer.

        Raises:
          Missing: its interpreter is not there.
        """
        interpreter = interpreters.peers if contestant.torch else interpreters.ours
        if not interpreter.exists():
            raise Missing(f"{interpreter} is not there: make .venv/bench/ready, or PEERS_PYTHON=...")
        self._end = end
        self._log = LOGS / f"{line.name}-{name.replace(' ', '_')}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        worker, arguments = Path(__file__).with_name("worker.py"), json.dumps(line.arguments | contestant.arguments)
        with self._log.open("w") as file:
            self._process = subprocess.Popen(
                [interpreter, worker, contestant.function, arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                bufsize=0,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process, which leads a session."""
        return self._process.pid

    def ask(self, what: str) -> None:
        """Sends a line.

        Raises:
          Failed: it has ended.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{what}\n".encode())
        except BrokenPipeError:
            raise self._failure("it ended") from None

    def answer(self, end: float = float("inf")) -> Json:
        """The next line. end: when, by time.monotonic, it is waited for no longer, if that is sooner.

        Raises:
          Failed: it has ended, or takes too long.
          Missing: something that it needs is not installed.
        """
        assert self._process.stdout
        patience = max(0.0, min(PATIENCE, end - time.monotonic(), self._end - time.monotonic()))
        if not select.select([self._process.stdout], [], [], patience)[0]:
            raise self._failure(f"no answer within {patience:.0f} s")
        try:
            found = json.loads(self._process.stdout.readline())
        except ValueError:
            raise self._failure("it ended") from None
        if "absent" in found:
            raise Missing(found["absent"])
        return found

    def end(self) -> None:
        """Ends it with its children."""
        with self._process, contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _failure(self, what: str) -> Failed:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return Failed(f"{what}: {lines[-1].strip()[:200] if lines else 'without a word'} (see {self._log})")


def measure(line: Line, rounds: int, interpreters: Interpreters, say: Say, end: float = float("inf")) -> Entry:
    """The values of a line: in each round every contestant is measured once, in an order that turns about.

    Args:
      end: when, by time.monotonic, contestants are waited for no longer.

    Returns:
      "values" by contestant and round; "facts": what each says of itself besides; "absent" and "failed" by contestant
      with why; "versions" of theirs; "others": the share of the machine that other programs used during the turns,
      None where the system does not say it.
    """
    entry: Entry = {"values": {}, "facts": {}, "absent": {}, "failed": {}, "versions": {}}
    processes: dict[str, Process] = {}
    shares: list[float] = []
    begun = time.monotonic()

    @contextlib.contextmanager
    def trying(name: str) -> Iterator[None]:
        """A contestant that is missing or fails leaves the line. What it has measured before stays."""
        try:
            yield
        except (Missing, Failed) as error:
            kind = "absent" if isinstance(error, Missing) else "failed"
            entry[kind][name] = str(error)
            if not entry["values"].get(name):
                entry["values"].pop(name, None)
            if process := processes.pop(name, None):
                process.end()
            say(f"  {name}: {kind}: {error}")

    def start(name: str) -> None:
        with trying(name):
            processes[name] = Process(line, name, line.contestants[name], interpreters, end)
            for _ in range(line.warm_up):
                processes[name].ask("0")

    def await_ready(name: str) -> None:
        since = time.monotonic()
        until = begun + BUILT * (end - begun)
        with trying(name):
            entry["versions"][name] = processes[name].answer(until)["ready"]
            for _ in range(line.warm_up):
                processes[name].answer(until)
            entry["values"][name] = []
            say(f"  {name}: ready after {time.monotonic() - since:.1f} s")

    def take_turn(name: str) -> None:
        with trying(name):
            with load.Meanwhile(processes[name].pid) as meanwhile:
                processes[name].ask(str(line.seconds))
                value = processes[name].answer(begun + TURNS * (end - begun))["value"]
            entry["values"][name].append(float(f"{value:.4g}"))
            if meanwhile.others is not None:
                shares.append(meanwhile.others)

    def ask_facts(name: str) -> None:
        with trying(name):
            processes[name].ask("facts")
            if facts := processes[name].answer()["facts"]:
                entry["facts"][name] = facts

    try:
        for name in line.contestants:
            start(name)
            if not line.together and name in processes:
                await_ready(name)
        for name in list(processes) if line.together else []:
            await_ready(name)
        for number in range(1 if line.exact else rounds):
            for name in list(processes)[:: 1 if number % 2 == 0 else -1]:
                if number == 0 or time.monotonic() < begun + TURNS * (end - begun):
                    take_turn(name)
        for name in list(processes):
            ask_facts(name)
    finally:
        for process in processes.values():
            process.end()
    entry["others"] = round(sum(shares) / len(shares), 3) if shares else None
    return entry
