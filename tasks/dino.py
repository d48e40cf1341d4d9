"""Self-distillation without labels (DINO, 2104.14294).

B batch, L local crops, K prototypes, D width, V views.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import PositiveFloat

import tasks
from lookup import Steps
from tasks import Answer, Apply, Batch, Rows, Sums, Totals

SHAPES = ((None, None), (None,), (None, None))  # of what a model returns for views
ITERATIONS = 3  # of Sinkhorn's algorithm, as published
SHOWN = 8  # numbers of a representation that a line has


@dataclass(frozen=True)
class Task(tasks.Task):
    """The student's distribution over prototypes, for every view, is drawn to the teacher's for another, global view of
    the same image (equation 3). The teacher is the moving average of the weights: config.step.ema_decay.

    Attributes:
      temperature: of the student.
      teacher_temperature: of the teacher, whose distribution is the sharper the lower it is.
      teacher_start: what that is at first; it grows linearly for `teacher_warmup` steps.
      teacher_warmup: steps.
      centring: what keeps one prototype from taking all: "mean", less the moving average of the outputs (equation 4);
        or "sinkhorn", by which all prototypes get as much of a batch (2006.09882, section 3.1; 2304.07193): where these
        are more than its 2 B global views, each view is shared among K / 2 B of them at least.
      frozen_steps: first steps that the prototypes do not learn in: an epoch in the paper.
      inputs: entries of a batch that the model is called with.
    """

    temperature: PositiveFloat = 0.1
    teacher_temperature: PositiveFloat = 0.04
    teacher_start: PositiveFloat = 0.04
    teacher_warmup: Steps = 0
    centring: Literal["mean", "sinkhorn"] = "mean"
    frozen_steps: Steps = 0
    inputs: tuple[Literal["image"]] = ("image",)
    unit = "images"
    averages = True

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss over pairs of different views, and guards against collapse.

        Args:
          apply: views (B, height, width, channels) -> output (B, K), centre (K,), representation (B, D).
          batch: image and second (B, height, width, channels); in training local (B, L, height, width, channels); mask
            float (B,). In evaluation `image` is the whole image, and only the teacher is asked: `kl` is from its answer
            for one view to that for the other.

        Returns:
          loss, in nats: `entropy` of the teacher's distribution for one view (near log K where it says the same of all
            views, evenly; near 0 where it is sharp), and `kl` from there to the student's (0 where the student says
            what the teacher does; of no use alone, as after a collapse). In training also `mean_entropy`, of the mean
            distribution over the batch (near 0 where one prototype takes all, at most log of 2 B or K), and
            `feature_std`, the deviation of unit representations over the batch, times sqrt(D): 1 where they fill the
            sphere, 0 where all are one. In evaluation `summaries` has both.
        """
        mask, second = batch["mask"], batch.get("second", batch["image"])
        views = jnp.concatenate([batch["image"], second])
        both = jnp.concatenate([mask, mask])
        share = both / jnp.maximum(apply.gather(both.sum()[None]).mean(), 1e-8)
        told, centre, feature = tasks.returned(
            apply.averaged(views, share if train else None, train=False),  # a teacher drops nothing
            "outputs, their centre and representations",
            *SHAPES,
        )
        heat = self.teacher_heat(apply.step, train)
        if self.centring == "sinkhorn":
            teacher = shared_out(told / heat, both, apply.gather)
        else:
            teacher = jax.nn.softmax((told - centre) / heat)
        teacher = teacher.reshape(2, len(mask), -1)
        entropy = _entropy(teacher).mean(0)

        frozen = jnp.asarray(apply.step < self.frozen_steps)
        if train:
            student = jax.nn.log_softmax(apply(views, None, frozen)[0] / self.temperature)
        else:
            student = jnp.log(jnp.maximum(teacher, 1e-30))
        student = student.reshape(2, len(mask), -1)
        every, pairs = student.sum(0), 2
        if "local" in batch:
            local = batch["local"]
            said = apply(local.reshape(-1, *local.shape[2:]), None, frozen)[0]
            every += jax.nn.log_softmax(said / self.temperature).reshape(*local.shape[:2], -1).sum(1)
            pairs += 2 * local.shape[1]
        loss = -jnp.sum(teacher * (every - student), axis=-1).sum(0) / pairs
        weight = mask.sum()
        sums = {name: (jnp.sum(x * mask), weight) for name, x in (("loss", loss), ("entropy", entropy))}
        sums["kl"] = (jnp.sum((loss - entropy) * mask), weight)
        shares = jnp.einsum("vbk,b->k", teacher, mask) / 2
        unit = feature[: len(mask)] / jnp.maximum(jnp.linalg.norm(feature[: len(mask)], axis=-1, keepdims=True), 1e-12)
        moments = (mask @ unit, mask @ unit**2)
        if not train:
            return sums | {"shares": (shares, weight), "moments": (jnp.stack(moments), weight)}
        shares, first, square, count = (
            apply.gather(x[None]).sum(0) for x in (shares, *moments, jnp.maximum(weight, 1e-8))
        )
        guards = {"mean_entropy": _entropy(shares / count), "feature_std": _deviation(first / count, square / count)}
        return sums | {name: (x * weight, weight) for name, x in guards.items()}

    def teacher_heat(self, step: jax.Array | int, train: bool) -> jax.Array | float:
        """The teacher's temperature at a step."""
        if not (train and self.teacher_warmup):
            return self.teacher_temperature
        share = jnp.minimum(step / self.teacher_warmup, 1.0)
        return self.teacher_start + share * (self.teacher_temperature - self.teacher_start)

    def summaries(self, totals: Totals, data: tasks.Data, split: str) -> dict[str, float]:
        """mean_entropy and feature_std of a whole split."""
        del data, split
        (shares, count), (moments, _) = totals["shares"], totals["moments"]
        first, square = moments / count
        guards = {"mean_entropy": _entropy(jnp.asarray(shares / count)), "feature_std": _deviation(first, square)}
        return {name: float(x) for name, x in guards.items()}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`representation` float (B, D), and `probability` (B, K) of the prototypes, as a teacher has it."""
        del key
        told, centre, feature = apply(batch["image"], train=False)
        return {
            "representation": feature,
            "probability": jax.nn.softmax((told - centre) / self.teacher_temperature),
        }

    def answer(self, row: Mapping[str, np.ndarray], data: tasks.Data, most: int = 5) -> Answer:
        """The likeliest prototypes, and the representation."""
        del data
        likeliest = [(int(i), float(row["probability"][i])) for i in np.argsort(-row["probability"])[:most]]
        lines = [f"  {p:7.2%}  prototype {i}" for i, p in likeliest]
        feature = [round(float(x), 5) for x in row["representation"]]
        first = ", ".join(f"{x:.3f}" for x in feature[:SHOWN])
        lines.append(f"  representation ({len(feature)} numbers, all of them with --json): {first} ...")
        prototypes = [{"prototype": i, "probability": p} for i, p in likeliest]
        return Answer("\n".join(lines), {"prototypes": prototypes, "representation": feature})


def shared_out(
    logits: Float[Array, "B K"], mask: Float[Array, " B"], gather: Callable[[jax.Array], jax.Array]
) -> Float[Array, "B K"]:
    """Distributions over prototypes that share the whole batch equally, by Sinkhorn and Knopp's iteration.

    Args:
      mask: 0 for rows that only fill up the batch.
      gather: see Apply.
    """
    shares = jax.nn.softmax(logits)
    for _ in range(ITERATIONS):
        column = gather(jnp.einsum("bk,b->k", shares, mask)[None]).sum(0)
        shares /= jnp.maximum(column, 1e-12)
        shares /= jnp.maximum(shares.sum(-1, keepdims=True), 1e-12)
    return shares


def _entropy(p: Float[Array, "... K"]) -> Float[Array, "..."]:
    """In nats."""
    return -jnp.sum(jax.scipy.special.xlogy(p, p), axis=-1)


def _deviation(first: Float[Array, " D"] | np.ndarray, square: Float[Array, " D"] | np.ndarray) -> Float[Array, ""]:
    """The mean over D of the deviation of numbers with these moments, times sqrt(D)."""
    return jnp.sqrt(jnp.maximum(jnp.asarray(square - first**2), 0)).mean() * len(first) ** 0.5
