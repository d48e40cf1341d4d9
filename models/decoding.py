"""Decoding with an incremental decoder: greedy search, sampling and beam search.

B batch, K beams, L length, V vocabulary. `run` is to be jitted, and stops as soon as every sentence is done;
`stream` shows one sentence as it is written.

A model is known only by its step(tokens, parents, cache) -> (logits, cache):
  tokens: int32 (B, K), what was written last; BOS in the first call.
  parents: int32 (B, K), the row of the previous call that each row continues; arange(K) in the first call.
  cache: any pytree of fixed shapes. The model reorders what it must by `parents`, and counts positions itself.
  logits: float32 (B, K, V).
"""

import functools
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from flax.struct import field
from jaxtyping import Array, Float, Float32, Int, Int32, Key, PyTree

from errors import UserError
from models.arrays import AnyArray

Nucleus = Annotated[float, Interval(gt=0, le=1)]  # the probability that sampling draws from
BLOCK = 64  # of logits, whose maximum is taken before any are sorted
Cache: TypeAlias = PyTree  # that only the model understands
Step = Callable[[jax.Array, jax.Array, Cache], tuple[jax.Array, Cache]]


@runtime_checkable
class State(Protocol):
    """What a search knows after some steps.

    Attributes:
      last, parents: int32 (B, K), what the next call of the model is told.
      done: bool (B,), which sentences need no further step.
    """

    @property
    def last(self) -> jax.Array:
        """See above."""

    @property
    def parents(self) -> jax.Array:
        """See above."""

    @property
    def done(self) -> jax.Array:
        """See above."""


S = TypeVar("S", bound=State)


@runtime_checkable
class Search(Protocol[S]):
    """How tokens are chosen by the model's logits: `Sampling` or `BeamSearch`."""

    def begin(self) -> S:
        """Before the first step."""

    def advance(self, state: S, logits: Float[Array, "B K V"]) -> S:
        """With one more token of each row."""

    def result(self, state: S) -> tuple[Int32[Array, "..."], Float32[Array, "..."]]:
        """Tokens and scores, when all are done."""

    def certain(self, state: S) -> Int32[np.ndarray, " n"]:
        """The tokens of the first sentence's (best) result that no further step changes."""


def run(step: Step, cache: Cache, search: Search[S]) -> tuple[Int32[Array, "..."], Float32[Array, "..."]]:
    """The result of a search, to be compiled."""

    def body(carry: tuple[S, Cache]) -> tuple[S, Cache]:
        state, cache = carry
        logits, cache = step(state.last, state.parents, cache)
        return search.advance(state, logits), cache

    state, _ = jax.lax.while_loop(lambda carry: ~carry[0].done.all(), body, (search.begin(), cache))
    return search.result(state)


def stream(step: Step, cache: Cache, search: Search[S]) -> Iterator[Int32[np.ndarray, " n"]]:
    """The tokens of one sentence, all that are certain, after every step of the same search; at last all that `run`
    returns. step: compiled."""
    state, certain = search.begin(), np.zeros(0, np.int32)
    while not state.done.all():
        logits, cache = step(state.last, state.parents, cache)
        state = _advance(search, state, logits)
        certain = search.certain(state)
        yield certain


@jax.jit
def _advance(search: Search[S], state: S, logits: Float[Array, "B K V"]) -> S:
    return search.advance(state, logits)


class _Sampled(NamedTuple):
    """The state of sampling: see State."""

    t: jax.Array  # how many tokens there are
    last: jax.Array
    parents: jax.Array
    tokens: jax.Array  # (B, L)
    log_probability: jax.Array  # (B,)
    done: jax.Array


