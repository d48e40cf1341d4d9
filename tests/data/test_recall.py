"""First-token recall: what it says of its sentences holds, and the same name gives the same ones."""

import numpy as np
import pytest

from data import text
from errors import UserError


def read(name: str, split: str):
    return text.labelled("recall", name, split, "")


@pytest.mark.parametrize(
    ("name", "symbols", "length", "examples"),
    [("", 8, 32, 20_000), ("5,7", 5, 7, 20_000), ("12,3,50", 12, 3, 50), ("3,1,9", 3, 1, 9)],
)
def test_the_label_is_the_first_of_exactly_so_many_symbols(name, symbols, length, examples):
    for split, size in (("train", examples), ("validation", 1_000), ("test", 2_000)):
        texts, labels, classes = read(name, split)
        assert classes == tuple(str(symbol) for symbol in range(symbols))
        assert len(texts) == len(labels) == size
        words = [sentence.split(" ") for sentence in texts]
        assert {len(row) for row in words} == {length}
        assert [row[0] for row in words] == [classes[label] for label in labels]
        assert {word for row in words for word in row} <= set(classes)


def test_symbols_are_uniform_at_every_place():
    texts, _, _ = read("4,6", "train")
    drawn = np.array([sentence.split() for sentence in texts], int)
    shares = np.stack([(drawn == symbol).mean(0) for symbol in range(4)])
    np.testing.assert_allclose(shares, 0.25, atol=0.02)


def test_a_split_is_the_same_again_and_another_is_not():
    assert read("8,32,100", "train") == read("8,32,100", "train")
    assert read("8,32,100", "train")[0] == read("8,32,200", "train")[0][:100]
    first = {split: read("8,32,1000", split)[0][:1000] for split in ("train", "validation", "test")}
    assert len({sentence for sentences in first.values() for sentence in sentences}) == 3000


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("", "tests", "did you mean 'test'"),
        ("8", "test", "as in 8,32, and after them"),
        ("8,32,", "test", "as in 8,32,20000"),
        ("8x32", "test", "as in 8,32"),
        ("1,32", "test", "it needs 2 symbols"),
        ("8,0", "test", "a length of 1"),
        ("8,32,7", "test", "a sentence for each symbol"),
    ],
)
def test_mistakes_are_told(name, split, message):
    with pytest.raises(UserError, match=message):
        read(name, split)
