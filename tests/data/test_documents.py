"""Windows of whole texts: the text itself, evaluated exactly once, the same from any step and on any host."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import tensorflow_datasets as tfds

import input_pipeline
import lookup
from data import text
from data.characters import Characters
from data.pipelines import documents
from data.pipelines.base import Feed
from data.text import python
from data.tokenizer import Tokenizer
from errors import UserError
from models.tokens import BOS, EOS

FEED = {field.name for field in dataclasses.fields(Feed)}
DOCUMENTS = ["Speak, speak.\n\nFirst:\n  Résolved —\tall?\n", "b" * 50 + "\n", "The third\r\nis short"]
WHOLE = "".join(DOCUMENTS) * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files that are the training split, and a fourth that is validation."""
    root = tmp_path_factory.mktemp("text")
    for number, document in enumerate(DOCUMENTS):
        (root / "train" / "deeper").mkdir(parents=True, exist_ok=True)
        (root / "train" / ("deeper" if number == 1 else "") / f"{number}.txt").write_bytes(document.encode())
    (root / "validation.txt").write_bytes(("The é in a new — text?\n" * 4).encode())
    (root / "input.text").write_bytes(WHOLE.encode())
    return root


def make(name, **changes):
    settings = dict(source="files", tokenizer="char", batch_size=4, length=8)
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    feed = Feed(**{key: value for key, value in changes.items() if key in FEED})
    return input_pipeline.build(dict(kind="documents", name=str(name)) | settings, feed)


def nanogpt(folder, **changes):
    splits = dict(train_split="train[:90%]", eval_splits=("train[90%:]",))
    return make(folder / "input.text", **(dict(special=False) | splits | changes))


def first(batches, count):
    return list(itertools.islice(batches, int(count)))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key], err_msg=key)


def predicted(pipeline, split):
    """The targets of a split's windows, in order; filler is empty and marked."""
    found, seen = [], []
    for batch in pipeline.eval_batches(split):
        for tokens, target, index in zip(batch["tokens"], batch["target"], batch["index"].tolist(), strict=True):
            if index == -1:
                assert set(target) == {documents.NOTHING}
                assert set(tokens) == {0}
                continue
            seen.append(index)
            found += [t for t in target.tolist() if t != documents.NOTHING]
    assert seen == list(range(len(seen)))
    return found


def test_windows_are_the_text_and_targets_what_follows(folder):
    pipeline = nanogpt(folder)
    train = WHOLE[: math.floor(0.9 * len(WHOLE))]
    batches = first(pipeline.train_batches(0), 20)
    starts = set()
    for batch in batches:
        assert {name: ((1, *x.shape[1:]), str(x.dtype)) for name, x in batch.items()} == pipeline.spec
        for tokens, target in zip(batch["tokens"], batch["target"], strict=True):
            window = pipeline.decode([*tokens, target[-1]])
            assert len(window) == 9
            assert window in train
            assert pipeline.decode(target) == window[1:]
            starts.add(window)
    assert len(starts) > 30
    assert pipeline.sizes == {"outputs": len(set(WHOLE))}
    assert pipeline.steps_per_epoch == len(train) / 32


def test_evaluation_without_special_ids_predicts_all_but_the_first_character_once(folder):
    pipeline = nanogpt(folder)
    (split,) = pipeline.eval_splits
    held_out = WHOLE[math.floor(0.9 * len(WHOLE)) :]
    assert pipeline.decode(predicted(pipeline, split)) == held_out[1:]
    assert pipeline.bytes_of(split) == len(held_out[1:].encode())


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_overlapping_windows_predict_every_token_once_from_enough_others(folder, special, mask, stride):
    settings = dict(special=special, document_mask=mask, eval_splits=("train",))
    apart, pipeline = make(folder, **settings), make(folder, **settings, eval_stride=stride)
    assert predicted(pipeline, "train") == predicted(apart, "train")
    assert pipeline.bytes_of("train") == apart.bytes_of("train")
    least = min(
        int(np.argmax(target != documents.NOTHING))
        for batch in pipeline.eval_batches("train")
        for target, index in zip(batch["target"], batch["index"].tolist(), strict=True)
        if index > 0 and (target != documents.NOTHING).any()
    )
    assert least == 8 - stride


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
@pytest.mark.parametrize("mask", [False, True])
def test_evaluation_with_special_ids_predicts_every_token_of_every_document_once(folder, tokenizer, mask):
    settings = dict(vocabulary_size=400, source="python", length=32) if tokenizer == "bpe" else {}
    name = "json" if tokenizer == "bpe" else folder
    splits = dict(eval_splits=("train",))
    pipeline = make(name, tokenizer=tokenizer, document_mask=mask, **(settings | splits))
    ids = predicted(pipeline, "train")
    ends = np.flatnonzero(np.array(ids) == EOS)
    texts = [pipeline.decode(part) for part in np.split(np.array(ids), ends + 1)[:-1]]
    expected = pipeline.opened("train")
    assert texts == expected
    assert pipeline.bytes_of("train") == sum(len(text.encode()) for text in expected)


