"""Runs in buckets, on real servers but for what they keep: moto's of S3, and gcp-storage-emulator.

`make test-buckets` installs what they need.
"""

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import storage
from data import sources
from errors import DiskFull, UserError
from experiment import restore, resume
from results.bucket_drill import SERVERS, serving
from tests.commandline import command
from tests.conftest import tiny
from tests.test_train import rows, states_equal
from train import train
from training import lock
from training.bucket_checkpoints import BucketCheckpoints

ROOT = Path(__file__).parents[1]
STATE = {"step": jnp.zeros((), jnp.int32), "params": {"kernel": jnp.arange(6.0).reshape(2, 3)}}


@pytest.fixture(scope="module", params=SERVERS)
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket of a server that runs as long as this file's tests do."""
    for name in SERVERS[request.param][:2]:
        if not importlib.util.find_spec(name):
            pytest.skip(f"needs {name}: make test-buckets")
    with (
        mock.patch.dict(os.environ, XDG_CACHE_HOME=str(tmp_path_factory.mktemp("cache"))),
        serving(request.param) as it,
    ):
        yield it


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """The same run in a folder."""
    workdir = tmp_path_factory.mktemp("local") / "run"
    train(tiny(), workdir)
    return workdir


@pytest.fixture(scope="module")
def run(bucket) -> Path:
    """A run of six steps."""
    train(tiny(), bucket / "run")
    return bucket / "run"


def names(path: Path) -> set[str]:
    assert isinstance(path, storage.Bucket)
    return set(path.marks())


def test_a_path_of_a_bucket_is_one_of_pathlib():
    path = storage.Bucket("s3://bucket/runs/a.b") / "metrics.jsonl"
    assert isinstance(path, Path)
    assert (str(path), os.fspath(path)) == ("s3://bucket/runs/a.b/metrics.jsonl",) * 2
    assert str(path.parent.with_name("c")) == "s3://bucket/runs/c"
    assert str(path.relative_to(path.parent)) == "metrics.jsonl"
    assert path.resolve() == path.absolute() == storage.Bucket("s3://bucket//runs/a.b/metrics.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("az://x/run", "there is no way to read az:// here. Give a folder, gs://... or s3://..."),
        ("gs://", "gs:// names no bucket"),
        ("s3://x/run", r"s3://x/run needs nolibrary .*: \S*python -m pip install nolibrary==1"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_line(text, message, monkeypatch):
    monkeypatch.setitem(storage.INSTALL, "s3", "nolibrary==1")
    with pytest.raises(UserError, match=message):
        storage.path(text)


def test_several_hosts_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match=r"--workdir=s3://bucket/run is in a bucket, where one host can train"):
        resume.start(mock.Mock(workdir=storage.Bucket("s3://bucket/run")))


def test_a_folder_stays_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.path("~/run") == storage.here("~", "run") == tmp_path / "run"
    assert type(storage.path("~/run")) is type(Path())


def test_files(bucket):
    file, folder = bucket / "files" / "a.txt", bucket / "files"
    assert not file.exists()
    assert not folder.is_dir()
    with pytest.raises(FileNotFoundError) as raised:
        file.read_text()
    assert raised.value.filename == str(file)
    file.parent.mkdir(parents=True)
    storage.replace(file, "one")
    storage.replace(file, "zwölf")
    assert (file.read_text(), file.stat().st_size) == ("zwölf", 6)
    assert (file.is_file(), folder.is_dir(), file.is_dir()) == (True, True, False)
    with pytest.raises(FileExistsError), file.open("x") as stream:
        stream.write("other")
    if str(bucket).startswith("s3://"):  # the emulator of GCS does not know the condition
        unseen = mock.patch.object(storage.Bucket, "exists", return_value=False)
        with unseen, pytest.raises(FileExistsError), file.open("x") as stream:
            stream.write("other")
    for mode in ("w", "wb", "x"):
        with pytest.raises(ZeroDivisionError), (folder / "broken").open(mode):
            raise ZeroDivisionError
    assert not (folder / "broken").exists()
    with (folder / "log").open("ab", buffering=0) as stream:
        stream.write(b"1\n")
        assert (folder / "log").read_bytes() == b"1\n"
        stream.write(b"2\n")
    with (folder / "log").open("ab") as stream:
        stream.write(b"3\n")
    assert (folder / "log").read_text().split() == ["1", "2", "3"]
    (folder / "deep" / "b.png").write_bytes(b"")
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "deep", "log"]
    assert [str(path) for path in folder.glob("*.txt")] == [str(file)]
    assert (folder / "deep").rename(bucket / "moved") == bucket / "moved"
    assert (names(folder), names(bucket / "moved")) == ({"a.txt", "log"}, {"b.png"})
    file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()


