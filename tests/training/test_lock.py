"""Who owns a workdir. Other machines are locks whose place is another one's."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from errors import UserError
from training import hosts, lock
from training.lock import Lock


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    monkeypatch.setattr(lock, "SILENT", 0.2)
    monkeypatch.setattr(lock, "LATE", 0.2)


def left(workdir: Path, **changes: object) -> None:
    """A lock that a process of this machine left, with these changes."""
    with Lock(workdir):
        content = (workdir / lock.FILE).read_text()
    workdir.mkdir(exist_ok=True)
    (workdir / lock.FILE).write_text(json.dumps(json.loads(content) | changes))


def taken(workdir: Path) -> bool:
    """Whether it can be locked, and is then one's own."""
    with Lock(workdir):
        return lock.read(workdir)["pid"] == os.getpid()


def test_a_second_process_is_refused_in_one_line_that_names_the_first(tmp_path):
    with Lock(tmp_path) as one:
        before = lock.read(tmp_path)
        with pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on .* since 20.*--workdir"):
            one.__class__(tmp_path).__enter__()
        assert lock.read(tmp_path) == before
    assert lock.read(tmp_path) == {}
    assert taken(tmp_path)


def test_a_lock_of_a_process_that_died_is_taken_over(tmp_path):
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    left(tmp_path, pid=died.pid, id="1")
    assert taken(tmp_path)
    left(tmp_path, began=1, id="1")  # the pid is another process's by now
    assert taken(tmp_path)


def test_a_process_that_nobody_has_waited_for_is_dead(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    began = int(Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[19])
    left(tmp_path, pid=zombie.pid, began=began, id="1")
    assert taken(tmp_path)
    zombie.wait()


@pytest.mark.parametrize("place", [{"host": "other"}, {"pids": "another container"}])
def test_an_owner_on_another_machine_lives_while_its_heart_beats(tmp_path, place, capsys):
    with Lock(tmp_path) as alive:
        content = lock.read(tmp_path)
        (tmp_path / lock.FILE).write_text(json.dumps(content | place))
        with pytest.raises(UserError, match="is being trained by process"):
            alive.__class__(tmp_path).__enter__()
    left(tmp_path, id="1", **place)
    assert taken(tmp_path)
    assert "waiting up to 0 s for a sign of life" in capsys.readouterr().out


def test_a_heartbeat_that_comes_while_the_lock_is_given_up_makes_no_other(tmp_path, monkeypatch):
    made, beating, done = Lock.create, threading.Event(), threading.Event()

    def late(self: Lock) -> bool:
        """The heartbeat finds no file and makes it, slowly."""
        late = threading.current_thread().name == "lock"
        if late:
            beating.set()
            time.sleep(0.01)
        found = made(self)
        if late:
            done.set()
        return found

    monkeypatch.setattr(Lock, "create", late)
    with Lock(tmp_path):
        (tmp_path / lock.FILE).unlink()
        assert beating.wait(10)
    assert done.wait(10)
    assert not lock.read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "\xff"])
def test_a_damaged_lock_holds_no_longer_than_a_silent_one(tmp_path, content):
    (tmp_path / lock.FILE).write_text(content, encoding="latin-1")
    assert taken(tmp_path)


def test_who_was_stopped_and_lost_the_workdir_ends(tmp_path):
    said: list[str] = []
    with Lock(tmp_path, lost=said.append):
        other = lock.read(tmp_path) | {"id": "1", "pid": 7, "host": "other"}
        (tmp_path / lock.FILE).write_text(json.dumps(other))
        until = time.monotonic() + 10
        while not said and time.monotonic() < until:
            time.sleep(0.01)
    assert said[0].startswith(f"process 7 on other has taken over {tmp_path}")
    assert lock.read(tmp_path) == other  # which is not removed


def test_a_run_that_could_not_begin_leaves_no_folder(tmp_path):
    with Lock(tmp_path / "new" / "run"):
        pass
    assert not (tmp_path / "new" / "run").exists()
    (tmp_path / "mine").mkdir()
    with Lock(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").exists()


def test_a_workdir_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*file.*Choose another --workdir"):
        Lock(tmp_path / "file").__enter__()


def test_hosts_that_do_not_share_the_folder_are_told(tmp_path, monkeypatch):
    """Here as host 1, which finds the lock of host 0 in its workdir or does not."""
    monkeypatch.setattr(hosts, "primary", lambda: True)
    with Lock(tmp_path / "one"):
        owner = lock.read(tmp_path / "one")["id"]
        monkeypatch.setattr(hosts, "primary", lambda: False)
        monkeypatch.setattr(hosts, "shared", lambda name, value: owner)
        with Lock(tmp_path / "one"):
            pass
        assert lock.read(tmp_path / "one")["id"] == owner
        with pytest.raises(UserError, match=r"--workdir=.*two of this host is not the folder that host 0 writes to"):
            Lock(tmp_path / "two").__enter__()
    assert not (tmp_path / "two").exists()
