"""Decoding against exhaustive enumeration and a plain beam search, with models that heed all of a prefix."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models.decoding import BeamSearch, Sampling, largest, likeliest, run, stream

B, V, L = 6, 5, 6
STATES = 257  # of the model: a rolling hash of the prefix
PAD, EOS, BOS = -1, 1, 2
SPECIAL = {"bos": BOS, "eos": EOS, "pad": PAD}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
LIMIT = np.array([6, 1, 4, 6, 2, 5], np.int32)


def follow(state, token):
    return (state * 31 + token + 7) % STATES


def step(tokens, parents, cache):
    """The next state of each row follows from its parent's, and picks one row of logits from its sentence's table."""
    state = follow(jnp.take_along_axis(cache["state"], parents, axis=1), tokens) % cache["table"].shape[1]
    logits = jnp.take_along_axis(cache["table"], state[..., None], axis=1)
    return logits, {"state": state, "table": cache["table"]}


def tables(seed: int, batch: int = B, eos: float = 0.0, vocabulary: int = V) -> np.ndarray:
    """The logits of `batch` models, some sharper than others: (B, states, V)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(batch, STATES, vocabulary)) * draw.uniform(0.5, 3, size=(batch, 1, 1))
    logits[..., EOS] += eos
    return logits.astype(np.float32)


def cache(table: np.ndarray, beams: int = 1) -> dict[str, jax.Array]:
    return {"state": jnp.zeros((len(table), beams), jnp.int32), "table": jnp.asarray(table)}


def search(table, beams=3, alpha=0.6, limit=LIMIT, length=L):
    tokens, score = beaming(cache(table, beams), limit=limit, length=length, beams=beams, alpha=alpha)
    assert tokens.shape == (len(table), beams, length)
    assert score.shape == (len(table), beams)
    assert tokens.dtype == jnp.int32
    assert score.dtype == jnp.float32
    return np.asarray(tokens), np.asarray(score)


def draw(table, limit=LIMIT, length=L, seed=0, **arguments):
    key = jax.random.split(jax.random.key(seed), len(table)) if arguments else None
    tokens, total = sampling(cache(table), limit=limit, length=length, key=key, **arguments)
    assert tokens.shape == (len(table), length)
    assert total.shape == (len(table),)
    assert tokens.dtype == jnp.int32
    assert total.dtype == jnp.float32
    return np.asarray(tokens), np.asarray(total)


beaming = jax.jit(
    lambda cache, **how: run(step, cache, BeamSearch(**SPECIAL, **how)), static_argnames=("length", "beams", "alpha")
)
sampling = jax.jit(
    lambda cache, **how: run(step, cache, Sampling(**SPECIAL, **how)),
    static_argnames=("length", "temperature", "top_k", "top_p"),
)


def next_log_probabilities(table, prefix):
    """log P(. | prefix) of one sentence's table, in float64."""
    state = 0
    for token in [BOS, *prefix]:
        state = follow(state, token) % len(table)
    logits = table[state].astype(np.float64)
    return logits - np.log(np.exp(logits).sum())


def log_probability(table, tokens):
    return sum(next_log_probabilities(table, tokens[:t])[token] for t, token in enumerate(tokens))


def lp(count, alpha):
    return ((5 + count) / 6) ** alpha


def plain_beam(table, limit, beams, alpha, early=False):
    """[(score, tokens)], best first, and the number of steps, of one sentence; `early`: until the best is certain."""
    alive, finished = [(0.0, ())], []
    for t in range(1, limit + 1):
        continuations = [
            (total + more, (*prefix, token))
            for total, prefix in alive
            for token, more in enumerate(next_log_probabilities(table, prefix))
            if more > -np.inf
        ]
        continuations = sorted(continuations, reverse=True)[: 2 * beams]
        finished += [(total / lp(t, alpha), y) for total, y in continuations[:beams] if y[-1] == EOS]
        alive = [(total, y) for total, y in continuations if y[-1] != EOS][:beams]
        if len(finished) >= beams:
            break
        if early and finished and alive[0][0] / lp(limit, alpha) <= max(finished)[0]:
            break
    finished = finished or [(total / lp(t, alpha), y) for total, y in alive]
    return sorted(finished, reverse=True)[:beams], t


def padded(hypotheses, beams):
    """[(score, tokens)] as beam returns them."""
    tokens, score = np.full((beams, L), PAD), np.full(beams, -np.inf)
    for row, (value, y) in enumerate(hypotheses):
        tokens[row, : len(y)], score[row] = y, value
    return tokens, score