def test_a_bucket_that_is_not_there_is_not_made(bucket):
    other = bucket.with_name("other") / "run"
    other.mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write to .*other/run: there is no bucket 'other'"):
        lock.Lock(other).__enter__()


def test_without_credentials_there_is_one_line_and_status_1(bucket, tmp_path, monkeypatch):
    if not str(bucket).startswith("s3://"):
        pytest.skip("the emulator of GCS asks for none")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    kept = type(bucket.store)
    kept.clear_instance_cache()  # they have credentials
    done = command("evaluate.py", f"--workdir={bucket}/run")
    kept.clear_instance_cache()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "NoCredentialsError" in done.stderr
    assert "come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in done.stderr


def test_an_object_that_leads_elsewhere_is_left_out(bucket, monkeypatch):
    there = ("a", "b/c", "../../outside", "/outside", "b/", "b//c")
    found = {f"bucket/texts/{name}": {"size": 1} for name in there}
    monkeypatch.setattr(bucket.store, "find", lambda *_, **__: found)
    assert names(bucket / "texts") == {"a", "b/c"}


def test_a_run_is_the_same_bits_as_in_a_folder(run, local):
    assert rows(run) == rows(local)
    states_equal(run, local, 6)
    assert names(run / "checkpoints") >= {f"{step}/manifest.sha256" for step in (4, 6)}
    assert "2/manifest.sha256" not in names(run / "checkpoints")
    assert lock.read(run) == {}
    assert list((run / "tensorboard").iterdir())


def test_commands_use_it(run, local, tmp_path):
    scores = [command("evaluate.py", f"--workdir={w}", "--split=test", "--json") for w in (run, local)]
    assert [done.returncode for done in scores] == [0, 0]
    here, there = (json.loads(done.stdout) for done in scores)
    assert here["test/loss"] == there["test/loss"]
    picture = tmp_path / "digit.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    assert command("predict.py", f"--workdir={run}", picture).stdout.count("%") >= 5
    assert command("visualize.py", f"--workdir={run}", "curves", "page").returncode == 0
    assert {"figures/curves.png", "figures/curves.npz", "page.html"} <= names(run)


def test_a_damaged_checkpoint_is_passed_over(run, local, capsys):
    damaged = run.with_name("damaged")
    for name in names(run):
        (damaged / name).write_bytes((run / name).read_bytes())
    largest = max((n for n in names(damaged) if "6/state/ocdbt" in n), key=lambda n: len((damaged / n).read_bytes()))
    content = bytearray((damaged / largest).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / largest).write_bytes(content)
    train(tiny(), damaged)
    said = capsys.readouterr()
    assert f"the checkpoint of step 6 in {damaged}/checkpoints is damaged and not used" in said.err
    assert "Continues from step 4" in said.out
    assert "damaged/6/manifest.sha256" in names(damaged / "checkpoints")
    states_equal(damaged, local, 6)
    assert rows(damaged) == rows(local)


KILLED = """
import os, signal, sys
import jax.numpy as jnp
import storage
from training import bucket_checkpoints

def half(files, names):
    put(files[::2], names[::2])
    os.kill(os.getpid(), signal.SIGKILL)

folder = storage.path(sys.argv[1])
state = {"step": jnp.int32(2), "params": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
checkpoints = bucket_checkpoints.BucketCheckpoints(folder)
checkpoints.save(2, state, {})
assert checkpoints.latest() == 2
store = folder.store
put, store.put = store.put, half
checkpoints.save(4, state, {})
checkpoints.latest()
"""


def test_kill_9_in_the_middle_of_a_save_leaves_the_step_before(bucket):
    folder = bucket / "killed"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert any(name.startswith("4/") for name in names(folder))
    with BucketCheckpoints(folder) as checkpoints:
        assert (checkpoints.steps(), checkpoints.latest()) == ([2], 2)
        checkpoints.tidy()
        assert not any(name.startswith("4/") for name in names(folder))
        checkpoints.save(4, STATE | {"step": jnp.int32(4)}, {"seed": 4})
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), STATE)
    others = BucketCheckpoints(folder)
    assert (others.latest(), others.record(4)) == (4, {"seed": 4})
    jax.tree.map(np.testing.assert_array_equal, others.restore(4, wanted), STATE | {"step": np.int32(4)})


