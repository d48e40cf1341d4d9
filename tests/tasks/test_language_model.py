"""The next token: losses against NumPy, and continuations against a model that reads the whole text again each time."""

import math
import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import input_pipeline
from data.pipelines.base import Feed
from models import gpt
from tasks import scored
from tasks.language_model import NONE, Task, ending

V, CONTEXT, LENGTH = 11, 12, 30
MODEL = gpt.Model(outputs=V, width=16, depth=2, heads=2, max_length=CONTEXT, dropout=0.0)
PROMPTS = np.array([[3, 1, 4, 1, 5], [9, 2, NONE, NONE, NONE]], np.int32)
KEYS = jax.random.split(jax.random.key(7), 2)


@pytest.fixture(scope="module")
def variables() -> dict:
    """Weights so large that what is likeliest depends on what comes before."""
    found = MODEL.init(jax.random.key(1), jnp.zeros((1, 4), jnp.int32), train=False)
    return jax.tree.map(lambda x: x * 12 if x.ndim == 2 else x, found)


@pytest.fixture(scope="module")
def apply(variables):
    compiled = jax.jit(MODEL.apply, static_argnames=("method", "train", "beams", "length"))
    return partial(compiled, variables)


def test_loss_and_accuracy_are_of_the_targets_that_there_are():
    chance = np.random.default_rng(0)
    logits, target = chance.normal(size=(2, 5, V)).astype(np.float32), chance.integers(0, V, (2, 5))
    target[1, 3:] = NONE
    seen = []
    batch = {"tokens": np.zeros((2, 5), int), "target": target, "segment": np.ones((2, 5), int)}
    sums = Task().sums(lambda *given: seen.append(given) or jnp.asarray(logits), batch, True)
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    there = target >= 0
    nll = -np.log(np.take_along_axis(probability, np.maximum(target, 0)[..., None], -1)[..., 0][there])
    assert len(seen[0]) == 2  # tokens and segment
    assert float(sums["loss"][0]) == pytest.approx(nll.sum(), rel=1e-5)
    assert float(sums["loss"][1]) == float(sums["accuracy"][1]) == 8
    assert float(sums["accuracy"][0]) == (logits.argmax(-1) == target)[there].sum()


def test_bits_per_byte_are_of_the_text():
    totals = {"loss": (np.float64(200.0), np.float64(100.0))}
    data = SimpleNamespace(bytes_of={"validation": 400}.get)
    found = Task().summaries(totals, data, "validation")
    assert found == pytest.approx({"perplexity": math.exp(2), "bits_per_byte": 200 / math.log(2) / 400})


whole_text = jax.jit(partial(MODEL.apply, train=False))


def again(variables, prompt: list[int], length: int) -> list[int]:
    """The likeliest continuation, with the whole text read anew for every token."""
    text = list(prompt)
    for _ in range(length):
        padded = np.pad(text, (0, CONTEXT - len(text)))[None]
        text.append(int(whole_text(variables, padded)[0, len(text) - 1].argmax()))
    return text[len(prompt) :]


def test_a_continuation_is_what_the_model_finds_likeliest(variables):
    task = Task(length=7, temperature=0.0)
    rows = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))({"tokens": PROMPTS}, KEYS)
    for row, prompt in zip(rows["tokens"].tolist(), PROMPTS, strict=True):
        assert row == again(variables, prompt[prompt >= 0].tolist(), 7)
    assert len(set(rows["tokens"][0].tolist())) > 1


def test_beyond_the_context_writing_continues_from_its_last_half(variables):
    task = Task(length=12, temperature=0.0)  # 6 tokens are kept, and 6 are written before the context is full
    rows = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))({"tokens": PROMPTS}, KEYS)
    for row, prompt in zip(rows["tokens"].tolist(), PROMPTS, strict=True):
        first = again(variables, prompt[prompt >= 0].tolist(), 6)
        assert row == first + again(variables, first, 6)


def test_positions_without_an_end_are_written_in_one_go(variables):
    """As all at once, and unlike positions that are learned."""
    model = MODEL.clone(positions="rotary")
    params = {name: value for name, value in variables["params"].items() if name != "positions"}
    task, apply = Task(length=LENGTH, temperature=0.0), partial(model.apply, {"params": params})
    written = jax.jit(partial(task.predict, apply))({"tokens": PROMPTS[:1]}, KEYS[:1])["tokens"][0]
    text = np.concatenate([PROMPTS[0], written])
    logits = jax.jit(partial(apply, train=False))(text[None])[0]
    np.testing.assert_array_equal(logits.argmax(-1)[len(PROMPTS[0]) - 1 : -1], written)
    assert len(set(written.tolist())) > 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, r"more than the 12 positions that the model has learned: .* goes on from only the end of the text"),
        (
            {"positions": "alibi"},
            r"beyond the 12 tokens that the model was trained on.*positions=alibi\), but may .*there\.$",
        ),
        ({"positions": "rotary"}, r"there; with --config.model.window=12 each token sees only the last 12\.$"),
        ({"positions": "rotary", "window": 9}, r"positions=rotary\), but may write worse there\.$"),
    ],
)
def test_a_continuation_beyond_what_was_trained_is_told(settings, line):
    model, batch = MODEL.clone(**settings), {"tokens": PROMPTS}
    (told,) = Task(length=8).notes(model, batch)
    assert re.search(line, told)
    assert "\n" not in told
    assert Task(length=7).notes(model, batch) == []
    assert Task(length=10).notes(model, {"tokens": PROMPTS[1:]}) == []  # of its two tokens, without padding


