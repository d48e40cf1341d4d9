"""Handwritten digits of 8x8 pixels, as scikit-learn ships them: nothing to download."""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

Example = tuple[int, dict[str, np.ndarray | int]]  # with its key


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 digits of the UCI set "Optical Recognition of Handwritten Digits" (its test part): a fifth is held out."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://archive.ics.uci.edu/dataset/80",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Example]]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
        train, test = train_test_split(np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0)
        return {
            "train": self._generate_examples(images, digits.target, train),
            "test": self._generate_examples(images, digits.target, test),
        }

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> Iterator[Example]:
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}
