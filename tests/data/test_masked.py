"""Hidden tokens: how many, which and what becomes of them; pairs of segments; the same from any step and host."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

import input_pipeline
import lookup
from data import cloze
from data.order import tensorflow
from data.pipelines import masked
from data.pipelines.base import Feed
from errors import UserError
from models.tokens import BOS, EOS, PAD

FEED = {field.name for field in dataclasses.fields(Feed)}
LINES = ["the film is good and long\n", "a bad story , isn't it\n", "\n", "nothing else is as dull as that\n", "so\n"]
DOCUMENTS = ["".join(LINES[i % 5] for i in range(n, n + 6)) for n in range(4)]
SIZE = 320


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("text")
    (root / "train").mkdir()
    for number, document in enumerate(DOCUMENTS):
        (root / "train" / f"{number}.txt").write_text(document)
    (root / "validation.txt").write_text("a film that is not bad\n" * 20)
    return root


def make(name, **changes):
    settings = dict(source="files", vocabulary_size=SIZE, batch_size=4, length=24)
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    feed = Feed(**{key: value for key, value in changes.items() if key in FEED})
    return input_pipeline.build(dict(kind="masked", name=str(name)) | settings, feed)


def first(batches, count):
    return list(itertools.islice(batches, int(count)))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key], err_msg=key)


def restored(batch):
    """The tokens before any were hidden."""
    tokens = batch["tokens"].copy()
    row, column = np.nonzero(batch["target"] >= 0)
    tokens[row, batch["place"][row, column]] = batch["target"][row, column]
    return tokens


def shown_whole(tokens, **changes):
    """What becomes of rows (b, T), of a vocabulary whose 4 is [MASK] and whose even ids from 50 to 99 begin words."""
    pieces = [("▁" if i >= 50 and i % 2 == 0 else "") + str(i) for i in range(100)]
    known = cloze.vocabulary(pieces, (0, 1, 2, 3), 4)
    key = (changes.pop("seed", 0), np.arange(len(tokens)))
    settings = dict(share=0.15, most=10, words=False) | changes
    made = cloze.hide(tensorflow().constant(tokens, "int32"), key, known=known, **settings)
    return {name: x.numpy() for name, x in made.items()}


def test_a_share_is_hidden_of_which_most_become_a_mask_some_a_random_token_and_some_stay():
    chance = np.random.default_rng(0)
    tokens = chance.integers(5, 100, (400, 40))
    tokens[:, 0], tokens[::2, 30:] = BOS, PAD
    made = shown_whole(tokens)
    np.testing.assert_array_equal(restored(made), tokens)
    counts = (made["target"] >= 0).sum(1)
    np.testing.assert_array_equal(counts, np.where(np.arange(400) % 2, round(0.15 * 39), round(0.15 * 29)))
    row, column = np.nonzero(made["target"] >= 0)
    place, target = made["place"][row, column], made["target"][row, column]
    assert target.min() > 4
    now = made["tokens"][row, place]
    assert (now == 4).mean() == pytest.approx(0.8, abs=0.03)
    assert (now == target).mean() == pytest.approx(0.1 + 0.1 / 95, abs=0.02)
    other = now[(now != 4) & (now != target)]
    assert other.min() > 4
    assert len(set(other)) > 50
    for one in range(400):
        there = made["place"][one][made["target"][one] >= 0]
        assert (np.diff(there) > 0).all()
    assert set(place) == set(range(1, 40))
    assert (made["place"][made["target"] < 0] == 0).all()
    untouched = np.ones_like(tokens, bool)
    untouched[row, place] = False
    np.testing.assert_array_equal(made["tokens"][untouched], tokens[untouched])


def test_whole_words_are_hidden_together():
    tokens = np.full((300, 21), 51)
    tokens[:, 0], tokens[:, 20] = BOS, EOS
    tokens[:, 1::3] = 50  # words of three
    tokens[:, 19] = 50
    made = shown_whole(tokens, words=True, share=0.4)  # round(0.4 * 19) = 8: two words and, if it is drawn, the last
    hidden = np.zeros_like(tokens)
    row, column = np.nonzero(made["target"] >= 0)
    hidden[row, made["place"][row, column]] = 1
    of_word = np.add.reduceat(hidden[:, 1:20], np.arange(0, 19, 3), axis=1)
    assert set(of_word[:, :6].ravel()) == {0, 3}
    assert set(hidden.sum(1)) == {6, 7}


def test_a_row_of_its_own_decides_what_is_hidden_of_it():
    tokens = np.random.default_rng(1).integers(5, 100, (1, 40)).repeat(3, axis=0)
    made, again = shown_whole(tokens), shown_whole(tokens[:2])
    for name in made:
        np.testing.assert_array_equal(made[name][:2], again[name])
    assert (made["place"][0] != made["place"][1]).any()
    assert (shown_whole(tokens, seed=1)["place"] != made["place"]).any()


def test_rows_are_the_texts_with_cls_before_each(folder):
    pipeline = make(folder, whole_words=True)
    found = ["".join(DOCUMENTS)]
    for batch in first(pipeline.train_batches(0), 10):
        assert {name: ((1, *x.shape[1:]), str(x.dtype)) for name, x in batch.items()} == pipeline.spec
        for tokens, segment in zip(restored(batch), batch["segment"], strict=True):
            begins = np.diff(segment, prepend=0) == 1
            assert (tokens[begins] == BOS).all()
            assert ((tokens == BOS) == begins).all()
            for number in range(1, segment.max() + 1):
                text = tokens[segment == number]
                assert pipeline.decode(text[1:]) in found[0]
    assert pipeline.sizes == {"outputs": SIZE, "vocabulary": SIZE}


def test_evaluation_hides_the_same_of_each_window_whatever_the_batch_and_training_never(folder):
    small, large = make(folder), make(folder, eval_batch_size=8, seed=5)
    rows = {}
    for pipeline in (small, large):
        for batch in pipeline.eval_batches("validation"):
            for i, index in enumerate(batch["index"].tolist()):
                row = {name: x[i] for name, x in batch.items()}
                if index < 0:
                    assert (row["tokens"] == PAD).all()
                    assert (row["target"] < 0).all()
                elif index in rows:
                    assert_same([row], [rows[index]])
                rows.setdefault(index, row)
    a, b = (first(make(folder, seed=seed).train_batches(0), 1)[0] for seed in (0, 1))
    assert (a["place"] != b["place"]).any()


def test_any_step_and_any_host_has_the_rows_of_the_whole(folder):
    whole, *hosts = (
        make(folder, next_sentence=True, host=host, hosts=hosts, divisor=2) for host, hosts in ((0, 1), (0, 2), (1, 2))
    )
    batches = first(whole.train_batches(0), 6)
    for part, expected in (
        (lambda p: first(p.train_batches(4), 2), batches[4:]),
        (lambda p: list(p.eval_batches("train")), None),
    ):
        halves = zip(*map(part, hosts), strict=True)
        joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in halves]
        assert_same(joined, expected or part(whole))


def test_half_of_the_second_segments_follow_and_the_others_are_of_another_document(folder):
    pipeline = make(folder, next_sentence=True, batch_size=32, length=40)
    follows = Counter()
    for batch in first(pipeline.train_batches(0), 4):
        assert {name: ((1, *x.shape[1:]), str(x.dtype)) for name, x in batch.items()} == pipeline.spec
        for tokens, types, unrelated in zip(restored(batch), batch["types"], batch["unrelated"].tolist(), strict=True):
            ends = np.flatnonzero(tokens == EOS)
            assert (tokens[0], len(ends)) == (BOS, 2)
            assert types.tolist() == [0] * (ends[0] + 1) + [1] * (ends[1] - ends[0]) + [0] * (39 - ends[1])
            one, two = (pipeline.decode(x) for x in (tokens[1 : ends[0]], tokens[ends[0] + 1 : ends[1]]))
            whole = [document.replace("\n\n", "\n") for document in DOCUMENTS]
            if not unrelated:
                assert any(one + two in document for document in whole)
            follows[unrelated] += 1
    assert follows[1] / follows.total() == pytest.approx(0.5, abs=0.1)
    shown = [i for batch in pipeline.eval_batches("train") for i in batch["index"].tolist() if i >= 0]
    assert shown == list(range(pipeline.split("train").source.size))


def test_a_persons_masks_stand_for_words(folder):
    pipeline = make(folder)
    batch, notes = pipeline.read(["the film is [MASK] and [MASK] .", "a [MASK] story"])
    mask = pipeline.text_tokenizer.mask
    assert batch["place"].shape[1] == 8
    for tokens, place, count in zip(batch["tokens"], batch["place"], (2, 1), strict=True):
        assert (tokens[place[:count]] == mask).all()
        assert (place[count:] == -1).all()
        assert (tokens == mask).sum() == count
    assert "▁" not in pipeline.text_tokenizer.pieces(batch["tokens"][1])
    assert notes == []
    with pytest.raises(UserError, match=r"'a story' has no \[MASK\]: write it"):
        pipeline.read(["a [MASK] story", "a story"])
    with pytest.raises(UserError, match=r"'a a a .* \.\.\. has its \[MASK\] beyond the first 24 tokens"):
        pipeline.read(["a " * 40 + "[MASK]"])
    whole, _ = pipeline.view(["a story"])
    assert pipeline.decode(whole["tokens"][0]) == "a story"
    assert whole["place"].shape == (1, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "char"}, "config.data.tokenizer='char' is no file or folder"),
        ({"masked": 0.0}, "config.data.masked=0.0 should be greater than 0"),
        ({"length": 4}, "config.data.length=4 is too short to hide anything"),
        ({"eval_stride": 8}, "config.data.eval_stride=8 is for language models"),
        ({"next_sentence": True, "train_split": "validation", "vocabulary_size": 290}, "needs two or more"),
    ],
)
def test_a_setting_that_cannot_be_is_named_as_the_config_spells_it(folder, settings, message):
    with pytest.raises(UserError, match=message):
        _ = next(make(folder, **settings).train_batches(0))


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(masked.Pipeline, without=("feed",))) - set(lookup.meanings(masked.Pipeline))
