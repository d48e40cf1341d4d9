"""Word vectors in files: both formats, what is not one, and a model that begins with them."""

import struct

import numpy as np
import pytest

import experiment
from errors import UserError
from experiment import config as configs
from experiment import resume
from tests.families import COMMON, FAMILIES
from training.trees import by_name
from weights import word_vectors

# gensim counts the lines of a text without a first line in a file that it leaves open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

VECTORS = {"a": [1.0, 2.0, 3.0], "Ünï": [-1.5, 0.25, 1e-3], "b": [0.0, -4.0, 0.5]}
TEXT = "3 3\n" + "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items())
BINARY = b"3 3\n" + b"".join(word.encode() + b" " + struct.pack("<3f", *x) + b"\n" for word, x in VECTORS.items())
FILES = {
    "word2vec.txt": TEXT.encode(),
    "glove.txt": TEXT.partition("\n")[2].encode(),
    "windows.vec": TEXT.replace("\n", " \r\n").encode(),
    "word2vec.bin": BINARY,
    "gensim.bin": BINARY.replace(b"\nb ", b"b ").replace("\nÜ".encode(), "Ü".encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_the_words_that_are_wanted_are_read_from_every_format(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    found = word_vectors.read(tmp_path / name, {"Ünï", "b", "c"})
    assert found.keys() == {"Ünï", "b"}
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, VECTORS[word])


def test_what_is_written_is_read(tmp_path):
    vectors = {word: np.array(vector, np.float32) for word, vector in VECTORS.items()}
    word_vectors.write(tmp_path / "own.vec", vectors)
    found = word_vectors.read(tmp_path / "own.vec", vectors)
    for word, vector in vectors.items():
        np.testing.assert_array_equal(found[word], vector)
    with pytest.raises(UserError, match="'a b' has white space in it"):
        word_vectors.write(tmp_path / "other.vec", {"a b": vectors["a"]})
    with pytest.raises(UserError, match=r"cannot write .*: No such file"):
        word_vectors.write(tmp_path / "none" / "own.vec", vectors)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"2 3\na 1 2 3\nb 1 2\n", r"text format, or was not fetched whole: could not broadcast"),
        ("x.txt", b"2 3\na 1 2 3\n", r"text format, or was not fetched whole: unexpected end of input"),
        ("x.txt", b"a 1 2 3\na@b c 4 5 6\n", r"Leave out lines whose word has a space: awk 'NF <= 4' .*x.txt"),
        ("x.txt", b"", "it is empty"),
        ("x.txt", b"z 1 2\n", "no vector for any token"),
        ("x.bin", BINARY[:-9], "binary format, or was not fetched whole: unexpected end of input"),
        ("x.bin", b"PK\x03\x04", "it does not begin with a line"),
        ("x.bin", b"3 999999999\n", "binary format, or was not fetched whole"),
        ("x.bin", b"99999999999999 3\n", "too little memory for what its first line claims"),
    ],
)
def test_a_file_that_is_no_such_file_is_said(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        word_vectors.read(tmp_path / name, {"a", "b"})
    with pytest.raises(UserError, match="cannot read"):
        word_vectors.read(tmp_path / f"no{name}", {"a"})


def test_a_model_begins_with_the_vectors_of_the_words_that_it_knows(tmp_path, capsys):
    changes = COMMON | FAMILIES["classifier"]
    vocabulary = experiment.build(configs.load("configs/vit_digits.py", changes), tmp_path / "run").pipeline
    words = [
        piece.removeprefix("▁") for piece in vocabulary.text_tokenizer.pieces(range(vocabulary.sizes["vocabulary"]))
    ]
    some = np.random.default_rng(0).normal(size=(2, 16))
    word_vectors.write(tmp_path / "some.vec", {words[5]: some[0], words[7]: some[1], "elsewhere": some[0]})
    changes["init_from"] = str(tmp_path / "some.vec")
    run = experiment.build(configs.load("configs/vit_digits.py", changes), tmp_path / "run")
    fresh = by_name(run.initialise().params)
    resume.start(run)
    assert f"2 of {len(words)} tokens begin with the vectors of" in capsys.readouterr().out
    params = by_name(run.initialise().params)
    (name,) = run.init_params
    taken = run.init_params[name]
    resume.start(run)  # rolled back to its beginning, which is the same
    assert run.init_params[name] is taken
    table, before = np.asarray(params[name]), np.asarray(fresh[name])
    others = ~np.isin(np.arange(len(words)), [5, 7])
    np.testing.assert_array_equal(table[others], before[others])
    np.testing.assert_allclose(table[[5, 7]], some * before.std() / some.std(), rtol=1e-4)
    for other in params.keys() - {name}:
        np.testing.assert_array_equal(params[other], fresh[other])
    word_vectors.write(tmp_path / "some.vec", {words[5]: some[0, :9]})
    with pytest.raises(
        UserError, match="vectors of 9 numbers, and the token embedding of this model has 16: set config"
    ):
        resume.start(experiment.build(configs.load("configs/vit_digits.py", changes), tmp_path / "other"))
