"""COCO's average precision, by pycocotools: over thresholds of intersection over union from 0.5 to 0.95.

n images, K detections, M true boxes.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float

from errors import UserError, installs

# In the order of COCOeval.stats.
NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR", "AR_small", "AR_medium", "AR_large"),
)


class Metrics:
    """AP of predicted rows. Boxes are (ymin, xmin, ymax, xmax) as shares of the image.

    Args:
      classes: their names.
    """

    def __init__(self, classes: Sequence[str]):
        if find_spec("pycocotools") is None:  # told before the first step
            raise UserError(f"COCO's AP needs pycocotools: {installs()}, or set --config.task.ap=False")
        self._classes = classes
        self._images: dict[int, tuple[int, int]] = {}
        self._truths: list[dict[str, object]] = []
        self._found: list[dict[str, object]] = []

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes the detections of some images, and the true boxes.

        Args:
          rows: `box` (n, K, 4), `score` (n, K), `label` (n, K); the truth as `boxes` (n, M, 4), `labels` (n, M), -1 for
            none, `ignored` (n, M), `area` (n, M) in pixels; `size` (n, 2), height and width; `index` (n,).
        """
        for row, number in enumerate(rows["index"].tolist()):
            if number in self._images:
                continue
            height, width = size = tuple(rows["size"][row].tolist())
            self._images[number] = (height, width)
            there = rows["labels"][row] >= 0
            columns = (rows[name][row][there] for name in ("boxes", "labels", "ignored", "area"))
            for box, label, ignored, area in zip(*columns, strict=True):
                self._truths.append(
                    {"id": len(self._truths) + 1, "image_id": number, "category_id": int(label)}
                    | {"bbox": pixels(box, size), "area": float(area), "iscrowd": int(ignored)}
                )
            for box, score, label in zip(*(rows[name][row] for name in ("box", "score", "label")), strict=True):
                self._found.append(
                    {"image_id": number, "category_id": int(label), "bbox": pixels(box, size), "score": float(score)}
                )

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """AP and AR; and lines with the AP of each class."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                "info": {},
                "images": [{"id": i, "height": h, "width": w} for i, (h, w) in self._images.items()],
                "annotations": self._truths,
                "categories": [{"id": i, "name": name} for i, name in enumerate(self._classes)],
            }
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(self._found) if self._found else COCO(), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        stats = {name: float(x) for name, x in zip(NAMES, evaluation.stats, strict=True) if x >= 0}
        # (thresholds, recalls, classes, areas, most detections)
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        by_class = zip(np.moveaxis(precision, 2, 0), self._classes, strict=True)
        each = [(float(p[p > -1].mean()), name) for p, name in by_class if (p > -1).any()]
        lines = [f"COCO AP by pycocotools {version('pycocotools')}, of {len(self._images):,} images."]
        if each:
            worst = ", ".join(f"{name} {ap:.3f}" for ap, name in sorted(each)[:10])
            lines.append(f"AP of the {'worst ' if len(each) > 10 else ''}classes: {worst}.")
        return stats, lines


def pixels(box: Float[np.ndarray, "4"], size: Sequence[int]) -> list[float]:
    """A box as COCO has it: left, top, width and height in pixels. size: height and width."""
    top, left, bottom, right = (float(x) for x in box)
    height, width = size
    return [left * width, top * height, (right - left) * width, (bottom - top) * height]
