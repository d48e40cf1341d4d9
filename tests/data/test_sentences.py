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
from models.tokens import BOS, EOS, PAD

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
    """The sentences and the names of their classes. Checks the form of the batches and that what fills them is
    empty.
    """
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
    assert pipeline.read(["new"] * 5)[1][3:] == ["the same of 2 more of these 5."]


def test_the_texts_of_a_table_are_items_with_their_classes(folder, tmp_path):
    pipeline = make(folder)
    (tmp_path / "a.csv").write_text('text,label\n"q1, good",good\nq2,bad\n')
    assert pipeline.items(str(tmp_path / "a.csv")) == ["q1, good", "q2"]
    (tmp_path / "open.csv").write_text('text,label\n"q1, good\nq2,bad\n')
    with pytest.raises(UserError, match=r"open.csv has a quotation mark that is never closed, before 'q1, good'"):
        pipeline.items(str(tmp_path / "open.csv"))
    assert [pipeline.truth(item) for item in ("q1, good", "q2", "q3")] == ["good", "bad", ""]
    assert pipeline.items("a.csv") == ["a.csv"]
    (tmp_path / "a.txt").write_text("q1\n")
    with pytest.raises(UserError, match=r"a.txt is a file, not a sentence: --file=.*a.txt reads its lines"):
        pipeline.items(str(tmp_path / "a.txt"))


def test_it_offers_all_of_a_pipeline(folder):
    protocol = {name for name in dir(input_pipeline.Pipeline) if not name.startswith("_")}
    assert not [name for name in protocol if not hasattr(make(folder), name)]


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(sentences.Pipeline, without=("feed",))) - set(lookup.meanings(sentences.Pipeline))


PAIRS = [
    ("q1 good", "q2", "0.5"),
    ("q3 bad dull long short", "q4 fine poor great weak good bad", "4"),
    ("", "q5", "-1e0"),
]


def pairs(folder, **changes):
    rows = "".join(f"{number}\t{one}\t{two}\n" for one, two, number in PAIRS)
    for split in ("train", "test"):
        (folder / f"{split}.tsv").write_text("score\tone\ttwo\n" + rows)
    settings = dict(fields=("one", "two"), label="score", numbers=True, begin=True, batch_size=3, buckets=1)
    return make(folder, **settings | changes)


def test_pairs_have_types_and_numbers_are_standardised(tmp_path):
    pipeline = pairs(tmp_path)
    assert pipeline.sizes == {"outputs": 1, "vocabulary": pipeline.text_tokenizer.size}
    numbers = np.array([0.5, 4, -1])
    assert pipeline.moments == pytest.approx((numbers.mean(), numbers.std()))
    (batch,) = pipeline.eval_batches("test")
    assert {name: str(batch[name].dtype) for name in pipeline.spec} == {n: t for n, (_, t) in pipeline.spec.items()}
    for i, index in enumerate(batch["index"].tolist()):
        one, two, number = PAIRS[index]
        real = batch["tokens"][i] != PAD
        tokens, types = batch["tokens"][i][real], batch["types"][i][real]
        assert (tokens[0], tokens[-1], batch["types"][i][~real].sum()) == (BOS, EOS, 0)
        assert len(tokens) == min(len(one.split()) + len(two.split()) + 3, 10)
        found = [" ".join(pipeline.decode(tokens[types == t]).split()) for t in (0, 1)]
        # 12 tokens become 10: the longer text is cut
        assert found == ([one, two] if index != 1 else ["q3 bad dull", "q4 fine poor great"])
        assert batch["target"][i] == pytest.approx((float(number) - numbers.mean()) / numbers.std(), rel=1e-5)
    read, notes = pipeline.read(["q1 good\tq2"])
    assert read.keys() == {"tokens", "types"}
    assert notes == []
    with pytest.raises(UserError, match=r"'q1' is no pair: write one and two with one tab"):
        pipeline.read(["q1"])


def test_a_trained_run_keeps_its_moments(tmp_path):
    trained = pairs(tmp_path)
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    known = json.loads(json.dumps(trained.known))
    (tmp_path / "train.tsv").unlink()
    loaded = make(tmp_path, known=known, folder=tmp_path, fields=("one", "two"), label="score", numbers=True)
    assert loaded.moments == pytest.approx(trained.moments)


@pytest.mark.parametrize(
    ("changes", "label", "message"),
    [
        ({}, "high", r"train: example 0 has the label 'high', which is no number"),
        ({}, "nan", r"example 0 has the label 'nan', which is no number"),
        ({"fields": ("one", "tow")}, "1", r"names no column 'tow': did you mean 'two'"),
        ({"label": "scor"}, "1", r"names no column 'scor': did you mean 'score'"),
        ({}, "4", "all its score are 4: nothing to learn"),
        ({"fields": ("one", "two", "three")}, "1", "config.data.fields="),
    ],
)
def test_numbers_and_pairs_that_cannot_be_are_told_in_a_line(tmp_path, monkeypatch, changes, label, message):
    monkeypatch.setattr("tests.data.test_sentences.PAIRS", [(a, b, label) for a, b, _ in PAIRS])
    with pytest.raises(UserError, match=message):
        _ = pairs(tmp_path, **changes).known


def test_classes_of_pairs_of_glue_are_read_by_their_fields(tmp_path):
    settings = dict(source="tfds", name="glue/mrpc", data_dir=str(tmp_path), eval_splits=("validation",))
    with tfds.testing.mock_data(num_examples=5):
        pipeline = make(**settings, fields=("sentence1", "sentence2"), max_length=64)
        assert pipeline.classes == ("not_equivalent", "equivalent")
        assert next(pipeline.train_batches(0))["types"].max() == 1
        numbers = make(
            **settings | {"name": "glue/stsb"}, fields=("sentence1", "sentence2"), numbers=True, max_length=64
        )
        assert numbers.moments[1] > 0
        with pytest.raises(UserError, match="no text or number 'sentence3': did you mean 'sentence2'"):
            make(**settings, fields=("sentence1", "sentence3")).check()
