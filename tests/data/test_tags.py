"""Words with a label each: at the first token of a word, in files of columns, and the same of a person's sentence."""

import itertools

import numpy as np
import pytest

import input_pipeline
import lookup
from data import text
from data.pipelines import tags
from data.pipelines.base import Feed
from errors import UserError
from models.tokens import BOS, EOS, PAD

TRAIN = [
    (["Ada", "Lovelace", "lives", "in", "London"], ["B-PER", "I-PER", "O", "O", "B-LOC"]),
    (["no", "names"], ["O", "O"]),
    (["Paris"], ["B-LOC"]),
] * 3


def conll(sentences, columns="{0} NNP x {1}"):
    return "\n\n".join("\n".join(columns.format(*pair) for pair in zip(*one, strict=True)) for one in sentences) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tags")
    (root / "train.txt").write_text("-DOCSTART- -X- O O\n\n" + conll(TRAIN))
    (root / "validation.conll").write_text(conll([TRAIN[0], (["Ada", "London"] * 8, ["O", "B-LOC"] * 8)], "{0}\t{1}"))
    return root


def make(name, **changes):
    settings = dict(tokenizer="char", batch_size=4, max_length=40, buckets=2) | changes
    return input_pipeline.build(dict(kind="tags", name=str(name)) | settings, Feed())


def read(pipeline, batch):
    """The sentences of a batch: words and their labels' names."""
    found = []
    for ids, label in zip(batch["tokens"], batch["label"], strict=True):
        (begins,) = np.nonzero(label >= 0)
        ends = [*begins[1:], (ids != PAD).sum()][: len(begins)]
        words = [pipeline.decode(ids[a:b]).strip() for a, b in zip(begins, ends, strict=True)]
        found.append((words, [pipeline.classes[i] for i in label[begins]]))
    return found


@pytest.mark.parametrize("begin", [False, True])
def test_every_word_has_its_label_at_its_first_token(folder, begin):
    pipeline = make(folder, begin=begin)
    assert pipeline.classes == ("B-LOC", "B-PER", "I-PER", "O")
    batches = list(itertools.islice(pipeline.train_batches(0), int(pipeline.steps_per_epoch)))
    for batch in batches:
        assert {name: str(x.dtype) for name, x in batch.items()} == {n: t for n, (_, t) in pipeline.spec.items()}
        real = batch["tokens"][(batch["tokens"] != PAD).any(1)]
        assert ((real[:, 0] == BOS) == begin).all()
        assert ((real == EOS).sum(1) == 1).all()
        assert (batch["label"][batch["tokens"] == PAD] == -1).all()
    sentences = [one for batch in batches for one in read(pipeline, batch) if one[0]]
    assert sorted(sentences) == sorted(TRAIN)


def test_what_is_beyond_max_length_has_no_label_and_is_told(folder):
    pipeline = make(folder, buckets=1)
    pipeline.check()
    (batch,) = pipeline.eval_batches("validation")
    words, labels = max(read(pipeline, batch), key=lambda one: len(one[0]))
    assert 6 < len(words) < 16
    assert labels == ["O", "B-LOC"] * (len(words) // 2) + ["O"] * (len(words) % 2)
    assert pipeline.notes() == ["validation: 1 sentences cut to max_length=40 tokens."]


def test_a_persons_words_are_found_again(folder):
    pipeline = make(folder, begin=True)
    batch, notes = pipeline.read(["Ada in  Paris", "names"])
    assert [words for words, _ in read(pipeline, batch)] == [["Ada", "in", "Paris"], ["names"]]
    assert set(batch["label"].ravel().tolist()) == {0, -1}
    assert notes == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ada B-PER\nLovelace\n", r"train.txt, line 2: 'Lovelace' is not a word and, in the last column, its label"),
        ("\n\n", "train.txt holds no sentences"),
    ],
)
def test_lines_that_have_no_label_are_named(tmp_path, content, message):
    (tmp_path / "train.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        text.tagged("conll", str(tmp_path), "train", "")


def test_a_label_that_training_has_not_is_named(tmp_path):
    (tmp_path / "train.txt").write_text(conll(TRAIN))
    (tmp_path / "validation.txt").write_text("Ada B-PRE\n")
    with pytest.raises(
        UserError, match=r"'validation' has a label 'B-PRE' that training has not: did you mean 'B-PER'"
    ):
        make(tmp_path).check()


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(tags.Pipeline, without=("feed",))) - set(lookup.meanings(tags.Pipeline))