def unpadded(row):
    """The tokens of a row. PAD must be at its end and nowhere else."""
    count = int((row != PAD).sum())
    assert (row[:count] != PAD).all()
    return tuple(row[:count].tolist())


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_beams_enough_for_every_hypothesis_find_the_best_of_all(alpha):
    v, length, limit = 4, 4, np.array([4, 3, 2, 1, 4, 4])
    for seed in range(4):
        table = tables(seed, eos=-2.0, vocabulary=v)
        tokens, score = search(table, v**length, alpha, limit, length)
        for b in range(B):
            ended = [
                (log_probability(table[b], y) / lp(len(y), alpha), y)
                for count in range(limit[b])
                for y in ((*x, EOS) for x in itertools.product({*range(v)} - {EOS}, repeat=count))
            ]
            best, y = max(ended)
            assert unpadded(tokens[b, 0]) == y
            np.testing.assert_allclose(score[b, 0], best, **CLOSE)


def test_without_an_end_they_find_the_best_of_full_length():
    v, length, limit = 4, 4, np.array([4, 3, 2, 1, 4, 4])
    table = tables(0, eos=-np.inf, vocabulary=v)
    tokens, score = search(table, v**length, 0.6, limit, length)
    for b in range(B):
        every = itertools.product({*range(v)} - {EOS}, repeat=limit[b])
        ranked = sorted(((log_probability(table[b], y) / lp(limit[b], 0.6), y) for y in every), reverse=True)
        assert [unpadded(row) for row in tokens[b, : len(ranked)]] == [y for _, y in ranked]
        np.testing.assert_allclose(score[b, : len(ranked)], [value for value, _ in ranked], **CLOSE)
        assert np.isneginf(score[b, len(ranked) :]).all()
        assert (tokens[b, len(ranked) :] == PAD).all()


@pytest.mark.parametrize(("beams", "alpha"), [(2, 1.0), (3, 0.6), (4, 0.0)])
def test_beams_are_those_of_a_plain_search_and_stopping_early_keeps_the_best(beams, alpha):
    saved = 0
    for seed in range(25):
        table = tables(seed, eos=(-1.0, 0.0, 1.0)[seed % 3])
        tokens, score = search(table, beams, alpha)
        for b in range(B):
            full, steps = plain_beam(table[b], LIMIT[b], beams, alpha)
            early, fewer = plain_beam(table[b], LIMIT[b], beams, alpha, early=True)
            saved += steps - fewer
            assert unpadded(tokens[b, 0]) == full[0][1]
            np.testing.assert_allclose(score[b, 0], full[0][0], **CLOSE)
            expected_tokens, expected_score = padded(early, beams)
            np.testing.assert_array_equal(tokens[b], expected_tokens)
            np.testing.assert_allclose(score[b], expected_score, **CLOSE)
    assert saved > 10


@pytest.mark.parametrize("eos", [0.0, -2.0])
def test_one_beam_is_greedy(eos):
    for seed in range(10):
        table = tables(seed, eos=eos)
        (tokens, total), (rows, score) = draw(table), search(table, 1, 0.0)
        np.testing.assert_array_equal(rows[:, 0], tokens)
        np.testing.assert_array_equal(score[:, 0], total)


def test_greedy_takes_the_likeliest_token_at_every_step():
    table = tables(0)
    tokens, total = draw(table)
    for b in range(B):
        y = unpadded(tokens[b])
        assert y == tuple(next_log_probabilities(table[b], y[:t]).argmax() for t in range(len(y)))
        np.testing.assert_allclose(total[b], log_probability(table[b], y), **CLOSE)


@pytest.mark.parametrize("how", [search, draw, functools.partial(draw, temperature=1.0)])
def test_a_sentence_does_not_depend_on_the_others(how):
    table, row = tables(3, eos=-1.0), np.arange(B) == 2
    alone = how(table, limit=np.full(B, L))
    for other, limit in itertools.product((tables(4), tables(5, eos=9.0)), (L, 1)):
        among = how(np.where(row[:, None, None], table, other), limit=np.where(row, L, limit))
        for expected, result in zip(alone, among, strict=True):
            np.testing.assert_array_equal(result[2], expected[2])