@pytest.mark.parametrize("length", [5, LENGTH])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stream_is_the_prediction_token_by_token(variables, apply, length, temperature):
    """Within the model's context and beyond it."""
    task, key = Task(length=length, temperature=temperature, top_k=5), KEYS[:1]
    predict = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))
    for prompt in PROMPTS:
        batch = {"tokens": jnp.asarray(prompt[None])}
        whole = predict(batch, key)["tokens"][0]
        rows = list(task.stream(apply, batch, key))
        assert [len(row["tokens"]) for row in rows] == [*range(length + 1)]
        np.testing.assert_array_equal(rows[-1]["tokens"], whole)
        np.testing.assert_array_equal(rows[0]["prompt"], prompt)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_does_not_depend_on_those_beside_it(variables, apply, temperature):
    """Of ten and of three tokens: with 9 more the second alone fits into the context of 12."""
    prompts = np.array([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [8, 9, 7, *[NONE] * 7]], np.int32)
    task = Task(length=9, temperature=temperature, top_k=5)
    together = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))({"tokens": prompts}, KEYS)["tokens"]
    for row, size in enumerate((10, 3)):
        batch, key = {"tokens": jnp.asarray(prompts[row : row + 1, :size])}, KEYS[row : row + 1]
        alone = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))(batch, key)["tokens"][0]
        *_, streamed = (one["tokens"] for one in task.stream(apply, batch, key))
        np.testing.assert_array_equal(together[row], alone)
        np.testing.assert_array_equal(together[row], streamed)
    if not temperature:
        assert together[1].tolist() == again(variables, [8, 9, 7], 9)


def test_a_continuation_ends_with_the_stop_token(variables, apply):
    batch, key = {"tokens": PROMPTS[:1]}, KEYS[1:]
    *_, free = (row["tokens"] for row in Task(length=LENGTH, temperature=1.0).stream(apply, batch, key))
    stop = int(free[4])
    first = int(np.argmax(free == stop))
    task = Task(length=LENGTH, temperature=1.0, stop=stop)
    *_, stopped = (row["tokens"] for row in task.stream(apply, batch, key))
    assert stopped.tolist() == free[: first + 1].tolist()
    rows = jax.jit(partial(task.predict, partial(MODEL.apply, variables)))(batch, key)
    assert rows["tokens"][0].tolist() == [*free[: first + 1], *[NONE] * (LENGTH - first - 1)]


def test_an_answer_is_the_prompt_and_what_follows():
    data = SimpleNamespace(decode=lambda ids: "".join(map(chr, 97 + np.asarray(ids))))
    row = {"prompt": np.array([0, 1, NONE]), "tokens": np.array([2, 3, NONE])}
    answer = Task().answer(row, data)
    assert (answer.text, answer.data) == ("abcd", {"continuation": "cd"})


def test_the_end_of_a_prompt_is_kept():
    rows = np.array([[1, 2, 3, 4, 5], [1, 2, NONE, NONE, NONE]], np.int32)
    assert ending(jnp.asarray(rows), 3).tolist() == [[3, 4, 5], [1, 2, NONE]]
    assert ending(jnp.asarray(rows[:, ::-1]), 3).tolist() == [[3, 2, 1], [2, 1, NONE]]
    assert ending(jnp.asarray(rows), 6)[:, :5].tolist() == rows.tolist()


def counts(tokens):
    """The logits of a model that has learned nothing: how often each token was in the window, and once more."""
    return jnp.log(1 + jnp.cumsum(jax.nn.one_hot(tokens, 256), axis=1))


@pytest.mark.parametrize("stride", [0, 1, 5])
def test_overlapping_windows_give_the_loss_of_a_loop_and_less_than_windows_apart(tmp_path, stride):
    text, length = "abcabcabdabbabcabcaddabcab" * 3, 16
    (tmp_path / "text").write_text(text)
    data = dict(kind="documents", source="files", name=str(tmp_path / "text"), tokenizer="byte", special=False)
    pipeline = input_pipeline.build(
        data | dict(length=length, batch_size=4, eval_splits=("train",), eval_stride=stride), Feed()
    )
    task, loss = Task(), np.zeros(2)
    for batch in pipeline.eval_batches("train"):
        loss += np.array(task.sums(counts, batch, train=False)["loss"])
    expected, apart = [], []
    for place in range(1, len(text)):
        for losses, step in ((expected, stride or length), (apart, length)):
            start = 0 if place <= length else -(-(place - length) // step) * step
            seen = text[start:place]
            losses.append(math.log((256 + len(seen)) / (1 + seen.count(text[place]))))
    assert loss[1] == len(expected)
    assert loss[0] == pytest.approx(sum(expected), rel=1e-5)
    assert (sum(expected) < sum(apart)) == bool(stride)


def test_a_token_is_right_if_it_alone_is_the_likeliest():
    low = -jnp.inf
    logits = jnp.array([[1.0, 3, 2], [3, 3, 2], [1, 3, 2], [low, 0, low], [low, low, low]])
    nll, right = scored(logits, jnp.array([1, 0, 2, 1, 0]))
    assert right.tolist() == [True, False, False, True, False]
    np.testing.assert_allclose(nll[:3], np.log(np.exp(logits[:3]).sum(-1)) - np.array([3, 3, 2]), rtol=1e-6)
