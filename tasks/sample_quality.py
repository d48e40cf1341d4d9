"""The quality of drawn images, measured in the hidden layer of a small network that anyone can train again. So the
numbers can be checked, but not compared with those of other networks.

n images, F features.
"""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

import tasks

HIDDEN = 128  # of the network
EPOCHS = 40
FEWEST = 50  # images that a covariance is taken of


class Metrics(tasks.Metrics):
    """recognised: the share of drawn images that the network takes for the class that was asked for. frechet: the
    Fréchet distance between features of drawn images and of the real ones of the split that is scored (1706.08500,
    equation 6). What both are for real images, of that split and of the training split: recognised_real, frechet_real.

    The network is scikit-learn's MLPClassifier with one hidden layer, fitted with seed 0 to the pixels of the training
    images.
    """

    def __init__(self, data: tasks.Data) -> None:
        """data: with `train_split` and `eval_batches`."""
        self._data = data
        self._rows: list[Mapping[str, np.ndarray]] = []

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """rows: sample and image (n, height, width, channels), label (n,)."""
        self._rows.append({name: np.asarray(rows[name]) for name in ("sample", "image", "label")})

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """See above. Nothing of a split too small for a covariance."""
        from sklearn.neural_network import MLPClassifier

        label = np.concatenate([rows["label"] for rows in self._rows])
        if len(label) < FEWEST:
            return {}, [f"Samples are judged from {FEWEST} images on; the split has {len(label)}."]
        drawn, real = (_flat(rows[name] for rows in self._rows) for name in ("sample", "image"))
        if broken := int((~np.isfinite(drawn).all(1)).sum()):
            return {}, [f"{broken:,} of {len(drawn):,} samples are not finite, and are not judged: train on, or anew."]
        batches = [
            {name: batch[name][batch["mask"] > 0] for name in ("image", "label")}
            for batch in self._data.eval_batches(self._data.train_split)
        ]
        seen = _flat(batch["image"] for batch in batches)
        network = MLPClassifier((HIDDEN,), max_iter=EPOCHS, random_state=0)
        with warnings.catch_warnings():  # its epochs are few on purpose
            warnings.simplefilter("ignore")
            network.fit(seen, np.concatenate([batch["label"] for batch in batches]))

        def features(x: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n F"]:
            return np.maximum(x @ network.coefs_[0] + network.intercepts_[0], 0)

        metrics = {
            "recognised": float(np.mean(network.predict(drawn) == label)),
            "recognised_real": float(np.mean(network.predict(real) == label)),
            "frechet": frechet(features(drawn), features(real)),
            "frechet_real": frechet(features(seen), features(real)),
        }
        note = (
            f"samples: judged by scikit-learn's MLPClassifier of {HIDDEN} hidden units, fitted to the {len(seen):,} "
            "training images"
        )
        return metrics, [note]


def _flat(images: Iterable[Float[np.ndarray, "n height width channels"]]) -> Float[np.ndarray, "m pixels"]:
    """The pixels of each image of several batches."""
    return np.concatenate([x.reshape(len(x), -1) for x in images])


def frechet(a: Float[np.ndarray, "n F"], b: Float[np.ndarray, "m F"]) -> float:
    """The Fréchet distance between two normal distributions with the means and covariances of these features."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of a product's square root is that of the roots of its eigenvalues, which are not negative.
    root = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second) - 2 * root)
