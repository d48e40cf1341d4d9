"""Labelled sentences in batches: each with its own label, once an epoch, the same from any step and on any host."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

import input_pipeline
import lookup
from data.pipelines import sentences
from data.pipelines.base import Feed
from errors import UserError
from models.tokens import EOS, PAD

WORDS = ["good", "bad", "dull", "bright", "long", "short", "fine", "poor", "great", "weak"]
CLASSES = ("bad", "good", "so so")
TRAIN = [(" ".join([f"q{i}", *WORDS[: i % 8]]), CLASSES[i % 3]) for i in range(40)]
LONG = "q3 " + "bad " * 20 + "fine"
TEST = [("q1 good", "good"), ("", "bad"), (LONG, "bad"), ("q4 new", "good"), *((f"q{i} dull", "bad") for i in range(5))]


def write(folder, **splits):
    for split, rows in splits.items():
        (folder / f"{split}.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("text"), train=TRAIN, test=TEST)


FEED = {field.name for field in dataclasses.fields(Feed)}


def make(name, **changes):
    """Words are tokens, so that a sentence's length is that of its words and one."""
    settings = dict(
        source="tsv",
        train_split="train",
        eval_splits=("test",),
        batch_size=8,
        tokenizer="word",
        vocabulary_size=500,
        max_length=10,
        buckets=3,
    )
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    section = dict(kind="sentences", name=str(name)) | settings
    return input_pipeline.build(section, Feed(**{key: value for key, value in changes.items() if key in FEED}))


def first(batches, count):
    return list(itertools.islice(batches, int(count)))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key], err_msg=key)


def read(pipeline, batches):
    """The sentences and the names of their classes. Checks the form of the batches and that what fills them is empty."""
    found = []
    for batch in batches:
        rows = len(batch["label"])
        if "index" in batch:
            assert ((batch["index"] == -1) == (batch["mask"] == 0)).all()
        batch = {name: x for name, x in batch.items() if name != "index"}
        shapes = {"tokens": (rows, batch["tokens"].shape[1]), "label": (rows,), "mask": (rows,)}
        assert {name: x.shape for name, x in batch.items()} == shapes
        assert {name: str(x.dtype) for name, x in batch.items()} == {n: t for n, (_, t) in pipeline.spec.items()}
        for ids, label, mask in zip(batch["tokens"], batch["label"], batch["mask"], strict=True):
            length = int((ids != PAD).sum())
            if mask == 0:
                assert (length, label) == (0, 0)
                continue
            assert mask == 1
            assert ids.tolist().index(EOS) == length - 1
            found.append((" ".join(pipeline.text_tokenizer.decode(ids).split()), pipeline.classes[label]))
    return found


def test_an_epoch_shows_every_sentence_once_with_its_label(folder):
    pipeline = make(folder)
    batches = first(pipeline.train_batches(0), pipeline.steps_per_epoch)
    assert {len(batch["label"]) for batch in batches} == {8}
    assert sorted(read(pipeline, batches)) == sorted(TRAIN)


def test_a_pipeline_started_at_step_k_goes_on_as_the_uninterrupted_one(folder):
    whole = make(folder)
    steps = int(whole.steps_per_epoch)
    batches = first(whole.train_batches(0), 2 * steps + 3)
    for k in (1, steps - 1, steps, 2 * steps):
        assert_same(first(make(folder).train_batches(k), 3), batches[k : k + 3])
    assert any((a["label"] != b["label"]).any() for a, b in zip(batches[:steps], batches[steps:], strict=False))


