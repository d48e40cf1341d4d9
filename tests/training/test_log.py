import errno
import io
import json
import math
import time
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX.proto import event_pb2

from errors import DiskFull, UserError
from training import log
from training import meter as meter_module
from training.meter import Meter
from training.prefetch import Prefetch


def test_every_line_is_an_object_with_a_step_and_events_hold_the_same(tmp_path):
    with log.Log(tmp_path, 0) as writer:
        writer.write(10, {"train/loss": 0.5, "mfu": 0.25})
        writer.write(20, {"test/accuracy": 1.0, "train/loss": math.nan})
    rows = [json.loads(line) for line in (tmp_path / log.FILE).read_text().splitlines()]
    assert rows == [
        {"step": 10, "train/loss": 0.5, "mfu": 0.25},
        {"step": 20, "test/accuracy": 1.0, "train/loss": None},
    ]
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").glob("events*"))
    assert b"train/loss" in events
    assert b"test/accuracy" in events


def test_a_run_that_goes_on_drops_what_it_will_write_again(tmp_path):
    with log.Log(tmp_path, 0) as writer:
        for step in (10, 20, 30):
            writer.write(step, {"train/loss": step})
    with (tmp_path / log.FILE).open("a") as file:
        file.write('{"step": 40, "train/lo')  # what a kill leaves
    with log.Log(tmp_path, 20) as writer:
        writer.write(30, {"train/loss": -1.0})
    assert [(row["step"], row["train/loss"]) for row in log.read(tmp_path)] == [(10, 10), (20, 20), (30, -1)]
    with log.Log(tmp_path, 0) as writer:  # killed before its first checkpoint
        writer.write(10, {"train/loss": -2.0})
    curve = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("train/loss")
    assert [(event.step, event.value) for event in curve] == [(10, -2)]


def sums(loss: float, weight: float = 1.0, bad: float = 0.0, spike: float = 0.0):
    one = jnp.asarray(1.0)
    return {
        "loss": (jnp.asarray(loss), jnp.asarray(weight)),
        "nonfinite": (jnp.asarray(bad), one),
        "spike": (jnp.asarray(spike), one),
    }


def test_the_meter_weighs_steps_by_their_examples_and_names_the_bad_ones():
    meter = Meter("target tokens", fetch=lambda x: x)
    meter.add(5, sums(6.0, 3.0), 10)
    meter.add(6, sums(0.0, 0.0, bad=1.0), 10)
    meter.add(7, sums(2.0, 1.0), 10)
    assert meter.bad() == {6: "nonfinite"}
    meter.add(8, sums(10.0, 2.0, spike=1.0), 10)
    figures = meter.read(waited=0.0)
    assert figures["train/loss"] == 3.0  # of all four, whether asked before or not
    assert figures["train/nonfinite"] == 0.25
    meter.add(9, sums(1.0, bad=1.0), 10)
    assert meter.bad() == {8: "spike", 9: "nonfinite"}
    assert meter.bad() == {}
    assert meter.read(waited=0.0)["train/loss"] == 1.0


def test_a_run_ends_whose_first_steps_had_nothing_to_learn_from():
    meter = Meter("pixels", fetch=lambda x: x)
    for step in range(1, 10):
        meter.add(step, sums(0.0, 0.0), 10)
    assert "train/loss" not in meter.read(waited=0.0)
    meter.add(10, sums(0.0, 0.0), 10)
    with pytest.raises(UserError, match="the first 10 steps had nothing to learn from: no pixels in them count"):
        meter.read(waited=0.0)

    meter = Meter("pixels", fetch=lambda x: x)
    for first, weight in ((1, 0.0), (6, 1.0), (11, 0.0), (16, 0.0)):  # later ones may be empty
        for step in range(first, first + 5):
            meter.add(step, sums(0.0, weight), 10)
        meter.read(waited=0.0)


def test_rates_leave_out_what_was_not_training(monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 20.0, 20.0, 21.0, 21.0])
    monkeypatch.setattr(meter_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    meter = Meter("target tokens", fetch=lambda x: x)  # at 0
    meter.add(1, sums(1.0, 100.0), 1000)
    meter.start(waited=3.0, peak=100.0)  # at 10: the first step was compiling
    for step in (2, 3, 4):
        meter.add(step, sums(1.0, step), 5 * step)
    meter.leave_out(4.0)
    figures = meter.read(waited=4.5)  # at 20: nine tokens and 45 FLOPs in six seconds
    assert figures["target_tokens_per_second"] == pytest.approx(1.5)
    assert figures["mfu"] == pytest.approx(0.075)
    assert figures["input_wait"] == pytest.approx(0.25)
    meter.start(waited=3.0, peak=100.0)
    assert meter.read(waited=4.5).keys() == {"memory_gb", "seconds"}  # and not rates of 0


def test_prefetch_keeps_order_and_carries_errors():
    def numbers():
        yield from range(5)
        raise ValueError("the sixth is damaged")

    with Prefetch(numbers, put=lambda x: x * 10) as batches:
        assert [next(batches) for _ in range(5)] == [0, 10, 20, 30, 40]
        for _ in range(2):
            with pytest.raises(ValueError, match="the sixth"):
                next(batches)


def test_prefetch_runs_ahead_no_further_than_its_depth():
    taken = []

    def endless():
        for number in range(10**6):
            taken.append(number)
            yield number

    with Prefetch(endless, put=lambda x: x, depth=2) as batches:
        next(batches)
        time.sleep(0.3)
        assert len(taken) <= 4


def test_a_log_that_cannot_be_written_is_one_line_at_once(tmp_path, monkeypatch):
    """Neither a thread that dies nor a file that is closed later hides it."""

    def full(file: io.RawIOBase, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with log.Log(tmp_path, 0) as writer:
        writer.write(10, {"train/loss": 0.5})
        monkeypatch.setattr(log, "write_whole", full)
        with pytest.raises(DiskFull, match=r"cannot write metrics to .*: No space left on device. Free some space"):
            writer.write(20, {"train/loss": 0.5})
    assert [row["step"] for row in log.read(tmp_path)] == [10]


def test_a_log_on_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(UserError, match=r"cannot write metrics to .*: File exists"):
        log.Log(tmp_path, 0)


def test_events_are_records_and_those_after_the_start_are_purged(tmp_path):
    with log.Log(tmp_path, 20) as writer:
        writer.write(30, {"train/loss": -1.0, "mfu": 0.5})
    files = map(str, (tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    records = tf.data.TFRecordDataset(list(files)).as_numpy_iterator()  # which checks the checksums
    first, purge, scalars = map(event_pb2.Event.FromString, records)
    assert first.file_version == "brain.Event:2"
    assert (purge.step, purge.session_log.status) == (21, event_pb2.SessionLog.START)
    assert (scalars.step, [(v.tag, v.simple_value) for v in scalars.summary.value]) == (
        30,
        [("train/loss", -1.0), ("mfu", 0.5)],
    )
