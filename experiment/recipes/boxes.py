"""Images with boxes: a small DETR from scratch, or the model of the weights that the run begins with."""

import math

from experiment.recipes import Given, Machine, Start, Survey, batch, calendar, judge, passes
from lookup import Value

LARGEST = {True: 512, False: 256}  # longer side of the canvas
GRID = 32  # by which both sides divide
VIEWS = {True: 400_000, False: 16_000}  # images that are seen in all
EPOCHS = {True: (20, 300), False: (5, 100)}  # least and most
TUNED = 0.3  # of these, where the run begins with weights


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    size = batch(survey.examples, 32 if on else 8, machine)
    size = given.get("data.batch_size", size)
    epochs = passes(survey.examples, VIEWS[on], EPOCHS[on]) * (TUNED if start else 1)
    share = min(1.0, LARGEST[on] / max(survey.size))
    height, width = (max(GRID, math.ceil(side * share / GRID) * GRID) for side in survey.size)
    boxes = min(300, max(8, math.ceil(1.25 * survey.length)))
    changes: dict[str, Value] = {
        "data.batch_size": size,
        "data.image_size": height,
        "data.image_width": width,
        "data.max_boxes": boxes,
        "optim.learning_rate": 1e-3,
        **calendar(survey.examples / size, epochs, given, judge(survey, given), "AP50"),
    }
    if start:
        return changes | start.keys | {"optim.learning_rate": 1e-4}
    return changes | {"model.width": 128 if on else 64, "model.queries": max(20, 2 * boxes)}
