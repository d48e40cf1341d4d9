"""Finding the texts of an image and the images of a text in a whole split, and classes by their names.

n images, M captions of each, t different texts, E width of embeddings, C classes.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

import tasks

AT = (1, 5, 10)  # R@k: how often something right is among the k most alike
ROWS = 512  # of the matrix of similarities at a time


class Metrics(tasks.Metrics):
    """image_to_text_r1, r5, r10: for how many images one of their own captions is among the first k of all captions.
    text_to_image_r1, ...: for how many captions their own image is among the first k of all images (1306.2597's
    protocol, as Flickr8k's and COCO's five captions an image are scored). image_to_text_chance and
    text_to_image_chance: R@1 of a guess.

    Captions of the very same words are one text, right for each image that has it. What is exactly as alike as the
    right one counts as before it.

    Of sets of classes also zero_shot_accuracy: how often an image is the most alike to its own class, the mean of the
    class's prompts, of those that the split has; and zero_shot_chance.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, np.ndarray]] = []

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """rows: image (b, E), text (b, M, E), name (b, M, 2), given (b, M), index (b,); label (b,)."""
        self._rows.append({name: np.asarray(x) for name, x in rows.items()})

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """See above. Images without a caption are left out."""
        rows = {name: np.concatenate([one[name] for one in self._rows]) for name in self._rows[0]}
        there = (rows["given"] > 0).any(1)
        rows = {name: x[there] for name, x in rows.items()}
        if not there.any():
            return {}, []
        of, which = np.nonzero(rows["given"] > 0)  # a pair each: an image, and a caption of it
        names = np.ascontiguousarray(rows["name"][of, which]).view("V8")[:, 0]
        _, first, text = np.unique(names, return_index=True, return_inverse=True)
        texts = rows["text"][of, which][first]
        right = np.zeros((len(rows["image"]), len(texts)), bool)
        right[of, text] = True
        ranks = {
            "image_to_text": ranked(rows["image"], texts, right),
            "text_to_image": ranked(texts, rows["image"], right.T)[text],
        }
        found = {f"{way}_r{k}": float((rank < k).mean()) for way, rank in ranks.items() for k in AT}
        found["image_to_text_chance"] = float(right.mean())
        found["text_to_image_chance"] = float(right.mean(0)[text].mean())
        lines = [f"R@k among {len(right):,} images and {len(text):,} captions, {len(texts):,} of them different."]
        if "label" in rows:
            scores = zero_shot(rows["image"], texts, right, rows["label"])
            found |= scores
            lines.append(
                f"zero-shot among the {len(np.unique(rows['label'])):,} classes that the split has: chance "
                f"{scores['zero_shot_chance']:.2%}."
            )
        return found, lines


def ranked(
    rows: Float[np.ndarray, "n E"], columns: Float[np.ndarray, "t E"], right: Bool[np.ndarray, "n t"]
) -> np.ndarray:
    """How many wrong columns are not less alike to each row than the best right one, int (n,): of a broken model, whose
    similarities are not numbers, all of them."""
    found = []
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        alike = rows[part] @ columns.T
        best = np.where(right[part], alike, -np.inf).max(1, keepdims=True)
        found.append((~(alike < best) & ~right[part]).sum(1))
    return np.concatenate(found)


def zero_shot(
    images: Float[np.ndarray, "n E"], texts: Float[np.ndarray, "t E"], right: Bool[np.ndarray, "n t"], label: np.ndarray
) -> dict[str, float]:
    """How often an image's own class is the most alike. label: of each image, int (n,)."""
    classes, place = np.unique(label, return_inverse=True)
    means = np.stack([texts[right[place == number].any(0)].mean(0) for number in range(len(classes))])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    own = place[:, None] == np.arange(len(classes))
    return {
        "zero_shot_accuracy": float((ranked(images, means, own) < 1).mean()),
        "zero_shot_chance": 1 / len(classes),
    }
