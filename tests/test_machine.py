"""What a machine lacks, memory or a device, is one line; and a mistake in the config is told before it."""

import contextlib
import errno
import os
from pathlib import Path

import jax
import pytest

import experiment
from errors import NoDevice, UserError, explained
from tests.commandline import command
from tests.conftest import tiny
from training import backend

LACK = "RESOURCE_EXHAUSTED: Out of memory allocating 289281592768 bytes."


@pytest.mark.parametrize(
    ("error", "which"),
    [
        (jax.errors.JaxRuntimeError(LACK), "289.3 GB were asked for at once"),
        (MemoryError("Unable to allocate 259. GiB for an array"), "Unable to allocate 259. GiB for an array"),
        (MemoryError(), "of the host"),
        (RuntimeError("OOM when allocating tensor with shape[9]"), "OOM when allocating"),
    ],
)
def test_a_lack_of_memory_names_what_takes_less(error, which):
    line = explained(error)
    assert isinstance(line, UserError)
    for part in (which, "batch_size", "eval_batch_size", "accumulate", "remat", "plan.py"):
        assert part in str(line)


def test_an_error_of_a_disk_names_the_file():
    for number in (errno.EIO, errno.EROFS, errno.EACCES, errno.ESTALE):
        line = explained(OSError(number, os.strerror(number), "runs/a/checkpoints/4"))
        assert isinstance(line, UserError)
        assert str(line).startswith(f"runs/a/checkpoints/4: {os.strerror(number)}. ")


def test_other_errors_stay_as_they_are():
    for error in (
        ValueError("no"),
        RuntimeError("INTERNAL: a bug"),
        UserError("a mistake"),
        OSError(22, "Invalid argument"),
    ):
        assert explained(error) is error


@pytest.mark.parametrize("door", ["train.py", "plan.py"])
def test_a_command_that_runs_out_of_memory_ends_with_one_line(door, tmp_path, monkeypatch):
    def build(*_: object, **__: object) -> None:
        raise jax.errors.JaxRuntimeError(LACK)

    monkeypatch.setattr(experiment, "build", build)
    done = command(door, f"--workdir={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: out of memory (289.3 GB")


@pytest.fixture
def without_device(monkeypatch) -> None:
    """JAX_PLATFORMS=cuda on a machine that has no GPU."""

    def devices(*_: object) -> None:
        raise AssertionError  # as JAX does where its CUDA plugin is not installed

    @contextlib.contextmanager
    def instead():
        yield cpu

    cpu = tuple(jax.devices())[:1]
    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setattr(backend, "cpu_instead", instead)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.patch": 3}, "does not divide into patches of 3"),
        ({"data.eval_splits": ("tset",)}, "did you mean 'test'"),
        ({"optim.warmup_steps": 60}, "leaves nothing of 6 steps"),
        ({"step.accumulate": 3}, "does not divide by 1 devices x 3 micro-batches"),
        ({}, "JAX has no device: "),
        ({"parallel.fsdp": 8}, "JAX has no device: "),
    ],
)
@pytest.mark.usefixtures("without_device")
def test_a_missing_device_is_told_after_the_mistakes_of_the_config(changes, message):
    with pytest.raises(UserError, match=message) as told:
        experiment.build(tiny(**changes), Path("nowhere"))
    assert isinstance(told.value, NoDevice) == ("JAX" in message)


@pytest.mark.parametrize(
    "changes", [{"model.heads": -1}, {"optim.name": "adamm"}, {"checkpoint.keep_last": 0}, {"data.batch_size": 0}]
)
def test_keys_are_checked_before_a_device_is_opened(changes, monkeypatch):
    monkeypatch.setattr(backend, "present", lambda: pytest.fail("the devices were opened"))
    with pytest.raises(UserError, match=next(iter(changes))):
        experiment.build(tiny(**changes), Path("nowhere"))
