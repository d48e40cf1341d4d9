"""preprocessor_config.json of a run: how transformers is to make images ready."""

import json

import pytest

from experiment import config as configs
from weights import preprocessing


def data(name: str, **changes: object) -> dict:
    return configs.load(name, changes).data.to_dict()


def test_a_whole_image_is_resized():
    said = preprocessing.written(data("configs/vit_digits.py", **{"data.interpolation": "bicubic"}))
    assert said["image_processor_type"] == "ViTImageProcessor"
    assert said["size"] == {"height": 8, "width": 8}
    assert said["resample"] == 3
    assert (said["do_rescale"], said["rescale_factor"]) == (True, 1 / 255)
    assert (len(said["image_mean"]), len(said["image_std"])) == (1, 1)


def test_the_middle_square_is_a_crop_of_a_larger_image():
    """Of 224 pixels with a share of 0.875: the shorter side becomes 256, as torchvision's usual recipe has it."""
    changes = {"data.eval_crop": "center", "data.eval_crop_share": 0.875}
    said = preprocessing.written(data("configs/vit_imagenet.py:B/16", **changes))
    assert said["size"] == {"shortest_edge": 256}
    assert (said["do_center_crop"], said["crop_size"]) == (True, {"height": 224, "width": 224})
    assert said["do_convert_rgb"]


@pytest.mark.parametrize("resize", ["fit", "stretch"])
def test_images_with_boxes(resize):
    changes = {"data.resize": resize, "data.image_size": 96, "data.image_width": 128, "data.short_side": 80}
    said = preprocessing.written(data("configs/detr_digits.py", **changes))
    sizes = {"fit": {"shortest_edge": 80, "longest_edge": 128}, "stretch": {"height": 96, "width": 128}}
    assert said["size"] == sizes[resize]
    assert said["image_processor_type"] == "DetrImageProcessor"


def test_others_have_none():
    assert preprocessing.file(data("configs/transformer_dates.py")) == {}
    ((name, content),) = preprocessing.file(data("configs/vit_digits.py")).items()
    assert name == "preprocessor_config.json"
    assert json.loads(content) == preprocessing.written(data("configs/vit_digits.py"))