def test_two_hosts_read_halves_of_the_batch_that_one_host_reads(folder):
    one = make(folder, divisor=2)
    two = [make(folder, host=host, hosts=2, divisor=2) for host in range(2)]
    for batches in (lambda p: first(p.train_batches(2), 3), lambda p: list(p.eval_batches("test"))):
        halves = zip(*map(batches, two), strict=True)
        assert_same([{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in halves], batches(one))


@pytest.mark.parametrize(("eval_batch_size", "divisor", "rows"), [(0, 1, 8), (3, 1, 3), (3, 4, 4), (100, 8, 104)])
def test_evaluation_shows_every_sentence_once_with_its_label_nothing_left_out(folder, eval_batch_size, divisor, rows):
    pipeline = make(folder, eval_batch_size=eval_batch_size, divisor=divisor)
    batches = list(pipeline.eval_batches("test"))
    assert {len(batch["label"]) for batch in batches} == {rows}
    cut = " ".join(["q3", *["bad"] * 8])  # 10 tokens with its end
    index = np.concatenate([batch["index"] for batch in batches])
    assert index.dtype == np.int32
    assert sorted(index[index >= 0]) == list(range(len(TEST)))
    for batch in batches:
        labels = [pipeline.classes[label] for label in batch["label"]]
        assert all(label == TEST[i][1] for label, i in zip(labels, batch["index"], strict=True) if i >= 0)
    expected = [(cut if text == LONG else text.replace("new", "⁇"), label) for text, label in TEST]
    assert sorted(read(pipeline, batches)) == sorted(expected)


def test_sentences_that_are_too_long_are_cut_in_training_too(tmp_path):
    pipeline = make(write(tmp_path, train=[*TRAIN, (LONG, "bad")]))
    found = read(pipeline, first(pipeline.train_batches(0), pipeline.steps_per_epoch))
    assert sorted(found) == sorted([*TRAIN, (" ".join(["q3", *["bad"] * 8]), "bad")])
    assert pipeline.describe()[1:] == ["train: 1 sentences cut to max_length=10 tokens."]


def test_a_description_counts_what_there_is_what_is_cut_and_what_is_not_known(folder):
    pipeline = make(folder)
    assert pipeline.notes() == []
    pipeline.check()
    batches = first(pipeline.train_batches(0), pipeline.steps_per_epoch)
    tokens = sum(int((batch["tokens"] != PAD).sum()) for batch in batches)
    padding = np.mean(np.concatenate([batch["tokens"].ravel() == PAD for batch in batches]))
    line, *notes = pipeline.describe()
    assert line.startswith(
        f"40 sentences of 3 classes, {tokens} tokens of a vocabulary of {pipeline.text_tokenizer.size}; "
    )
    assert f"{len(batches)} batches of 8, in buckets of " in line
    assert line.endswith(f"9, {padding:.1%} padding.")
    assert notes == pipeline.notes()
    assert notes == [
        "test: 1 tokens that are not in the vocabulary.",
        "test: 1 sentences cut to max_length=10 tokens.",
    ]


def test_shapes_are_those_of_an_epoch_with_their_shares(folder):
    pipeline = make(folder)
    batches = first(pipeline.train_batches(0), pipeline.steps_per_epoch)
    seen = {tuple(sorted((name, x.shape, str(x.dtype)) for name, x in batch.items())) for batch in batches}
    told = {tuple(sorted((name, *shape) for name, shape in shapes.items())): share for share, shapes in pipeline.shapes}
    assert told.keys() == seen
    assert sum(told.values()) == pytest.approx(1)


def test_labels_of_a_split_that_lacks_a_class_mean_what_they_do_in_training(folder):
    pipeline = make(folder)
    assert pipeline.classes == CLASSES
    pipeline = make(folder, train_split="test", eval_splits=("train",))
    with pytest.raises(
        UserError, match=r"split 'train' has a class 'so so' that training has not: There is: bad, good"
    ):
        pipeline.check()


def test_labels_count_a_splits_own_classes_and_are_told_as_those_of_training(tmp_path):
    pipeline = make(write(tmp_path, train=TRAIN, test=[("q1 fine", "so so"), ("q2 fine", "good")]))
    assert sorted(read(pipeline, pipeline.eval_batches("test"))) == [("q1 fine", "so so"), ("q2 fine", "good")]


def test_a_split_without_labels_is_refused_before_training(tmp_path):
    write(tmp_path, train=[("a b", 0), ("b", 1)], test=[("a", -1)])
    with pytest.raises(UserError, match="example 0 has label '-1': this split is not labelled"):
        make(tmp_path).check()


def test_glue_is_read_by_its_name(tmp_path):
    settings = dict(source="tfds", name="glue/sst2", data_dir=str(tmp_path), eval_splits=("validation",))
    with tfds.testing.mock_data(num_examples=11):
        pipeline = make(**settings)
        assert pipeline.classes == ("negative", "positive")
        pipeline.check()
        assert sum(batch["mask"].sum() for batch in pipeline.eval_batches("validation")) == 11


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "config.data.batch_size=0 should be greater than 0"),
        ({"batch_size": 20, "divisor": 8, "accumulate": 2}, r"8 devices x 2 .*try --config.data.batch_size=16"),
        ({"buckets": 0}, "config.data.buckets=0 should be greater than 0"),
        ({"max_length": 1}, "config.data.max_length=1 should be greater than or equal to 2"),
        ({"tokenizer": "bpe", "vocabulary_size": 9000}, r"config.data.vocabulary_size=9000: it can have \d+ at most"),
    ],
)
def test_a_setting_that_cannot_be_is_named_as_the_config_spells_it(folder, settings, message):
    with pytest.raises(UserError, match=message):
        _ = make(folder, **settings).sizes


def test_a_trained_run_keeps_its_classes_and_tokenizer_and_needs_no_training_text(tmp_path):
    trained = make(write(tmp_path, train=TRAIN, test=TEST))
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    known = json.loads(json.dumps(trained.known))
    assert known == {"classes": list(CLASSES), "tokenizers": {"tokenizer.model": trained.text_tokenizer.digest}}
    (tmp_path / "train.tsv").unlink()
    loaded = make(tmp_path, known=known, folder=tmp_path)
    loaded.check()
    assert loaded.sizes == trained.sizes == {"outputs": 3, "vocabulary": trained.text_tokenizer.size}
    assert loaded.known == trained.known
    assert_same(list(loaded.eval_batches("test")), list(trained.eval_batches("test")))


def test_a_batch_of_sentences_says_what_it_cuts_and_does_not_know(folder):
    pipeline = make(folder)
    batch, notes = pipeline.read(["q1 good", "", LONG, "q2 new"])
    assert batch.keys() == {"tokens"}
    assert batch["tokens"].shape == (4, 10)
    assert batch["tokens"][1].tolist() == [EOS] + [PAD] * 9
    assert [note.split(":")[0] for note in notes] == [
        "cut from 23 to max_length=10 tokens",
        "1 tokens that are not in the vocabulary in",
    ]
    assert pipeline.read(["q1 good"])[0]["tokens"].shape == (1, 8)


def test_it_offers_all_of_a_pipeline(folder):
    protocol = {name for name in dir(input_pipeline.Pipeline) if not name.startswith("_")}
    assert not [name for name in protocol if not hasattr(make(folder), name)]


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(sentences.Pipeline, without=("feed",))) - set(lookup.meanings(sentences.Pipeline))
