"""What is predicted of a set's images: its own label, another of its classes, or what VTAB counts and measures in them
(1910.04867, appendix A; thresholds as in its published code)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.order import Tensor, tensorflow
from data.sources import Example
from errors import UserError, nearest


@dataclass(frozen=True)
class Label:
    """What an example is classified by.

    Attributes:
      classes: names of 0 ... C - 1.
      of: one example's features -> int64.
      needs: the features that `of` reads.
      scale: what makes the values of its image 0 to 255.
    """

    classes: tuple[str, ...]
    of: Callable[[Example], Tensor]
    needs: tuple[str, ...]
    scale: int = 1


def count(example: Example) -> Tensor:
    """CLEVR: three to ten objects."""
    tf = tensorflow()
    return tf.cast(tf.size(example["objects"]["size"]), tf.int64) - 3


def closest_object(example: Example) -> Tensor:
    """CLEVR: the distance of the closest object, from the camera."""
    tf = tensorflow()
    return _between(tf.reduce_min(example["objects"]["pixel_coords"][:, 2]), CLOSEST_OBJECT)


def closest_vehicle(example: Example) -> Tensor:
    """KITTI: the distance of the closest car, van or truck, in metres; the last class is that there is none."""
    tf = tensorflow()
    vehicle = example["objects"]["type"] < 3
    distance = tf.where(vehicle, example["objects"]["location"][:, 2], 1000.0)
    return _between(tf.reduce_min(tf.concat([distance, [1000.0]], axis=0)), CLOSEST_VEHICLE)


def position(example: Example) -> Tensor:
    """dSprites: which sixteenth of the width."""
    return example["label_x_position"] // 2


def orientation(example: Example) -> Tensor:
    """dSprites: which sixteenth of a turn, of forty angles."""
    return example["label_orientation"] * 16 // 40


CLOSEST_OBJECT, CLOSEST_VEHICLE = (8.0, 8.5, 9.0, 9.5, 10.0), (8.0, 20.0, 999.0)
QUESTIONS = {
    "clevr_count": Label(tuple(map(str, range(3, 11))), count, ("objects",)),
    "clevr_distance": Label(tuple(map(str, range(6))), closest_object, ("objects",)),
    "kitti_distance": Label(("near", "middle", "far", "none"), closest_vehicle, ("objects",)),
    "dsprites_position": Label(tuple(map(str, range(16))), position, ("label_x_position",), scale=255),
    "dsprites_orientation": Label(tuple(map(str, range(16))), orientation, ("label_orientation",), scale=255),
}


def find(name: str, features: Mapping[str, Any], what: str) -> Label:  # Any: TFDS has no types
    """The label that config.data.label names, of a set of these TFDS features.

    Raises:
      UserError: it is neither a class of the set nor a question that can be asked of it.
    """
    classes = [key for key, feature in features.items() if hasattr(feature, "names") and feature.names]
    if name in classes:
        return Label(tuple(features[name].names), lambda example: example[name], (name,))
    asked = [question for question in QUESTIONS if question.startswith(f"{what.split('/')[0].split(':')[0]}_")]
    if name in asked:
        return QUESTIONS[name]
    raise UserError(f"config.data.name={what!r} has no label {name!r} to classify: {nearest(name, [*classes, *asked])}")


def _between(value: Tensor, thresholds: Sequence[float]) -> Tensor:
    """How many of the thresholds a value is above: int64."""
    tf = tensorflow()
    return tf.reduce_sum(tf.cast(value > tf.constant(thresholds, value.dtype), tf.int64))