@pytest.mark.parametrize("eos", [-np.inf, -2.0, 2.0])
def test_no_sentence_passes_its_limit_and_pad_follows_eos(eos):
    table = tables(6, eos=eos)
    rows = [*search(table)[0].swapaxes(0, 1), draw(table)[0], draw(table, temperature=2.0)[0]]
    for b, y in ((b, unpadded(row[b])) for row in rows for b in range(B)):
        assert len(y) <= LIMIT[b]
        assert EOS not in y[:-1]
        assert not y or len(y) == LIMIT[b] or y[-1] == EOS
    assert all(unpadded(row) for row in [*rows[0], *rows[-2], *rows[-1]])


def test_a_limit_of_zero_is_an_empty_sentence():
    table, limit = tables(0, eos=9.0), np.where(np.arange(B) == 1, 0, LIMIT)
    (tokens, total), (rows, score) = draw(table, limit), search(table, limit=limit)
    assert (tokens[1] == PAD).all()
    assert total[1] == 0
    assert (rows[1] == PAD).all()
    assert np.isneginf(score[1]).all()
    assert (tokens[0] != PAD).any()


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_score_is_that_of_its_tokens(alpha):
    for seed in range(5):
        table = tables(seed)
        tokens, score = search(table, 3, alpha)
        assert (np.diff(np.where(np.isneginf(score), -1e9, score)) <= 0).all()
        for b, k in np.ndindex(score.shape):
            y = unpadded(tokens[b, k])
            expected = log_probability(table[b], y) / lp(len(y), alpha) if y else -np.inf
            np.testing.assert_allclose(score[b, k], expected, **CLOSE)


@pytest.mark.parametrize(
    "how", [{"temperature": 1e-4}, {"temperature": 2.0, "top_k": 1}, {"temperature": 2.0, "top_p": 1e-6}]
)
def test_sampling_that_leaves_one_choice_is_greedy(how):
    table = tables(7)
    for expected, result in zip(draw(table), draw(table, **how), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_the_log_probability_of_a_sample_is_the_models_own():
    table = tables(8, eos=-1.0)
    for how in ({"temperature": 2.0}, {"temperature": 0.5, "top_k": 3, "top_p": 0.9}):
        tokens, total = draw(table, **how)
        expected = [log_probability(table[b], unpadded(tokens[b])) for b in range(B)]
        np.testing.assert_allclose(total, expected, **CLOSE)


PROBABILITY = np.array([0.1, 0.3, 0.05, 0.4, 0.15])


def frequencies(**how):
    """How often each token is drawn first, and each pair first and second, from a model of PROBABILITY alone."""
    many = 20_000
    table = jnp.broadcast_to(jnp.log(PROBABILITY), (many, 1, V))
    drawing = Sampling(
        np.full(many, 2), jax.random.split(jax.random.key(0), many), length=2, bos=BOS, eos=V, pad=PAD, **how
    )  # none of the V tokens is EOS
    tokens, _ = jax.jit(functools.partial(run, step))(cache(table), drawing)
    pairs = np.zeros((V, V))
    np.add.at(pairs, tuple(np.asarray(tokens).T), 1 / many)
    return pairs.sum(1), pairs


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"temperature": 1.0}, [0, 1, 2, 3, 4]),
        ({"temperature": 2.0}, [0, 1, 2, 3, 4]),
        ({"temperature": 1.0, "top_k": 2}, [1, 3]),
        ({"temperature": 1.0, "top_k": 9}, [0, 1, 2, 3, 4]),
        ({"temperature": 1.0, "top_p": 0.35}, [3]),
        ({"temperature": 1.0, "top_p": 0.65}, [1, 3]),
        ({"temperature": 1.0, "top_p": 0.75}, [1, 3, 4]),
        ({"temperature": 2.0, "top_p": 0.75}, [0, 1, 3, 4]),  # the nucleus is that of the tempered distribution
        ({"temperature": 1.0, "top_k": 3, "top_p": 0.75}, [1, 3]),  # of the three left, two have 0.82
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(how, kept):
    expected = np.where(np.isin(np.arange(V), kept), PROBABILITY ** (1 / how["temperature"]), 0)
    expected /= expected.sum()
    first, pairs = frequencies(**how)
    np.testing.assert_array_equal(np.flatnonzero(first), kept)
    np.testing.assert_allclose(first, expected, atol=0.015)
    np.testing.assert_allclose(pairs, np.outer(expected, expected), atol=0.015)


