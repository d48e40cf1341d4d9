"""What training images go through, as config keys."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveInt

from lookup import Probability, Rate

Share = Annotated[float, Interval(gt=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What training images go through. See data/images.py and data/augment.py.

    Attributes:
      crop: "random" takes a random rectangle of each image (1409.4842), "none" all of it.
      crop_min_area: the least share of the image that a random crop has.
      flip: mirror half of the images left to right.
      rotate: by up to so many degrees either way.
      zoom: by a factor between 1 - zoom and 1 + zoom.
      shear: x moves by up to so much of y.
      shift: by up to so much of the side either way.
      randaugment_layers: operations of RandAugment (1909.13719) an image; 0 turns it off.
      randaugment_magnitude: of these operations, up to 10 in the paper.
      mixup: alpha of the Beta distribution of a mixture's share (1710.09412); 0 turns it off.
      cutmix: the same of a pasted rectangle's area (1905.04899); with both, each image takes either with even chance.
      erase: chance that a rectangle of an image is replaced by noise (1708.04896).
      repeats: views of each image in a batch (1902.05509); an epoch has as many views as before, of fewer images.
    """

    crop: Literal["random", "none"] = "none"
    crop_min_area: Share = 0.05
    flip: bool = False
    rotate: Annotated[float, Interval(ge=0, le=180)] = 0.0
    zoom: Rate = 0.0
    shear: NonNegativeFloat = 0.0
    shift: Probability = 0.0
    randaugment_layers: Annotated[int, Interval(ge=0, le=100)] = 0
    randaugment_magnitude: Annotated[float, Interval(ge=0, le=30)] = 10.0
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    erase: Probability = 0.0
    repeats: PositiveInt = 1

    @property
    def warps(self) -> bool:
        """Whether images are rotated, zoomed, sheared or shifted."""
        return bool(self.rotate or self.zoom or self.shear or self.shift)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with their neighbours."""
        return bool(self.mixup or self.cutmix)
