"""The next token of a text; a trained model continues a prompt.

B batch, T tokens, P prompt tokens, L tokens that are written, V vocabulary.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from jaxtyping import Array, Bool, Int32, Key
from pydantic import NonNegativeFloat, NonNegativeInt

import tasks
from errors import UserError
from lookup import Section, Size
from models import decoding
from models.tokens import BOS
from tasks import Answer, Apply, Batch, Data, Method, Row, Rows, Sums, Totals

NONE = -1  # where a row of tokens has ended


def debug(section: Section) -> dict[str, object]:
    """What `:debug` changes."""
    del section
    return {"length": 20}


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of every next token (Radford et al., 2018, equation 1), its perplexity, and bits per byte of text.

    Attributes:
      length: L, how many tokens a continuation has.
      stop: the id of a token that ends a continuation sooner; -1 for none.
      temperature: of sampling; 0 takes the likeliest token.
      top_k: sampling draws from the k likeliest tokens; 0 from all.
      top_p: sampling draws from the nucleus of this probability.
    """

    length: Size = 500
    stop: Annotated[int, Interval(ge=NONE, lt=2**31)] = NONE
    temperature: NonNegativeFloat = 0.8
    top_k: NonNegativeInt = 200
    top_p: decoding.Nucleus = 1.0
    inputs = ("tokens",)
    optional = ("segment",)
    spells = True
    unit = "tokens"

    def check(self, outputs: int | None) -> None:
        """`stop` is a token of the vocabulary."""
        if outputs and self.stop >= outputs:
            raise UserError(f"config.task.stop={self.stop} is none of the {outputs} tokens, 0 to {outputs - 1}.")

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss and accuracy over targets.

        Args:
          apply: (tokens (B, T)[, segment (B, T)]) -> logits (B, T, V).
          batch: `tokens` and `target` int (B, T), the target being the token that follows, -1 where none is scored; and
            where documents do not see one another, `segment` int (B, T).

        Returns:
          loss (nats) and accuracy, of a target token.
        """
        del train
        target = batch["target"]
        logits = apply(batch["tokens"], *[batch[name] for name in ("segment",) if name in batch])
        tasks.returned(logits, "logits (rows, tokens, vocabulary)", (*target.shape, None))
        mask = (target >= 0).astype(jnp.float32)
        nll, right = tasks.scored(logits, target)
        return {"loss": (jnp.sum(nll * mask), mask.sum()), "accuracy": (jnp.sum(right * mask), mask.sum())}

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """The perplexity of a token, and bits per byte of the split's text. data: with `bytes_of`."""
        nll, tokens = totals["loss"]
        bits = {"bits_per_byte": float(nll) / math.log(2) / data.bytes_of(split)} if tokens else {}
        return tasks.perplexity(nll, tokens) | bits

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`prompt` int32 (B, P) and `tokens` int32 (B, L), -1 after `stop`.

        Where prompt and continuation do not fit into the model's context, they are written in parts, each after the end
        of the text so far that leaves room for it, at least half of the context. A model whose positions have no end
        writes all of it at once. A row's tokens do not depend on the other rows.

        Args:
          batch: `tokens` int (B, P), the prompts, each with -1 after its end.
        """
        prompt = batch["tokens"]
        plan = self._plan(apply, prompt)

        def part(
            text: Int32[Array, "B M"], done: Bool[Array, " B"], length: int, before: int | jax.Array
        ) -> tuple[Int32[Array, "B M+length"], Bool[Array, " B"], Int32[Array, "B length"]]:
            limit = jnp.where(done, 0, length)
            written, _ = decoding.run(*self._decoder(apply, text, length, limit, key, before))
            return jnp.concatenate([text, written], axis=1), done | (written == self.stop).any(1), written

        def later(
            state: tuple[jax.Array, jax.Array], before: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            text, done, written = part(*state, plan.most, before)
            return (ending(text, plan.kept), done), written

        begin = ending(prompt, plan.read)
        text, done, tokens = part(begin, jnp.zeros(prompt.shape[0], bool), plan.first, 0)
        if plan.first < self.length:
            before = jnp.arange(plan.first, self.length, plan.most)
            _, parts = jax.lax.scan(later, (ending(text, plan.kept), done), before)
            parts = parts.transpose(1, 0, 2).reshape(prompt.shape[0], -1)
            tokens = jnp.concatenate([tokens, parts], axis=1)
        return {"prompt": prompt, "tokens": tokens}

    def notes(self, model: nn.Module, batch: Mapping[str, np.ndarray]) -> Sequence[str]:
        """A line where a continuation is longer than the texts that the model was trained on."""
        longest = int((batch["tokens"] >= 0).sum(1).max())
        return [line] if (line := model.beyond(longest + self.length)) else []

    def stream(self, apply: Method, batch: Batch, key: jax.Array) -> Iterator[Row]:
        """The same of one prompt, after every token."""
        prompt = batch["tokens"]
        plan = self._plan(apply, prompt)
        row = {"prompt": np.asarray(prompt[0]), "tokens": np.zeros(0, np.int32)}
        yield row
        text, length = ending(prompt, plan.read), plan.first
        while (before := row["tokens"]).size < self.length:
            for tokens in decoding.stream(
                *self._decoder(apply, text, length, jnp.full(1, length), key, jnp.int32(before.size))
            ):
                row = row | {"tokens": np.concatenate([before, tokens])}
                yield row
            if row["tokens"][-1] == self.stop:
                return
            text, length = ending(jnp.concatenate([text, tokens[None]], axis=1), plan.kept), plan.most

    def answer(self, row: Row, data: Data, most: int = 5) -> Answer:
        """The prompt with its continuation. data: with `decode`."""
        del most
        prompt, text = (data.decode(row[name][row[name] >= 0]) for name in ("prompt", "tokens"))
        return Answer(prompt + text, {"continuation": text})

    def _plan(self, apply: Method, prompt: Int32[Array, "B P"]) -> "Plan":
        """How a continuation is written in parts.

        A prompt that fits into the context with its continuation is read whole before every part, so that it makes no
        difference to it that others of its batch do not fit.
        """
        context, longest = apply(method="context"), prompt.shape[1]
        if context is None or longest + self.length <= int(context):
            return Plan(read=longest, first=self.length)
        kept = int(context) // 2
        most = int(context) - kept
        first = (self.length - 1) % most + 1  # the parts after it are of one length, to be compiled once
        return Plan(read=min(longest, int(context) - first), first=first, kept=kept, most=most)

    def _decoder(
        self,
        apply: Method,
        prompt: Int32[Array, "B P"],
        length: int,
        limit: Int32[Array, " B"],
        key: Key[Array, " B"],
        before: int | jax.Array,
    ) -> tuple[decoding.Step, decoding.Cache, decoding.Search]:
        """The model's step, its cache with the prompts, and how at most `length` tokens are drawn after each."""
        search = decoding.Sampling(
            limit,
            key,
            before,
            length=length,
            bos=BOS,
            eos=self.stop,
            pad=NONE,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
        )
        cache = apply(prompt, beams=1, length=length, method="start")
        return lambda tokens, parents, cache: apply(tokens, parents, cache, method="step"), cache, search


class Plan(NamedTuple):
    """The parts that a continuation is written in.

    Attributes:
      read: how many tokens of a prompt are read at most, before the first part.
      first: the length of that part.
      kept: how many of the text so far are read at most, before each later one.
      most: the length of each later one.
    """

    read: int
    first: int
    kept: int = 0
    most: int = 0


def ending(tokens: Int32[Array, "B P"], most: int) -> Int32[Array, "B M"]:
    """The last `most` tokens of each row without its -1s, which then stand after them."""
    tokens = jnp.pad(tokens, ((0, 0), (0, most)), constant_values=NONE)
    order = jnp.argsort(tokens < 0, axis=1, stable=True)
    place = jnp.maximum((tokens >= 0).sum(1) - most, 0)[:, None] + jnp.arange(most)
    return jnp.take_along_axis(tokens, jnp.take_along_axis(order, place, axis=1), axis=1)
