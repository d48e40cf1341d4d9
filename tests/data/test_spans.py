"""Hidden spans: the text comes back from both sides, in T5's lengths, drawn alike each time that it should be."""

import io
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import sentencepiece

import input_pipeline
from data import published, spans
from data.pipelines.base import Feed
from errors import UserError
from models.tokens import EOS, PAD

V = 1000
TEXT = "".join(f"{number} is not {number + 1}.\n" for number in range(200))


def hidden(tokens: np.ndarray, count: list[int], seed: int = 0, share: float = 0.15, mean: float = 3.0):
    """Both sides of rows of tokens, each the first `count` of `tokens`."""
    rows = np.broadcast_to(tokens.astype(np.int32), (len(count), len(tokens)))
    key = (seed, np.arange(len(count)))
    sentinels = np.arange(V - 1, V - 101, -1, np.int32)
    made = spans.hide(np.ascontiguousarray(rows), np.array(count, np.int32), key, share, mean, sentinels)
    return [side.numpy() for side in made]


def filled(source: np.ndarray, target: np.ndarray) -> tuple[list[int], list[int]]:
    """The text that both sides spell, and the lengths of its hidden spans."""
    source, target = (row[row != PAD].tolist() for row in (source, target))
    assert source.pop() == EOS
    assert target.pop() == EOS
    found: dict[int, list[int]] = {}
    for token in target:
        if token > V // 2:
            assert token == V - 1 - len(found)  # sentinels count down from the end of the vocabulary
            found[token] = []
        else:
            found[V - len(found)].append(token)
    text = [i for token in source for i in found.pop(token, [token])]
    return text, [len(span) for span in map(list, _spans(target))]


