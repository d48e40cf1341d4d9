"""What VTAB asks of sets without a label of their own, on examples written and read as TFDS does."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import vit_finetune
from data import labels
from data.sources import tfds as source
from errors import UserError

COUNT = {
    "clevr_count": 8,
    "clevr_distance": 6,
    "dsprites_position": 16,
    "dsprites_orientation": 16,
    "kitti_distance": 4,
}


def objects(**columns: object) -> dict:
    return {key: np.array(value) for key, value in columns.items()}


def clevr(distances: list[float]) -> dict:
    n = len(distances)
    found = objects(
        **dict.fromkeys(("color", "material", "shape", "size"), np.zeros(n, np.int64)), rotation=np.zeros(n, np.float32)
    )
    found |= {"3d_coords": np.zeros((n, 3), np.float32)}
    found |= {"pixel_coords": np.array([[1, 2, d] for d in distances], np.float32)}
    image = np.zeros((4, 6, 3), np.uint8)
    return {"file_name": "a", "image": image, "objects": found, "question_answer": {"question": [], "answer": []}}


def kitti(types: list[int], distances: list[float]) -> dict:
    n = len(types)
    zero = np.zeros(n, np.float32)
    found = objects(alpha=zero, rotation_y=zero, truncated=zero, occluded=np.zeros(n, np.int64), type=types)
    found |= {"bbox": [tfds.features.BBox(0.0, 0.0, 1.0, 1.0)] * n, "dimensions": np.zeros((n, 3), np.float32)}
    found |= {"location": np.array([[0, 0, d] for d in distances], np.float32).reshape(n, 3)}
    return {"image": np.zeros((4, 6, 3), np.uint8), "image/file_name": "a", "objects": found}


def dsprites(x: int, orientation: int) -> dict:
    values = dict.fromkeys(("orientation", "scale", "shape", "x_position", "y_position"), 0)
    found = {f"label_{key}": 0 for key in values} | {f"value_{key}": 0.0 for key in values}
    image = np.tile(np.array([[0, 1]], np.uint8), (64, 32))[..., None]
    return found | {"label_x_position": x, "label_orientation": orientation, "image": image}


def parsed(name: str, label: str, example: dict, tmp_path) -> dict:
    """The example through a record's bytes and Source.parse, as of a set that is prepared."""
    builder = tfds.builder(name, data_dir=tmp_path, file_format="array_record")
    split = SimpleNamespace(name="train", num_examples=1)
    with (
        mock.patch.object(source, "prepared", return_value=builder),
        mock.patch.object(source, "split_of", return_value=split),
    ):
        read = source.Source(name, "train", memory_limit_mb=0, wanted=("image", "label"), label=label)
    features = builder.info.features
    return read.parse({"record": features.serialize_example(features.encode_example(example))})


@pytest.mark.parametrize(
    ("name", "label", "example", "answer"),
    [
        ("clevr", "clevr_count", clevr([9.0] * 3), 0),
        ("clevr", "clevr_count", clevr([9.0] * 10), 7),
        ("clevr", "clevr_distance", clevr([12.0, 7.0]), 0),
        ("clevr", "clevr_distance", clevr([9.7, 9.2]), 3),
        ("clevr", "clevr_distance", clevr([50.0]), 5),
        ("kitti", "kitti_distance", kitti([0, 3], [7.0, 1.0]), 0),
        ("kitti", "kitti_distance", kitti([3, 2, 1], [1.0, 15.0, 30.0]), 1),
        ("kitti", "kitti_distance", kitti([1], [30.0]), 2),
        ("kitti", "kitti_distance", kitti([3, 4], [1.0, 2.0]), 3),
        ("dsprites", "dsprites_position", dsprites(31, 0), 15),
        ("dsprites", "dsprites_orientation", dsprites(0, 39), 15),
        ("dsprites", "dsprites_orientation", dsprites(0, 4), 1),
        ("dsprites", "label_x_position", dsprites(31, 0), 31),
    ],
)
def test_an_example_is_answered(name, label, example, answer, tmp_path):
    found = parsed(name, label, example, tmp_path)
    assert int(found["label"]) == answer
    if label in COUNT:
        assert answer < len(labels.QUESTIONS[label].classes) == COUNT[label]


def test_the_sprites_become_white(tmp_path):
    assert set(np.unique(parsed("dsprites", "dsprites_position", dsprites(0, 0), tmp_path)["image"])) == {0, 255}


def test_a_label_that_a_set_has_not_is_named_with_those_it_has(tmp_path):
    features = dict(tfds.builder("smallnorb", data_dir=tmp_path).info.features)
    assert len(labels.find("label_azimuth", features, "smallnorb").classes) == 18
    with pytest.raises(UserError, match="'smallnorb' has no label 'azimuth' to classify: did you mean 'label_azimuth'"):
        labels.find("azimuth", features, "smallnorb")
    with pytest.raises(UserError, match="has no label 'clevr_count'"):
        labels.find("clevr_count", features, "smallnorb")


def test_vtab_has_nineteen_tasks_each_of_a_set_and_a_label_that_tfds_has(tmp_path):
    assert len(vit_finetune.VTAB) == 19
    for task, (name, label) in vit_finetune.VTAB.items():
        features = dict(tfds.builder(name, data_dir=tmp_path).info.features)
        assert len(labels.find(label, features, name).classes) > 1, task
        config = vit_finetune.get_config(f"vtab_{task}")
        assert (config.data.name, config.data.label) == (name, label)


@pytest.mark.parametrize(("there", "wanted"), [(1, 3), (3, 1), (3, 3)])
def test_decoded_images_take_the_channels_that_the_model_has(there, wanted):
    from data import images

    pixels = np.full((8, 8, there), 100, np.uint8)
    keys = dict(size=(4, 4), crop="none", crop_share=1.0, interpolation="bilinear", antialias=True)
    view = images.for_evaluation(images.tf.constant(pixels), channels=wanted, **keys).numpy()
    assert view.shape == (4, 4, wanted)
    assert (view == 100).all()
