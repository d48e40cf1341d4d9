"""Parallel text in batches: every pair once an epoch, the same from any step and on any host, and what is left out
said.
"""

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest

import input_pipeline
import lookup
from data.pipelines import pairs
from data.pipelines.base import Feed
from errors import UserError
from models.tokens import EOS, PAD

WORDS = ["mond", "sonne", "haus", "see", "berg", "wald", "feld", "stern", "fluss", "turm"]
TRAIN = [(" ".join([f"q{i}", *WORDS[: i % 7]]), " ".join([f"z{i}", *reversed(WORDS[: 3 * i % 10])])) for i in range(40)]
TEST = [("q1 mond", "z1"), ("", "z2 see"), ("q3 " + "wald " * 20 + "haus", "z3 feld"), ("q4 neu", "z4 neu see neu")]
TEST += [(f"q{i} haus", f"z{i}") for i in range(5, 9)]


def write(folder, **splits):
    for split, texts in splits.items():
        for language, lines in zip(("de", "en"), zip(*texts, strict=True), strict=True):
            (folder / f"{split}.{language}").write_text("".join(line + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("text"), train=TRAIN, test=TEST)


FEED = {field.name for field in dataclasses.fields(Feed)}


def make(name, **changes):
    """Words are tokens, so that a sentence's length is that of its words and one."""
    settings = dict(
        languages=("de", "en"),
        train_split="train",
        eval_splits=("test",),
        batch_tokens=64,
        tokenizer="word",
        vocabulary_size=500,
        max_length=12,
        buckets=3,
    )
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    section = dict(kind="pairs", source="files", name=str(name)) | settings
    return input_pipeline.build(section, Feed(**{key: value for key, value in changes.items() if key in FEED}))


def first(batches, count):
    return list(itertools.islice(batches, int(count)))


def epoch(pipeline):
    return first(pipeline.train_batches(0), pipeline.steps_per_epoch)


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key], err_msg=key)


def read(pipeline, batch):
    """The texts of a batch's rows, by packed sentence where it is packed; rows that are empty are None."""
    found = []
    for row in range(len(batch["source"])):
        sides = []
        for side, tokenizer in (("source", pipeline.source_tokenizer), ("target", pipeline.target_tokenizer)):
            ids = batch[side][row]
            segment = batch.get(f"{side}_segment", batch[side] != PAD)[row]
            assert (segment > 0).tolist() == (ids != PAD).tolist() == sorted(ids != PAD, reverse=True)
            sentences = [ids[segment == number] for number in range(1, segment.max() + 1)]
            assert all(s[-1] == EOS and EOS not in s[:-1] for s in sentences)
            sides.append([tokenizer.decode(s) for s in sentences])
        found += zip(*sides, strict=True) if sides[0] else [None]
    return found


@pytest.mark.parametrize("packing", [False, True])
def test_an_epochs_batches_hold_the_texts_each_once_and_end_each_sentence(folder, packing):
    pipeline = make(folder, packing=packing, max_length=16)
    batches = epoch(pipeline)
    assert all(x.dtype == np.int32 for batch in batches for x in batch.values())
    assert all(batch.keys() == pipeline.spec.keys() for batch in batches)
    found = [text for batch in batches for text in read(pipeline, batch) if text]
    assert sorted(found) == sorted(TRAIN)
    if packing:
        assert all(batch["source"].shape == (4, 16) for batch in batches)
        assert max(batch["target_segment"].max() for batch in batches) > 1


@pytest.mark.parametrize("packing", [False, True])
def test_a_pipeline_started_at_step_k_goes_on_as_the_uninterrupted_one(folder, packing):
    whole = make(folder, packing=packing, max_length=16)
    steps = int(whole.steps_per_epoch)
    batches = first(whole.train_batches(0), 2 * steps + 3)
    for k in (1, steps - 1, steps, 2 * steps):
        assert_same(first(make(folder, packing=packing, max_length=16).train_batches(k), 3), batches[k : k + 3])


