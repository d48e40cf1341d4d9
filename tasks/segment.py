"""A class for each pixel: semantic segmentation.

B batch, H and W pixels, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt

import tasks
from errors import UserError
from lookup import Rate
from tasks import Answer, Apply, Batch, Data, PyTree, Rows, Sums, Totals, coco_file, windows
from tasks.label_picture import beside, bounds, run_lengths

BESIDE = ("image", "size", "label", "original")


def debug(section: dict) -> dict:
    """What `:debug` changes in config.task: windows of the size of its images."""
    return {"window": (32, 32), "stride": ()} if section.get("window") else {}


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of the pixels that are not ignored; in evaluation the intersection over union of each class.

    Attributes:
      class_weights: of the classes in the loss, in their order; () for the same of all.
      dice: weight of the dice loss, 1 - 2 |prediction ∩ label| / (|prediction| + |label|), of the probabilities of each
        image and averaged over the classes that it has (1606.04797); 0 for none.
      label_smoothing: share of the target that is spread evenly over the C classes, in training.
      auxiliary: weight of the same loss of a model's auxiliary logits, which it gives beside its own in training.
      window: height and width of the windows that larger images are seen by in evaluation and prediction, and whose
        logits are averaged where they overlap; () sees an image at once.
      stride: rows and columns from one window to the next; () for half a window.
      by_class: whether an evaluation has the IoU of each class.
    """

    class_weights: tuple[NonNegativeFloat, ...] = ()
    dice: NonNegativeFloat = 0.0
    label_smoothing: Rate = 0.0
    auxiliary: NonNegativeFloat = 0.4
    window: tuple[NonNegativeInt, ...] = ()
    stride: tuple[NonNegativeInt, ...] = ()
    by_class: bool = True
    inputs = ("image",)
    unit = "pixels"

    def check(self, outputs: int | None) -> None:
        """There are classes, weights are of them, and windows have two sides."""
        if outputs == 1:
            raise UserError(
                "config.task.name=segment tells classes of pixels apart, and the data have one: set "
                "config.data.class_names to two or more."
            )
        if self.class_weights and len(self.class_weights) != outputs:
            raise UserError(
                f"config.task.class_weights has {len(self.class_weights)} numbers, and the data have {outputs} classes."
            )
        if self.class_weights and not any(self.class_weights):
            raise UserError("config.task.class_weights are all 0: no pixel would be learned.")
        windows.check(self.window, self.stride)

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss; in training pixel_accuracy, in evaluation the confusion matrix.

        The dice loss of an image counts as much as its pixels do, so that the sums can be divided once.

        Args:
          apply: image (B, H, W, channels) -> logits (B, H, W, C), in training maybe with auxiliary ones, alike.
          batch: `image`; `label` int (B, H, W), −1 for what is ignored; `mask` float (B,), 0 for padding.

        Returns:
          loss over the weights of the pixels' classes; pixel_accuracy over pixels; confusion, int (C, C) pixels of each
          true class (rows) by predicted class, over those of the true class, (C,).
        """
        label = batch["label"]
        output: PyTree = apply(batch["image"]) if train else self._logits(apply, batch)
        both = output if isinstance(output, tuple) and len(output) == 2 else (output,)
        tasks.returned(output, "logits (images, height, width, classes)", *((*label.shape, None) for _ in both))
        logits, *auxiliary = both
        there = (label >= 0) & (batch["mask"] > 0)[:, None, None]
        loss, weight = self._loss(logits, label, there, train)
        loss += self.auxiliary * sum(self._loss(other, label, there, train)[0] for other in auxiliary)
        sums = {"loss": (loss, weight)}
        predicted = logits.argmax(-1)
        if train:
            right = jnp.sum((predicted == label) & there, dtype=jnp.float32)
            return sums | {"pixel_accuracy": (right, jnp.sum(there, dtype=jnp.float32))}
        confusion = _confusion(jnp.where(there, label, -1), predicted, logits.shape[-1])
        return sums | {"confusion": (confusion, confusion.sum(1))}

    def _loss(
        self, logits: Float[Array, "B H W C"], label: Int[Array, "B H W"], there: Bool[Array, "B H W"], train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """The sum over the pixels that are there, and their weight."""
        classes = logits.shape[-1]
        target = jax.nn.one_hot(label, classes)  # zeros where it is ignored
        by_class = jnp.asarray(self.class_weights or (1.0,) * classes)
        weight = jnp.where(there, (target * by_class).sum(-1), 0)
        log_probability = jax.nn.log_softmax(logits)
        nll = -jnp.sum(log_probability * target, axis=-1)
        if train and self.label_smoothing:
            nll = (1 - self.label_smoothing) * nll - self.label_smoothing * log_probability.mean(-1)
        loss = jnp.sum(nll * weight)
        if self.dice:
            loss += self.dice * jnp.sum(_dice(jnp.exp(log_probability), target, there) * weight.sum((1, 2)))
        return loss, weight.sum()

    def _logits(self, apply: Callable[[jax.Array], jax.Array], batch: Batch) -> Float[Array, "B H W C"]:
        """Of images of any size."""
        image = batch["image"]
        if not self.window:
            return apply(image)
        try:
            return windows.apply(apply, image, self.window, self.stride, batch.get("size"))
        except UserError as error:
            raise UserError(f"config.task.window={self.window}: {error}") from None

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """mean_iou over the classes that are in the split or predicted, pixel_accuracy, class_accuracy (the mean of the
        split's classes' own), and with `by_class` each class's iou/NAME. data: with `classes`."""
        del split
        confusion, count = totals["confusion"]
        right, predicted = np.diag(confusion), confusion.sum(0)
        if not count.sum():
            return {}
        union = count + predicted - right
        iou = right[union > 0] / union[union > 0]
        found = {
            "mean_iou": float(iou.mean()),
            "pixel_accuracy": float(right.sum() / count.sum()),
            "class_accuracy": float(np.mean(right[count > 0] / count[count > 0])),
        }
        names = [name.replace(" ", "_") for name in np.array(data.classes)[union > 0]]
        return found | ({f"iou_{name}": float(x) for name, x in zip(names, iou, strict=True)} if self.by_class else {})

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`predicted`, the likeliest class of each pixel, int (B, H, W), beside `image`, and `size`, `label` and
        `original` where the batch has them."""
        del key
        logits = self._logits(lambda image: apply(image, train=False), batch)
        predicted = logits.argmax(-1).astype(jnp.int32)
        return {"predicted": predicted} | {name: batch[name] for name in BESIDE if name in batch}

    def error(self, row: Mapping[str, np.ndarray]) -> float | None:
        """1 - the mean IoU of the classes that the image has or is said to have; None where all of it is ignored."""
        if "label" not in row or not (there := row["label"] >= 0).any():
            return None
        label, predicted = row["label"][there], row["predicted"][there]
        found = [
            ((label == i) & (predicted == i)).sum() / ((label == i) | (predicted == i)).sum()
            for i in _in(label, predicted)
        ]
        return 1 - float(np.mean(found))

    def mistake(self, row: Mapping[str, np.ndarray], data: Data) -> str:
        """Which class is taken for which at the most pixels, of those that are not ignored; "" where all are right.
        data: with `classes`."""
        label, predicted = row["label"], row["predicted"]
        wrong = (label >= 0) & (label != predicted)
        if not wrong.any():
            return ""
        pairs, counts = np.unique(np.stack([predicted[wrong], label[wrong]]), axis=1, return_counts=True)
        said, true = (data.classes[int(number)] for number in pairs[:, counts.argmax()])
        return f"{said} for {true} at {counts.max() / (label >= 0).sum():.1%} of the pixels"

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """Shares of the classes; the image beside its coloured map with a legend, and of a row with `label` the true
        map after it; as JSON, each class's pixels in COCO's run lengths, of a row with `original` in the pixels of the
        image as it was; and a file that is COCO's. data: with `classes`, `numbers` (of the classes, in label images)
        and `picture`."""
        height, width = row["size"] if "size" in row else row["predicted"].shape
        seen = row["predicted"][:height, :width]
        predicted = _resized(seen, row["original"]) if "original" in row else seen
        count = np.bincount(predicted.reshape(-1), minlength=len(data.classes))
        order = [int(i) for i in np.argsort(-count, kind="stable") if count[i]]
        lines = [f"  {count[i] / predicted.size:7.2%}  {data.classes[i]}" for i in order[:most]]
        segments = [
            {
                "class": data.classes[i],
                "category_id": data.numbers[i],
                "area": int(count[i]),
                "segmentation": {"size": list(predicted.shape), "counts": run_lengths(predicted == i)},
            }
            for i in order
        ]
        picture = tasks.coloured(data.picture(row["image"][:height, :width]))
        maps = [seen, *([row["label"][:height, :width]] if "label" in row else [])]
        names = {i: data.classes[i] for i in _in(*maps) if i >= 0}
        of_coco = [
            {name: one[name] for name in ("category_id", "area", "segmentation")} | {"bbox": bounds(predicted == i)}
            for i, one in zip(order, segments, strict=True)
        ]
        file = partial(
            coco_file.of_image, size=predicted.shape, found=of_coco, classes=data.classes, numbers=data.numbers
        )
        drawn = beside(picture, maps, names, len(data.classes))
        return Answer("\n".join(lines), {"segments": segments}, drawn, file=file)


def _resized(label: Int[np.ndarray, "H W"], size: Int[np.ndarray, "2"]) -> Int[np.ndarray, "height width"]:
    """A label map of another height and width, by the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, label.shape, strict=True)
    )
    return label[rows[:, None], columns]


def _in(*labels: np.ndarray) -> list[int]:
    """The classes that are in one of these."""
    return [int(i) for i in np.unique(np.concatenate([label.reshape(-1) for label in labels]))]


def _dice(probability: Float[Array, "B H W C"], target: Float[Array, "B H W C"], there: Array) -> Float[Array, " B"]:
    """1 - the mean dice coefficient of the classes that an image has."""
    kept = there[..., None]
    target, probability = target * kept, probability * kept
    size = target.sum((1, 2))
    both = 2 * jnp.sum(probability * target, (1, 2)) + 1
    has = size > 0
    dice = both / (probability.sum((1, 2)) + size + 1)
    return 1 - jnp.sum(dice * has, -1) / jnp.maximum(has.sum(-1), 1)


def _confusion(label: Int[Array, "B H W"], predicted: Int[Array, "B H W"], classes: int) -> Int[Array, "C C"]:
    """How many pixels of each class are taken for each; −1 is not counted. Integers: float32 counts to 2^24 only."""
    place = jnp.where(label >= 0, label * classes + predicted, classes**2)
    return jnp.bincount(place.reshape(-1), length=classes**2 + 1)[:-1].reshape(classes, classes)
