"""Which image goes with which text: CLIP's and SigLIP's losses over all pairs of a batch, and zero-shot classification.

b pairs of one device, B of all devices, M captions of an image, T tokens, E width of embeddings, C classes, P prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32
from pydantic import NonNegativeInt

import tasks
from tasks import Answer, Apply, Batch, Data, Rows, Sums
from tasks.retrieval import Metrics

MULTIPLIERS = (np.uint32(16777619), np.uint32(2654435761))  # of the numbers that stand for a text
NEVER = -1e9  # the similarity of what is not compared, whose gradient is 0 and not undefined


class Columns(NamedTuple):
    """What pairs are compared with: those of all devices, or a part of them.

    Attributes:
      image, text: (B, E), of length 1.
      name: two numbers that stand for the text and one for the image, (B, 3).
      real: 1 for a pair, 0 for padding, (B,).
    """

    image: Float[Array, "B E"]
    text: Float[Array, "B E"]
    name: UInt32[Array, "B 3"]
    real: Float[Array, " B"]


class Compared(NamedTuple):
    """What became of b pairs among the columns so far.

    Attributes:
      of_image, of_text: of the loss, the part of the wrong texts of an image and of the wrong images of a text, (b,).
      best_text, best_image: the highest similarity among those with another text, (b,).
    """

    of_image: Float[Array, " b"]
    of_text: Float[Array, " b"]
    best_text: Float[Array, " b"]
    best_image: Float[Array, " b"]


@dataclass(frozen=True)
class Task(tasks.Task):
    """Similarities of all images and texts of a global batch: those of pairs should be the highest.

    With config.step.accumulate pairs are compared only within a micro-batch.

    Attributes:
      loss: "softmax": cross-entropy of each image over all texts, and of each text over all images (2103.00020, figure
        3); "sigmoid": of each image and text by itself, whether they are a pair (2303.15343, equation 1).
      repeats: whether another pair with the very same caption counts as a wrong one, as in the papers; else it is
        neither right nor wrong.
      chunk: how many columns of the matrix of similarities there are at a time, for large batches; 0 for all.
    """

    loss: Literal["softmax", "sigmoid"] = "softmax"
    repeats: bool = True
    chunk: NonNegativeInt = 0
    inputs = ("image", "tokens")
    unit = "pairs"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss, and how often a pair is the most alike of its row and column.

        Args:
          apply: image (b, height, width, channels), tokens (b, T) -> models/clip.py's Embedded.
          batch: image, tokens int32 (b, T) or, where the first of M captions is taken, (b, M, T); mask float (b,);
            given (b, M) in evaluation, 0 where there is no caption: an image without one weighs nothing.

        Returns:
          loss in nats; image_accuracy and text_accuracy: how often an image's own text is the likeliest of the batch,
          and a text's own image; scale, by which similarities are multiplied.
        """
        del train
        tokens, mask = batch["tokens"], batch["mask"]
        if tokens.ndim == 3:
            tokens, mask = tokens[:, 0], mask * batch["given"][:, 0]
        image, text, scale, bias = embedded(apply(batch["image"], tokens))
        own = Columns(image, text, jnp.concatenate([named(tokens), _bits(image)], axis=-1), mask)
        alike = scale * jnp.sum(image * text, axis=-1) + bias
        found = self._compared(own, Columns(*(apply.gather(x) for x in own)), scale, bias)
        if self.loss == "softmax":
            loss = (jnp.logaddexp(found.of_image, alike) + jnp.logaddexp(found.of_text, alike)) / 2 - alike
        else:
            loss = found.of_image + jax.nn.softplus(-alike)
        metrics = {
            "loss": loss,
            "image_accuracy": alike > found.best_text,
            "text_accuracy": alike > found.best_image,
            "scale": jnp.broadcast_to(scale, loss.shape),
        }
        return {name: (jnp.sum(x * mask), mask.sum()) for name, x in metrics.items()}

    def _compared(self, own: Columns, others: Columns, scale: jax.Array, bias: jax.Array) -> Compared:
        """Each pair against all others, some of them at a time."""
        lowest = jnp.full_like(own.real, NEVER)
        nothing = lowest if self.loss == "softmax" else jnp.zeros_like(own.real)
        start = Compared(nothing, nothing, lowest, lowest)
        size = len(others.real)
        if not self.chunk or self.chunk >= size:
            return self._added(start, own, others, scale, bias)

        def parts(x: jax.Array) -> jax.Array:
            padded = jnp.pad(x, ((0, -size % self.chunk), *((0, 0),) * (x.ndim - 1)))
            return padded.reshape(-1, self.chunk, *x.shape[1:])

        @jax.checkpoint  # what a part needs is computed again on the way back, so that no two are kept
        def body(carry: Compared, part: Columns) -> tuple[Compared, None]:
            return self._added(carry, own, part, scale, bias), None

        return jax.lax.scan(body, start, jax.tree.map(parts, others))[0]

    def _added(self, before: Compared, own: Columns, part: Columns, scale: jax.Array, bias: jax.Array) -> Compared:
        """The comparison with further columns."""
        equal = own.name[:, None] == part.name[None]
        other: Bool[Array, "b B"] = ~equal[..., :2].all(-1) & (part.real > 0)  # another text
        wrong: Bool[Array, "b B"] = ~equal.all(-1) & (part.real > 0) if self.repeats else other  # another pair
        to_text = scale * own.image @ part.text.T + bias
        to_image = scale * own.text @ part.image.T + bias
        best = [
            jnp.maximum(highest, jax.lax.stop_gradient(jnp.where(other, x, NEVER).max(-1)))
            for highest, x in ((before.best_text, to_text), (before.best_image, to_image))
        ]
        if self.loss == "sigmoid":
            more = jnp.sum(jnp.where(wrong, jax.nn.softplus(to_text), 0.0), axis=-1)
            return Compared(before.of_image + more, before.of_text, *best)
        of_image, of_text = (
            jnp.logaddexp(sofar, jax.nn.logsumexp(jnp.where(wrong, x, NEVER), axis=-1))
            for sofar, x in ((before.of_image, to_text), (before.of_text, to_image))
        )
        return Compared(of_image, of_text, *best)

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """Of a user's images `probability` (b, C), by `prompts` int32 (b, C, P, T), the same for each: of one class
        against the others by a softmax, of each by itself with the sigmoid loss. In evaluation what tasks/retrieval.py
        compares: image (b, E), text (b, M, E), name uint32 (b, M, 2), given (b, M) and, of sets of classes, label."""
        del key
        if "prompts" in batch:
            return {"probability": self._classified(apply, batch["image"], batch["prompts"][0])}
        tokens = batch["tokens"] if batch["tokens"].ndim == 3 else batch["tokens"][:, None]
        image, text, *_ = embedded(apply(batch["image"], tokens.reshape(-1, tokens.shape[-1]), train=False))
        rows = {"image": image, "text": text.reshape(*tokens.shape[:2], -1), "name": named(tokens)}
        return rows | {name: batch[name] for name in ("given", "label") if name in batch}

    def _classified(
        self, apply: Apply, image: Float[Array, "b height width channels"], prompts: Int[Array, "C P T"]
    ) -> Float[Array, "b C"]:
        """Probabilities of classes, each the mean of its prompts (2103.00020, section 3.1.4)."""
        seen, said, scale, bias = embedded(apply(image, prompts.reshape(-1, prompts.shape[-1]), train=False))
        classes = said.reshape(*prompts.shape[:2], -1).mean(1)
        classes = classes / jnp.linalg.norm(classes, axis=-1, keepdims=True)
        logits = scale * seen @ classes.T + bias
        return jax.nn.softmax(logits) if self.loss == "softmax" else jax.nn.sigmoid(logits)

    def metrics(self, data: Data, split: str) -> Metrics:
        """Retrieval over the whole split, and zero-shot classification where it has classes."""
        del data, split
        return Metrics()

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The likeliest classes, of those that are asked for. data: with `asked`, their names."""
        if "probability" not in row:  # of an evaluation, which asks for none
            return Answer("", {})
        return tasks.likeliest(row["probability"], data.asked, most)


def embedded(output: object) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:  # whatever the model returned
    """Images, texts, scale and bias.

    Raises:
      UserError: the model returned something else.
    """
    return tasks.returned(output, "embeddings of images and texts", (None, None), (None, None), (), ())


def named(tokens: Int[Array, "*b T"]) -> UInt32[Array, "*b 2"]:
    """Two numbers that stand for a text: the same for the same tokens, and for no others but by a rare chance."""
    ids = tokens.astype(jnp.uint32) + 1
    found = []
    for multiplier in MULTIPLIERS:
        powers = np.cumprod(np.full(tokens.shape[-1], multiplier, np.uint32), dtype=np.uint32)
        mixed = ids * powers
        found.append(jnp.sum(mixed ^ (mixed >> 15), axis=-1, dtype=jnp.uint32))
    return jnp.stack(found, axis=-1)


def _bits(image: Float[Array, "b E"]) -> UInt32[Array, "b 1"]:
    """A number that stands for an image, by the bits of its embedding."""
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(image), jnp.uint32)
    powers = np.cumprod(np.full(image.shape[-1], MULTIPLIERS[0], np.uint32), dtype=np.uint32)
    return jnp.sum(bits * powers, axis=-1, keepdims=True, dtype=jnp.uint32)
