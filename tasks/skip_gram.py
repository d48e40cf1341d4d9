"""Word vectors by their neighbours; a trained model names the words that are nearest to what it is given.

B batch, S tokens, C places about a token, K negatives, V vocabulary.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import tasks
from models.tokens import EOS
from tasks import Answer, Apply, Batch, Data, Row, Rows, Sums

SHAPES = ((None, None, None),) * 3


@dataclass(frozen=True)
class Task(tasks.Task):
    """Negative sampling (1310.4546, equation 4): -log σ(u·v) of a pair and -Σ log σ(-u_k·v) of its negatives."""

    inputs = ("tokens",)
    unit = "pairs"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss and accuracy over pairs.

        Args:
          apply: (tokens (B, S), index=(B,)) -> scores of pairs (B, S, C) and negatives (B, S, K), and which pairs
            there are, bool (B, S, C).
          batch: `tokens` int (B, S); in evaluation `index` int (B,).

        Returns:
          loss (nats) of a pair with its negatives; accuracy: the share of pairs that score above all their negatives.
        """
        del train
        output = apply(batch["tokens"], index=batch.get("index"))
        positive, negative, pairs = tasks.returned(
            output, "scores of pairs and negatives, and which there are", *SHAPES
        )
        nll = jax.nn.softplus(-positive) + jax.nn.softplus(negative).sum(-1, keepdims=True)
        right = positive > negative.max(-1, keepdims=True)
        weight = pairs.sum().astype(jnp.float32)
        return {
            "loss": (jnp.sum(nll * pairs), weight),
            "accuracy": (jnp.sum(right & pairs).astype(jnp.float32), weight),
        }

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`similarity` float (B, V), the cosine of each word with the `tokens` int (B, S)."""
        del key
        return {"tokens": batch["tokens"], "similarity": apply(batch["tokens"], method="similarity")}

    def answer(self, row: Row, data: Data, most: int = 5) -> Answer:
        """The nearest words that are not among the given ones. data: with `decode`."""
        given = {*range(EOS + 1), *row["tokens"].tolist()}
        nearest = [i for i in np.argsort(-row["similarity"]).tolist() if i not in given][:most]
        found = [{"word": data.decode(np.array([i])), "cosine": float(row["similarity"][i])} for i in nearest]
        return Answer("\n".join(f"  {one['cosine']:6.3f}  {one['word']}" for one in found), {"nearest": found})
