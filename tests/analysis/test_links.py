"""Alignment error rate: links by hand as files, links by attention, and how they differ."""

import numpy as np
import pytest

from analysis import links, translation
from data.tokenizer import Tokenizer
from errors import UserError


def test_the_error_rate_of_an_example_by_hand():
    sure, possible = [{(0, 0), (1, 1)}], [{(0, 0), (1, 1), (2, 1)}]
    predicted = [{(0, 0), (2, 1), (2, 2)}]
    # |A & S| = 1, |A & P| = 2, |A| = 3, |S| = 2
    assert links.error_rate(predicted, sure, possible) == pytest.approx(1 - 3 / 5)
    assert links.error_rate(sure, sure, possible) == 0
    assert links.error_rate([{(5, 5)}], sure, possible) == 1


def test_sentences_are_counted_together():
    predicted, sure = [{(0, 0)}, {(0, 1), (1, 0)}], [{(0, 0)}, {(0, 0), (1, 1)}]
    assert links.error_rate(predicted, sure, sure) == pytest.approx(1 - 2 / 6)


def test_words_are_the_sum_over_source_and_the_mean_over_target_tokens():
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.3, 0.1], [0.0, 0.0, 0.0, 1.0]])
    words = links.word_weights(weights, np.array([0, 0, 2, -1]), np.array([0, 0, -1]))
    np.testing.assert_allclose(words, [[(0.3 + 0.6) / 2, 0, 0.3]])  # source word 1 has no token
    assert links.strongest(words) == {(0, 0)}
    assert links.strongest(np.zeros((1, 2))) == set()


def written(folder, gold: str, source: str = "a b\nc", target: str = "x\ny z") -> list:
    paths = [folder / name for name in ("gold", "source", "target")]
    for path, text in zip(paths, (gold, source, target), strict=True):
        path.write_text(text)
    return paths


def test_links_are_sure_or_possible(tmp_path):
    gold = links.read(*written(tmp_path, "0-0 1?0\n0p1\n", "a b\nc\n"))
    assert gold.source == [["a", "b"], ["c"]]
    assert gold.target == [["x"], ["y", "z"]]
    assert gold.sure == [{(0, 0)}, set()]
    assert gold.possible == [{(0, 0), (1, 0)}, {(0, 1)}]


def test_each_side_of_a_pair_needs_words(tmp_path):
    with pytest.raises(UserError, match=r"line 2 of .*target is empty: each side of a pair needs words"):
        links.read(*written(tmp_path, "0-0\n\n", "a b\nc", "x\n "))
    with pytest.raises(UserError, match=r"line 1 of .*source is empty"):
        links.read(*written(tmp_path, "", "", ""))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-0", "gold has 1 lines and .*source has 2"),
        ("0-0\n0:1", "line 2 of .*gold: '0:1' is not a link: write 0-2"),
        (
            "0-0\n1-1",
            "line 2 of .*gold: '1-1' links a word that is not there: the sentences have 1 source and 2 target",
        ),
    ],
)
def test_a_file_of_links_that_cannot_be_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        links.read(*written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    paths = written(tmp_path, "0-0\n0-0")
    with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
        links.read(tmp_path / "none", *paths[1:])


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_tokens_of_words_are_those_of_the_sentence(kind):
    texts = ["der Hund bellt laut", "die Hunde bellen", "ein lauter Hund", "das Haus der Hunde"] * 5
    tokenizer = Tokenizer.train(texts, kind, 22)
    for text in (*texts[:4], ""):
        ids, word = translation.tokens_of_words(tokenizer, text.split())
        np.testing.assert_array_equal(ids, tokenizer.encode([text])[0])
        assert word[-1] == -1
        assert [tokenizer.decode(ids[word == i]) for i in range(word.max() + 1)] == text.split()
