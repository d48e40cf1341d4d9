"""DiT by the names of its own code and of diffusers: there and back, and what does not fit."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

import models
import weights
from errors import UserError

SIZES = dict(width=16, depth=3, heads=2, patch=2)
IMAGE = np.zeros((1, 6, 6, 3), np.float32)
DIFFUSERS = dict(frequency_shift=1, mlp_norm_epsilon=1e-5)
NAMES = tuple("abcd")


def drawn(image=IMAGE, **settings):
    """Flat parameters of a tiny model, and its config.model."""
    model = models.build("dit", len(NAMES), **SIZES | settings)
    inputs = image, np.zeros(1), np.zeros(1, int)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))["params"]
    rng = np.random.default_rng(0)
    flat = {path: rng.normal(size=leaf.shape).astype(np.float32) for path, leaf in weights.flat(shapes).items()}
    fields = {field: getattr(model, field) for field in model.__dataclass_fields__}
    return flat, fields | {"name": "dit", "grid": (3, 3)}


def same(found, params, model):
    again = weights.flat(found.params)
    assert again.keys() == params.keys()
    assert all(again[name].tobytes() == x.tobytes() for name, x in params.items())
    assert found.model == {key: model[key] for key in found.model}
    assert (found.classes, found.channels, found.side, found.data) == (4, 3, 2, {"image_size": 6})


@pytest.mark.parametrize("variance", [False, True])
def test_there_and_back_is_the_same_bit_for_bit(tmp_path, variance):
    params, model = drawn(learned_variance=variance)
    weights.write(tmp_path / "a.safetensors", params, "facebook", model)
    same(weights.read(tmp_path / "a.safetensors"), params, model)
    assert weights.read(tmp_path / "a.safetensors").model["learned_variance"] == variance
    params, model = drawn(learned_variance=variance, **DIFFUSERS)
    weights.write_folder(tmp_path / "a", params, model, NAMES)
    found = weights.read(tmp_path / "a")
    same(found, params, model)
    assert (found.names, weights.read(tmp_path / "a" / "transformer").names) == (NAMES, NAMES)
    assert len(found.left_out) == 2 * 5  # the embedders of all layers but the first


def test_a_published_size_is_told_by_its_name():
    from weights import our_dit

    sizes = {"D": 1152, "F": 4608, "P": 2, "E": 4, "O": 32, "H": our_dit.heads_of(1152), "C": 1001}
    found = our_dit.describe(sizes, {(("block", 27),)}, set())
    assert found.settings == {"name": "dit", "variant": "XL/2", "learned_variance": True}
    assert found.classes == 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 2}, "config.json says num_layers=2, and the weights beside it have 3"),
        ({"patch_size": 4}, "config.json says patch_size=4, and the weights beside it have 2"),
        ({"activation_fn": "geglu"}, "config.json says activation_fn=geglu, and only gelu-approximate can be read"),
        ({"norm_type": "ada_norm_single"}, "only ada_norm_zero can be read"),
        ({"norm_eps": "small"}, "cannot be used .ValueError"),
        ({"_class_name": "UNet2DModel"}, "is of a model_type='UNet2DModel', which is not known here"),
    ],
)
def test_a_folder_that_does_not_fit_its_config_json_is_one_line(tmp_path, changes, message):
    params, model = drawn(**DIFFUSERS)
    weights.write_folder(tmp_path / "a", params, model, NAMES)
    path = tmp_path / "a" / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(tmp_path / "a", message)


def refused(path, message):
    with pytest.raises(UserError, match=message) as raised:
        weights.read(path)
    assert "\n" not in str(raised.value)


def test_what_follows_from_other_arrays_must_follow(tmp_path):
    params, model = drawn(**DIFFUSERS)
    weights.write_folder(tmp_path / "a", params, model, NAMES)
    path = tmp_path / "a" / "transformer" / "diffusion_pytorch_model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    arrays["transformer_blocks.2.norm1.emb.timestep_embedder.linear_1.bias"] += 1
    safetensors.numpy.save_file(arrays, path)
    refused(tmp_path / "a", r"transformer_blocks\.2\S+ is not that of the first layer, as it is in a DiT")
    params, model = drawn()
    weights.write(tmp_path / "b.safetensors", params, "facebook", model)
    arrays = safetensors.numpy.load_file(tmp_path / "b.safetensors")
    safetensors.numpy.save_file(arrays | {"pos_embed": arrays["pos_embed"][:, ::-1].copy()}, tmp_path / "c.safetensors")
    refused(tmp_path / "c.safetensors", "pos_embed is not the sinusoids of its places, as it is in a DiT")


def test_a_model_that_the_others_cannot_be_is_not_written(tmp_path):
    for settings, grid, message in (
        (DIFFUSERS | {"class_dropout": 0.0}, (3, 3), "class_dropout=0.0 has no place in a DiT by huggingface"),
        ({}, (3, 3), "frequency_shift=0 has no place in a DiT by huggingface, which has 1 always"),
        (DIFFUSERS, (3, 4), "a DiT of diffusers draws squares, and this model 3x4 patches"),
    ):
        params, model = drawn(**settings)
        with pytest.raises(UserError, match=message):
            weights.write_folder(tmp_path / "a", params, model | {"grid": grid})
        assert not (tmp_path / "a").exists()
    params, model = drawn()
    with pytest.raises(UserError, match="a published DiT draws squares"):
        weights.write(tmp_path / "a.safetensors", params, "facebook", model | {"grid": (3, 4)})
