"""Translation: losses against NumPy, decoding against a model that computes everything again, scores by hand."""

import functools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lookup
import models
from errors import UserError
from models import decoding
from models.tokens import UNKNOWN
from tasks.translate import BOS, EOS, PAD, Task, shift_right

V, D, S, EXTRA, SEEDS = 12, 8, 5, 4, (1, 4, 5, 6, 9)
L = S + EXTRA
SOURCE = np.array([[4, 5, 6, 7, EOS], [8, 9, EOS, 0, 0], [0, 0, 0, 0, 0], [6, 4, 9, EOS, 0]])
SIZE = (SOURCE != PAD).sum(-1)
B = len(SOURCE)
KEYS = jax.random.split(jax.random.key(0), B)

# Losses of any logits.
TARGET = np.array([[4, 5, 6, EOS], [7, EOS, 0, 0], [0, 0, 0, 0], [8, 9, EOS, 0]])
LOGITS = np.random.default_rng(0).normal(size=(*TARGET.shape, V)).astype(np.float32) * 2


def close(left, right) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


@functools.partial(jax.jit, static_argnames=("train", "smoothing"))
def summed(logits, batch, train=True, smoothing=0.1):
    return Task(label_smoothing=smoothing).sums(lambda *_: logits, batch, train)


def test_the_decoder_reads_each_sentence_one_place_later_after_its_beginning():
    target = np.array([[4, 5, EOS, 6, EOS, 0], [7, EOS, 8, EOS, 9, EOS]])
    segment = np.array([[1, 1, 1, 2, 2, 0], [1, 1, 2, 2, 3, 3]])
    np.testing.assert_array_equal(shift_right(target, segment), [[BOS, 4, 5, BOS, 6, 0], [BOS, 7, BOS, 8, BOS, 9]])
    expected = [[BOS, 4, 5, 6], [BOS, 7, 0, 0], [0, 0, 0, 0], [BOS, 8, 9, 0]]
    np.testing.assert_array_equal(shift_right(TARGET, (TARGET != PAD).astype(int)), expected)


@pytest.mark.parametrize("packed", [False, True])
def test_the_model_is_given_source_shifted_target_and_the_segments_of_packed_rows(packed):
    batch = {"source": SOURCE, "target": TARGET}
    if packed:
        batch |= {"source_segment": 2 * (SOURCE > 0), "target_segment": np.array([[1, 1, 2, 2]] * B) * (TARGET > 0)}

    @jax.jit
    def run(batch):
        seen = []
        sums = Task().sums(lambda *given: seen.extend(given) or LOGITS, batch, train=True)
        return sums, seen

    sums, seen = run(batch)
    segments = [batch["source_segment"], batch["target_segment"]] if packed else []
    inputs = shift_right(TARGET, segments[1] if packed else TARGET > 0)
    for given, expected in zip(seen, [SOURCE, inputs, *segments], strict=True):
        np.testing.assert_array_equal(given, expected)
    assert ("sentence_accuracy" in sums) != packed


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("train", [True, False])
def test_the_loss_is_smoothed_in_training_only_and_nll_never(train, smoothing):
    sums = summed(LOGITS, {"source": SOURCE, "target": TARGET}, train, smoothing)
    logits = np.float64(LOGITS)
    log_probability = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = nll = right = 0.0
    for b, t in zip(*np.nonzero(TARGET), strict=True):
        truth = np.eye(V)[TARGET[b, t]]
        e = smoothing if train else 0.0
        loss -= ((1 - e) * truth + e / V) @ log_probability[b, t]
        nll -= truth @ log_probability[b, t]
        right += log_probability[b, t].argmax() == TARGET[b, t]
    tokens = np.count_nonzero(TARGET)
    assert (loss != nll) == (train and smoothing > 0)
    close(
        {name: sums[name] for name in ("loss", "nll", "accuracy")},
        dict(loss=(loss, tokens), nll=(nll, tokens), accuracy=(right, tokens)),
    )


def test_what_is_predicted_where_there_is_nothing_weighs_nothing():
    batch = {"source": SOURCE, "target": TARGET}
    junk = np.where(TARGET[..., None] == PAD, 100 * LOGITS[::-1], LOGITS)
    jax.tree.map(np.testing.assert_array_equal, summed(junk, batch), summed(LOGITS, batch))
    empty = summed(LOGITS, {"source": SOURCE, "target": np.zeros_like(TARGET)})
    assert all(total == weight == 0 for total, weight in empty.values())


