"""A part of a training set: seeded, nested, and read like the whole."""

import numpy as np
import pytest

import input_pipeline
from data import sources
from data.order import tensorflow
from data.pipelines.base import Feed
from data.subset import Subset
from errors import UserError


@pytest.fixture(scope="module")
def digits():
    return sources.open("tfds", "digits", "train", "", 1024)


def images(subset: Subset) -> set[bytes]:
    found = subset.read(tensorflow().range(subset.size, dtype="int64"))["image"].numpy()
    return {image.tobytes() for image in found}


def test_a_smaller_subset_lies_in_a_larger_one(digits):
    small, large = images(Subset(digits, 20, seed=1)), images(Subset(digits, 200, seed=1))
    assert len(small) == 20
    assert len(large) == 200
    assert small < large


def test_another_seed_draws_another_subset(digits):
    assert images(Subset(digits, 20, seed=1)) != images(Subset(digits, 20, seed=2))


def test_the_largest_subset_is_the_whole_set(digits):
    everything = digits.read(tensorflow().range(digits.size, dtype="int64"))["image"].numpy()
    assert images(Subset(digits, digits.size, seed=3)) == {image.tobytes() for image in everything}


def test_images_keep_their_labels_and_errors_their_place(digits):
    subset = Subset(digits, 10, seed=0)
    found = subset.read(np.arange(10))
    place = int(subset.describe(7).split()[1])
    assert (digits.read(np.array([place]))["image"].numpy() == found["image"].numpy()[7]).all()
    assert digits.read(np.array([place]))["label"].numpy() == found["label"].numpy()[7]


@pytest.mark.parametrize("size", [-1, 1438])
def test_a_size_that_the_set_has_not(digits, size):
    with pytest.raises(UserError, match=r"train_examples=.* at most the 1,437 there are"):
        Subset(digits, size, seed=0)


def test_a_set_that_is_only_streamed_says_what_to_do(digits):
    class Streamed:
        size, random_access = 10, False

    with pytest.raises(UserError, match="file_format=array_record"):
        Subset(Streamed(), 5, seed=0)


def test_a_pipeline_counts_and_repeats_only_its_part():
    digits = dict(kind="images", source="tfds", name="digits", image_size=8, mean=(0.5,), std=(0.5,))
    pipeline = input_pipeline.build(digits | dict(train_examples=48, batch_size=16), Feed())
    assert pipeline.steps_per_epoch == 3
    epochs = []
    batches = pipeline.train_batches(0)
    for _ in range(2):
        epochs.append(sorted(int(label) for _ in range(3) for label in next(batches)["label"]))
    assert epochs[0] == epochs[1]


def test_a_set_that_is_made_up_has_no_part():
    made_up = dict(kind="images", source="synthetic", name="10", image_size=8, batch_size=16, train_examples=5)
    with pytest.raises(UserError, match="needs a set that is read by index"):
        next(input_pipeline.build(made_up, Feed()).train_batches(0))