@pytest.mark.parametrize("packing", [False, True])
def test_two_hosts_read_halves_of_the_batch_that_one_host_reads(folder, packing):
    settings = dict(packing=packing, divisor=2, batch_tokens=256)
    one = make(folder, **settings)
    two = [make(folder, host=host, hosts=2, **settings) for host in range(2)]
    for batches in (lambda p: first(p.train_batches(2), 3), lambda p: list(p.eval_batches("test"))):
        halves = zip(*map(batches, two), strict=True)
        assert_same([{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in halves], batches(one))


@pytest.mark.parametrize(("divisor", "accumulate"), [(1, 1), (4, 1), (2, 3), (8, 4)])
def test_rows_divide_by_devices_and_micro_batches(folder, divisor, accumulate):
    pipeline = make(folder, divisor=divisor, accumulate=accumulate)
    assert {len(batch["source"]) % (divisor * accumulate) for batch in epoch(pipeline)} == {0}
    assert {len(batch["source"]) % divisor for batch in pipeline.eval_batches("test")} == {0}


def test_a_batch_holds_no_more_tokens_than_it_is_given(folder):
    pipeline = make(folder, batch_tokens=100, eval_batch_tokens=50)
    assert all(50 < batch["target"].size <= 100 for batch in epoch(pipeline))
    assert all(25 < batch["target"].size <= 50 for batch in pipeline.eval_batches("test"))


@pytest.mark.parametrize("packing", [False, True])
def test_shapes_are_those_of_an_epoch_with_their_shares(folder, packing):
    pipeline = make(folder, packing=packing)
    seen = Counter(str({name: (x.shape, str(x.dtype)) for name, x in sorted(b.items())}) for b in epoch(pipeline))
    told = {str(dict(sorted(shapes.items()))): share for share, shapes in pipeline.shapes}
    assert told == pytest.approx({shapes: count / pipeline.steps_per_epoch for shapes, count in seen.items()})
    assert sum(told.values()) == pytest.approx(1)


@pytest.mark.parametrize("settings", [{}, {"divisor": 8, "packing": True}])
def test_evaluation_holds_every_pair_once_by_its_index_nothing_left_out(folder, settings):
    pipeline = make(folder, **settings)
    found = {}
    for batch in pipeline.eval_batches("test"):
        assert batch.keys() == {"source", "target", "index"}
        assert batch["source"].shape == batch["target"].shape
        for index, texts in zip(batch["index"].tolist(), read(pipeline, batch), strict=True):
            assert (index == -1) == (texts is None)
            assert index not in found or index == -1
            found[index] = texts
    found.pop(-1, None)
    expected = {i: (source.replace("neu", "⁇"), target) for i, (source, target) in enumerate(TEST)}
    expected[2] = ("q3 " + " ".join(["wald"] * 10), "z3 feld")  # cut to 12 tokens with its end
    expected[3] = ("q4 ⁇", "z4 ⁇ see ⁇")
    assert {i: tuple(" ".join(x.split()) for x in texts) for i, texts in found.items()} == expected


def test_what_evaluation_cuts_and_does_not_know_is_said(folder):
    pipeline = make(folder)
    assert pipeline.notes() == []
    pipeline.check()
    assert pipeline.notes() == [
        "test (de): 1 tokens that are not in the vocabulary.",
        "test (de): 1 sentences cut to max_length=12 tokens.",
        "test (en): 2 tokens that are not in the vocabulary.",
    ]
    assert pipeline.describe()[1:] == pipeline.notes()
    with pytest.raises(UserError, match=r"has no validation.de"):
        make(folder, eval_splits=("test", "validation")).check()


def test_empty_and_long_training_pairs_are_left_out_and_counted(tmp_path):
    longest = ("mond " * 10 + "a", "b")
    odd = [("", "leer"), ("leer", " \u3000"), ("\u200b", "leer"), ("mond " * 10 + "a a", "c"), ("c", "see " * 30)]
    pipeline = make(write(tmp_path, train=[*TRAIN[:20], longest, *odd]))
    found = [text for batch in epoch(pipeline) for text in read(pipeline, batch) if text]
    assert sorted(found) == sorted([*TRAIN[:20], longest])
    assert pipeline.describe()[1:] == [
        "Left out of 26 training pairs: 3 with an empty side, 2 longer than max_length=12."
    ]


def test_training_tokens_that_the_vocabulary_lacks_are_counted(folder):
    whole, part = (make(folder, tokenizer="char", max_length=80, batch_tokens=80, coverage=c) for c in (1.0, 0.98))
    assert part.source_tokenizer.size < whole.source_tokenizer.size
    assert len(whole.describe()) == 1
    lacking = sum(part.source_tokenizer.unknown(i) for i in part.source_tokenizer.encode([de for de, _ in TRAIN]))
    assert part.describe()[1] == f"train (de): {lacking} tokens that are not in the vocabulary."


def test_a_description_counts_pairs_tokens_batches_and_padding(folder):
    pipeline = make(folder)
    batches = epoch(pipeline)
    target = sum(int((batch["target"] != PAD).sum()) for batch in batches)
    padding = np.mean(
        np.concatenate([batch[side].ravel() == PAD for batch in batches for side in ("source", "target")])
    )
    (line,) = pipeline.describe()
    assert line.startswith(f"40 pairs de-en, {target} target tokens of a vocabulary of {pipeline.sizes['outputs']}; ")
    assert f"{len(batches)} batches of about 64 tokens, in buckets of " in line
    assert line.endswith(f", {padding:.1%} padding.")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([("a b c", "a"), ("a", "a b c d")], "no pair of train is left: 0 have an empty side and 2 are longer"),
        ([("a", ""), ("", "b")], "no pair of train is left: 2 have an empty side and 0 are longer"),
        ([("", " "), ("", "")], "no text to learn a tokenizer from"),
    ],
)
def test_a_split_with_no_pair_to_train_on_is_refused(tmp_path, texts, message):
    with pytest.raises(UserError, match=message):
        _ = make(write(tmp_path, train=texts), max_length=3).steps_per_epoch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_tokens": 11}, "config.data.batch_tokens=11 holds not one sentence of max_length=12"),
        ({"eval_batch_tokens": 11}, "config.data.eval_batch_tokens=11 holds not one"),
        ({"languages": ("de",)}, "config.data.languages="),
        ({"buckets": 0}, "config.data.buckets=0 should be greater than 0"),
        ({"max_length": 1}, "config.data.max_length=1 should be greater than or equal to 2"),
        ({"coverage": 0.5}, "config.data.coverage=0.5 should be greater than or equal to 0.98"),
        ({"tokenizer": "bpe", "vocabulary_size": 9000}, r"config.data.vocabulary_size=9000: it can have \d+ at most"),
        ({"tokenizer": "bpe", "vocabulary_size": 9}, "config.data.vocabulary_size=9 .*a config.data.coverage below"),
    ],
)
def test_a_setting_that_cannot_be_is_named_as_the_config_spells_it(folder, settings, message):
    with pytest.raises(UserError, match=message):
        _ = make(folder, **settings).sizes


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(pairs.Pipeline, without=("feed",))) - set(lookup.meanings(pairs.Pipeline))