@flax.struct.dataclass
class Sampling:
    """One continuation of each sentence: the likeliest token at every step, or one drawn from softmax(logits / T). The
    model is called with K = 1.

    The result is tokens int32 (B, L), `pad` after EOS; and the model's own log-probability of them, float32 (B,),
    whatever T.

    Attributes:
      limit: int (B,), the most tokens, EOS counted, of each sentence; one that reaches it just stops.
      key: (B,), of each sentence, for drawing.
      before: how many tokens of the same texts are written already: another draw for each.
      length: L.
      bos, eos, pad: ids of tokens.
      temperature: T; 0 is greedy search and needs no key.
      top_k: only the k likeliest tokens are drawn; 0 is all.
      top_p: of these, only the nucleus (1904.09751, equation 2): the fewest likeliest whose probability reaches p.
    """

    limit: Int[AnyArray, " B"]
    key: Key[Array, " B"] | None = None
    before: int | jax.Array = 0
    length: int = field(pytree_node=False, kw_only=True)
    bos: int = field(pytree_node=False, kw_only=True)
    eos: int = field(pytree_node=False, kw_only=True)
    pad: int = field(pytree_node=False, kw_only=True)
    temperature: float = field(pytree_node=False, default=0.0)
    top_k: int = field(pytree_node=False, default=0)
    top_p: float = field(pytree_node=False, default=1.0)

    def begin(self) -> _Sampled:
        """See Search."""
        batch = self.limit.shape[0]
        return _Sampled(
            t=jnp.int32(0),
            last=jnp.full((batch, 1), self.bos, jnp.int32),
            parents=jnp.zeros((batch, 1), jnp.int32),
            tokens=jnp.full((batch, self.length), self.pad, jnp.int32),
            log_probability=jnp.zeros(batch),
            done=jnp.asarray(self.limit) <= 0,
        )

    def advance(self, state: _Sampled, logits: Float[Array, "B 1 V"]) -> _Sampled:
        """See Search.

        Raises:
          UserError: a negative temperature or top_k, or a top_p outside (0, 1].
          ValueError: a temperature above 0 without a key.
        """
        t, logits, limit = state.t, logits[:, 0], jnp.minimum(self.limit, self.length)
        drawn = None if self.key is None else jax.vmap(jax.random.fold_in, (0, None))(self.key, self.before + t)
        token = next_token(logits, drawn, self.temperature, self.top_k, self.top_p)
        chosen = _take(logits, token[:, None])[:, 0] - jax.nn.logsumexp(logits, axis=-1)
        return state._replace(
            t=t + 1,
            last=token[:, None],
            tokens=state.tokens.at[:, t].set(jnp.where(state.done, self.pad, token)),
            log_probability=state.log_probability + jnp.where(state.done, 0.0, chosen),
            done=state.done | (token == self.eos) | (t + 1 >= limit),
        )

    def result(self, state: _Sampled) -> tuple[Int32[Array, "B L"], Float32[Array, " B"]]:
        """See above."""
        return state.tokens, state.log_probability

    def certain(self, state: _Sampled) -> Int32[np.ndarray, " n"]:
        """All that were drawn."""
        return np.asarray(state.tokens)[0, : int(state.t)]