def test_segments_number_the_documents_of_a_window_and_targets_stay_within_them(folder):
    for special in (True, False):
        pipeline = make(folder, document_mask=True, special=special, length=30, eval_splits=("train",))
        seen = 0
        for batch in itertools.chain(first(pipeline.train_batches(0), 8), pipeline.eval_batches("train")):
            for tokens, target, segment in zip(batch["tokens"], batch["target"], batch["segment"], strict=True):
                real = segment > 0
                assert real.tolist() == sorted(real, reverse=True)
                seen = max(seen, segment.max())
                if real.any():
                    assert segment[0] == 1
                    assert set(np.diff(segment[real])) <= {0, 1}
                    if special:
                        assert (tokens[1:][real[1:]] == BOS).tolist() == (np.diff(segment[real]) == 1).tolist()
                across = np.flatnonzero(np.diff(segment) == 1)
                assert (target[across] == documents.NOTHING).all()
                within = np.flatnonzero((np.diff(segment) == 0) & real[1:])
                np.testing.assert_array_equal(target[within], tokens[within + 1])
        assert seen > 1


@pytest.mark.parametrize("settings", [{}, {"document_mask": True}])
def test_a_pipeline_started_at_step_k_goes_on_as_the_uninterrupted_one(folder, settings):
    whole = first(make(folder, **settings).train_batches(0), 9)
    for k in (1, 5):
        assert_same(first(make(folder, **settings).train_batches(k), 3), whole[k : k + 3])
    assert any((a["tokens"] != b["tokens"]).any() for a, b in zip(whole[1:], whole, strict=False))
    other = first(make(folder, seed=1, **settings).train_batches(0), 9)
    assert any((a["tokens"] != b["tokens"]).any() for a, b in zip(whole, other, strict=True))


