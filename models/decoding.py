"""Decoding with an incremental decoder: greedy search, sampling and beam search.

B batch, K beams, L length, V vocabulary. All of it can be jitted; the loop stops as soon as every sentence is done.

A model is known only by its step(tokens, parents, cache) -> (logits, cache):
  tokens: int32 (B, K), what was written last; BOS in the first call.
  parents: int32 (B, K), the row of the previous call that each row continues; arange(K) in the first call.
  cache: any pytree of fixed shapes. The model reorders what it must by `parents`, and counts positions itself.
  logits: float32 (B, K, V).
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Interval
from jaxtyping import Array, Float, Float32, Int, Int32, PyTree

from errors import UserError
from models.arrays import AnyArray

Nucleus = Annotated[float, Interval(gt=0, le=1)]  # the probability that sampling draws from
BLOCK = 64  # of logits, whose maximum is taken before any are sorted
Cache = Any  # a pytree that only the model understands
Step = Callable[[jax.Array, jax.Array, Cache], tuple[jax.Array, Cache]]


def sample(
    step: Step,
    cache: Cache,
    *,
    limit: Int[AnyArray, " B"],
    length: int,
    bos: int,
    eos: int,
    pad: int,
    key: Array | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> tuple[Int32[Array, "B L"], Float32[Array, " B"]]:
    """One continuation of each sentence: the likeliest token at every step, or one drawn from softmax(logits / T).

    Args:
      step, cache: the model, called with K = 1.
      limit: the most tokens, EOS counted, of each sentence; one that reaches it just stops.
      length: L.
      bos, eos, pad: ids of tokens.
      key: for drawing.
      temperature: T; 0 is greedy search and needs no key.
      top_k: only the k likeliest tokens are drawn; 0 is all.
      top_p: of these, only the nucleus (1904.09751, equation 2): the fewest likeliest whose probability reaches p.

    Returns:
      Tokens, `pad` after EOS; and the model's own log-probability of them, whatever T.

    Raises:
      UserError: a negative temperature or top_k, or a top_p outside (0, 1].
      ValueError: a temperature above 0 without a key.
    """
    batch, limit = limit.shape[0], jnp.minimum(limit, length)
    parents = jnp.zeros((batch, 1), jnp.int32)

    def body(state: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        t, last, tokens, log_probability, done, cache = state
        logits, cache = step(last[:, None], parents, cache)
        logits = logits[:, 0]
        drawn = None if key is None else jax.random.fold_in(key, t)
        token = next_token(logits, drawn, temperature, top_k, top_p)
        chosen = _take(logits, token[:, None])[:, 0] - jax.nn.logsumexp(logits, axis=-1)
        tokens = tokens.at[:, t].set(jnp.where(done, pad, token))
        log_probability += jnp.where(done, 0.0, chosen)
        return t + 1, token, tokens, log_probability, done | (token == eos) | (t + 1 >= limit), cache

    start = (
        jnp.int32(0),
        jnp.full(batch, bos, jnp.int32),
        jnp.full((batch, length), pad, jnp.int32),
        jnp.zeros(batch),
        limit <= 0,
        cache,
    )
    _, _, tokens, log_probability, _, _ = jax.lax.while_loop(lambda state: ~state[4].all(), body, start)
    return tokens, log_probability


@functools.partial(jax.jit, static_argnames=("temperature", "top_k", "top_p"))
def next_token(
    logits: Float[Array, "B V"],
    key: Array | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Int32[Array, " B"]:
    """The likeliest token of each row, or one drawn from softmax(logits / T). Compiled; arguments as `sample`'s.

    Raises:
      UserError: a negative temperature or top_k, or a top_p outside (0, 1].
      ValueError: a temperature above 0 without a key.
    """
    if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise UserError(f"temperature={temperature} and top_k={top_k} must be >= 0, and top_p={top_p} within (0, 1].")
    if temperature == 0:
        return likeliest(logits)
    if key is None:
        raise ValueError("a temperature above 0 needs a key to draw with.")
    logits = logits / temperature
    if not top_k and top_p == 1:
        return jax.random.categorical(key, logits).astype(jnp.int32)
    vocabulary = logits.shape[-1]
    best, token = largest(logits, min(top_k or vocabulary, vocabulary))
    if top_p < 1:
        probability = jax.nn.softmax(best)
        likelier = jnp.cumsum(probability, axis=-1) - probability  # none for the first, which therefore always stays
        best = jnp.where(likelier < top_p, best, -jnp.inf)
    return _take(token, jax.random.categorical(key, best)[:, None])[:, 0]


class _Beams(NamedTuple):
    """The state of a beam search. Alive and finished hypotheses are both kept best first."""

    t: jax.Array  # how many tokens the alive ones have
    last: jax.Array  # (B, K), with parents what the next call of the model is told
    parents: jax.Array  # (B, K)
    alive: jax.Array  # (B, K, L)
    log_probability: jax.Array  # (B, K), of the alive ones
    finished: jax.Array  # (B, K, L)
    score: jax.Array  # (B, K), of the finished ones; -inf where there is none yet
    done: jax.Array  # (B,)
    cache: Cache


def beam(
    step: Step,
    cache: Cache,
    *,
    limit: Int[AnyArray, " B"],
    length: int,
    bos: int,
    eos: int,
    pad: int,
    beams: int,
    alpha: float,
) -> tuple[Int32[Array, "B K L"], Float32[Array, "B K"]]:
    """The K best finished hypotheses by s(Y, X) = log P(Y|X) / lp(Y), lp(Y) = ((5 + |Y|) / 6)^alpha.

    The length normalisation is that of Wu et al. (1609.08144, equation 14) without the coverage penalty; |Y| counts
    EOS. Of the continuations of the K alive hypotheses, those among the K likeliest that end in EOS become finished,
    and the K likeliest that do not stay alive. A sentence is done when K have finished; when no alive one can still
    beat the best finished one; or at its limit, where the alive ones count as finished if nothing else has. With one
    beam this is greedy search.

    Args:
      step, cache: the model; of the first call's K rows, which are equal, only row 0 counts.
      limit: the most tokens, EOS counted, of each sentence; nothing is found where it is 0.
      length: L.
      bos, eos, pad: ids of tokens.
      beams: K.
      alpha: the exponent of lp; 0 compares log-probabilities, a larger one favours longer hypotheses.

    Returns:
      Tokens, `pad` after EOS, and scores, best first. Rows that were not found are all `pad` with a score of -inf.

    Raises:
      UserError: beams below 1, or a negative alpha, with which a hypothesis could gain by growing shorter.
    """
    if beams < 1 or alpha < 0:
        raise UserError(f"beams={beams} must be at least 1, and alpha={alpha} at least 0.")
    batch, limit = limit.shape[0], jnp.minimum(limit, length)

    def penalty(tokens: jax.Array) -> jax.Array:
        return ((5 + tokens) / 6) ** alpha

    def body(state: _Beams) -> _Beams:
        t = state.t + 1
        logits, cache = step(state.last, state.parents, state.cache)

        # Normalising changes no order within a row: the 2K best logits of each are enough to find the 2K best of all.
        best, token = largest(logits, min(2 * beams, logits.shape[-1]))
        best = state.log_probability[..., None] + (best - jax.nn.logsumexp(logits, axis=-1, keepdims=True))
        log_probability, index = jax.lax.top_k(best.reshape(batch, -1), 2 * beams)
        parents, token = index // best.shape[-1], _take(token.reshape(batch, -1), index)
        tokens = _take(state.alive, parents).at[:, :, state.t].set(token)

        # At most one continuation of each row is EOS: of 2K, K are left.
        ends = token == eos
        alive_log_probability, kept = jax.lax.top_k(jnp.where(ends, -jnp.inf, log_probability), beams)
        alive = _take(tokens, kept)

        ended = ends[:, :beams] & ~state.done[:, None]
        ended_score = jnp.where(ended, log_probability[:, :beams] / penalty(t), -jnp.inf)
        none = jnp.isneginf(jnp.maximum(state.score[:, 0], ended_score.max(-1)))
        stopped = ((t == limit) & none)[:, None]
        stopped_score = jnp.where(stopped, alive_log_probability / penalty(t), -jnp.inf)
        # Equal scores keep their order: a sentence that is done stays as it is, and a row without a score all pad.
        score, kept_finished = jax.lax.top_k(jnp.concatenate([state.score, ended_score, stopped_score], 1), beams)
        finished = _take(jnp.concatenate([state.finished, tokens[:, :beams], alive], 1), kept_finished)

        # A log-probability is negative and only falls, so the most it can still give is itself over the largest lp.
        bound = alive_log_probability[:, 0] / penalty(limit)
        done = state.done | (score[:, -1] > -jnp.inf) | (bound <= score[:, 0]) | (t >= limit)
        last, parents = _take(token, kept), _take(parents, kept)
        return _Beams(t, last, parents, alive, alive_log_probability, finished, score, done, cache)

    rows = jnp.broadcast_to(jnp.arange(beams), (batch, beams))
    blank = jnp.full((batch, beams, length), pad, jnp.int32)
    start = _Beams(
        t=jnp.int32(0),
        last=jnp.full((batch, beams), bos, jnp.int32),
        parents=rows,
        alive=blank,
        log_probability=jnp.where(rows == 0, 0.0, -jnp.inf),
        finished=blank,
        score=jnp.full((batch, beams), -jnp.inf),
        done=limit <= 0,
        cache=cache,
    )
    end = jax.lax.while_loop(lambda state: ~state.done.all(), body, start)
    return end.finished, end.score


def likeliest(logits: Float[Array, "B V"]) -> Int32[Array, " B"]:
    """The first place of each row's maximum. jnp.argmax takes ten times as long on a CPU."""
    vocabulary = logits.shape[-1]
    lower = logits < logits.max(-1, keepdims=True)
    token = jnp.where(lower, vocabulary, jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)).min(-1)
    return jnp.minimum(token, vocabulary - 1)


