"""Sums of a whole split, added on the host."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiment.run import Run
from training import evaluate


def one(loss: float, weight: float, confusion: np.ndarray) -> dict:
    return {
        "loss": (np.float32(loss), np.float32(weight)),
        "confusion": (confusion.astype(np.float32), np.ones((), np.float32)),
        "none": (np.float32(0), np.float32(0)),
    }


SUMS = [one(3.0, 2.0, np.eye(2)), one(5.0, 2.0, np.ones((2, 2)))]


def test_scalars_have_means_and_arrays_are_added_by_element():
    totals = evaluate.totals(SUMS)
    np.testing.assert_array_equal(totals["confusion"][0], [[2, 1], [1, 2]])
    assert {x.dtype for pair in totals.values() for x in pair} == {np.dtype(np.float64)}
    assert evaluate.means(totals) == {"loss": 2.0}


def test_small_batches_are_not_lost_beside_large_ones():
    totals = evaluate.totals([{"loss": (np.float32(x), np.float32(1))} for x in (2.0**24, *[1.0] * 8)])
    assert totals["loss"][0] == 2**24 + 8


def test_it_goes_through_all_batches_and_none_gives_nothing():
    totals = evaluate.evaluate(lambda variables, batch: SUMS[batch], lambda sums: sums, {}, [0, 1])
    assert totals["loss"] == (8.0, 4.0)
    assert evaluate.means(evaluate.totals([])) == {}
    with pytest.raises(ValueError, match=r"structure|custom|keys"):
        evaluate.totals([SUMS[0], {"loss": SUMS[0]["loss"]}])


def test_predictions_of_a_batch_are_read_while_the_next_ones_are_computed():
    """Each is asked for before the one of two batches before it is fetched, and none is lost."""
    told: list[str] = []

    def fetch(rows: dict) -> dict:
        told.append(f"fetch {rows['index'][0]}")
        return rows

    devices = SimpleNamespace(put=lambda batch: batch, fetch_rows=fetch)
    begun = lambda variables, batch: told.append(f"begin {batch}") or {"index": np.array([batch, -1])}  # noqa: E731
    run = SimpleNamespace(devices=devices, _predict=begun)
    found = [rows["index"].tolist() for rows in Run.predict(run, {}, range(4))]  # type: ignore[arg-type]
    assert found == [[0], [1], [2], [3]]
    assert told[:5] == ["begin 0", "begin 1", "begin 2", "fetch 0", "begin 3"]
    assert told[5:] == ["fetch 1", "fetch 2", "fetch 3"]


def test_no_more_batches_are_on_the_devices_than_keep_them_busy():
    begun: list[int] = []
    waiting: list[int] = []

    def fetch(sums: dict) -> dict:
        waiting.append(len(begun) - len(waiting))
        return sums

    evaluate.evaluate(lambda variables, batch: begun.append(batch) or SUMS[0], fetch, {}, range(6))
    assert waiting == [3, 3, 3, 3, 2, 1]
