"""What other programs use of the machine meanwhile, from /proc; None on systems that have none."""

import os
import time
from pathlib import Path


class Meanwhile:
    """The time in which a process and its children are measured: `with Meanwhile(pid) as load: ...; load.others`.

    Attributes:
      others: the share of all processors that other programs used, 0 to 1.
    """

    def __init__(self, session: int):
        """session: the process, which leads a session of its own."""
        self._session = session
        self.others: float | None = None

    def __enter__(self) -> "Meanwhile":
        self._begun, self._busy, self._own = time.perf_counter(), _busy_seconds(), _seconds_of(self._session)
        return self

    def __exit__(self, *_: object) -> None:
        passed = (time.perf_counter() - self._begun) * (os.cpu_count() or 1)
        busy, own = _busy_seconds(), _seconds_of(self._session)
        if busy is not None and self._busy is not None:
            self.others = min(max((busy - self._busy - own + self._own) / passed, 0.0), 1.0)


def _busy_seconds() -> float | None:
    """What all processors together have worked since the machine began."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _seconds_of(session: int) -> float:
    """What the processes of a session have worked, with children that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # from the state on
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
