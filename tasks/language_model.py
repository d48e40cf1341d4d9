"""The next token of a text; a trained model continues a prompt.

B batch, T tokens, P prompt tokens, L tokens that are written, V vocabulary.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from jaxtyping import Array, Int32
from pydantic import NonNegativeFloat, NonNegativeInt

import tasks
from errors import UserError
from lookup import Section, Size
from models import decoding
from models.tokens import BOS
from tasks import Answer, Apply, Batch, Data, Method, Model, Row, Rows, Sums, Totals

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
        if not tokens:
            return {}
        perplexity = math.exp(min(float(nll / tokens), 700.0))
        return {"perplexity": perplexity, "bits_per_byte": float(nll) / math.log(2) / data.bytes_of(split)}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`prompt` int32 (B, P) and `tokens` int32 (B, L), -1 after `stop`.

        Where prompt and continuation do not fit into the model's context, writing continues from the last half of it as
        often as that is full. A model whose positions have no end writes all of it.

        Args:
          batch: `tokens` int (B, P), the prompts, each with -1 after its end.
        """
        prompt = batch["tokens"]
        keep, room = self._rooms(apply, prompt)
        done = jnp.zeros(prompt.shape[0], bool)

        def part(
            state: tuple[jax.Array, jax.Array], number: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            prompt, done = state
            limit = jnp.where(done, 0, room)
            written, _ = decoding.run(*self._decoder(apply, prompt, room, limit, jax.random.fold_in(key, number)))
            return (written[:, -keep:], done | (written == self.stop).any(1)), written

        first, written = part((ending(prompt, keep), done), jnp.int32(0))
        parts = [written]
        if (more := math.ceil(self.length / room) - 1) > 0:
            _, later = jax.lax.scan(part, first, jnp.arange(1, more + 1))
            parts += [later.transpose(1, 0, 2).reshape(prompt.shape[0], -1)]
        tokens = jnp.concatenate(parts, axis=1)[:, : self.length]
        return {"prompt": prompt, "tokens": tokens}

    def notes(self, model: Model, batch: Mapping[str, np.ndarray]) -> Sequence[str]:
        """What becomes of a continuation that is longer than what the model was trained on."""
        return [line] if (line := model.beyond(batch["tokens"].shape[1] + self.length)) else []

    def stream(self, apply: Method, batch: Batch, key: jax.Array) -> Iterator[Row]:
        """The same of one prompt, after every token."""
        prompt = batch["tokens"]
        keep, room = self._rooms(apply, prompt)
        row = {"prompt": np.asarray(prompt[0]), "tokens": np.zeros(0, np.int32)}
        yield row
        prompt = ending(prompt, keep)
        while (before := row["tokens"]).size < self.length:
            limit, number = jnp.full(1, self.length - before.size), before.size // room
            drawn = jax.random.fold_in(key, number)
            for tokens in decoding.stream(*self._decoder(apply, prompt, room, limit, drawn)):
                row = row | {"tokens": np.concatenate([before, tokens])}
                yield row
            if row["tokens"][-1] == self.stop:
                return
            prompt = jnp.asarray(row["tokens"][None, -keep:])

    def answer(self, row: Row, data: Data, most: int = 5) -> Answer:
        """The prompt with its continuation. data: with `decode`."""
        del most
        prompt, text = (data.decode(row[name][row[name] >= 0]) for name in ("prompt", "tokens"))
        return Answer(prompt + text, {"continuation": text})

    def _rooms(self, apply: Method, prompt: jax.Array) -> tuple[int, int]:
        """How many tokens of a prompt are read, and how many are written from there."""
        context, longest = apply(method="context"), prompt.shape[1]
        if context is None or longest + self.length <= int(context):
            return longest, self.length
        keep = int(context) // 2
        return keep, int(context) - keep

    def _decoder(
        self, apply: Method, prompt: Int32[Array, "B P"], length: int, limit: Int32[Array, " B"], key: jax.Array
    ) -> tuple[decoding.Step, decoding.Cache, decoding.Search]:
        """The model's step, its cache with the prompts, and how at most `length` tokens are drawn after each."""
        search = decoding.Sampling(
            limit,
            key,
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


def ending(tokens: Int32[Array, "B P"], most: int) -> Int32[Array, "B M"]:
    """The last tokens of each row, at most so many, with -1 after them."""
    if tokens.shape[1] <= most:
        return tokens
    before = jnp.maximum((tokens >= 0).sum(1) - most, 0)
    return jnp.take_along_axis(tokens, before[:, None] + jnp.arange(most), axis=1)