@functools.partial(jax.jit, static_argnames=("temperature", "top_k", "top_p"))
def next_token(
    logits: Float[Array, "B V"],
    key: Key[Array, " B"] | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Int32[Array, " B"]:
    """The likeliest token of each row, or one drawn from softmax(logits / T) by the row's own key, so that it does not
    depend on the other rows. Compiled; arguments as Sampling's.

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
    logits, draw = logits / temperature, jax.vmap(jax.random.categorical)
    if not top_k and top_p == 1:
        return draw(key, logits).astype(jnp.int32)
    vocabulary = logits.shape[-1]
    best, token = largest(logits, min(top_k or vocabulary, vocabulary))
    if top_p < 1:
        probability = jax.nn.softmax(best)
        likelier = jnp.cumsum(probability, axis=-1) - probability  # none for the first, which therefore always stays
        best = jnp.where(likelier < top_p, best, -jnp.inf)
    return _take(token, draw(key, best)[:, None])[:, 0]


class _Beams(NamedTuple):
    """The state of a beam search: see State. Alive and finished hypotheses are both kept best first."""

    t: jax.Array  # how many tokens the alive ones have
    last: jax.Array
    parents: jax.Array
    alive: jax.Array  # (B, K, L)
    log_probability: jax.Array  # (B, K), of the alive ones
    finished: jax.Array  # (B, K, L)
    score: jax.Array  # (B, K), of the finished ones; -inf where there is none yet
    done: jax.Array


@flax.struct.dataclass
class BeamSearch:
    """The K best finished hypotheses by s(Y, X) = log P(Y|X) / lp(Y), lp(Y) = ((5 + |Y|) / 6)^alpha.

    The length normalisation is that of Wu et al. (1609.08144, equation 14) without the coverage penalty; |Y| counts
    EOS. Of the continuations of the K alive hypotheses, those among the K likeliest that end in EOS become finished,
    and the K likeliest that do not stay alive. A sentence is done when K have finished; when no alive one can still
    beat the best finished one; or at its limit, where the alive ones count as finished if nothing else has. With one
    beam this is greedy search. Of the first call's K rows, which are equal, only row 0 counts.

    The result is tokens int32 (B, K, L), `pad` after EOS, and scores float32 (B, K), best first. Rows that were not
    found are all `pad` with a score of -inf.

    Attributes:
      limit: int (B,), the most tokens, EOS counted, of each sentence; nothing is found where it is 0.
      length: L.
      bos, eos, pad: ids of tokens.
      beams: K.
      alpha: the exponent of lp; 0 compares log-probabilities, a larger one favours longer hypotheses.
    """

    limit: Int[AnyArray, " B"]
    length: int = field(pytree_node=False, kw_only=True)
    bos: int = field(pytree_node=False, kw_only=True)
    eos: int = field(pytree_node=False, kw_only=True)
    pad: int = field(pytree_node=False, kw_only=True)
    beams: int = field(pytree_node=False, kw_only=True)
    alpha: float = field(pytree_node=False, kw_only=True)

    def begin(self) -> _Beams:
        """See Search.

        Raises:
          UserError: beams below 1, or a negative alpha, with which a hypothesis could gain by growing shorter.
        """
        if self.beams < 1 or self.alpha < 0:
            raise UserError(f"beams={self.beams} must be at least 1, and alpha={self.alpha} at least 0.")
        batch, beams = self.limit.shape[0], self.beams
        rows = jnp.broadcast_to(jnp.arange(beams), (batch, beams))
        blank = jnp.full((batch, beams, self.length), self.pad, jnp.int32)
        return _Beams(
            t=jnp.int32(0),
            last=jnp.full((batch, beams), self.bos, jnp.int32),
            parents=rows,
            alive=blank,
            log_probability=jnp.where(rows == 0, 0.0, -jnp.inf),
            finished=blank,
            score=jnp.full((batch, beams), -jnp.inf),
            done=jnp.asarray(self.limit) <= 0,
        )

    def advance(self, state: _Beams, logits: Float[Array, "B K V"]) -> _Beams:
        """See Search."""
        batch, beams, limit, t = logits.shape[0], self.beams, jnp.minimum(self.limit, self.length), state.t + 1

        # Normalising changes no order within a row: the 2K best logits of each are enough to find the 2K best of all.
        best, token = largest(logits, min(2 * beams, logits.shape[-1]))
        best = state.log_probability[..., None] + (best - jax.nn.logsumexp(logits, axis=-1, keepdims=True))
        log_probability, index = jax.lax.top_k(best.reshape(batch, -1), 2 * beams)
        parents, token = index // best.shape[-1], _take(token.reshape(batch, -1), index)
        tokens = _take(state.alive, parents).at[:, :, state.t].set(token)

        # At most one continuation of each row is EOS: of 2K, K are left.
        ends = token == self.eos
        alive_log_probability, kept = jax.lax.top_k(jnp.where(ends, -jnp.inf, log_probability), beams)
        alive = _take(tokens, kept)

        ended = ends[:, :beams] & ~state.done[:, None]
        ended_score = jnp.where(ended, log_probability[:, :beams] / self._penalty(t), -jnp.inf)
        none = jnp.isneginf(jnp.maximum(state.score[:, 0], ended_score.max(-1)))
        stopped = ((t == limit) & none)[:, None]
        stopped_score = jnp.where(stopped, alive_log_probability / self._penalty(t), -jnp.inf)
        # Equal scores keep their order: a sentence that is done stays as it is, and a row without a score all pad.
        score, kept_finished = jax.lax.top_k(jnp.concatenate([state.score, ended_score, stopped_score], 1), beams)
        finished = _take(jnp.concatenate([state.finished, tokens[:, :beams], alive], 1), kept_finished)

        # A log-probability is negative and only falls, so the most it can still give is itself over the largest lp.
        bound = alive_log_probability[:, 0] / self._penalty(limit)
        done = state.done | (score[:, -1] > -jnp.inf) | (bound <= score[:, 0]) | (t >= limit)
        last, parents = _take(token, kept), _take(parents, kept)
        return _Beams(t, last, parents, alive, alive_log_probability, finished, score, done)

    def result(self, state: _Beams) -> tuple[Int32[Array, "B K L"], Float32[Array, "B K"]]:
        """See above."""
        return state.finished, state.score

    def certain(self, state: _Beams) -> Int32[np.ndarray, " n"]:
        """What all alive hypotheses and the best finished one begin with: one of these, or what continues one, wins."""
        alive, finished, log_probability, score, t, done = jax.device_get(
            (state.alive[0], state.finished[0, 0], state.log_probability[0], state.score[0, 0], state.t, state.done[0])
        )
        rows = [] if done else list(alive[log_probability > -np.inf, :t])
        if score > -np.inf:
            rows.append(finished[:t])
        differ = np.flatnonzero((np.array(rows) != rows[0]).any(0))
        return rows[0][: differ[0] if len(differ) else t]

    def _penalty(self, tokens: AnyArray) -> jax.Array:
        return ((5 + jnp.asarray(tokens)) / 6) ** self.alpha


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
