"""A set of boxes with classes for each image.

B batch, Q queries, C classes, K detections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt

import tasks
from errors import UserError
from lookup import Probability
from models import boxes as geometry
from models.boxes import Detections
from tasks import Answer, Apply, Batch, Data, Row, Rows, Sums, coco_file
from tasks.average_precision import Metrics, pixels
from tasks.detection_loss import Truth, Weights, losses

TRUTH = ("boxes", "labels", "ignored", "area")
SEEN = ("image", "extent")
RIGHT = 0.5  # intersection over union from which a detection is right, in the report of mistakes
LEGIBLE = 480  # pixels of the longer side of a picture with boxes, at least
GAP = 8  # pixels between a picture and the true one


@dataclass(frozen=True)
class Task(tasks.Task):
    """DETR's set prediction: one query for each true box by the least cost, then the losses of classes and boxes,
    summed over all layers of the decoder.

    A model with no_object=True is judged by cross-entropy, one with no_object=False by a focal loss of each class. The
    loss is a sum divided by the number of true boxes (at least one an image): the published one divides that of classes
    by its own weights, which for 100 queries and 7 boxes makes it 2.3 times as light.

    Attributes:
      class_cost, l1_cost, giou_cost: of a matching's cost.
      class_weight, l1_weight, giou_weight: of the loss.
      no_object_weight: of "no object" in cross-entropy.
      quality: whether sigmoids (of a model with no_object=False) learn how well their box fits (2006.04388), by which
        detections are then ranked.
      detections: K, how many of an image are scored; COCO's AP takes 100.
      threshold: the least probability of a detection that predict.py shows.
      ap: whether an evaluation computes COCO's AP.
    """

    class_cost: NonNegativeFloat = 1.0
    l1_cost: NonNegativeFloat = 5.0
    giou_cost: NonNegativeFloat = 2.0
    class_weight: NonNegativeFloat = 1.0
    l1_weight: NonNegativeFloat = 5.0
    giou_weight: NonNegativeFloat = 2.0
    no_object_weight: NonNegativeFloat = 0.1
    quality: bool = False
    detections: PositiveInt = 100
    threshold: Probability = 0.5
    ap: bool = True
    inputs = ("image", "extent")
    pictured = SEEN
    unit = "boxes"

    @cached_property
    def weights(self) -> Weights:
        """Of a matching's cost, and of the loss."""
        costs = (self.class_cost, self.l1_cost, self.giou_cost)
        parts = (self.class_weight, self.l1_weight, self.giou_weight)
        return Weights(*costs, *parts, self.no_object_weight, self.quality)

    def check(self, outputs: int | None) -> None:
        """Something is learned, and boxes are matched by something."""
        for kind in ("cost", "weight"):
            if not any(getattr(self, f"{name}_{kind}") for name in ("class", "l1", "giou")):
                raise UserError(
                    f"config.task.class_{kind}, l1_{kind} and giou_{kind} are all 0: set one of them to more."
                )

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Losses over true boxes.

        Args:
          apply: image (B, height, width, channels), extent (B, 2), boxes (B, M, 4), labels (B, M) -> Detections.
          batch: these; `ignored` int (B, M); `mask` float (B,), 0 for padding.

        Returns:
          loss; class_loss, l1 and giou_loss of the last layer; where an image may have more boxes than the model has
          queries, beyond_queries: the boxes that none is left for, which are not learned.
        """
        del train
        labels = jnp.where(batch["ignored"] > 0, -1, batch["labels"])
        found = _detections(apply(batch["image"], batch["extent"], batch["boxes"], labels))
        truth = Truth(geometry.centred(batch["boxes"]), labels)
        mask = batch["mask"]
        weight = (jnp.maximum(truth.there.sum(1), 1) * mask).sum()
        each = losses(found, truth, self.weights)
        if (queries := found.logits.shape[2]) < labels.shape[1]:
            each["beyond_queries"] = jnp.maximum(truth.there.sum(1) - queries, 0)
        return {name: ((value * mask).sum(), weight) for name, value in each.items()}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """The K likeliest detections, best first: `box` float (B, K, 4), (ymin, xmin, ymax, xmax) as shares of the
        image, `score` (B, K), `label` int (B, K) and `query` int (B, K). In evaluation the truth beside them, else the
        image."""
        del key
        found = _detections(apply(batch["image"], batch["extent"], train=False))
        logits, boxes = found.logits[-1], jnp.clip(geometry.corners(found.boxes[-1]), 0, 1)
        batch_size, queries, classes = logits.shape
        if found.no_object:  # one class a query, as published
            probability = jax.nn.softmax(logits)[..., :-1]
            score, place = jax.lax.top_k(probability.max(-1), min(self.detections, queries))
            query, label = place, jnp.take_along_axis(probability.argmax(-1), place, axis=1)
        else:
            flat = jax.nn.sigmoid(logits).reshape(batch_size, -1)
            score, place = jax.lax.top_k(flat, min(self.detections, queries * classes))
            query, label = place // classes, place % classes
        box = jnp.take_along_axis(boxes, query[..., None], axis=1)
        rows = {"box": box, "score": score, "label": label, "query": query, "size": batch["size"]}
        known = TRUTH if "labels" in batch else SEEN
        return rows | {name: batch[name] for name in known}

    def metrics(self, data: Data, split: str) -> Metrics | None:
        """COCO's AP. data: with `classes`."""
        del split
        return Metrics(data.classes) if self.ap else None

    def error(self, row: Row) -> float:
        """1 - F1 of the detections of at least `threshold`, which are right by their class and an IoU of 0.5; 0 where
        there is nothing and nothing is said."""
        right, missing, wrong = self._compared(row)
        return (missing + wrong) / (2 * right + missing + wrong) if right + missing + wrong else 0.0

    def mistake(self, row: Row, data: Data) -> str:
        """How many objects are missing, and how many detections are wrong. data: not asked."""
        del data
        right, missing, wrong = self._compared(row)
        return f"{missing} of {right + missing} not found, {wrong} wrong"

    def _compared(self, row: Row) -> tuple[int, int, int]:
        """How many of the detections of at least `threshold` are right, how many objects none of them is, and how many
        of them are wrong: best first, each takes the object that it fits best. One that is of an ignored object is
        neither."""
        kept = row["score"] >= self.threshold
        there = row["labels"] >= 0
        true, ignored = row["labels"][there], row["ignored"][there] > 0
        found, truth = jnp.asarray(row["box"])[:, None], jnp.asarray(row["boxes"])[None]
        iou = np.asarray(geometry.overlap(found, truth)[0])[kept][:, there]  # of all: one shape is compiled
        free, right, passed = np.ones(len(true), bool), 0, 0
        for label, fits in zip(row["label"][kept], iou, strict=True):
            fits = np.where((free | ignored) & (true == label) & (fits >= RIGHT), fits - ignored, -np.inf)
            if fits.max(initial=-np.inf) > -np.inf:
                best = int(fits.argmax())
                free[best] = False
                right, passed = right + (not ignored[best]), passed + ignored[best]
        return int(right), int((free & ~ignored).sum()), int(kept.sum() - right - passed)

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The detections of at least `threshold`, as COCO has them, a file that is COCO's, and a picture of them; of a
        row with `boxes` the true ones beside it. data: with `classes`, `numbers` (of the classes, as the data set's
        files have them) and `picture`."""
        del most
        kept = np.flatnonzero(row["score"] >= self.threshold)
        bounds = [[round(x, 2) for x in pixels(row["box"][i], row["size"].tolist())] for i in kept]
        names = [data.classes[int(row["label"][i])] for i in kept]
        scores = [round(float(row["score"][i]), 4) for i in kept]
        columns = zip(bounds, (data.numbers[i] for i in row["label"][kept]), names, scores, strict=True)
        found = [
            {"bbox": box, "category_id": number, "category": name, "score": score}
            for box, number, name, score in columns
        ]
        heads = [f"{score:7.2%}  {name}" for name, score in zip(names, scores, strict=True)]
        lines = [f"  {head}  at {', '.join(f'{x:.0f}' for x in box)}" for head, box in zip(heads, bounds, strict=True)]
        if not lines:
            best = int(row["score"].argmax())
            most_likely = f"at most {row['score'][best]:.2%}, {data.classes[int(row['label'][best])]}"
            lines = [f"  nothing of at least {self.threshold:.0%} (config.task.threshold): {most_likely}"]
        text = "\n".join(lines)
        picture = None
        if "image" in row:
            image, extent = data.picture(row["image"]), row["extent"]
            beside = "boxes" in row
            least = LEGIBLE // (1 + beside)
            picture = drawn(image, extent, row["box"][kept], row["label"][kept], names, least)
            if beside:
                true = row["labels"] >= 0
                called = [data.classes[label] for label in row["labels"][true]]
                truth = drawn(image, extent, row["boxes"][true], row["labels"][true], called, least)
                picture = np.concatenate([picture, np.ones((len(picture), GAP, 3), np.float32), truth], axis=1)
        height, width = row["size"].tolist()
        of_coco = [
            {"category_id": one["category_id"], "bbox": box, "area": round(box[2] * box[3], 2), "score": one["score"]}
            for one, box in zip(found, bounds, strict=True)
        ]
        file = partial(
            coco_file.of_image, size=(height, width), found=of_coco, classes=data.classes, numbers=data.numbers
        )
        return Answer(text, {"height": height, "width": width, "detections": found}, picture, file=file)


def _detections(found: object) -> Detections:
    if not isinstance(found, Detections):
        raise UserError("the task needs boxes of the model: choose --config.model.name=detr")
    return found


def drawn(
    picture: Float[np.ndarray, "height width channels"],
    extent: Float[np.ndarray, "2"],
    boxes: Float[np.ndarray, "n 4"],
    labels: np.ndarray,
    names: list[str],
    least: int = LEGIBLE,
) -> Float[np.ndarray, "rows columns 3"]:
    """A picture without its padding, with boxes in the colours of their classes; enlarged, if its longer side has fewer
    than `least` pixels."""
    from matplotlib import colormaps
    from PIL import Image, ImageDraw, ImageFont

    height, width = (max(1, round(float(e) * n)) for e, n in zip(extent, picture.shape[:2], strict=True))
    image = Image.fromarray((tasks.coloured(picture[:height, :width]) * 255).round().astype(np.uint8))
    factor = max(1, -(-least // max(image.size)))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    draw, colours = ImageDraw.Draw(image), colormaps["tab10"]
    font = ImageFont.load_default(size=max(12, image.width // 32))
    for box, label, name in zip(boxes, labels, names, strict=True):
        colour = tuple(round(255 * x) for x in colours(int(label) % 10)[:3])
        top, left, bottom, right = box * np.array([image.height, image.width] * 2)
        draw.rectangle((left, top, right, bottom), outline=colour, width=max(2, image.width // 250))
        draw.text((left + 3, top + 1), name, fill=colour, font=font)
    return np.asarray(image, np.float32) / 255
