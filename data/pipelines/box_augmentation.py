"""What training images go through together with their boxes, as config keys."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from errors import UserError
from lookup import Probability

AREA = 1e-8  # of a box, as a share of the image, from which it has one
Factor = Annotated[float, Interval(ge=0.1, le=10)]


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What training images and their boxes go through, each from one draw.

    Attributes:
      flip: mirror half of the images left to right.
      flip_vertical: mirror half of them upside down (cells and aerial views have no upside).
      scale: the least and the largest factor by which an image is resized beyond what fits: of what is then larger than
        the canvas a random part is cut out (2112.07917, section 4).
      aspect: the width changes by up to this factor against the height.
      least_seen: of a box that is cut, the share of its area that must be left, or it is no box any more.
      brightness, contrast, saturation: by a factor between 1 - x and 1 + x, of colours; hue: turned by up to so much of
        the circle of colours, either way. The latter two of images in colour.
    """

    flip: bool = False
    flip_vertical: bool = False
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    aspect: Annotated[float, Interval(ge=1, le=4)] = 1.0
    least_seen: Probability = 0.3
    brightness: Annotated[float, Interval(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Interval(ge=0, le=1)] = 0.0
    saturation: Annotated[float, Interval(ge=0, le=1)] = 0.0
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.0

    def __post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise UserError(f"config.data.augment.scale={self.scale} should be the least factor, then the largest.")
