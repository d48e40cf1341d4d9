"""Composed canvases: canvas i is always the same, its boxes hold its pixels, and splits share no digit."""

import numpy as np
import pytest
import tensorflow as tf

from data.sources import canvases
from errors import UserError


def read(split: str, *indices: int) -> list[dict]:
    source = canvases.Source("48", split)
    raw = source.read(tf.constant(indices, tf.int64))
    rows = [source.parse({name: x[i] for name, x in raw.items()}) for i in range(len(indices))]
    return [tf.nest.map_structure(lambda x: x.numpy(), row) for row in rows]


def test_a_canvas_depends_on_its_split_and_place_alone():
    (alone,), (_, among, other) = read("train", 7), read("train", 3, 7, 11)
    tf.nest.map_structure(np.testing.assert_array_equal, alone, among)
    tf.nest.map_structure(np.testing.assert_array_equal, read("train[5:]", 2)[0], alone)
    assert (read("test", 7)[0]["image"] != alone["image"]).any()
    assert (other["image"] != alone["image"]).any()


def test_splits_share_no_digit():
    digits = {split: {one.tobytes() for one in canvases.of_split(split)[0]} for split in canvases.SIZES}
    assert not digits["train"] & digits["test"]
    assert not digits["train"] & digits["validation"]
    assert not digits["validation"] & digits["test"]
    assert sum(len(canvases.of_split(split)[1]) for split in canvases.SIZES) == 1797


def test_boxes_hold_exactly_what_the_map_shows_of_a_lone_digit():
    rows = [row for row in read("validation", *range(40)) if len(row["objects"]["label"]) == 1]
    assert len(rows) > 2
    for row in rows:
        y, x = np.nonzero(row["mask"])
        box = np.array([y.min(), x.min(), y.max() + 1, x.max() + 1]) / 48
        np.testing.assert_allclose(row["objects"]["bbox"], [box], rtol=1e-6)
        assert set(np.unique(row["mask"])) == {0, 1 + row["objects"]["label"][0]}


def test_digits_are_there_inside_and_hardly_cover_one_another():
    rows = read("train", *range(40))
    counts = [len(row["objects"]["label"]) for row in rows]
    assert min(counts) >= 1
    assert max(counts) >= 4
    for row in rows:
        box = row["objects"]["bbox"]
        assert (box[:, :2] < box[:, 2:]).all()
        assert (box >= 0).all()
        assert (box <= 1).all()
        assert set(np.unique(row["mask"])) <= {0, *(1 + row["objects"]["label"])}


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("8", "train", "named by its side in pixels, from 32 to 512"),
        ("a", "train", "named by its side in pixels"),
        ("64", "trian", "canvases has no split 'trian': did you mean 'train'"),
        ("64", "test[5:5]", "is empty, of 1,000 examples"),
    ],
)
def test_a_mistake_is_one_line(name, split, message):
    with pytest.raises(UserError, match=message):
        canvases.Source(name, split)
