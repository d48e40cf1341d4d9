"""What goes wrong in a bucket: other processes, outages and credentials, on fsspec's objects in memory."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

import commands
import convert
import experiment
import storage
import weights
from data import presence, sources
from data.text import table
from errors import ServiceError, UserError
from experiment import exported
from storage import copies
from training import lock, log, manifest
from training.bucket_checkpoints import BucketCheckpoints

STATE = {"step": jnp.zeros((), jnp.int32), "params": {"kernel": jnp.arange(6.0).reshape(2, 3)}}


class Memory(MemoryFileSystem):
    """With names and marks as those of buckets, and without folders."""

    cachable, root_marker = False, ""

    def __init__(self):
        super().__init__(global_store=False)

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("s3://").removeprefix("gs://").strip("/")

    def mkdir(self, *_, **__):
        pass

    def find(self, *args, **kwargs):
        found = super().find(*args, **kwargs | {"detail": True})
        for name, about in found.items():
            if about["type"] == "file":
                about["ETag"] = hashlib.md5(self.store[name].getvalue()).hexdigest()
        return found


class NoCredentialsError(Exception):
    """As botocore has one."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[storage.Bucket]:
    """A bucket in memory."""
    monkeypatch.setattr(storage.Bucket, "store", Memory())
    monkeypatch.setattr(storage, "load", mock.Mock())
    monkeypatch.setattr(lock, "SETTLED", 0.05)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield storage.Bucket("s3://bucket")
    copies.kept.cache_clear()


def refusing(*errors: Exception) -> mock.Mock:
    """A request that fails."""
    return mock.Mock(side_effect=errors)


@pytest.mark.parametrize(
    "refusal",
    [
        FileExistsError("s3://bucket/run/owner.json"),
        OSError(errno.EIO, "ConditionalRequestConflict"),
        OSError(errno.EINVAL, "PreconditionFailed"),
    ],
)
def test_who_comes_second_to_the_lock_leaves_it_alone(bucket, monkeypatch, refusal):
    with lock.Lock(bucket / "run"):
        monkeypatch.setattr(bucket.store, "pipe_file", refusing(refusal))
        with (  # the lock is not seen before it is made
            mock.patch.object(storage.Bucket, "exists", side_effect=[True, False, True]),
            pytest.raises(UserError, match=r"s3://bucket/run is being trained by process"),
        ):
            lock.Lock(bucket / "run").__enter__()
        assert lock.read(bucket / "run")


def test_a_lock_that_was_made_although_the_answer_was_lost_is_ours(bucket, monkeypatch):
    make = bucket.store.pipe_file

    def twice(*args, **kwargs):
        make(*args, **kwargs)
        make(*args, **kwargs)

    monkeypatch.setattr(bucket.store, "pipe_file", twice)
    with lock.Lock(bucket / "run"):
        assert lock.read(bucket / "run")


@pytest.mark.parametrize("left", ["another", "nothing"])
def test_of_two_that_take_over_a_dead_ones_lock_one_gives_way(bucket, monkeypatch, left):
    """The other one has seen the dead one's lock as well, and removes ours."""
    path = bucket / "run" / lock.FILE
    path.write_text(json.dumps({"pid": 0, "began": 1, "id": "dead"} | lock.place()))
    owner = lock.Lock(bucket / "run")
    moments = iter([left])

    def sleep(seconds):
        if seconds == lock.SETTLED and (happens := next(moments, None)):
            path.unlink()
            if happens == "another":
                path.write_text(json.dumps(owner.owner | {"id": "another"}))

    monkeypatch.setattr(lock.time, "sleep", sleep)
    if left == "nothing":
        with owner:
            assert lock.read(bucket / "run")["id"] == owner.owner["id"]
        return
    with pytest.raises(UserError, match="is being trained by process"):
        owner.__enter__()
    assert lock.read(bucket / "run")["id"] == "another"


def test_a_score_that_cannot_be_read_is_not_a_missing_one(bucket, monkeypatch):
    folder = bucket / "checkpoints"
    with BucketCheckpoints(folder, keep_last=1, keep_best="test/accuracy") as checkpoints:
        for step, score in {1: 0.9, 2: 0.7}.items():
            checkpoints.save(step, STATE, {})
            checkpoints.rate(step, {"test/accuracy": score})
    read = bucket.store.cat_file

    def outage(path, *args, **kwargs):
        if path.endswith("1/metrics/metrics"):
            raise OSError(errno.EIO, "503")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(bucket.store, "cat_file", outage)
    checkpoints = BucketCheckpoints(folder, keep_last=1, keep_best="test/accuracy")
    checkpoints.save(3, STATE, {})
    with pytest.raises(ServiceError, match="503"):
        checkpoints.latest()
    assert checkpoints.steps() == [1, 2, 3]


