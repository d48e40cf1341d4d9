"""UPerNet on a Swin by the names of transformers: there and back, counters beside it, and what config.json must say."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import models
import weights
from errors import UserError
from models.trunks import Trunk

TRUNK = dict(name="swin", width=8, depths=(1, 1, 2, 1), head_dim=4, window=2, padding="zeros")
SIZES = dict(strides=(4, 8, 16, 32), width=6, norm="frozen")


def drawn(auxiliary=16, **changes):
    model = models.build("upernet", 5, trunk=TRUNK, **SIZES | {"auxiliary": auxiliary} | changes)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32), train=False))
    rng = np.random.default_rng(0)
    leaves = weights.flat(shapes["params"]).items()
    params = {path: rng.normal(size=leaf.shape).astype(np.float32) for path, leaf in leaves}
    return params, {field: getattr(model, field) for field in model.__dataclass_fields__} | {"name": "upernet"}


@pytest.mark.parametrize("auxiliary", [0, 16])
def test_there_and_back_is_the_same_bit_for_bit(tmp_path, auxiliary):
    params, model = drawn(auxiliary)
    weights.write_folder(tmp_path, params, model, list("abcde"))
    path = tmp_path / "model.safetensors"
    names, _ = weights.files.read(path)
    assert names["decode_head.psp_modules.3.1.batch_norm.running_var"].shape == (6,)
    assert names["backbone.hidden_states_norms.stage4.weight"].shape == (64,)
    assert ("auxiliary_head.classifier.weight" in names) == bool(auxiliary)
    counters = {
        "decode_head.bottleneck.batch_norm.num_batches_tracked": np.array(3),
        "backbone.encoder.layers.0.blocks.0.attention.self.relative_position_index": np.zeros((4, 4), int),
        "backbone.layernorm.weight": np.ones(64, np.float32),
    }
    save_file(names | counters, path)
    found = weights.read(tmp_path)
    again = weights.flat(found.params)
    assert again.keys() == params.keys()
    assert all(again[name].tobytes() == x.tobytes() for name, x in params.items())
    assert found.left_out.keys() == counters.keys()
    assert not any("became float32" in note for note in found.notes)
    assert Trunk(**found.model["trunk"]) == model["trunk"]
    assert found.model["auxiliary"] == auxiliary
    assert {key: found.model[key] for key in SIZES} == SIZES
    assert (found.classes, found.channels, found.names) == (5, 3, tuple("abcde"))
    assert found.words.startswith("UPerNet of width 6 on Swin")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"pool_scales": [1, 2]}, r"config.json says pool_scales=\[1, 2\], and only \[1, 2, 3, 6\] can be read"),
        ({"backbone_config": {"model_type": "convnext"}}, "says a backbone of convnext, and only a Swin can be read"),
        ({"backbone_config": {"out_features": ["stage4"]}}, r"says out_features=\['stage4'\], and only"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, changes, line):
    params, model = drawn()
    weights.write_folder(tmp_path, params, model)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=line):
        weights.read(tmp_path)


def test_statistics_that_are_trained_cannot_be_written(tmp_path):
    params, model = drawn(norm="batch")
    with pytest.raises(UserError, match="norm"):
        weights.write_folder(tmp_path / "folder", params, model)