def test_a_draw_follows_the_key():
    first, again, other = (draw(tables(9, eos=-1.0), temperature=1.0, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def recorded(calls):
    """The step, which also notes the (tokens, parents) of every call."""

    def watched(tokens, parents, cache):
        jax.debug.callback(lambda *seen: calls.append([np.asarray(x) for x in seen]), tokens, parents, ordered=True)
        return step(tokens, parents, cache)

    return watched


def test_the_model_is_told_what_was_chosen_and_called_until_all_are_done():
    table, calls = tables(0, eos=1.0), []
    beams = BeamSearch(LIMIT, length=L, beams=3, alpha=0.6, **SPECIAL)
    jax.block_until_ready(run(recorded(calls), cache(table, 3), beams))
    jax.effects_barrier()
    steps = [plain_beam(table[b], LIMIT[b], 3, 0.6, early=True)[1] for b in range(B)]
    assert len(calls) == max(steps) < L
    tokens, parents = calls[0]
    assert (tokens == BOS).all()
    np.testing.assert_array_equal(parents, np.tile(np.arange(3), (B, 1)))
    assert (calls[1][1] == 0).all()  # all go on from row 0

    calls.clear()
    jax.block_until_ready(run(recorded(calls), cache(table), Sampling(LIMIT, length=L, **SPECIAL)))
    jax.effects_barrier()
    assert len(calls) == max(len(unpadded(row)) for row in draw(table)[0]) < L
    assert all((parents == 0).all() and parents.shape == (B, 1) for _, parents in calls)


def test_of_the_first_rows_only_row_0_counts():
    table = tables(1)
    odd = cache(table, 3) | {"state": jnp.tile(jnp.array([0, 5, 9]), (B, 1))}
    expected = beaming(cache(table, 3), limit=LIMIT, length=L, beams=3, alpha=0.6)
    for result, equal in zip(beaming(odd, limit=LIMIT, length=L, beams=3, alpha=0.6), expected, strict=True):
        np.testing.assert_array_equal(result, equal)


def test_a_limit_beyond_the_length_is_the_length():
    table = tables(2, eos=-9.0)
    for how in (search, draw):
        for result, expected in zip(how(table, limit=np.full(B, 99)), how(table, limit=np.full(B, L)), strict=True):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("how", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_sampling_refuses_what_means_nothing(how):
    with pytest.raises(UserError, match=next(iter(how))):
        draw(tables(0), **how)


def test_drawing_needs_a_key():
    with pytest.raises(ValueError, match="key"):
        sampling(cache(tables(0)), limit=LIMIT, length=L, temperature=1.0)


@pytest.mark.parametrize("how", [{"beams": 0}, {"alpha": -0.1}])
def test_a_beam_search_refuses_what_means_nothing(how):
    with pytest.raises(UserError, match=next(iter(how))):
        search(tables(0), **how)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_stream_never_takes_back_a_token_and_ends_with_the_result(beams):
    later = 0
    for seed in range(4):
        table = tables(seed, batch=1, eos=(-2.0, 0.0)[seed % 2])
        limit = np.array([L])
        if beams == 1:
            searched, expected = Sampling(limit, length=L, **SPECIAL), draw(table, limit)[0][0]
        else:
            searched = BeamSearch(limit, length=L, beams=beams, alpha=0.6, **SPECIAL)
            expected = search(table, beams, limit=limit)[0][0, 0]
        seen = [tuple(tokens.tolist()) for tokens in stream(jax.jit(step), cache(table, beams), searched)]
        assert unpadded(np.array(seen[-1])) == unpadded(expected)
        for t, (one, two) in enumerate(itertools.pairwise(seen), 1):
            assert two[: len(one)] == one
            assert len(one) <= t
            later += len(one) < t
    assert (later > 0) == (beams > 1)
    assert not list(stream(step, cache(table, beams), searched.replace(limit=np.array([0]))))


@pytest.mark.parametrize("vocabulary", [1000, 64 * 16, 100])
def test_of_equal_values_the_first_are_the_largest(vocabulary):
    chance = np.random.default_rng(0)
    logits = chance.integers(0, 30, (2, 3, vocabulary)).astype(np.float32)
    logits[0, 0] = -np.inf
    logits[1, :, ::3] = -np.inf
    for found, expected in zip(jax.jit(largest, static_argnums=1)(logits, 3), jax.lax.top_k(logits, 3), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(likeliest(logits[0]), logits[0].argmax(-1))
