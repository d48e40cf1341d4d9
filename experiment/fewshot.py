"""How good frozen features are: a linear classifier from a few examples a class or from all, and nearest neighbours.

n training examples, m test examples, D features, C classes, R strengths of regularisation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval, MinLen
from pydantic import PositiveFloat, PositiveInt

from errors import UserError
from lookup import Distinct

TEMPERATURE = 0.07  # of the votes of neighbours (1805.01978)
HELD_OUT = 10_000  # training examples, at most, on which the regularisation is chosen
ITERATIONS = 300  # of a logistic regression, at most
BLOCK = 512  # test examples whose neighbours are looked for at once

Examples = tuple[np.ndarray, np.ndarray]  # features float32 (n, D), labels int (n,)


@dataclass(frozen=True)
class Fewshot:
    """config.evaluation.fewshot: accuracies of the representation before the head, among the slow metrics (`generate`).

    Attributes:
      shots: examples of each class that a linear classifier is fitted to, in closed form (2010.11929, section 4.1); ()
        for no such classifier.
      seeds: how many times these examples are drawn.
      l2: strengths of the penalty. The best on training examples that were not drawn is used.
      linear: whether a linear classifier is fitted to all examples (logistic regression of standardised features with a
        penalty of |w|² / 2 for the whole of the set): a linear probe.
      neighbours: k of the k-nearest-neighbour classifiers: cosine similarity, votes weighted by exp(similarity / 0.07);
        20 in DINO's evaluation.
      name: of another data set; "" for the run's own.
      data_dir: of another data set; "" for the run's own.
      train_split: the split that examples are drawn from; "" for the run's own.
      test_split: the split that is scored; "" for the run's own.
    """

    shots: Annotated[tuple[PositiveInt, ...], Distinct] = ()
    seeds: Annotated[int, Interval(ge=1, le=1000)] = 3
    l2: Annotated[tuple[PositiveFloat, ...], MinLen(1)] = tuple(4.0**i for i in range(-3, 8))
    linear: bool = False
    neighbours: Annotated[tuple[PositiveInt, ...], Distinct] = ()
    name: str = ""
    data_dir: str = ""
    train_split: str = ""
    test_split: str = ""

    def check(self, labels: np.ndarray) -> None:
        """Checks that there are enough training examples, by their labels, int (n,).

        Raises:
          UserError: a class with fewer examples than shots, or a training set of fewer than neighbours.
        """
        for shots in self.shots:
            draw(labels, shots, int(labels.max()) + 1)
        if k := next((k for k in self.neighbours if k > len(labels)), 0):
            raise UserError(f"config.evaluation.fewshot.neighbours: {k} are more than the {len(labels)} examples.")

    def scores(self, train: Examples, test: Examples) -> tuple[dict[str, float], list[str]]:
        """Accuracies on `test`, {"5_shot": mean over the seeds, ..., "linear": ..., "10_nn": ...}, and lines with
        deviations.

        Raises:
          UserError: a class with fewer examples than shots, or a training set of fewer than neighbours.
        """
        self.check(train[1])
        figures, notes = {}, []
        for shots in self.shots:
            every = np.array([self._linear(train, test, shots, seed) for seed in range(self.seeds)])  # (seeds, 2, R)
            best = int(every[:, 0].mean(0).argmax())
            accuracy = every[:, 1, best]
            figures[f"{shots}_shot"] = float(accuracy.mean())
            spread = f" ± {100 * accuracy.std(ddof=1):.2f}" if self.seeds > 1 else ""
            notes.append(
                f"{shots}-shot linear: {100 * accuracy.mean():.2f}{spread} % ({self.seeds} draws, l2 = "
                f"{self.l2[best]:g})"
            )
        if self.linear:
            figures["linear"] = linear_probe(train, test)
            notes.append(f"linear, all {len(train[1]):,} examples: {100 * figures['linear']:.2f} %")
        for k in self.neighbours:
            figures[f"{k}_nn"] = float((neighbours(*train, test[0], k) == test[1]).mean())
            notes.append(f"{k} nearest neighbours: {100 * figures[f'{k}_nn']:.2f} %")
        return figures, notes

    def _linear(self, train: Examples, test: Examples, shots: int, seed: int) -> np.ndarray:
        """Accuracies (2, R) on training examples that were not drawn, where there are any, and on test examples."""
        features, labels = train
        order = np.random.default_rng(seed).permutation(len(labels))
        classes = int(max(labels.max(), test[1].max())) + 1
        drawn = draw(labels[order], shots, classes)
        rest = np.setdiff1d(np.arange(len(labels)), drawn)[:HELD_OUT]
        drawn, rest = order[drawn], order[rest if len(rest) else drawn]
        weights = ridge(features[drawn], labels[drawn], np.array(self.l2, np.float32), classes)
        held_out = accuracies(weights, features[rest], labels[rest])
        return np.stack([held_out, accuracies(weights, *test)])


def draw(labels: np.ndarray, shots: int, classes: int) -> np.ndarray:
    """The first `shots` of each class: int (classes * shots,)."""
    chosen = []
    for label in range(classes):
        found = np.flatnonzero(labels == label)[:shots]
        if len(found) < shots:
            raise UserError(
                f"config.evaluation.fewshot.shots: class {label} has {len(found)} training examples, not {shots}."
            )
        chosen.append(found)
    return np.concatenate(chosen)


@partial(jax.jit, static_argnames="classes")
def ridge(features: jax.Array, labels: jax.Array, l2: jax.Array, classes: int) -> dict[str, jax.Array]:
    """Least squares onto {-1, 1}^C with penalty l2 |w|² and a free intercept, of standardised features.

    Args:
      features: (n, D). labels: int (n,). l2: (R,).

    Returns:
      mean, deviation (D,) of the features; w (R, D, C); intercept (C,).
    """
    with jax.default_matmul_precision("highest"):
        mean, deviation = features.mean(0), jnp.maximum(features.std(0), 1e-6)
        target = 2 * jax.nn.one_hot(labels, classes) - 1
        u, s, vt = jnp.linalg.svd((features - mean) / deviation, full_matrices=False)
        projected = u.T @ (target - target.mean(0))
        w = jax.lax.map(lambda penalty: vt.T @ ((s / (s**2 + penalty))[:, None] * projected), l2)
        return {"mean": mean, "deviation": deviation, "w": w, "intercept": target.mean(0)}


@jax.jit
def accuracies(weights: dict[str, jax.Array], features: jax.Array, labels: jax.Array) -> jax.Array:
    """Of each of the R classifiers on features (m, D) with labels (m,): (R,)."""
    x = (features - weights["mean"]) / weights["deviation"]
    right = lambda w: (jnp.argmax(x @ w + weights["intercept"], -1) == labels).mean()  # noqa: E731
    return jax.lax.map(right, weights["w"])


def linear_probe(train: Examples, test: Examples) -> float:
    """The accuracy on `test` of a logistic regression on all of `train`, of standardised features."""
    from sklearn.linear_model import LogisticRegression  # takes a second to load, and few need it
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[0])
    classifier = LogisticRegression(max_iter=ITERATIONS).fit(scaler.transform(train[0]), train[1])
    return float((classifier.predict(scaler.transform(test[0])) == test[1]).mean())


def neighbours(features: np.ndarray, labels: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    """The class that the k training examples (n, D) nearest to each test example (m, D) vote for: int (m,)."""
    vote = partial(_vote, _unit(features), jnp.asarray(labels), k=k, classes=int(labels.max()) + 1)
    return np.concatenate([np.asarray(vote(block))[:size] for block, size in _blocks(test)])


@partial(jax.jit, static_argnames=("k", "classes"))
def _vote(features: jax.Array, labels: jax.Array, test: jax.Array, *, k: int, classes: int) -> jax.Array:
    similarity, nearest = jax.lax.top_k(_unit(test) @ features.T, k)
    votes = jnp.exp(similarity / TEMPERATURE)[..., None] * jax.nn.one_hot(labels[nearest], classes)
    return votes.sum(1).argmax(-1)


def _unit(x: np.ndarray | jax.Array) -> jax.Array:
    return jnp.asarray(x) / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _blocks(x: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks of one shape, the last filled up, and how many rows of each count."""
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        yield np.pad(block, ((0, BLOCK - len(block)), (0, 0))), len(block)