def _spans(target: list[int]):
    for is_sentinel, run in itertools.groupby(target, lambda token: token > V // 2):
        if not is_sentinel:
            yield run


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (568, (512, 114, 28)),  # as T5 was trained
        (141, (128, 29, 7)),
        (142, (129, 29, 7)),
        (4, (5, 3, 1)),
        (2, (3, 3, 1)),
    ],
)
def test_a_text_has_t5s_lengths(tokens, expected):
    assert spans.lengths(tokens, 0.15, 3.0) == expected
    source, target = hidden(np.arange(4, 4 + tokens) % (V // 2 - 4) + 4, [tokens] * 3)
    assert (source.shape, target.shape) == ((3, expected[0]), (3, expected[1]))
    assert (source != PAD).all()
    assert (target != PAD).all()


@pytest.mark.parametrize(("share", "mean"), [(0.15, 3.0), (0.5, 1.0), (0.9, 2.5)])
def test_both_sides_together_are_the_text_whatever_its_length(share, mean):
    tokens, count = np.arange(4, 44), [40, 39, 23, 7, 2, 1, 0]
    source, target = hidden(tokens, count, share=share, mean=mean)
    for row, length in enumerate(count[:-2]):
        text, of_spans = filled(source[row], target[row])
        assert text == tokens[:length].tolist()
        expected = spans.lengths(length, share, mean)
        assert ((source[row] != PAD).sum(), (target[row] != PAD).sum(), len(of_spans)) == expected
        assert source[row, 0] == tokens[0]
        assert source[row, expected.source - 2] >= V // 2
    assert source[5].tolist()[:3] == [4, EOS, PAD]  # nothing is hidden of a single token
    assert not source[6].any()
    assert not target[6].any()


def test_every_division_into_spans_is_equally_likely():
    # Of 12 tokens 6 are hidden, in 3 spans: 10 divisions of the hidden ones, and 10 of the others.
    rows = 4000
    source, target = hidden(np.arange(4, 16), [12] * rows, share=0.5, mean=2.0)
    drawn: Counter[tuple[int, ...]] = Counter()
    left: Counter[tuple[int, ...]] = Counter()
    for one, other in zip(source, target, strict=True):
        drawn[tuple(filled(one, other)[1])] += 1
        left[tuple(len(list(run)) for there, run in itertools.groupby(one[:-1] < V // 2) if there)] += 1
    for found in (drawn, left):
        assert len(found) == 10
        assert all(abs(n - rows / 10) < 5 * (rows / 10) ** 0.5 for n in found.values())


def test_what_is_hidden_depends_on_the_seed_and_the_rows_number_alone():
    tokens = np.arange(4, 144)
    first = hidden(tokens, [140] * 5)
    again = hidden(tokens, [140] * 3)
    np.testing.assert_array_equal(first[0][:3], again[0])
    assert len({row.tobytes() for row in first[1]}) == 5
    assert (hidden(tokens, [140], seed=1)[1][0] != first[1][0]).any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("text")
    for split in ("train", "validation"):
        (root / f"{split}.txt").write_text(TEXT)
    return root


def make(folder, feed: Feed | None = None, **changes):
    settings = dict(kind="spans", source="files", name=str(folder), tokenizer="char", batch_size=4, length=40)
    return input_pipeline.build(settings | {"sentinels": 4} | changes, feed or Feed())


def first(batches, count):
    return list(itertools.islice(batches, count))


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        for name in ("source", "target"):
            np.testing.assert_array_equal(one[name], other[name])


def test_batches_are_windows_of_the_text_and_any_step_can_be_made_alone(folder):
    pipeline = make(folder)
    assert pipeline.sizes == {"outputs": pipeline.text_tokenizer.size + 4}
    batches = first(pipeline.train_batches(0), 6)
    assert_same(first(pipeline.train_batches(4), 2), batches[4:])
    assert_same(first(make(folder).train_batches(0), 6), batches)
    assert {batch["source"].shape for batch in batches} == {(4, 37)}
    for batch in batches:
        for source, target in zip(batch["source"], batch["target"], strict=True):
            spelled = pipeline.decode(source)
            for sentinel, span in zip(*_parts(pipeline.decode(target)), strict=True):
                assert span
                spelled = spelled.replace(sentinel, span)
            assert spelled in TEXT


def test_hosts_share_each_batch_out(folder):
    whole = first(make(folder).train_batches(0), 3)
    halves = [first(make(folder, Feed(host=host, hosts=2, divisor=2)).train_batches(0), 3) for host in (0, 1)]
    joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*halves, strict=True)]
    assert_same(joined, whole)


def _parts(text: str) -> tuple[list[str], list[str]]:
    _, *parts = text.replace("<", "\0<").replace(">", ">\0").split("\0")
    return parts[::2], parts[1::2]


def test_an_evaluation_hides_the_same_in_whatever_batches(folder):
    once = [row for batch in make(folder).eval_batches("validation") for row in batch["target"] if row.any()]
    other = [
        row
        for batch in make(folder, Feed(seed=7), eval_batch_size=16).eval_batches("validation")
        for row in batch["target"]
        if row.any()
    ]
    np.testing.assert_array_equal(once, other)


def test_what_a_person_writes_is_read_as_the_model_was_trained(folder):
    pipeline = make(folder)
    batch, notes = pipeline.read(["1 is <extra_id_0> 2.<extra_id_3>", "<extra_id_0>"])
    last = pipeline.sizes["outputs"] - 1
    assert [batch["source"][0].tolist().index(last - n) for n in (0, 3)] == [5, 9]
    assert batch["source"].shape == (2, 16)
    assert pipeline.decode(batch["source"][0]) == "1 is <extra_id_0> 2.<extra_id_3>"
    assert notes == []


def test_a_learned_subword_tokenizer_has_the_sentinels_so_that_another_task_can_go_on_with_it(folder, tmp_path):
    pipeline = make(folder, tokenizer="bpe", vocabulary_size=300)
    assert pipeline.sizes == {"outputs": 300}
    row = pipeline.read(["1 is <extra_id_0> 2.<extra_id_3>"])[0]["source"][0]
    assert pipeline.decode(row) == "1 is <extra_id_0> 2.<extra_id_3>"
    (sentinel,) = set(pipeline.text_tokenizer.pieces(first(pipeline.train_batches(0), 1)[0]["target"][:, 0]))
    assert sentinel == "<extra_id_0>"
    (tmp_path / "tokenizer.model").write_bytes(pipeline.text_tokenizer.model)
    again = make(folder, tokenizer=str(tmp_path / "tokenizer.model"))
    assert again.sizes == pipeline.sizes
    assert again.decode(row) == pipeline.decode(row)


def write_model(folder, symbols) -> int:
    """A published model of pieces with these symbols among them, and how many pieces it has."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=model,
        model_type="char",
        vocab_size=40,
        hard_vocab_limit=False,
        **dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
        user_defined_symbols=symbols,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()


def test_a_published_tokenizers_own_sentinels_are_taken(folder, tmp_path):
    write_model(tmp_path, ["<extra_id_1>", "<extra_id_0>"])
    changes = dict(tokenizer=str(tmp_path), length=12)
    pipeline = make(folder, **changes)
    tokenizer = pipeline.text_tokenizer
    assert pipeline.sizes == {"outputs": tokenizer.size}
    batch = first(pipeline.train_batches(0), 1)[0]
    assert set(tokenizer.pieces(batch["target"][:, 0])) == {"<extra_id_0>"}
    row = pipeline.read(["1 is <extra_id_0> 2<extra_id_1>"])[0]["source"][0]
    assert pipeline.decode(row) == "1 is<extra_id_0> 2<extra_id_1>"  # a span begins with its space
    with pytest.raises(UserError, match="has 10 hidden spans, for which 2 sentinels are too few"):
        _ = make(folder, **changes | {"length": 200, "sentinels": 10}).sizes


def test_only_the_ends_of_both_sides_are_ends_whatever_the_tokenizer(tmp_path):
    """T5's own has no beginning of a text: texts follow one another without a token between."""
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"{number} is not {number + 1}.\n")
    write_model(tmp_path, ["<extra_id_1>", "<extra_id_0>"])
    for tokenizer in (str(tmp_path), "char"):
        for batch in first(make(tmp_path, tokenizer=tokenizer, length=12).train_batches(0), 4):
            for side in (batch["source"], batch["target"]):
                assert ((side == EOS).sum(1) == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 is", "'1 is' has no <extra_id_0>"),
        ("1 is <extra_id_4>", "<extra_id_4> is none of the 4 sentinels"),
        ("1 is <extra_id_0>" * 9, "is 55 tokens, and the model reads 37"),
    ],
)
def test_a_text_that_cannot_be_filled_in_is_refused(folder, text, message):
    with pytest.raises(UserError, match=message):
        make(folder).read([text])


def test_a_figure_shows_any_text_and_spells_sentinels(folder):
    pipeline = make(folder)
    batch, _ = pipeline.view(["1 is"])
    assert pipeline.decode(batch["source"][0]) == "1 is"
    row = pipeline.view(["1<extra_id_2>"])[0]["source"][0]
    assert pipeline.pieces("source", row[:3]) == ["1", "<extra_id_2>", "</s>"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"special": False}, "special=False leaves no ids"),
        ({"document_mask": True}, "document_mask"),
        ({"length": 1}, "length=1 leaves nothing to hide"),
        ({"eval_stride": 1}, "config.data.eval_stride=1 is for language models"),
        ({"sentinels": 1}, "has 2 hidden spans, for which 1 sentinels are too few: raise config.data.sentinels"),
        ({"hidden": 1.0}, "config.data.hidden=1.0"),
        ({"span": 0.5}, "config.data.span=0.5"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(folder, changes, message):
    with pytest.raises(UserError, match=message):
        make(folder, **changes)


def test_a_t5s_model_of_pieces_has_its_sentinels_after_them_as_transformers_counts(folder, tmp_path):
    """The model knows only the pieces; config.json's vocabulary has 100 sentinels after them, and rows of padding."""
    pieces = write_model(tmp_path, [])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "vocab_size": pieces + 128}))
    pipeline = make(folder, tokenizer=str(tmp_path), length=12)
    tokenizer = pipeline.text_tokenizer
    assert pipeline.sizes == {"outputs": pieces + 128}
    batch = first(pipeline.train_batches(0), 1)[0]
    assert set(tokenizer.order[batch["target"][:, 0]].tolist()) == {pieces + 99}  # <extra_id_0>
    row = pipeline.read(["1 is <extra_id_0> 2<extra_id_99>"])[0]["source"][0]
    assert tokenizer.order[row[row > 0][-2]] == pieces
    assert pipeline.decode(row) == "1 is<extra_id_0> 2<extra_id_99>"
    assert tokenizer.decode(row) == "1 is<extra_id_0> 2<extra_id_99>"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tokenizer.model").write_bytes(tokenizer.model)
    (stored,) = published.read(tmp_path / "run")
    assert (stored.digest, stored.size, stored.pieces([pieces])) == (tokenizer.digest, pieces + 128, ["<extra_id_99>"])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "vocab_size": pieces + 2}))
    assert make(folder, tokenizer=str(tmp_path), length=6).sizes == {"outputs": pieces + 2}
