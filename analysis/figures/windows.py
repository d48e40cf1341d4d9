"""The windows that a Swin Transformer attends within (2103.14030, figure 2), and how far its heads attend in them.

S stages, R rows and C columns of a map.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import picture, windows
from analysis.picture import Arrays
from analysis.subject import Subject


def lacks(subject: Subject) -> str:
    """A model without windows."""
    return windows.lacks(subject)


def arrays(subject: Subject) -> Arrays:
    """An image (height, width, channels), and of the first two layers of each stage (S, 2, 4): the pixels of a window's
    rows and columns, and by how many pixels the windows are moved down and right; −1 where there is no such layer."""
    images = subject.images(1)
    found = np.full((0, 2, 4), -1)
    for layer in windows.layers(subject, images):
        if layer.stage > len(found):
            found = np.concatenate([found, np.full((1, 2, 4), -1)])
        if layer.number <= 2:
            found[layer.stage - 1, layer.number - 1] = np.array([*layer.cut.side, *layer.cut.shift]) * layer.side
    return {"image": subject.pictures(images)[0], "windows": found}


def edges(size: int, window: int, shift: int) -> list[int]:
    """Where windows end along a side of so many pixels."""
    return [place for place in range(shift or window, size, window) if place > 0]


def draw(arrays: Arrays) -> Figure:
    """A row for each stage: windows as they are cut, and as they are moved by half a window."""
    image, found = arrays["image"], arrays["windows"]
    height, width = image.shape[:2]
    figure = picture.begin(6.6, 1.2 + 2.6 * len(found) * height / width, "Windows of a Swin Transformer")
    axes = figure.subplots(len(found), 2, squeeze=False)
    picture.heading(axes, [f"stage {i + 1}" for i in range(len(found))], ["layer 1", "layer 2: moved by half a window"])
    for row, stage in zip(axes, found, strict=True):
        for axis, layer in zip(row, stage, strict=True):
            _draw(axis, image, layer)
    return figure


def _draw(axes: Axes, image: np.ndarray, layer: np.ndarray) -> None:
    picture.show(axes, image)
    high, wide, down, right = map(int, layer)
    if high < 0:
        axes.set_visible(False)
        return
    for edge in edges(image.shape[0], high, down):
        axes.axhline(edge - 0.5, color="red", linewidth=1)
    for edge in edges(image.shape[1], wide, right):
        axes.axvline(edge - 0.5, color="red", linewidth=1)
