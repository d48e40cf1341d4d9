"""One label for each example.

B batch, C classes.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from tasks import Apply, Sums


@dataclass(frozen=True)
class Task:
    """Cross-entropy with smoothed and, when the pipeline mixes images, mixed labels.

    Attributes:
      label_smoothing: share of the target that is spread evenly over the C classes, while training.
      top5: whether accuracy among the five likeliest classes is counted too.
      inputs: the batch's entries that the model is called with: ("image",) or ("tokens",).
    """

    label_smoothing: float = 0.0
    top5: bool = False
    inputs: tuple[str, ...] = ("image",)

    @property
    def unit(self) -> str:
        return {"image": "images", "tokens": "sentences"}.get(self.inputs[0], "examples")

    def sums(self, apply: Apply, batch: dict[str, jax.Array], train: bool) -> Sums:
        """Loss, plain negative log-likelihood and accuracies.

        Args:
          apply: image (B, height, width, channels), or what `inputs` names -> logits (B, C).
          batch: `inputs`; `label` int (B,); `mask` float (B,), 0 for padding; and, of mixed images, `partner` int (B,)
            and `share` float (B,): the other image's label and the share of the first in the mixture.

        Returns:
          loss (smoothed, in nats), nll (not smoothed), accuracy, top5_accuracy, summed over the B. Of a mixture, the
          figures count against the label that has the larger share, the losses against both.
        """
        logits = apply(*[batch[name] for name in self.inputs])
        label, mask = batch["label"], batch["mask"]
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

        figures = {"loss": loss, "nll": nll, "accuracy": (logits.argmax(-1) == label).astype(jnp.float32)}
        if self.top5:
            # The rank of the right class: how many are likelier. Ties count against it.
            truth = jnp.sum(jax.nn.one_hot(label, logits.shape[-1]) * logits, axis=-1, keepdims=True)
            figures["top5_accuracy"] = (jnp.sum(logits >= truth, axis=-1) <= 5).astype(jnp.float32)
        weight = mask.sum()
        return {name: (jnp.sum(value * mask), weight) for name, value in figures.items()}

    def summaries(self, scores: dict[str, float]) -> dict[str, float]:
        return {}
