"""Packing: every pair once, in rows that fit, its two sides under the same number."""

import numpy as np
import pytest

from data.packing import OPEN, pack

LENGTH = 16


def pairs(count, longest=LENGTH):
    """Sentences of one id that is their number, counted from 1, as often as they are long."""
    lengths = np.random.default_rng(0).integers(1, longest + 1, (count, 2))
    return [[np.full(length, i + 1) for i, length in enumerate(side)] for side in lengths.T]


@pytest.mark.parametrize("count", [1, 7, 10 * OPEN])
def test_every_pair_comes_back_once_by_its_number_on_both_sides(count):
    source, target = pairs(count)
    packed = pack(source, target, LENGTH, seed=0)
    found = []
    for rows in zip(*(packed[name] for name in ("source", "source_segment", "target", "target_segment")), strict=True):
        assert all(row.dtype == np.int32 for row in rows)
        a, a_segment, b, b_segment = rows
        assert len(a) == len(a_segment) <= LENGTH
        assert len(b) == len(b_segment) <= LENGTH
        numbers = range(1, a_segment.max() + 1)
        assert set(a_segment) == set(b_segment) == set(numbers)
        for number in numbers:
            which = a[a_segment == number][0]
            np.testing.assert_array_equal(a[a_segment == number], source[which - 1])
            np.testing.assert_array_equal(b[b_segment == number], target[which - 1])
            found.append(which)
    assert sorted(found) == list(range(1, count + 1))


def test_the_sentences_of_a_row_stand_one_after_the_other():
    for segment in pack(*pairs(200, 5), LENGTH, seed=0)["source_segment"]:
        assert set(np.diff(segment)) <= {0, 1}
        assert segment[0] == 1


def test_the_same_seed_packs_the_same_rows_and_another_one_others():
    a, b, other = (pack(*pairs(50), LENGTH, seed)["source"] for seed in (3, 3, 4))
    assert [row.tolist() for row in a] == [row.tolist() for row in b]
    assert [row.tolist() for row in a] != [row.tolist() for row in other]


def test_sentences_that_can_fill_their_rows_do():
    quarters = [np.ones(LENGTH // 4, int)] * 4 * 3 * OPEN
    assert len(pack(quarters, quarters, LENGTH, seed=0)["source"]) == 3 * OPEN


def test_sentences_of_any_length_leave_hardly_any_padding():
    source, _ = pairs(2000, LENGTH)
    tokens = sum(map(len, source))
    assert len(pack(source, source, 4 * LENGTH, seed=0)["source"]) * 4 * LENGTH < 1.02 * tokens