def test_two_hosts_read_halves_of_the_batch_that_one_host_reads(folder):
    one = make(folder, divisor=2, document_mask=True)
    two = [make(folder, host=host, hosts=2, divisor=2, document_mask=True) for host in range(2)]
    for batches in (lambda p: first(p.train_batches(2), 3), lambda p: list(p.eval_batches("validation"))):
        halves = zip(*map(batches, two), strict=True)
        assert_same([{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in halves], batches(one))


@pytest.mark.parametrize(("eval_batch_size", "divisor", "rows"), [(0, 1, 4), (3, 4, 4), (100, 8, 16)])
def test_evaluation_batches_divide_by_the_devices(folder, eval_batch_size, divisor, rows):
    pipeline = make(folder, eval_batch_size=eval_batch_size, batch_size=4 if divisor < 8 else 8, divisor=divisor)
    assert {len(batch["tokens"]) for batch in pipeline.eval_batches("validation")} == {rows}


@pytest.mark.parametrize("kind", ["char", "byte"])
@pytest.mark.parametrize("special", [True, False])
def test_characters_and_bytes_come_back_exactly(kind, special):
    tokenizer = Characters.train(DOCUMENTS, kind, special=special)
    again = Characters(tokenizer.model)
    assert again.digest == tokenizer.digest
    for document, ids in zip(DOCUMENTS, again.encode(DOCUMENTS), strict=True):
        assert ids.dtype == np.int32
        assert again.decode(ids) == document
        assert (ids[-1] == EOS) == special or not special
        assert ids.min() >= (1 if special else 0)
        assert ids.max() < again.size
    size = 256 if kind == "byte" else len(set("".join(DOCUMENTS)))
    assert again.size == size + 4 * special
    assert len(set(again.pieces(range(again.size)))) == again.size
    assert again.encode([""])[0].tolist() == [EOS] * special
    for read in (again.decode, again.pieces):
        with pytest.raises(UserError, match=f"id {again.size} is not in the vocabulary"):
            read([again.size])


def test_characters_that_are_not_in_the_alphabet(folder):
    known, strict = (Characters.train(["abc"], "char", special=special) for special in (True, False))
    (ids,) = known.encode(["abz"])
    assert known.decode(ids) == "ab⁇"
    with pytest.raises(UserError, match="the character 'z' is not in the alphabet"):
        strict.encode(["abz"])
    with pytest.raises(UserError, match=r"3 characters, more than config.data.vocabulary_size=2"):
        Characters.train(["abc"], "char", size=2, special=False)
    assert Characters.train(["abbccc"], "char", size=6).pieces(range(4, 6)) == ["b", "c"]
    with pytest.raises(UserError, match="no tokenizer of characters, or a damaged one"):
        Characters(b"{}")
    pipeline = make(folder)
    pipeline.check()
    unknown = [c for c in pipeline.opened("validation")[0] if c not in WHOLE]
    assert pipeline.notes() == [f"validation: {len(unknown)} tokens that are not in the vocabulary."]
    assert pipeline.describe()[0].startswith("3 documents of ")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_of_documents_keep_space_and_lines(kind):
    lines = [
        line
        for path in ("json",)
        for doc in text.documents("python", path, "train", "")
        for line in doc.splitlines(True)
    ]
    tokenizer = Tokenizer.train(lines, kind, 400, byte_fallback=True, coverage=0.9995, exact=True)
    for document in (*DOCUMENTS, "def f(x):\n\n        return  x\n", " a  b \n"):
        (ids,) = tokenizer.encode([document])
        assert tokenizer.decode(ids) == document


def test_a_trained_run_keeps_its_tokenizer_and_needs_no_training_text(folder, tmp_path):
    trained = make(folder)
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "validation.txt").write_bytes((folder / "validation.txt").read_bytes())
    (tmp_path / "train.txt").write_text("another text")
    known = json.loads(json.dumps(trained.known))
    loaded = make(tmp_path, known=known, folder=tmp_path)
    assert loaded.sizes == trained.sizes
    assert loaded.known == trained.known
    assert_same(list(loaded.eval_batches("validation")), list(trained.eval_batches("validation")))


def test_prompts_are_ids_with_padding_after_them(folder):
    pipeline = make(folder, length=12)
    batch, notes = pipeline.read(["The", "", "Speak, speak.\n\n"])
    assert batch["tokens"].shape == (3, 12)
    assert batch["tokens"][0].tolist() == [
        BOS,
        *pipeline.text_tokenizer.encode(["The"])[0][:-1],
        *[documents.NOTHING] * 8,
    ]
    assert batch["tokens"][1].tolist() == [BOS] + [documents.NOTHING] * 11
    assert pipeline.decode(batch["tokens"][2]) == "ak, speak.\n\n"
    assert len(notes) == 1
    assert notes[0].startswith("the last 12 of 16 tokens are kept")
    plain = nanogpt(folder, length=12)
    batch, notes = plain.read(["The", ""])
    assert batch["tokens"].shape == (2, 8)
    assert (batch["tokens"] == -1).tolist() == [[False] * 3 + [True] * 5, [False] + [True] * 7]
    assert [plain.decode(row) for row in batch["tokens"]] == ["The", "\n"]
    assert notes == ["an empty prompt: the text begins with a new line."]


def test_files_are_folders_globs_and_slices(folder):
    def read(name, split):
        return text.documents("files", name, split, str(folder))

    assert sorted(read("", "train")) == sorted(DOCUMENTS)
    assert read("train", "train") == [DOCUMENTS[i] for i in (0, 2, 1)]
    assert read("train/0.txt, train/2.txt", "train") == [DOCUMENTS[0], DOCUMENTS[2]]
    assert sorted(read("train/**/*.txt", "train")) == sorted(DOCUMENTS)
    assert "".join(read("input.text", "train[:90%]") + read("input.text", "train[90%:]")) == WHOLE
    cut = len(DOCUMENTS[0]) + 3
    assert read("train", f"train[:{cut}]") == [DOCUMENTS[0], DOCUMENTS[2][:3]]
    assert read("train", f"train[{cut}:]") == [DOCUMENTS[2][3:], DOCUMENTS[1]]
    with pytest.raises(UserError, match=r"has no test.txt and no folder 'test'"):
        read("", "test")
    with pytest.raises(UserError, match="has one split, 'train', and not 'test'"):
        read("input.text", "test")
    with pytest.raises(UserError, match="there is no file"):
        read("*.md", "train")