def test_a_step_without_a_manifest_counts_as_in_a_folder_and_an_unfinished_copy_does_not(bucket, capsys):
    folder = bucket / "checkpoints"
    with BucketCheckpoints(folder) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, STATE, {"seed": step})
    (folder / "1" / manifest.FILE).unlink()  # as an older version saved it
    (folder / "2" / manifest.COMMITTED).unlink()  # the last one of a copy
    with BucketCheckpoints(folder) as others:
        assert (others.steps(), others.latest()) == ([1], 1)
        assert f"the checkpoint of step 1 in {folder} has no manifest: it was not verified." in capsys.readouterr().err
        others.tidy()
        assert {name.partition("/")[0] for name in folder.marks()} == {"1"}
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), STATE)
        jax.tree.map(np.testing.assert_array_equal, others.restore(1, wanted), STATE)


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (OSError(errno.EIO, "503"), "Run the same command again when it answers: what was saved is kept."),
        (NoCredentialsError("Unable to locate credentials"), "come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (PermissionError("Access Denied"), "Credentials that may read and write there come from AWS_ACCESS_KEY_ID"),
    ],
)
def test_an_outage_in_the_middle_of_a_run_is_no_mistake_of_the_user(bucket, monkeypatch, capsys, error, mend):
    monkeypatch.setattr(commands, "parse", lambda *_: [])
    with (
        log.Log(bucket / "run", 0) as rows,
        mock.patch.object(bucket.store, "pipe_file", refusing(error)),
        pytest.raises(SystemExit) as ended,
    ):
        commands.run(lambda _: rows.write(1, {"loss": 1.0}), "")
    lines = capsys.readouterr().err.splitlines()
    assert (ended.value.code, len(lines)) == (1, 1)
    assert lines[0].startswith("error: s3://bucket/run/")
    assert mend in lines[0]


def test_a_heart_goes_on_beating_after_an_outage(bucket, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    asked, read, again = threading.Event(), bucket.store.cat_file, threading.Event()

    def outage(path, *args, **kwargs):
        if not asked.is_set():
            asked.set()
            raise NoCredentialsError
        again.set()
        return read(path, *args, **kwargs)

    with lock.Lock(bucket / "run"):
        monkeypatch.setattr(bucket.store, "cat_file", outage)
        assert again.wait(10)
        assert asked.is_set()


def test_a_disk_that_is_full_while_objects_come_is_told_as_such(bucket, monkeypatch):
    monkeypatch.setattr(bucket.store, "find", refusing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        bucket.marks()


@pytest.mark.parametrize("at", ["before", "within"])
def test_a_step_that_goes_while_it_is_read_is_one_line(bucket, monkeypatch, at):
    folder = bucket / "checkpoints"
    with BucketCheckpoints(folder) as checkpoints:
        checkpoints.save(1, STATE, {})
    others, get = BucketCheckpoints(folder), bucket.store.get
    monkeypatch.setattr(BucketCheckpoints, "steps", lambda _: [1])  # as it was a moment ago

    def prune(old, new):
        bucket.store.rm_file(old[0])
        get(old, new)

    if at == "within":
        monkeypatch.setattr(bucket.store, "get", prune)
    else:
        folder.remove(folder.marks())
    with pytest.raises(UserError, match="step 1 in s3://bucket/checkpoints was removed while it was read"):
        others.latest()


@pytest.mark.parametrize("fault", ["others may read it", "it leads elsewhere"])
def test_what_is_on_its_way_is_in_a_folder_that_nobody_else_opens(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(copies.tempfile, "tempdir", str(tmp_path))
    root = tmp_path / f"{copies.PRIVATE}-{os.getuid()}"
    if fault == "it leads elsewhere":
        (tmp_path / "else").mkdir(mode=0o700)
        root.symlink_to(tmp_path / "else")
    else:
        root.mkdir()
        root.chmod(0o755)
    with pytest.raises(UserError, match="is not a folder that only you can open"):
        copies.private.__wrapped__()


def test_a_lock_that_another_process_removes_meanwhile_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(copies.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "glob", lambda path, _: iter([path / "gone.lock"]))
    assert copies.private.__wrapped__().is_dir()


def put(path: storage.Bucket, image: int) -> None:
    with storage.written(path) as file:
        Image.fromarray(np.full((4, 4, 3), image, np.uint8)).save(file)


def test_lists_and_tables_of_a_bucket(bucket):
    for number, kind in enumerate(("cat", "dog")):
        put(bucket / "photos" / f"{kind}.png", number)
    (bucket / "photos" / "train.csv").write_text("cat.png,cat\ndog.png,dog\n")
    source = sources.open("list", "photos", "train", str(bucket), 0)
    assert (source.size, source.features["label"].names) == (2, ("cat", "dog"))
    (bucket / "reviews" / "train.csv").write_text("text,label\ngood,1\nbad,0\n")
    assert table.labelled("reviews", "train", str(bucket), "", "label")[:2] == (["good", "bad"], [1, 0])


def test_data_of_a_bucket_are_looked_for_there(bucket):
    (bucket / "texts" / "deep" / "a.txt").write_text("one")
    for name, there in {"texts": True, "texts/*/*.txt": True, "texts/**/*.txt": True, "texts/*.md": False}.items():
        assert presence.look("files", name, str(bucket)).here == there, name
    assert presence.look("files", "none", str(bucket)) == presence.Presence(False, f"{bucket}/none")


def test_a_run_of_a_bucket_is_loaded_and_converted(bucket, untrained, monkeypatch):
    storage.upload(untrained("vit"), bucket / "run")
    run = experiment.load(str(bucket / "run"))
    flags = mock.MagicMock(step="last", average=1, platforms=["cpu"], batch=1, heads=None)
    flags["as"].value = None
    monkeypatch.setattr(commands, "FLAGS", flags)
    for target in ("vit.npz", "vit.stablehlo"):
        convert.main([str(bucket / "run"), str(bucket / target)])
    assert exported.load(str(bucket / "vit.stablehlo")).metadata["inputs"]
    found = weights.read(storage.here(str(bucket / "vit.npz")), None)
    np.testing.assert_array_equal(found.params["head"]["kernel"], run.params["head"]["kernel"])