def largest(logits: Float[Array, "... V"], count: int) -> tuple[Float[Array, "... N"], Int32[Array, "... N"]]:
    """jax.lax.top_k, equal values in the same order, in a quarter of its time for few of many.

    The largest N values are within the N blocks that have the largest maxima; of equal ones, within the first.
    """
    *batch, vocabulary = logits.shape
    if vocabulary < 4 * count * BLOCK:
        best, place = jax.lax.top_k(logits, count)
        return best, place
    blocks = -(-vocabulary // BLOCK)
    padding = [(0, 0)] * len(batch) + [(0, blocks * BLOCK - vocabulary)]
    values = jnp.pad(logits, padding, constant_values=-jnp.inf).reshape(*batch, blocks, BLOCK)
    block = jnp.sort(jax.lax.top_k(values.max(-1), count)[1])
    best, place = jax.lax.top_k(jnp.take_along_axis(values, block[..., None], axis=-2).reshape(*batch, -1), count)
    return best, jnp.take_along_axis(block, place // BLOCK, axis=-1) * BLOCK + place % BLOCK


def _take(values: jax.Array, rows: jax.Array) -> jax.Array:
    """values (B, N, ...) at rows (B, M): (B, M, ...)."""
    return jnp.take_along_axis(values, rows.reshape(*rows.shape, *[1] * (values.ndim - 2)), axis=1)