def test_a_vocabulary_without_a_beginning_begins_with_padding():
    task = Task(start="pad")
    expected = [[PAD, 4, 5, 6], [PAD, 7, 0, 0], [0, 0, 0, 0], [PAD, 8, 9, 0]]
    np.testing.assert_array_equal(shift_right(TARGET, TARGET > 0, task.first), expected)
    task.check_vocabulary(("bos",))
    with pytest.raises(UserError, match=r"no id for config.task.start='bos': set --config.task.start=pad"):
        Task().check_vocabulary(("bos",))
    vocabulary = jnp.zeros(V).at[BOS].set(9.0).at[PAD].set(10.0)  # where BOS is a word, it may be written

    def apply(*inputs, method, **options):
        return {} if method == "start" else (jnp.broadcast_to(vocabulary, (B, 1, V)), {})

    for start, word in (("pad", BOS), ("bos", UNKNOWN)):
        task = Task(start=start, beams=1, extra_length=1)
        tokens = task.predict(apply, {"source": jnp.asarray(SOURCE)}, KEYS)["tokens"]
        assert tokens[0, 0] == word


def test_sums_over_the_parts_of_a_batch_add_up_to_those_of_the_whole():
    batch = {"source": SOURCE, "target": TARGET}
    parts = [summed(LOGITS[part], {name: x[part] for name, x in batch.items()}) for part in (slice(2), slice(2, B))]
    close(jax.tree.map(jnp.add, *parts), summed(LOGITS, batch))


def test_a_sentence_is_right_when_all_its_tokens_are():
    logits = 9 * np.eye(V, dtype=np.float32)[TARGET]
    logits[1, 2:, 5] = 99  # where there is nothing
    batch = {"source": SOURCE, "target": TARGET}
    assert summed(logits, batch)["sentence_accuracy"] == (3, 3)
    logits[0, 1] = 0
    assert summed(logits, batch)["sentence_accuracy"] == (2, 3)


def test_perplexity_is_the_exponential_of_nll_and_never_overflows():
    def perplexity(nll: float) -> float:
        return Task().summaries({"nll": (np.float64(nll * 8), np.float64(8))}, SimpleNamespace(), "test")["perplexity"]

    assert perplexity(1.5) == pytest.approx(math.exp(1.5))
    assert math.isfinite(perplexity(1e6))


MODEL = models.build(
    "transformer", V, source_vocabulary=V, width=D, depth=1, mlp_dim=12, heads=2, tie="none", dropout=0.0
)


@pytest.fixture(scope="module")
def drawn():
    """The parameters of one tiny Transformer for each seed: without biases, so that they say more than one word."""
    shapes = jax.eval_shape(lambda: MODEL.init(jax.random.key(0), SOURCE, SOURCE, train=False))["params"]

    def one(seed):
        draw = np.random.default_rng(seed)

        def leaf(path, x):
            about, spread = {"scale": (1, 0.3), "bias": (0, 0)}.get(path[-1].key, (0, 0.3))
            return (about + spread * draw.normal(size=x.shape)).astype(x.dtype)

        params = jax.tree_util.tree_map_with_path(leaf, shapes)
        params["head"]["kernel"][:, :EOS] = 0  # padding, unknown and beginning are seldom the likeliest
        return {"params": params}

    return [one(seed) for seed in SEEDS]


logits = jax.jit(functools.partial(MODEL.apply, train=False))


@functools.partial(jax.jit, static_argnames="beams")
def translated(variables, beams):
    task = Task(beams=beams, extra_length=EXTRA)
    apply = functools.partial(MODEL.apply, variables)
    return task.predict(apply, {"source": SOURCE}, KEYS)["tokens"]


@pytest.fixture(scope="module")
def greedy(drawn):
    return [np.asarray(translated(variables, beams=1)) for variables in drawn]


@pytest.fixture(scope="module")
def best_of_four(drawn):
    return [np.asarray(translated(variables, beams=4)) for variables in drawn]


def test_one_beam_writes_the_likeliest_token_after_all_that_it_wrote(drawn, greedy):
    ends = set()
    for variables, tokens in zip(drawn, greedy, strict=True):
        expected, inputs, done = np.zeros((B, L), int), np.full((B, L), PAD), SIZE == 0
        last = np.full(B, BOS)
        for t in range(L):
            inputs[:, t] = last
            likely = np.array(logits(variables, SOURCE, inputs)[:, t])
            likely[:, [PAD, BOS]] = -np.inf
            last = likely.argmax(-1)
            expected[:, t] = np.where(done, PAD, last)
            done |= (last == EOS) | (t + 1 == SIZE + EXTRA)
        np.testing.assert_array_equal(tokens, expected)
        ends |= {EOS in row for row in tokens[SIZE > 0]}
    assert ends == {True, False}