def test_pythons_library_is_here_and_split_by_a_hash_of_names():
    files = python.files("")
    assert {"json/decoder.py", "textwrap.py"} < set(files)
    assert not [path for path in files if "/tests/" in path or "site-packages" in path]
    assert python.files("json,textwrap") == [p for p in files if p.startswith("json/") or p == "textwrap.py"]
    # These do not change: a run goes on with the same text.
    assert [python.twentieth(p) for p in ("json/decoder.py", "textwrap.py", "email/message.py")] == [13, 16, 12]
    splits = {split: text.documents("python", "asyncio,email,json", split, "") for split in python.SPLITS}
    assert len(splits["train"]) > 10 * len(splits["validation"]) > 0
    assert sum(map(len, splits.values())) == len(
        [p for p in python.files("asyncio,email,json") if python.source_text(p)]
    )
    with pytest.raises(UserError, match="has no split 'valid': did you mean 'validation'"):
        text.documents("python", "", "valid", "")
    with pytest.raises(UserError, match="has no 'jsom': did you mean 'json'"):
        text.documents("python", "jsom", "train", "")


class Plays(tfds.core.GeneratorBasedBuilder):
    """A text in three splits, as tiny_shakespeare has it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"text": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        parts = {"train": (0, 90), "validation": (90, 95), "test": (95, 100)}
        return {split: self._generate_examples(*part) for split, part in parts.items()}

    def _generate_examples(self, start, stop):
        yield start, {"text": WHOLE[start * len(WHOLE) // 100 : stop * len(WHOLE) // 100]}


def test_a_tfds_text_that_is_not_utf_8_is_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(Plays, "_generate_examples", lambda self, start, stop: iter([(start, {"text": b"caf\xe9"})]))
    Plays(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(UserError, match="plays train holds a text that is not UTF-8"):
        _ = make("plays", source="tfds", data_dir=str(tmp_path)).train


def test_a_tfds_text_in_three_splits_is_nanogpts_two(folder, tmp_path):
    Plays(data_dir=tmp_path).download_and_prepare()
    settings = dict(source="tfds", data_dir=str(tmp_path), special=False, eval_splits=("validation+test",))
    pipeline = make("plays", **settings)
    held_out = WHOLE[90 * len(WHOLE) // 100 :]
    assert pipeline.decode(predicted(pipeline, "validation+test")) == held_out[1:]
    assert pipeline.sizes == {"outputs": len(set(WHOLE))}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(batch_size=0), "config.data.batch_size=0 should be greater than 0"),
        (dict(batch_size=20, divisor=8, accumulate=2), r"8 devices x 2 .*try --config.data.batch_size=16"),
        (dict(tokenizer="bpe", special=False), "config.data.special=False is for the tokenizers 'char' and 'byte'"),
        (dict(tokenizer="bpe", vocabulary_size=9), r"config.data.vocabulary_size=9 .*: it needs \d+ at least\.$"),
        (dict(length=1000), r"config.data.length=1000 needs 1,001 or more"),
        (dict(eval_stride=9), "config.data.eval_stride=9 would leave tokens out: it is at most config.data.length=8"),
        (dict(source="a.b"), "there is no 'a.b' in data/text/"),
        (dict(source=""), "there is no '' in data/text/"),
        (dict(source="tsv"), "data/text/tsv.py has no `documents`. These have: files, python, tfds"),
    ],
)
def test_a_setting_that_cannot_be_is_named(folder, settings, message):
    with pytest.raises(UserError, match=message):
        _ = make(folder, **settings).train


def test_what_it_offers_has_a_meaning_and_fits_the_protocol(folder):
    pipeline = make(folder)
    protocol = {name for name in dir(input_pipeline.Pipeline) if not name.startswith("_")}
    assert not [name for name in protocol if not hasattr(pipeline, name)]
    assert not set(lookup.keys(documents.Pipeline, without=("feed",))) - set(lookup.meanings(documents.Pipeline))
    unread = pipeline.unread(None, None)
    assert (unread.spec, unread.shapes) == (pipeline.spec, pipeline.shapes)
    assert documents.debug(dict(length=1024))["length"] == 64
