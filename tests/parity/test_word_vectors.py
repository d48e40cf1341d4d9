"""Files of word vectors: gensim reads what is written here, and what gensim writes is read here."""

import numpy as np
import pytest

from weights import word_vectors

WORDS = ["the", "Hund", "größer", "a_b", "猫"]


@pytest.fixture
def keyed():
    return pytest.importorskip("gensim.models", reason="gensim is not installed: make test-parity").KeyedVectors


@pytest.mark.parametrize(
    ("name", "options"),
    [("x.bin", {"binary": True}), ("x.vec", {}), ("glove.txt", {"write_header": False})],
)
def test_what_gensim_writes_is_read(keyed, tmp_path, name, options):
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 7)).astype(np.float32)
    theirs = keyed(7)
    theirs.add_vectors(WORDS, vectors)
    theirs.save_word2vec_format(str(tmp_path / name), **options)
    found = word_vectors.read(tmp_path / name, set(WORDS[1:]))
    assert found.keys() == set(WORDS[1:])
    for word, vector in zip(WORDS[1:], vectors[1:], strict=True):
        np.testing.assert_array_equal(found[word], vector)


def test_gensim_reads_what_is_written(keyed, tmp_path):
    vectors = {word: np.full(3, i - 1.5, np.float32) for i, word in enumerate(WORDS)}
    word_vectors.write(tmp_path / "own.vec", vectors)
    theirs = keyed.load_word2vec_format(str(tmp_path / "own.vec"))
    assert theirs.index_to_key == WORDS
    np.testing.assert_array_equal(theirs.vectors, np.stack(list(vectors.values())))
