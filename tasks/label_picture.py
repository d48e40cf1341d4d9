"""Label maps as a person sees them: coloured, beside the image, with a legend; and as COCO's run lengths.

H and W pixels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw, ImageFont

HIGH = 224  # pixels that a picture is at least about as high as
SHARE = 0.7  # of a class's colour in what is laid over an image
ROW, FRAME = 14, 4  # pixels of a line of the legend, and around things
GREY = 0.5  # of what is ignored
UNPAINTED = ("background", "void", "unlabelled", "unlabeled", "ignored")  # names of classes that are no object


def colours(count: int) -> Float[np.ndarray, "count 3"]:
    """Colours that are easy to tell apart, those of neighbours most of all: hues by the golden angle, in three
    lightnesses."""
    number = np.arange(count)
    hue = number * 0.618034 % 1
    value, saturation = np.array([0.95, 0.65, 0.8])[number % 3], np.array([0.75, 0.9, 0.55])[number % 3]
    part = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return value[:, None] * (1 - saturation[:, None] * (1 - np.clip(part, 0, 1)))


def coloured(label: Int[np.ndarray, "H W"], count: int) -> Float[np.ndarray, "H W 3"]:
    """A label map in its classes' colours, grey where it is ignored (−1). count: of classes."""
    return np.concatenate([colours(count), np.full((1, 3), GREY)])[label]


def beside(
    image: Float[np.ndarray, "H W 3"], labels: Sequence[Int[np.ndarray, "H W"]], names: Mapping[int, str], count: int
) -> Float[np.ndarray, "height width 3"]:
    """The image, then each of its label maps laid over it, then a legend. Where a class is called background the image
    is seen as it is.

    Args:
      names: of the classes in the legend, by number.
      count: of classes.
    """
    scale = max(1, HIGH // image.shape[0])
    plain = [number for number, name in names.items() if name.lower() in UNPAINTED]
    maps = []
    for label in labels:
        painted = (1 - SHARE) * image.mean(-1, keepdims=True) + SHARE * coloured(label, count)
        maps.append(np.where(np.isin(label, plain)[..., None], image, painted))
    parts = [part.repeat(scale, 0).repeat(scale, 1) for part in (image, *maps)]
    gap = np.ones((parts[0].shape[0], FRAME, 3))
    whole = np.concatenate([x for part in parts for x in (part, gap)], axis=1)
    key = legend({number: name for number, name in names.items() if number not in plain}, colours(count))
    height = max(len(whole), len(key))
    return np.concatenate([_high(whole, height), _high(key, height)], axis=1)


def legend(names: Mapping[int, str], colours: Float[np.ndarray, "count 3"]) -> Float[np.ndarray, "height width 3"]:
    """A line for each class: its colour and its name."""
    font = ImageFont.load_default()
    widest = max((font.getlength(name) for name in names.values()), default=0)
    picture = Image.new("RGB", (int(widest) + ROW + 3 * FRAME, ROW * len(names) + 2 * FRAME), "white")
    draw = ImageDraw.Draw(picture)
    for line, (number, name) in enumerate(names.items()):
        top = FRAME + line * ROW
        colour = tuple(int(255 * x) for x in colours[number])
        draw.rectangle((FRAME, top + 1, FRAME + ROW - 3, top + ROW - 2), fill=colour, outline="black")
        draw.text((2 * FRAME + ROW, top), name, fill="black", font=font)
    return np.asarray(picture) / 255


def _high(picture: np.ndarray, height: int) -> np.ndarray:
    """Filled up with white below."""
    return np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=1.0)


def run_lengths(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """COCO's uncompressed run lengths: of 0, 1, 0, ... in turn, column by column from the left."""
    flat = np.concatenate([[0], mask.T.reshape(-1).astype(np.int8)])
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], ends, [mask.size]])).tolist()


def bounds(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """The box around a mask as COCO has it: left, top, width and height in pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
