"""How the views of an image differ, as config keys."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveInt

from data.pipelines.augmentation import Share
from errors import UserError
from lookup import Probability

Span = tuple[Share, Share]


@dataclass(frozen=True, kw_only=True)
class Views:
    """Two global crops and several local ones, each changed by itself; the defaults are the paper's. See
    data/multi_crop.py.

    Attributes:
      global_area: least and largest share of the image that a global crop has.
      local_area: the same of a local crop.
      locals: local crops of an image; 0 for none.
      local_size: their side in pixels, after they were resized.
      flip: the chance that a view is mirrored left to right.
      jitter: the chance that brightness, contrast, saturation and hue of a view are changed.
      brightness: by a factor between 1 - brightness and 1 + brightness.
      contrast: the same of differences from the mean.
      saturation: the same of differences from grey, of images in colour.
      hue: by up to so much of the circle of colours, either way.
      grey: the chance that a view in colour becomes grey.
      blur: chances that the first global view, the second, and a local one are blurred.
      blur_width: least and largest deviation of that filter, in pixels.
      solarise: the chance that what is brighter than half is inverted in the second global view.
    """

    global_area: Span = (0.4, 1.0)
    local_area: Span = (0.05, 0.4)
    locals: Annotated[int, Interval(ge=0, le=64)] = 8
    local_size: PositiveInt = 96
    flip: Probability = 0.5
    jitter: Probability = 0.8
    brightness: Probability = 0.4
    contrast: Probability = 0.4
    saturation: Probability = 0.2
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    grey: Probability = 0.2
    blur: tuple[Probability, Probability, Probability] = (1.0, 0.1, 0.5)
    blur_width: tuple[NonNegativeFloat, NonNegativeFloat] = (0.1, 2.0)
    solarise: Probability = 0.2

    def check(self, size: tuple[int, ...]) -> None:
        """That the crops fit images of this height and width.

        Raises:
          UserError: they do not, or a range is empty.
        """
        if self.locals and self.local_size > min(size[:2]):
            raise UserError(
                f"config.data.views.local_size={self.local_size} is larger than the images, {size[0]}x{size[1]} "
                "(config.data.image_size): local crops are smaller than global ones, about half as wide."
            )
        for name in ("global_area", "local_area", "blur_width"):
            least, largest = getattr(self, name)
            if least > largest:
                raise UserError(f"config.data.views.{name}={(least, largest)} should be the least and the largest.")
