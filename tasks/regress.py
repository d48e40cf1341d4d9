"""A number for each example: similarity, a measured property.

B batch, n examples of a split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import tasks
from errors import UserError
from tasks import Answer, Apply, Batch, Data, Rows, Sums, Totals

FEWEST = 3  # examples that a correlation says anything of


@dataclass(frozen=True)
class Task(tasks.Task):
    """Squared error of the standardised number (mean 0 and deviation 1 over the training split).

    Attributes:
      inputs: entries of a batch that the model is called with: ("tokens",), or ("tokens", "types") of pairs.
    """

    inputs: tasks.Inputs = ("tokens",)
    unit = "examples"

    def check(self, outputs: int | None) -> None:
        """The model has one output."""
        if outputs != 1:
            raise UserError(
                f"config.task.name=regress predicts one number, and the data have {outputs} classes: set "
                "--config.data.numbers=True, or --config.task.name=classify"
            )

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss.

        Args:
          apply: what `inputs` names -> (B, 1).
          batch: `inputs`; `target` float (B,), standardised; `mask` float (B,), 0 for padding.
        """
        del train
        predicted = apply(*[batch[name] for name in self.inputs])
        tasks.returned(predicted, "one number for each example", (*batch["target"].shape, 1))
        error = jnp.square(predicted[:, 0] - batch["target"]) * batch["mask"]
        return {"loss": (error.sum(), batch["mask"].sum())}

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """rmse: the root of the mean squared error, in the numbers' own unit. data: with `moments`."""
        del split
        error, weight = totals["loss"]
        return {"rmse": float(np.sqrt(error / weight)) * data.moments[1]} if weight else {}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`standardised` float (B,), as the model predicts it, and in evaluation the `target`."""
        del key
        predicted = apply(*[batch[name] for name in self.inputs], train=False)[:, 0]
        return {"standardised": predicted} | {name: batch[name] for name in ("target",) if name in batch}

    def metrics(self, data: Data, split: str) -> "Correlation":
        """Pearson's and Spearman's correlation."""
        del data, split
        return Correlation()

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The number in its own unit. data: with `moments`."""
        del most
        mean, deviation = data.moments
        number = float(row["standardised"]) * deviation + mean
        return Answer(f"  {number:.4g}", {"number": number})


@dataclass
class Correlation:
    """How what is predicted goes with what is true: Pearson's r and Spearman's, that of the ranks."""

    predicted: list[np.ndarray] = field(default_factory=list)
    true: list[np.ndarray] = field(default_factory=list)

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes some rows."""
        self.predicted.append(rows["standardised"])
        self.true.append(rows["target"])

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """Both, or none where the numbers are too few or all alike."""
        from scipy import stats  # which few runs need

        x, y = np.concatenate(self.predicted), np.concatenate(self.true)
        if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
            return {}, [f"no correlation of {len(x)} examples that are too few or all alike"]
        return {"pearson": float(stats.pearsonr(x, y)[0]), "spearman": float(stats.spearmanr(x, y)[0])}, []