@pytest.mark.parametrize("beams", [1, 4])
def test_a_stream_is_the_translation_word_by_word(drawn, beams):
    apply = jax.jit(MODEL.apply, static_argnames=("method", "beams", "length"))
    task, key = Task(beams=beams, extra_length=EXTRA), KEYS[:1]
    parts = set()
    for variables in drawn[:2]:
        for row in np.flatnonzero(SIZE):
            source = SOURCE[row : row + 1]
            rows = list(task.stream(functools.partial(apply, variables), {"source": jnp.asarray(source)}, key))
            whole = np.asarray(translated(variables, beams))[row]
            assert rows[-1]["tokens"][rows[-1]["tokens"] != PAD].tolist() == whole[whole != PAD].tolist()
            parts |= {len(row["tokens"]) for row in rows}
    assert {0, 1, 2} <= parts


@jax.jit
def recomputed(variables):
    """The beam search of four by a model that remembers nothing but the tokens."""

    def step(tokens, parents, cache):
        t, written = cache
        written = jnp.take_along_axis(written, parents[..., None], axis=1).at[:, :, t].set(tokens)
        source = jnp.repeat(SOURCE, 4, axis=0)
        out = MODEL.apply(variables, source, written.reshape(-1, L), train=False)[:, t]
        out = out.reshape(B, 4, V).at[..., jnp.array([PAD, BOS])].set(-jnp.inf)
        return out, (t + 1, written)

    limit = jnp.where(SIZE > 0, SIZE + EXTRA, 0)
    cache = jnp.int32(0), jnp.zeros((B, 4, L), jnp.int32)
    beams = decoding.BeamSearch(limit, length=L, bos=BOS, eos=EOS, pad=PAD, beams=4, alpha=0.6)
    tokens, _ = decoding.run(step, cache, beams)
    return tokens[:, 0]


def test_four_beams_write_what_they_would_if_all_were_computed_again(drawn, greedy, best_of_four):
    for variables, tokens, first in zip(drawn, best_of_four, greedy, strict=True):
        np.testing.assert_array_equal(tokens, recomputed(variables))
        assert (tokens != first).any()


def test_a_translation_longer_than_those_of_training_is_told():
    rows, data = {"tokens": np.array([[4, 5, 6, EOS], [7, EOS, 0, 0]])}, SimpleNamespace(max_length=3)
    assert Task().remarks({"tokens": rows["tokens"][1:]}, data) == ()
    (line,) = Task().remarks(rows, data)
    assert line.startswith("a translation of 4 tokens is longer than any")
    assert line.endswith("(config.data.max_length=3).")


def test_a_row_of_padding_is_translated_by_nothing(greedy, best_of_four):
    for tokens in (*greedy, *best_of_four):
        assert (tokens.shape, tokens.dtype) == ((B, L), jnp.int32)
        assert not tokens[SIZE == 0].any()
        assert tokens[SIZE > 0].any(-1).all()


def generated(task, likely):
    """What a model writes whose every next token is as likely as this, and how it was asked to begin."""
    asked = []

    def apply(*arguments, method, **settings):
        if method == "start":
            asked.append(settings)
            return jnp.zeros(())
        tokens, _, cache = arguments
        logits = np.full(V, -np.inf, np.float32)
        logits[list(likely)] = np.log(list(likely.values()))
        return jnp.broadcast_to(logits, (*tokens.shape, V)), cache

    tokens = jax.jit(lambda key: task.predict(apply, {"source": SOURCE}, key))(KEYS)
    return np.asarray(tokens["tokens"]), *asked


@pytest.mark.parametrize("how", [dict(beams=1), dict(beams=4), dict(beams=4, temperature=1.0, top_k=1)])
def test_a_translation_that_does_not_end_stops_at_the_length_of_its_source_and_the_extra(how):
    tokens, asked = generated(Task(extra_length=EXTRA, **how), {5: 0.6, 6: 0.4})
    lengths = np.where(SIZE > 0, SIZE + EXTRA, 0)
    np.testing.assert_array_equal(tokens, np.where(np.arange(L) < lengths[:, None], 5, PAD))
    assert asked == dict(beams=1 if "temperature" in how else how["beams"], length=L)


@pytest.mark.parametrize(("alpha", "best"), [(0.0, [EOS]), (6.0, [5, EOS])])
def test_a_larger_alpha_favours_a_longer_translation(alpha, best):
    tokens, _ = generated(Task(extra_length=EXTRA, beams=2, alpha=alpha), {5: 0.6, EOS: 0.4})
    assert tokens[0, : len(best)].tolist() == best
    assert not tokens[0, len(best) :].any()


