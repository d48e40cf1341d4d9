"""The hidden spans of a text (1910.10683, section 3.1.4); a trained model fills them in.

B batch, S tokens of an input, T of a target, L that are written, V vocabulary.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

import tasks
from lookup import Section, Size
from models import decoding
from models.tokens import EOS, PAD, SENTINEL, SENTINELS
from tasks import Answer, Apply, Batch, Data, Rows, Sums, Totals
from tasks.translate import FIRST, check_start, shift_right


def debug(section: Section) -> dict[str, object]:
    """What `:debug` changes."""
    del section
    return {"length": 20}


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of every token of the hidden spans and of their sentinels (teacher forcing).

    Attributes:
      start: what the target begins after: "bos", or "pad" where the vocabulary has no id for a beginning (T5).
      length: L, the most tokens of all spans that a trained model fills in, sentinels counted.
    """

    start: Literal["bos", "pad"] = "bos"
    length: Size = 114
    inputs = ("source", "target")
    optional = ("source_segment", "target_segment")
    spells = True
    unit = "target tokens"

    @property
    def first(self) -> int:
        """The id that a target begins after."""
        return FIRST[self.start]

    def check_vocabulary(self, lacks: Collection[str]) -> None:
        """A target begins after an id that stands for no word."""
        check_start(self.start, lacks)

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss and accuracy over target tokens.

        Args:
          apply: (source (B, S), inputs (B, T)) -> logits (B, T, V).
          batch: `source`, `target` int (B, S), (B, T), 0 for padding.

        Returns:
          loss (nats) and accuracy, of a target token.
        """
        del train
        target = batch["target"]
        real = target != PAD
        logits = apply(batch["source"], shift_right(target, real.astype(jnp.int32), self.first))
        tasks.returned(logits, "logits (rows, tokens, vocabulary)", (*target.shape, None))
        nll, right = tasks.scored(logits, target)
        weight = real.sum().astype(jnp.float32)
        return {"loss": (jnp.sum(nll * real), weight), "accuracy": (jnp.sum(right * real, dtype=jnp.float32), weight)}

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """The perplexity of a token."""
        del data, split
        return tasks.perplexity(*totals["loss"])

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`source`, and `tokens` int32 (B, L): the likeliest spans, each after its sentinel, 0 after EOS."""
        del key
        source = batch["source"]

        def step(tokens: jax.Array, parents: jax.Array, cache: decoding.Cache) -> tuple[jax.Array, decoding.Cache]:
            logits, cache = apply(tokens, parents, cache, method="step")
            return logits.at[..., PAD].set(-jnp.inf), cache

        limit = jnp.where(source[:, 0] == PAD, 0, self.length)
        search = decoding.Sampling(limit, length=self.length, bos=self.first, eos=EOS, pad=PAD)
        tokens, _ = decoding.run(step, apply(source, beams=1, length=self.length, method="start"), search)
        return {"source": source, "tokens": tokens}

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The text with its spans filled in. data: with `decode`, which writes sentinels as <extra_id_0> ..."""
        del most
        _, *written = re.split(SENTINELS, data.decode(row["tokens"]))
        spans = dict(zip(map(int, written[::2]), written[1::2], strict=True))
        text = re.sub(SENTINELS, lambda found: spans.get(int(found[1]), found[0]), data.decode(row["source"]))
        return Answer(text, {"text": text, "spans": {SENTINEL.format(n): span for n, span in spans.items()}})
