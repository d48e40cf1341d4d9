"""One label for each example.

B batch, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import tasks
from errors import UserError
from lookup import Rate
from tasks import Answer, Apply, Batch, Data, Row, Rows, Sums, Totals, Verdict

BINS = 15  # of confidence, as in 1706.04599


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy with smoothed and, when the pipeline mixes images, mixed labels.

    Attributes:
      label_smoothing: share of the target that is spread evenly over the C classes, in training.
      top5: whether top-5 accuracy is counted too.
      balanced: whether balanced accuracy, the mean of the classes' own accuracies, is counted too.
      by_class: whether an evaluation has the accuracy of each class and the expected calibration error (1706.04599).
      inputs: entries of a batch that the model is called with: ("image",) or ("tokens",).
    """

    label_smoothing: Rate = 0.0
    top5: bool = False
    balanced: bool = False
    by_class: bool = False
    inputs: tasks.Inputs = ("image",)
    chooses = True

    def check(self, outputs: int | None) -> None:
        """There are classes."""
        if outputs == 1:
            raise UserError(
                "config.task.name=classify tells classes apart, and the data have one class, or numbers: for numbers "
                "(config.data.numbers=True) set --config.task.name=regress"
            )

    @property
    def unit(self) -> str:  # type: ignore[override]
        """What the loss is a mean of."""
        return {"image": "images", "tokens": "sentences"}.get(self.inputs[0], "examples")

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss, negative log-likelihood and accuracies.

        Args:
          apply: image (B, height, width, channels), or what `inputs` names -> logits (B, C).
          batch: `inputs`; `label` int (B,); `mask` float (B,), 0 for padding; and, of mixed images, `partner` int (B,)
            and `share` float (B,): the other image's label and the share of the first in the mixture.

        Returns:
          loss (smoothed, in nats), nll (not smoothed), accuracy, top5_accuracy, summed over the B; with `balanced` or
          `by_class` also class_accuracy, whose two parts are arrays (C,), and with the latter calibration, of BINS.
          Accuracies of a mixture count against the label with the larger share, the losses against both.
        """
        label, mask = batch["label"], batch["mask"]
        logits = apply(*[batch[name] for name in self.inputs])
        tasks.returned(logits, "logits (examples, classes)", (*label.shape, None))
        log_probabilities = jax.nn.log_softmax(logits)
        target = jax.nn.one_hot(label, logits.shape[-1])
        if train and "share" in batch:
            share, partner = batch["share"], batch["partner"]
            target = share[:, None] * target + (1 - share[:, None]) * jax.nn.one_hot(partner, logits.shape[-1])
            label = jnp.where(share >= 0.5, label, partner)
        nll = -jnp.sum(target * log_probabilities, axis=-1)
        if train and self.label_smoothing:
            target = optax.smooth_labels(target, self.label_smoothing)
        loss = -jnp.sum(target * log_probabilities, axis=-1)

        right = (logits.argmax(-1) == label).astype(jnp.float32)
        metrics = {"loss": loss, "nll": nll, "accuracy": right}
        if self.top5:
            # The rank of the right class: how many are as likely or likelier. Ties count against it.
            truth = jnp.sum(jax.nn.one_hot(label, logits.shape[-1]) * logits, axis=-1, keepdims=True)
            metrics["top5_accuracy"] = (jnp.sum(logits >= truth, axis=-1) <= 5).astype(jnp.float32)
        weight = mask.sum()
        sums = {name: (jnp.sum(value * mask), weight) for name, value in metrics.items()}
        if self.by_class and not train:
            sums["calibration"] = _calibration(jnp.exp(log_probabilities.max(-1)), right, mask)
        if self.balanced or (self.by_class and not train):
            by_class = jax.nn.one_hot(label, logits.shape[-1]) * mask[:, None]
            sums["class_accuracy"] = (by_class.T @ right, by_class.sum(0))
        return sums

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """With `balanced`: balanced_accuracy, over the classes that the split has. With `by_class`: accuracy_NAME of
        each of these, and calibration_error."""
        del split
        found: dict[str, float] = {}
        if "calibration" in totals:
            difference, count = totals["calibration"]
            found["calibration_error"] = float(np.abs(difference).sum() / max(count.sum(), 1))
        if "class_accuracy" not in totals:
            return found
        right, count = totals["class_accuracy"]
        accuracy = right[count > 0] / count[count > 0]
        if self.balanced:
            found["balanced_accuracy"] = float(np.mean(accuracy))
        if self.by_class:
            names = [name.replace(" ", "_") for name in np.array(data.classes)[count > 0]]
            found |= {f"accuracy_{name}": float(x) for name, x in zip(names, accuracy, strict=True)}
        return found

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`probability` float (B, C); of a batch with labels `label`, −1 for padding, beside `inputs`."""
        del key
        logits: Float[Array, "B C"] = apply(*[batch[name] for name in self.inputs], train=False)
        rows = {"probability": jax.nn.softmax(logits)}
        if "label" not in batch:
            return rows
        shown = {name: batch[name] for name in self.inputs if name in ("image", "tokens")}
        return rows | {"label": jnp.where(batch["mask"] > 0, batch["label"], -1)} | shown

    @property
    def pictured(self) -> tuple[str, ...]:  # type: ignore[override]
        """Clips, which are too large to be in the rows of a whole split."""
        return ("clip",) if "clip" in self.inputs else ()

    def error(self, row: Mapping[str, np.ndarray]) -> float | None:
        """The probability of a class that is not the true one, where it is the likeliest: the surest mistakes."""
        if row.get("label", -1) < 0:
            return None
        likeliest = int(np.argmax(row["probability"]))
        return 0.0 if likeliest == row["label"] else float(row["probability"][likeliest])

    def mistake(self, row: Mapping[str, np.ndarray], data: Data) -> str:
        """What it is taken for and what it is, and of a text how it reads; "" where it is right."""
        likeliest = int(np.argmax(row["probability"]))
        if likeliest == row["label"]:
            return ""
        text = f": {data.decode(row['tokens'])[:80]!r}" if "tokens" in row else ""
        return f"{data.classes[likeliest]} ({row['probability'][likeliest]:.0%}) for {data.classes[row['label']]}{text}"

    def verdict(self, row: Row, example: Row, data: Data) -> Verdict:
        """The likeliest class beside the label. data: with `classes`."""
        said, label = int(row["probability"].argmax()), int(example["label"])
        sure = float(row["probability"][said])
        return Verdict(said == label, data.classes[said], data.classes[label], sure)

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The likeliest classes; of an image or a clip with a label, a picture. data: with `classes`, their names."""
        answer = tasks.likeliest(row["probability"], data.classes, most)
        picture = None
        if "label" in row and (name := next((name for name in ("image", "clip") if name in row), "")):
            shown = data.picture(row[name])
            picture = tasks.coloured(tasks.sheet(shown) if name == "clip" else shown)
        return replace(answer, picture=picture, choice=data.classes[int(row["probability"].argmax())])


def _calibration(
    confidence: Float[Array, " B"], right: Float[Array, " B"], mask: Float[Array, " B"]
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """How many more are right than the model's confidence says, and how many there are, by bins of confidence."""
    place = jnp.minimum((confidence * BINS).astype(jnp.int32), BINS - 1)
    member = jax.nn.one_hot(place, BINS) * mask[:, None]
    return member.T @ (right - confidence), member.sum(0)
