"""One process at a time trains in a workdir: a file there names it, by host, pid and start time.

The file works where `flock` does not (NFS, FUSE). A lock whose process died is recognised: on the same machine by pid
and start time, from another one by its heartbeat, which stops.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Self

import storage
from errors import ServiceError, UserError
from lookup import Json
from training import hosts

FILE = "owner.json"
BEAT = 5.0  # seconds between heartbeats
SILENT = 30.0  # seconds without one after which the owner on another machine counts as dead
LATE = 20.0  # seconds after which every host of a run must see the lock
SETTLED = 2.0  # seconds after which a new lock in a bucket must still be there

Owner = Json


class Lock:
    """Owns a workdir while it is entered.

    Of several hosts, the primary one takes the lock for all, and the others find it in their workdir: it is the same
    folder.

    Args:
      workdir: of the run; made if it is not there.
      lost: called, in another thread, when another process has taken the lock because this one's heartbeat stopped.

    Raises:
      UserError: another process trains there, the workdir cannot be written, or hosts do not share it.
    """

    def __init__(self, workdir: Path, lost: Callable[[str], object] | None = None):
        self._workdir, self._path, self._lost = workdir, workdir / FILE, lost or _end
        self._made = False
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lock", daemon=True)
        self.owner = {**place(), "pid": os.getpid(), "began": _began(os.getpid()), "id": uuid.uuid4().hex}
        self.owner["since"] = time.strftime("%Y-%m-%d %H:%M:%S")

    def __enter__(self) -> Self:
        try:
            if hosts.primary():
                self._take()
            self._meet(hosts.shared("owner", self.owner["id"]))
            hosts.wait("owner")  # before anything else is written
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write to {self._workdir}: {reason}. Choose another --workdir.") from None
        return self

    def _take(self) -> None:
        self._made = not self._workdir.exists()
        self._workdir.mkdir(parents=True, exist_ok=True)
        while not (self.create() and self._stays()):
            if (other := read(self._workdir)) and _alive(self._workdir, other):
                raise UserError(
                    f"{self._workdir} is being trained by process {other['pid']} on {other['host']} since "
                    f"{other['since']}: wait for its end, stop it, or choose another --workdir."
                )
            if other:
                self._remove(other)
        self._beating.start()

    def _meet(self, owner: str) -> None:
        """Waits until the lock of host 0 is seen here: a shared file system may show it late."""
        until = time.monotonic() + LATE
        while read(self._workdir).get("id") != owner:
            if time.monotonic() > until:
                raise UserError(
                    f"--workdir={self._workdir} of this host is not the folder that host 0 writes to: give all hosts "
                    "the same one, on a file system that they share."
                )
            time.sleep(0.1)

    def create(self) -> bool:
        """Creates the file, which succeeds for only one process."""
        try:
            with self._path.open("x") as file:
                json.dump(self.owner, file)
        except FileExistsError:
            return self._ours()  # where a service was asked again because its first answer was lost
        except OSError:
            if not isinstance(self._path, storage.Bucket):  # a full disk; in a bucket nothing of ours is left
                self._path.unlink(missing_ok=True)
            raise
        return True

    def _ours(self) -> bool:
        return read(self._workdir).get("id") == self.owner["id"]

    def _stays(self) -> bool:
        """Whether it is still ours after a moment. In a bucket, a process that meant to remove a dead one's lock may
        remove or replace this one: nothing there is renamed, and not every service can write on a condition."""
        if isinstance(self._path, storage.Bucket):
            time.sleep(SETTLED)
            return self._ours()
        return True

    def _remove(self, dead: Owner) -> None:
        """Removes a dead process's file. Of several processes that try, one renames it; see `_stays` for a bucket."""
        if isinstance(self._path, storage.Bucket):
            if read(self._workdir) == dead:
                self._path.unlink(missing_ok=True)
            return
        aside = self._path.with_suffix(f".{self.owner['id']}")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside)
            taken = _parse(aside)
            if taken == dead:
                aside.unlink()
            else:  # another was quicker, and this is its file
                aside.rename(self._path)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError, ServiceError):
                found = read(self._workdir)
                if self._ended.is_set():  # while it was read: what is there now is another's
                    return
                if not found:  # removed by hand
                    self.create()
                elif found["id"] != self.owner["id"]:
                    self._lost(
                        f"process {found['pid']} on {found['host']} has taken over {self._workdir}, because this "
                        "process was stopped"
                    )
                    return
                storage.touch(self._path)

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._beating.is_alive():  # a beat that missed the file would make it again
            self._beating.join(BEAT)
        with contextlib.suppress(OSError, ServiceError):
            if self._ours():
                self._path.unlink()
            if self._made:  # a run that could not begin leaves no empty folder
                self._workdir.rmdir()


def read(workdir: Path) -> Owner:
    """The owner of a workdir; {} for none."""
    try:
        return _parse(workdir / FILE)
    except FileNotFoundError:
        return {}


def _parse(path: Path) -> Owner:
    owner: Owner = dict.fromkeys(("host", "boot", "pids", "pid", "began", "id", "since"), "?")
    for moment in (0.1, 0.0):
        try:
            return owner | json.loads(path.read_text())
        except (ValueError, TypeError):  # just created; or damaged, and then its heartbeat decides
            time.sleep(moment)
    return owner


def _end(message: str) -> NoReturn:
    os.write(2, f"error: {message}.\n".encode())
    hosts.fail(2, message)
    os._exit(2)


def _alive(workdir: Path, owner: Owner) -> bool:
    """Whether the owner's process lives."""
    if all(owner.get(key) == value for key, value in place().items()):
        return _began(owner["pid"]) == owner["began"]
    owned = f"Process {owner['pid']} on {owner['host']} trains in {workdir}, or did"
    print(f"{owned}: waiting up to {SILENT:.0f} s for a sign of life.", flush=True)
    # Clocks of machines differ: a change of the file's time counts.
    seen, until = _beaten(workdir), time.monotonic() + SILENT
    while time.monotonic() < until:
        time.sleep(min(1.0, SILENT / 10))
        if (now := _beaten(workdir)) != seen:
            return now is not None
    return False


def _beaten(workdir: Path) -> int | None:
    """The time of the last heartbeat, by the clock of the file system; None where there is no lock."""
    return storage.changed(workdir / FILE)


def place() -> Owner:
    """Where pids mean the same: host, boot and, for containers, the namespace of pids."""
    place = {"host": socket.gethostname(), "boot": "", "pids": ""}
    with contextlib.suppress(OSError):
        place["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        place["pids"] = os.readlink("/proc/self/ns/pid")
    return place


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the boot; None for one that is dead. Where there is no /proc, 0 for one that
    lives."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return 0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