def test_the_last_and_the_best_stay(bucket):
    with BucketCheckpoints(bucket / "best", keep_last=1, keep_best="test/accuracy") as checkpoints:
        for step, score in {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.8}.items():
            checkpoints.save(step, STATE, {})
            checkpoints.rate(step, {"test/accuracy": score})
    others = BucketCheckpoints(bucket / "best", keep_last=1, keep_best="test/accuracy")
    assert (others.steps(), others.best(), others.latest()) == ([2, 4], 2, 4)
    with BucketCheckpoints(bucket / "last") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, STATE, {})
            checkpoints.rate(step, {"test/accuracy": 0.5})  # of no use, while the save is under way
    assert BucketCheckpoints(bucket / "last").steps() == [2, 3]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EACCES, PermissionError)])
def test_a_copy_that_fails_is_told_and_the_step_before_stays(bucket, number, kind, monkeypatch):
    folder = bucket / f"full-{number}"
    with BucketCheckpoints(folder) as checkpoints:
        checkpoints.save(1, STATE, {})
        assert checkpoints.latest() == 1

        def refused(here, path, last=""):
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(storage, "upload", refused)
        checkpoints.save(2, STATE, {})
        with pytest.raises(kind) as raised:
            checkpoints.latest()
        assert "step 1 is safe" in str(raised.value) or kind is PermissionError
        assert (checkpoints.steps(), checkpoints.latest()) == ([1], 1)


def test_a_second_process_is_refused_and_one_that_died_is_not_waited_for(bucket, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.3)
    monkeypatch.setattr(lock, "LATE", 2.0)
    workdir = bucket / "locked"
    with lock.Lock(workdir):
        first = storage.changed(workdir / lock.FILE)
        with pytest.raises(UserError, match=f"{workdir} is being trained by process {os.getpid()} on "):
            lock.Lock(workdir).__enter__()
        until = time.monotonic() + 10
        while storage.changed(workdir / lock.FILE) == first and time.monotonic() < until:
            time.sleep(0.05)
        assert storage.changed(workdir / lock.FILE) != first
        content = json.loads((workdir / lock.FILE).read_text())
    assert not (workdir / lock.FILE).exists()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (workdir / lock.FILE).write_text(json.dumps(content | {"pid": dead.pid, "id": "other"}))
    lost = threading.Event()
    with lock.Lock(workdir, lambda _: lost.set()):
        assert lock.read(workdir)["pid"] == os.getpid()
        (workdir / lock.FILE).write_text(json.dumps(content | {"id": "another machine's, which took over"}))
        assert lost.wait(10)


def test_a_run_begins_with_the_weights_of_another(run):
    train(tiny(**{"init_from": f"{run}:4", "steps": 2, "optim.warmup_steps": 0}), run.with_name("next"))
    assert restore.saved_config(run.with_name("next")).init_from == f"{run}:4"


def test_images_of_a_bucket(bucket):
    place = f"{bucket}/photos"
    for kind, shade in (("cat", 10), ("dog", 200)):
        for number in range(2):
            with storage.written(bucket / "photos" / kind / f"{number}.png") as file:
                Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(file)
    source = sources.open("folder", place, "all", "", 0)
    assert (source.size, source.features["label"].names) == (4, ("cat", "dog"))


def test_only_what_changed_is_copied_again(bucket):
    from storage import copies

    folder = bucket / "texts"
    (folder / "a.txt").write_text("one")
    (folder / "b" / "c.txt").write_text("two")
    here = storage.here(str(folder))
    assert (here / "a.txt").read_text() == "one"
    (here / "a.txt").write_text("changed on this machine, which nobody notices")
    (folder / "b" / "c.txt").write_text("three")
    (folder / "d.txt").write_text("four")
    copies.kept.cache_clear()  # as in another process
    assert storage.here(str(folder)) == here
    assert (here / "b" / "c.txt").read_text() == "three"
    assert (here / "a.txt").read_text().startswith("changed")
    (folder / "d.txt").unlink()
    copies.kept.cache_clear()
    assert storage.here(f"{folder}/*.txt") == here / "*.txt"
    assert sorted(path.name for path in here.glob("*.txt")) == ["a.txt"]
    assert storage.here(str(folder), "a.txt", beside=True) == here / "a.txt"
    with pytest.raises(UserError, match=r"cannot copy .*texts/none: there is nothing of this name"):
        storage.here(str(folder), "none")
