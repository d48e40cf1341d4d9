"""DETR by the names of transformers: there and back, and what config.json must say."""

import jax
import numpy as np
import pytest

import models
import weights
from errors import UserError
from models.trunks import Trunk
from weights import detr_names

SIZES = dict(strides=(8,), width=16, encoder_depth=1, decoder_depth=2, heads=8, mlp_dim=8, queries=3)
TRUNK = dict(width=4, depths=(1, 2), bottleneck=True, norm="frozen")


def drawn(trunk=TRUNK):
    model = models.build("detr", 5, trunk=trunk, **SIZES)
    inputs = np.zeros((1, 16, 16, 3), np.float32), np.ones((1, 2), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))["params"]
    rng = np.random.default_rng(0)
    flat = {path: rng.normal(size=leaf.shape).astype(np.float32) for path, leaf in weights.flat(shapes).items()}
    return flat, {field: getattr(model, field) for field in model.__dataclass_fields__} | {"name": "detr"}


def test_there_and_back_is_the_same_bit_for_bit(tmp_path):
    params, model = drawn()
    weights.write(tmp_path / "a.safetensors", params, "huggingface", model)
    found = weights.read(tmp_path / "a.safetensors")
    again = weights.flat(found.params)
    assert again.keys() == params.keys()
    assert all(again[name].tobytes() == x.tobytes() for name, x in params.items())
    assert Trunk(**found.model["trunk"]) == model["trunk"]
    assert {key: model[key] for key in SIZES} == {key: found.model[key] for key in SIZES}
    assert (found.classes, found.channels, found.scheme) == (5, 3, "huggingface")
    names = weights.files.read(tmp_path / "a.safetensors")[0]
    assert "model.backbone.conv_encoder.model.layer2.0.downsample.1.running_var" in names
    assert names["model.input_projection.weight"].shape == (16, 32, 1, 1)
    (tmp_path / "config.json").write_text('{"model_type": "detr", "dilation": true}')
    with pytest.raises(UserError, match=r"config.json says dilation=True, and only False can be read"):
        weights.read(tmp_path / "a.safetensors")


def test_a_folder_needs_a_resnet_of_a_published_size(tmp_path):
    params, model = drawn()
    with pytest.raises(UserError, match="whose ResNet has a published size"):
        weights.write_folder(tmp_path / "folder", params, model)
    letters = dict.fromkeys((*detr_names.SIZES.values(), "H"), 1)
    written = detr_names.CONFIG.write(model | {"trunk": Trunk(variant="50")}, ["cat"], letters)
    assert (written["backbone"], written["id2label"], written["model_type"]) == ("resnet50", {"0": "cat"}, "detr")
