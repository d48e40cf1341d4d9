"""ViViT, TimeSformer and VideoMAE by the names of transformers: there and back, and what config.json must say."""

import json

import jax
import numpy as np
import pytest

import models
import weights
from errors import UserError

SIZES = dict(width=16, depth=2, mlp_dim=24, heads=2, patch=4)
CLIP = np.zeros((1, 4, 12, 12, 3), np.float32)
FORMS = {
    "vivit": dict(name="vivit", tubelet=2),
    "its classifier": dict(name="vivit", tubelet=2, head="gap", positions="sinusoid_1d", key_bias=False),
    "video_mae": dict(name="video_mae", tubelet=2, decoder_depth=1),
    "video_mae without a norm": dict(name="video_mae", tubelet=2, decoder_depth=1, last_norm=False),
    **{attention: dict(name="timesformer", attention=attention) for attention in ("divided", "joint", "space")},
}


def drawn(name, **settings):
    """Flat parameters of a tiny model, and its config.model."""
    outputs = 1 if name == "video_mae" else 5
    model = models.build(name, outputs, **SIZES | settings)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP, train=False))["params"]
    rng = np.random.default_rng(0)
    flat = {path: rng.normal(size=leaf.shape).astype(np.float32) for path, leaf in weights.flat(shapes).items()}
    fields = {field: getattr(model, field) for field in model.__dataclass_fields__}
    return flat, fields | {"name": name, "clip": CLIP.shape[1:]}


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back_is_the_same_bit_for_bit(tmp_path, form):
    params, model = drawn(**FORMS[form])
    weights.write_folder(tmp_path / "a", params, model, () if "mae" in form else tuple("abcde"))
    found = weights.read(tmp_path / "a")
    again = weights.flat(found.params)
    assert again.keys() == params.keys()
    assert all(again[name].tobytes() == x.tobytes() for name, x in params.items())
    same = found.model.keys() - {"decoder_width", "decoder_heads"}
    assert {key: model[key] for key in same} == {key: found.model[key] for key in same}
    assert found.data == {"frames": 4, "image_size": 12}
    assert (found.classes, found.channels) == (0 if "mae" in form else 5, 3)
    if "mae" in form:
        assert (found.model["decoder_width"], found.model["decoder_heads"]) == (8, 1)
    else:
        assert found.names == tuple("abcde")
    rebuilt = models.build(outputs=1 if "mae" in form else 5, **found.model)
    shapes = jax.eval_shape(lambda: rebuilt.init(jax.random.key(0), CLIP, train=False))["params"]
    assert {name: x.shape for name, x in weights.flat(shapes).items()} == {n: x.shape for n, x in params.items()}


@pytest.mark.parametrize(
    ("form", "changes", "message"),
    [
        ("vivit", {"qkv_bias": False}, "config.json says qkv_bias=False, and only True can be read"),
        ("vivit", {"hidden_size": 32}, "config.json says hidden_size=32, and the weights beside it have 16"),
        ("divided", {"num_frames": 8}, "config.json says num_frames=8, and the weights beside it have 4"),
        (
            "divided",
            {"model_type": "vivit"},
            "is of a model_type='vivit', and the weights beside it have the names of a",
        ),
        ("video_mae", {"decoder_num_attention_heads": 2}, "only half the encoder's 2 can be read"),
        ("video_mae", {"hidden_act": "swish2"}, "cannot be used .KeyError"),
    ],
)
def test_what_config_json_says_otherwise_is_one_line(tmp_path, form, changes, message):
    params, model = drawn(**FORMS[form])
    weights.write_folder(tmp_path / "a", params, model)
    path = tmp_path / "a" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=message) as raised:
        weights.read(tmp_path / "a")
    assert "\n" not in str(raised.value)


def test_what_has_no_published_form_is_one_line(tmp_path):
    for settings, message in (
        (dict(name="vivit", tubelet=2, attention="factorised", temporal_depth=1), "has no place in"),
        (dict(name="vivit", tubelet=2, head="gap"), "has no place in"),
    ):
        params, model = drawn(**settings)
        with pytest.raises(UserError, match=message):
            weights.write_folder(tmp_path / "a", params, model)
