"""Hidden tokens of a text (1810.04805, section 3.1); a trained model says what [MASK] may stand for.

B batch, T tokens, M hidden tokens, V vocabulary.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import tasks
from errors import UserError
from tasks import Answer, Apply, Batch, Data, Rows, Sums, Totals

FOLLOWING = (None, 2)  # the shape of what a model says of pairs


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of the hidden tokens, their accuracy and perplexity; and with pairs of segments that of whether
    the second follows the first.

    The two losses are added: a pair's counts as often as it has hidden tokens, so that the sum is the mean of each.
    """

    inputs = ("tokens",)
    optional = ("types", "segment")
    spells = True
    unit = "hidden tokens"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss and accuracy over hidden tokens.

        Args:
          apply: (tokens (B, T)[, types (B, T)], segment=(B, T) or None, place=(B, M)) -> logits (B, M, V), and with
            `unrelated` (B, 2) too. A model that has both is asked only for the first where there is no `unrelated`.
          batch: `tokens` int (B, T); `place` and `target` int (B, M), the target −1 where there is none; of rows that
            hold several texts `segment` int (B, T); of pairs `types` int (B, T) and `unrelated` int (B,), −1 for rows
            that fill up a batch.

        Returns:
          loss (nats) and accuracy, of a hidden token; of pairs also nll, the loss of the tokens alone, and
          next_sentence_accuracy, of a pair.
        """
        del train
        target = batch["target"]
        logits = apply(
            batch["tokens"],
            *[batch[name] for name in ("types",) if name in batch],
            segment=batch.get("segment"),
            place=batch["place"],
        )
        mask = (target >= 0).astype(jnp.float32)
        weight = mask.sum()
        if "unrelated" not in batch:
            words = logits[0] if isinstance(logits, tuple) else logits
            tasks.returned(words, "logits of the hidden tokens", (*target.shape, None))
            nll, right = tasks.scored(words, target)
            return {"loss": (jnp.sum(nll * mask), weight), "accuracy": (jnp.sum(right * mask), weight)}
        if not isinstance(logits, tuple):
            raise UserError(
                "config.data.next_sentence=True makes pairs of texts, and the model does not say whether the second "
                "follows the first: set --config.model.next_sentence=True"
            )
        words, following = tasks.returned(
            logits, "logits of the hidden tokens and of the next sentence", (*target.shape, None), FOLLOWING
        )
        nll, right = tasks.scored(words, target)
        pair_nll, pair_right = tasks.scored(following, batch["unrelated"])
        real = (batch["unrelated"] >= 0).astype(jnp.float32)
        loss = jnp.sum(nll * mask) + jnp.sum(pair_nll * real * mask.sum(1))
        return {
            "loss": (loss, weight),
            "nll": (jnp.sum(nll * mask), weight),
            "accuracy": (jnp.sum(right * mask), weight),
            "next_sentence_accuracy": (jnp.sum(pair_right * real), real.sum()),
        }

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """The perplexity of a hidden token."""
        del data, split
        return tasks.perplexity(*totals["nll" if "nll" in totals else "loss"])

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`probability` float (B, M, V) of each token at `place`, and `place` itself.

        Args:
          batch: `tokens` int (B, T); `place` int (B, M), where [MASK] stands, −1 after the last one.
        """
        del key
        place = batch["place"]
        logits = apply(batch["tokens"], place=jnp.maximum(place, 0), train=False)
        logits = logits[0] if isinstance(logits, tuple) else logits
        return {"probability": jax.nn.softmax(logits), "place": place}

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The likeliest tokens for each [MASK], as the tokenizer spells them; in quotes, as white space is one too.

        Args:
          data: with `pieces` and `decode`.
        """
        found = []
        for probability in row["probability"][row["place"] >= 0]:
            likeliest = np.argsort(-probability)[:most]
            pieces = data.pieces("tokens", likeliest)
            found.append(
                [
                    {"token": piece, "text": data.decode(likeliest[[n]]), "probability": float(probability[i])}
                    for n, (i, piece) in enumerate(zip(likeliest, pieces, strict=True))
                ]
            )
        lines = [
            "\n".join(
                f"  {one['probability']:7.2%}  {json.dumps(one['token'], ensure_ascii=False)}" for one in candidates
            )
            for candidates in found
        ]
        return Answer("\n\n".join(lines), {"masks": found})
