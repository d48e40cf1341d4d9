"""Buckets: the padded lengths that waste least, every example once an epoch, and any batch without the others."""

from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data.buckets import Buckets, boundaries

LENGTHS = np.random.default_rng(0).permutation(np.repeat([2, 3, 5, 8], [7, 0, 1, 13]))
BOUNDS, ROWS = (2, 4, 5, 8), (4, 4, 2, 2)  # the second bucket is empty, the third has one example
COUNTS, BATCHES = (7, 0, 1, 13), (2, 0, 1, 7)


def batch(plan, step, seed=0, host=0, hosts=1):
    length, index, real = plan.batch(tf.constant(step, tf.int64), seed, host, hosts)
    return int(length), index.numpy(), real.numpy()


def epoch(plan, number=0, seed=0):
    return [batch(plan, number * plan.steps + step, seed) for step in range(plan.steps)]


def examples(batches):
    return np.concatenate([index[real] for _, index, real in batches]).tolist()


def padded(lengths, bounds):
    return np.asarray(bounds)[np.searchsorted(bounds, lengths)].sum()


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), buckets=st.integers(1, 10))
def test_boundaries_leave_the_least_padding_of_all_choices(lengths, buckets):
    *shorter, longest = sorted(set(lengths))
    choices = [(*some, longest) for size in range(buckets) for some in combinations(shorter, size)]
    bounds = boundaries(np.array(lengths), buckets)
    assert bounds in choices
    assert padded(lengths, bounds) == min(padded(lengths, choice) for choice in choices)


def test_one_bucket_is_as_long_as_the_longest_and_more_buckets_than_lengths_pad_nothing():
    assert boundaries(np.array([4, 9, 4, 1]), 1) == (9,)
    assert boundaries(np.array([4, 9, 4, 1]), 5) == (1, 4, 9)


@given(
    sizes=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4)), min_size=1, max_size=4).filter(
        lambda sizes: any(count for count, _ in sizes)
    ),
    seed=st.sampled_from([None, 0, 2**40]),
    number=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_an_epoch_takes_every_example_once_whatever_the_sizes(sizes, seed, number):
    counts, rows = zip(*sizes, strict=True)
    lengths = np.repeat(np.arange(len(sizes)), counts)
    plan = Buckets(lengths, tuple(range(len(sizes))), rows)
    batches = epoch(plan, number, seed)
    assert sorted(examples(batches)) == list(range(len(lengths)))
    for length, index, real in batches:
        assert len(index) == rows[length]
        assert set(lengths[index]) == {length}
        assert real.any()


def test_each_epoch_deals_anew_to_batches_in_another_order():
    plan = Buckets(LENGTHS, BOUNDS, ROWS)
    epochs = [epoch(plan, number) for number in range(4)]
    assert len({tuple(length for length, _, _ in batches) for batches in epochs}) == 4
    dealt = [{frozenset(index[real]) for length, index, real in batches if length == 8} for batches in epochs]
    assert len(set(map(frozenset, dealt))) == 4
    assert examples(epoch(plan, 0, seed=1)) != examples(epochs[0])


def test_a_batch_asked_for_alone_is_the_one_of_the_sequence():
    plan = Buckets(LENGTHS, BOUNDS, ROWS)
    for step, expected in enumerate(epoch(plan, 0) + epoch(plan, 1)):
        alone = batch(Buckets(LENGTHS, BOUNDS, ROWS), step)
        for a, b in zip(alone, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", [None, 0])
def test_the_slices_of_two_hosts_are_the_batch_of_one(seed):
    plan = Buckets(LENGTHS, BOUNDS, ROWS)
    for step, (length, index, real) in enumerate(epoch(plan, 0, seed)):
        hosts = [batch(plan, step, seed, host, 2) for host in range(2)]
        assert {host[0] for host in hosts} == {length}
        np.testing.assert_array_equal(np.concatenate([host[1] for host in hosts])[real], index[real])
        np.testing.assert_array_equal(np.concatenate([host[2] for host in hosts]), real)


def test_without_a_seed_the_short_come_first_each_bucket_in_order():
    batches = epoch(Buckets(LENGTHS, BOUNDS, ROWS), seed=None)
    assert examples(batches) == np.argsort(LENGTHS, kind="stable").tolist()
    assert [length for length, _, _ in batches] == np.repeat(BOUNDS, BATCHES).tolist()


def test_a_bucket_fills_up_its_last_batch_and_no_other():
    plan = Buckets(LENGTHS, BOUNDS, ROWS)
    assert (plan.steps, plan.batches.tolist()) == (10, list(BATCHES))
    assert plan.room == 2 * 4 * 2 + 1 * 2 * 5 + 7 * 2 * 8
    for seed in (None, 0):
        batches = epoch(plan, seed=seed)
        for bound, rows, count in zip(BOUNDS, ROWS, COUNTS, strict=True):
            full = sorted(int(real.sum()) for length, _, real in batches if length == bound)
            assert full == sorted([rows] * (count // rows) + [count % rows] * (count % rows > 0))
