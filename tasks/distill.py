"""A classifier that learns from labels and from a teacher (DeiT, 2012.12877).

B batch, C classes.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from pydantic import PositiveFloat

from errors import UserError
from lookup import Probability
from tasks import Apply, Batch, Sums, classify


@dataclass(frozen=True)
class Task(classify.Task):
    """Half of the loss is that of the labels, half that of the teacher, each by a head of its own (head="distilled").

    Attributes:
      teacher: workdir of a trained model of the same images and classes. It sees what the student sees.
      kind: "hard": the teacher's choice is the label (equation 3). "soft": its distribution is (equation 2).
      share: of the teacher in the loss.
      temperature: of the soft distributions.
    """

    teacher: str = ""
    kind: Literal["hard", "soft"] = "hard"
    share: Probability = 0.5
    temperature: PositiveFloat = 3.0

    def __post_init__(self) -> None:
        if not self.teacher:
            raise UserError("config.task.teacher is not set: the workdir of a trained model of the same classes.")

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """classify's metrics, in training with the teacher's share of the loss.

        Args:
          apply: image -> logits (B, C); in training (B, 2, C), those for the labels and those for the teacher.
          batch: in training also `teacher`, float (B, C): the teacher's logits.
        """
        if not train:
            return super().sums(apply, batch, train)
        logits = apply(*[batch[name] for name in self.inputs])
        if logits.ndim != 3:
            raise UserError("config.task.name=distill needs a model of two heads: set --config.model.head=distilled")
        sums = super().sums(lambda *_: logits[:, 0], batch, train)  # type: ignore[arg-type]
        if "teacher" not in batch:  # a plan, which has only the student
            return sums
        if self.kind == "hard":
            target = jax.nn.one_hot(batch["teacher"].argmax(-1), logits.shape[-1])
            loss = optax.softmax_cross_entropy(logits[:, 1], target)
        else:
            teacher = jax.nn.log_softmax(batch["teacher"] / self.temperature)
            student = jax.nn.log_softmax(logits[:, 1] / self.temperature)
            loss = self.temperature**2 * jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
        distilled = jnp.sum(loss * batch["mask"])
        return sums | {
            "loss": ((1 - self.share) * sums["loss"][0] + self.share * distilled, sums["loss"][1]),
            "distillation_loss": (distilled, sums["loss"][1]),
        }
