"""Images with label images: UPerNet on a small Swin, or the model of the weights that the run begins with, which of a
ViT's is a Segmenter."""

from dataclasses import replace

import lookup
from experiment.recipes import Given, Machine, Start, Survey, batch, calendar, judge, passes
from lookup import Section, Value
from models import segmenter, vit

LARGEST = {True: 512, False: 128}  # shorter side
GRID = 32  # by which both sides divide
VIEWS = {True: 400_000, False: 16_000}  # images that are seen in all
EPOCHS = {True: (20, 300), False: (5, 100)}  # least and most
TUNED = 0.3  # of these, where the run begins with weights


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    size = given.get("data.batch_size", batch(survey.examples, 16 if on else 8, machine))
    epochs = passes(survey.examples, VIEWS[on], EPOCHS[on]) * (TUNED if start else 1)
    share = min(1.0, LARGEST[on] / min(survey.size))
    grid = start.side if start and start.side > 1 else GRID
    height, width = (max(grid, round(side * share / grid) * grid) for side in survey.size)
    shape = {"data.image_size": height, "data.image_width": width}
    changes: dict[str, Value] = {
        "data.batch_size": size,
        **shape,
        "optim.learning_rate": 1.5e-3,
        **calendar(survey.examples / size, epochs, given, judge(survey, given), "mean_iou"),
    }
    if start:
        keys = replace(start, model=_dense(start.model)).keys
        return changes | keys | (shape if start.side else {}) | {"optim.learning_rate": 1e-4}
    return changes | {"model.width": 128 if on else 32}


def _dense(model: Section) -> dict[str, Value]:
    """The keys of a model that gives a class for each pixel: a Segmenter on a ViT, or on what learned without labels;
    otherwise the model's own."""
    of = lookup.find("models", "Model", model["name"])
    if not issubclass(of, vit.Model) or issubclass(of, segmenter.Model):
        return dict(model)
    shared = lookup.keys(vit.Model)
    return {key: value for key, value in model.items() if key in shared} | {"name": "segmenter"}