@pytest.fixture(scope="module")
def sums():
    """The task's sums of the model itself, smoothed."""

    @jax.jit
    def run(variables, batch):
        return Task().sums(functools.partial(MODEL.apply, variables, train=False), batch, train=True)

    return run


def test_sentence_accuracy_counts_the_sentences_that_greedy_decoding_writes_just_so(drawn, greedy, sums):
    for variables, tokens in zip(drawn, greedy, strict=True):
        length = (tokens != PAD).sum(-1)
        assert ((tokens != PAD) == (np.arange(L) < length[:, None])).all()
        assert sums(variables, {"source": SOURCE, "target": tokens})["sentence_accuracy"] == (3, 3)
        for row in np.flatnonzero(length):
            other = tokens.copy()
            other[row, length[row] - 1] = 4 + (other[row, length[row] - 1] == 4)
            assert sums(variables, {"source": SOURCE, "target": other})["sentence_accuracy"] == (2, 3)


def test_packed_sentences_have_the_loss_that_they_have_in_rows_of_their_own(drawn, sums):
    target = np.pad(TARGET, ((0, 0), (0, L - TARGET.shape[1])))
    alone = sums(drawn[0], {"source": SOURCE, "target": target})
    rows = ((0, 1), (3,))  # which sentences share one
    packed = {}
    for name, sentences in (("source", SOURCE), ("target", TARGET)):
        packed[name], packed[f"{name}_segment"] = np.zeros((2, len(rows), S + EXTRA), int)
        for row, numbers in enumerate(rows):
            tokens = [sentences[n][sentences[n] != PAD] for n in numbers]
            count = sum(map(len, tokens))
            packed[name][row, :count] = np.concatenate(tokens)
            packed[f"{name}_segment"][row, :count] = np.repeat([1, 2][: len(tokens)], [*map(len, tokens)])
    together = sums(drawn[0], packed)
    assert together.keys() == {"loss", "nll", "accuracy"}
    close(together, {name: alone[name] for name in together})


def scored(task: Task, hypotheses: list[str], references: list[str]) -> tuple[dict[str, float], list[str]]:
    """Metrics of translations, whose rows come in two parts and not in order."""
    data = SimpleNamespace(texts=lambda split: references, decode=lambda ids: hypotheses[int(ids[0])])
    quality = task.metrics(data, "test")
    index = np.arange(len(hypotheses))[::-1]
    for part in np.array_split(index, 2):
        quality.update({"index": part, "tokens": part[:, None]})
    return quality.compute()


SENTENCES = ["the dog runs on the grass .", "two men sit in a boat ."]


def test_what_equals_its_reference_has_all_the_points():
    metrics, _ = scored(Task(), SENTENCES, SENTENCES)
    assert metrics == {"bleu": pytest.approx(100), "chrf": pytest.approx(100), "exact_match": 1}
    metrics, _ = scored(Task(), ["", SENTENCES[1]], SENTENCES)
    assert metrics["exact_match"] == 0.5
    assert 0 < metrics["bleu"] < 100


def test_bleu_is_the_brevity_penalty_times_the_geometric_mean_of_the_precisions():
    metrics, _ = scored(Task(), ["a b c d e f"], ["a b c d e g h"])
    precisions = 5 / 6, 4 / 5, 3 / 4, 2 / 3
    assert metrics["bleu"] == pytest.approx(100 * math.exp(1 - 7 / 6) * math.prod(precisions) ** 0.25)
    assert metrics["exact_match"] == 0


def test_signatures_say_how_was_counted():
    upper = [sentence.upper() for sentence in SENTENCES]
    metrics, signatures = scored(Task(bleu_tokenize="none", bleu_lowercase=True), upper, SENTENCES)
    assert metrics["bleu"] == pytest.approx(100)
    assert metrics["exact_match"] == 0
    bleu, chrf = signatures
    assert bleu.startswith("BLEU ")
    assert {"case:lc", "tok:none"} < set(bleu.split()[1].split("|"))
    assert chrf.startswith("chrF ")
    metrics, signatures = scored(Task(), upper, SENTENCES)
    assert metrics["bleu"] < 50
    assert {"case:mixed", "tok:13a"} < set(signatures[0].split()[1].split("|"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"beams": 0}, "beams"), ({"alpha": -0.1}, "alpha"), ({"extra_length": 0}, "extra_length")],
)
def test_a_setting_that_means_nothing_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        lookup.call("config.task", Task, settings)


def test_a_tokenizer_that_sacrebleu_lacks_is_refused_by_name():
    with pytest.raises(UserError, match="bleu_tokenize='moses'"):
        scored(Task(bleu_tokenize="moses"), SENTENCES, SENTENCES)
