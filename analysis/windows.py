"""Attention within the windows of a Swin Transformer, layer by layer.

B images, R rows and C columns of a map, H heads, N tokens of a window, W windows of a map, M = B * W.
"""

import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from analysis.subject import Subject
from models import swin

LAYER = re.compile(r"(?:trunk/)stage_(\d+)_unit_(\d+)/attention/window_attention/0")


class Layer(NamedTuple):
    """One layer of a Swin.

    Attributes:
      stage, number: of the layer, from 1 on.
      side: of a place of the map, in pixels.
      grid: rows and columns of the map.
      cut: how the map is cut into windows.
      weights: of attention, windows row by row and image by image.
    """

    stage: int
    number: int
    side: int
    grid: tuple[int, int]
    cut: swin.Windows
    weights: Float[np.ndarray, "M H N N"]


def lacks(subject: Subject) -> str:
    """Why a run has no windows; "" if it has."""
    if subject.reads_images and subject.has(r"trunk/stage_\d+_unit_\d+/attention/bias/.*"):
        return ""
    return f"a {subject.name} does not attend within windows"


def layers(subject: Subject, images: Float[np.ndarray, "B height width channels"]) -> list[Layer]:
    """All layers, of one forward pass, not in training."""
    run, model = subject.run, subject.run.model
    # What a detector reads beside images, how much of each is no padding, comes after its trunk: any value will do.
    inputs = [
        images if name == "image" else np.ones((len(images), *run.pipeline.spec[name][0][1:]), np.float32)
        for name in run.task.inputs
    ]
    _, probes = subject.probed(*inputs)
    settings = model if isinstance(model, swin.Model) else model.trunk
    found = []
    for path in sorted(probes):
        if match := LAYER.fullmatch(path):
            stage, number = int(match[1]), int(match[2])
            _, rows, columns, _ = probes[path.replace("attention/window_attention/0", "output/0")].shape
            grid = rows, columns
            cut = swin.Windows.of(grid, settings.window, number % 2 == 0)  # every second layer's are moved
            side = settings.patch * swin.MERGED ** (stage - 1)
            found.append(Layer(stage, number, side, grid, cut, np.asarray(probes[path], np.float32)))
    return found


def mean_distance(layer: Layer) -> tuple[Float[np.ndarray, " H"], float]:
    """The distance in pixels from a place to the places it attends to, weighted by attention, averaged over the places
    of all windows: of each head, and of attention that is the same for all places that may be attended to."""
    place = np.indices(layer.cut.side).reshape(2, -1).T * layer.side
    distance = cdist(place, place)
    tokens, windows = len(place), np.prod(layer.cut.padded) // np.prod(layer.cut.side)
    region = layer.cut.regions(layer.grid)
    region = np.ones((windows, tokens), int) if region is None else region
    real = np.tile(region > 0, (len(layer.weights) // len(region), 1))  # what fills up the map attends to nothing
    total = np.einsum("mhqk,qk->mhq", layer.weights, distance)
    allowed = (region[:, :, None] == region[:, None]) & (region > 0)[:, :, None]
    uniform = (allowed * distance).sum(-1)[region > 0] / allowed.sum(-1)[region > 0]
    return np.einsum("mhq,mq->h", total, real) / real.sum(), float(uniform.mean())