def test_languages_share_a_tokenizer_or_have_each_its_own(folder):
    joint, apart = make(folder), make(folder, joint=False)
    assert joint.source_tokenizer is joint.target_tokenizer
    assert joint.files.keys() == {"tokenizer.model"}
    assert apart.files.keys() == {"tokenizer.de.model", "tokenizer.en.model"}
    assert apart.sizes == {
        "outputs": apart.target_tokenizer.size,
        "source_vocabulary": apart.source_tokenizer.size,
    }
    assert joint.sizes == {"outputs": joint.target_tokenizer.size, "source_vocabulary": None}
    assert apart.sizes["outputs"] != apart.sizes["source_vocabulary"]
    for tokenizer, text in zip(apart.tokenizers, ("q1 ⁇", "⁇ z1"), strict=True):
        (ids,) = tokenizer.encode(["q1 z1"])
        assert tokenizer.decode(ids).split() == text.split()


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("languages", [("de", "en"), ("en", "de")])
def test_a_trained_run_keeps_its_tokenizers_and_needs_no_training_text(tmp_path, joint, languages):
    settings = dict(joint=joint, languages=languages)
    trained = make(write(tmp_path, train=TRAIN, test=TEST), **settings)
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    known = json.loads(json.dumps(trained.known))
    for path in tmp_path.glob("train.*"):
        path.unlink()
    loaded = make(tmp_path, known=known, folder=tmp_path, **settings)
    assert loaded.sizes == trained.sizes
    assert loaded.known == trained.known
    assert_same(list(loaded.eval_batches("test")), list(trained.eval_batches("test")))


def test_a_tokenizer_that_is_missing_or_another_one_is_an_error(folder, tmp_path):
    known = make(folder).known
    with pytest.raises(UserError, match=r"has lost its tokenizer.model: put it back"):
        make(folder, known=known, folder=tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(make(folder, vocabulary_size=20).files["tokenizer.model"])
    with pytest.raises(UserError, match=r"tokenizer.model is not the tokenizer that this run was trained with"):
        make(folder, known=known, folder=tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"tokenizer.model is not the tokenizer that this run was trained with"):
        make(folder, known=known, folder=tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    (tmp_path / "tokenizer.model").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*tokenizer.model: Is a directory"):
        make(folder, known=known, folder=tmp_path)


def test_a_batch_of_sentences_says_what_it_cuts_and_does_not_know(folder):
    pipeline = make(folder)
    batch, notes = pipeline.read(["q1 mond see", "", "q2 neu", "wald " * 20])
    assert batch.keys() == {"source"}
    assert batch["source"].shape == (4, 12)  # 16 is the next multiple, max_length the most
    decoded = [pipeline.source_tokenizer.decode(row).strip() for row in batch["source"]]
    assert decoded == ["q1 mond see", "", "q2 ⁇", " ".join(["wald"] * 11)]
    assert [int((row == EOS).sum()) for row in batch["source"]] == [1] * 4
    assert len(notes) == 2
    assert notes[0].startswith("cut from 21 to max_length=12 tokens: 'wald wald")
    assert notes[1].startswith("1 tokens that are not in the vocabulary in: 'q2 neu'")
    empty, notes = pipeline.read([""])
    assert (empty["source"].tolist(), notes) == ([[EOS] + [PAD] * 7], [])


def test_it_offers_all_of_a_pipeline(folder):
    protocol = {name for name in dir(input_pipeline.Pipeline) if not name.startswith("_")}
    assert not [name for name in protocol if not hasattr(make(folder), name)]
