"""Figures of text: which tokens attend to which, what heads do, and what is written after each layer."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import models
from analysis import picture, sentences
from analysis.figures import alignment, attended_words, head_roles, logit_lens, sentence_heads, sentence_rollout
from analysis.figures.rollout import rollout
from analysis.page import explorer
from analysis.subject import Subject
from errors import UserError
from tasks.translate import shift_right

V = 12
PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁the", "▁cat", "s", "▁sat", ".", "▁it", ",", "▁mat"]
TOKENS = np.array([9, 5, 6, 8, 3, 0, 0, 0], np.int32)
DOCUMENTS = np.array([1, 1, 2, 2, 2, 0, 0, 0], np.int32)  # of two
WORDS = [PIECES[i] for i in TOKENS[:5]]
PAIRS = ("transformer", "t5")  # models of a source and a target
MODELS = {
    "gpt": dict(name="gpt", width=8, depth=2, heads=2, max_length=8),
    "bert": dict(name="bert", vocabulary=V, width=8, depth=2, mlp_dim=8, heads=2, head="words", max_length=8),
    "classifier": dict(name="classifier", vocabulary=V, width=8, depth=2, mlp_dim=8, heads=2, pooling="token"),
    "transformer": dict(name="transformer", source_vocabulary=None, width=8, depth=2, mlp_dim=8, heads=2),
    "t5": dict(name="t5", version="1.0", width=8, depth=2, mlp_dim=8, heads=2),
}


@pytest.fixture(scope="module")
def subject(filled):
    """subject(name) -> a Subject of a model that has learned nothing, and its one example."""

    @functools.cache
    def build(name, documents=False):
        more = {"segment": DOCUMENTS[None]} if documents else {}
        model = models.build(outputs=V, **MODELS[name])
        inputs = ("source", "target") if name in PAIRS else ("tokens",)
        batch = dict.fromkeys(inputs, TOKENS[None]) | {"index": np.zeros(1, int)} | more
        pipeline = SimpleNamespace(
            spec=dict.fromkeys(inputs, ((1, 8), "int32")),
            eval_splits=("test",),
            eval_batches=lambda split: iter([batch]),
            pieces=lambda entry, ids: [PIECES[i] for i in ids],
        )
        variables = filled(model, *[TOKENS[None]] * len(inputs))
        shapes = {
            "/".join(key.key for key in path): x.shape for path, x in jax.tree.leaves_with_path(variables["params"])
        }
        task = SimpleNamespace(inputs=inputs, optional=("segment",), first=2, spells=name != "classifier")
        run = SimpleNamespace(
            model=model, task=task, pipeline=pipeline, shapes=lambda: shapes, config={"model": {"name": name}}
        )
        return Subject(run=run, restore=lambda: variables, load=lambda path: (run, {}))

    return build


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt", {"decoder": WORDS}),
        ("bert", {"encoder": WORDS}),
        ("classifier", {"encoder": ["[class]", *WORDS]}),
        ("transformer", {"encoder": WORDS, "decoder": ["<s>", *WORDS[:-1]]}),
    ],
)
def test_attention_is_of_the_tokens_that_each_stack_reads(subject, name, expected):
    one = subject(name)
    stacks = sentences.stacks(one, one.rows(1)[0])
    assert {stack.name: stack.tokens for stack in stacks} == expected
    for stack in stacks:
        n = len(stack.tokens)
        assert stack.attention.shape == (2, 2, n, n)
        assert stack.outputs.shape == (2, n, 8)
        np.testing.assert_allclose(stack.attention.sum(-1), 1, atol=1e-5)
        assert np.any(np.triu(stack.attention, 1)) == (stack.name == "encoder")
    assert {figure.lacks(one) for figure in (sentence_heads, sentence_rollout, attended_words, head_roles)} == {""}
    stack = stacks[-1]
    shares = sentence_rollout.arrays(one)[f"{stack.name}_rollout"]
    np.testing.assert_allclose(shares, rollout(stack.attention[:, None])[0])
    cut = sentences.arrays(stacks, 3)
    assert (cut[f"{stack.name}_attention"].shape, cut[f"{stack.name}_length"]) == ((2, 2, 3, 3), len(stack.tokens))
    assert sentences.title(stack.name, cut) == f"{stack.name}: the first 3 of {len(stack.tokens)} tokens"


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_no_token_attends_to_another_document(subject, name):
    """As the model was trained, and from a position that begins anew: as if the second were alone."""
    one = subject(name, documents=True)
    (stack,) = sentences.stacks(one, one.rows(1)[0])
    apart = DOCUMENTS[:5, None] != DOCUMENTS[:5]
    assert not stack.attention[..., apart].any()
    np.testing.assert_allclose(stack.attention.sum(-1), 1, atol=1e-5)
    alone = np.array([*TOKENS[2:5], 0, 0, 0, 0, 0], np.int32)
    (second,) = sentences.stacks(one, {"tokens": alone})
    np.testing.assert_allclose(stack.attention[..., 2:, 2:], second.attention, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt", "bert", "transformer", "t5"])
def test_after_the_last_layer_the_lens_reads_what_the_model_writes(subject, name):
    one = subject(name)
    arrays = logit_lens.arrays(one)
    inputs = [TOKENS[None]]
    if name in PAIRS:
        inputs.append(shift_right(TOKENS[None], (TOKENS[None] > 0).astype(int)))
    logits, _ = one.probed(*inputs)
    probability = np.asarray(jax.nn.softmax(logits))[0, :5]
    assert arrays["top"].shape == (2, 5)
    assert arrays["top"][-1].tolist() == [PIECES[i] for i in probability.argmax(-1)]
    np.testing.assert_allclose(arrays["probability"][-1], probability.max(-1), rtol=1e-5)
    assert len(logit_lens.draw(arrays).axes) == 2
    lenses = {view["name"]: view["lens"] for view in explorer.views_of(one, one.rows(1)[0], explorer.ROOM)}
    assert [name for name, lens in lenses.items() if lens] == ["encoder" if name == "bert" else "decoder"]
    assert "has no `lens`" in logit_lens.lacks(subject("classifier"))


def test_what_heads_do_is_what_loops_find():
    n, draw = 6, np.random.default_rng(0)
    attention = draw.random((2, 3, n, n)) ** 3
    attention /= attention.sum(-1, keepdims=True)
    delimiter = np.array([False, True, False, False, True, False])
    sums, count = head_roles.measured(attention, delimiter)
    for layer, head in np.ndindex(2, 3):
        a, expected = attention[layer, head], np.zeros(7)
        for i in range(n):
            expected[0] += a[i, i - 1] if i else 0
            expected[1] += a[i, i + 1] if i < n - 1 else 0
            expected[2] += a[i, i]
            expected[3] += a[i, 0] if i else 0
            for j in range(n):
                expected[4] += a[i, j] * delimiter[j]
                expected[5] += a[i, j] * abs(i - j)
                expected[6] -= a[i, j] * np.log(a[i, j])
        np.testing.assert_allclose(sums[:, layer, head], expected)
    assert count.tolist() == [5, 5, 6, 5, 6, 6, 6]


def test_a_head_that_looks_back_one_token_and_uniform_attention_are_measured_as_such(subject):
    n = 5
    back = np.eye(n, k=-1)
    back[0, 0] = 1
    sums, count = head_roles.measured(back[None, None], np.zeros(n, bool))
    assert (sums[:, 0, 0] / count).tolist() == pytest.approx([1, 0, 1 / 5, 1 / 4, 0, 4 / 5, 0])
    uniform = head_roles.arrays(subject("gpt"))["decoder_uniform"]
    assert uniform[0] == pytest.approx(np.mean([1 / 2, 1 / 3, 1 / 4, 1 / 5]))
    assert uniform[6] == pytest.approx(np.mean(np.log([1, 2, 3, 4, 5])))
    assert [p for p in [*PIECES, "##ing", "⏎", "\n", "▁"] if head_roles.is_delimiter(p)] == [
        *("<pad>", "<unk>", "<s>", "</s>", ".", ",", "⏎", "\n", "▁"),
    ]


@pytest.mark.parametrize(
    ("word", "tokens", "places"),
    [
        ("cats", ["▁the", "▁cat", "s", "▁cat"], [1, 2]),
        ("cat", ["▁the", "▁cat", "s", "▁cat"], [1]),
        ("it", [*"sit it"], [1, 2]),
        ("cats", ["the", "cat", "##s"], [1, 2]),
        ("dog", ["▁the", "▁cat"], []),
    ],
)
def test_a_word_is_the_tokens_that_spell_it(word, tokens, places):
    assert attended_words.places_of(word, tokens).tolist() == places


@pytest.mark.parametrize(
    ("tokens", "places"),
    [
        (["▁the", "▁cat", "s", ".", "</s>"], [1, 2]),
        (["the", "cat", "##s", "[SEP]"], [1, 2]),
        ([*"a cat. "], [2, 3, 4]),
        (["▁cross", "-", "prom", "otion"], [2, 3]),
        ([".", ","], [1]),
    ],
)
def test_the_last_word_is_shown_where_none_is_chosen(tokens, places):
    assert attended_words.last_word(tokens).tolist() == places


def test_a_chosen_word_is_found_in_either_stack_or_the_words_are_named(subject):
    arrays = attended_words.arrays(dataclasses.replace(subject("transformer"), word="cats"))
    assert (arrays["places"].tolist(), arrays["stack"]) == ([1, 2], "encoder")
    assert arrays["weights"].shape == (2, 2, 5)
    with pytest.raises(UserError, match="--word=cast: the sentence has no such word: did you mean 'cat'"):
        attended_words.arrays(dataclasses.replace(subject("transformer"), word="cast"))


def test_a_row_of_words_holds_those_about_the_chosen_one():
    labels = ["x" * 9] * 40
    shown, first, last = attended_words.window(labels, 20)
    assert shown == labels[first:last]
    assert first < 20 < last
    assert sum(map(len, shown)) <= attended_words.LETTERS < sum(map(len, shown)) + 9
    assert attended_words.window(["a", "b"], 0) == (["a", "b"], 0, 2)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["[CLS]", "the", "dog", "##s"], ["[CLS]", " the", " dog", "##s"]),
        ([" the", "m"], [" the", "m"]),
        (["a", "b"], ["a", "b"]),  # characters
    ],
)
def test_words_stand_apart_whatever_the_tokenizer_marks(labels, shown):
    assert attended_words.spaced(labels) == shown


def test_a_long_token_leaves_room_for_the_others():
    assert picture.token("▁Donaudampfschifffahrt") == "Donaudampfschif…"
    assert (picture.token("▁$5"), picture.token("▁" * 3)) == (r"\$5", "␣␣␣")


def test_the_map_of_a_long_sentence_has_smaller_tokens_and_says_what_it_leaves_out():
    for n in (5, 60, 300):
        arrays = alignment.maps(np.ones((1, n, n)), [["a"] * n], [["b"] * n])
        figure = alignment.draw(arrays)
        assert figure.get_size_inches().max() < 20
        axes = figure.axes[0]
        assert axes.get_title() == ("" if n < 300 else "the first 100 x 100 of 300 x 300 tokens")
        assert len(axes.get_xticks()) == min(n, 100)
