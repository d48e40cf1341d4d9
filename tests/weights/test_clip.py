"""CLIP and SigLIP by each scheme's names, there and back; big_vision's ViT and stacked layers; a folder and its run."""

import json

import jax
import numpy as np
import pytest

import models
import weights
from errors import UserError
from weights import beside, clip_names, transplant

V, LENGTH = 11, 5
TINY = dict(
    width=24, depth=2, mlp_dim=20, heads=2, text_width=36, text_depth=1, text_mlp_dim=28, text_heads=3, patch=4,
    max_length=LENGTH,
)  # fmt: skip
HEAD = 12  # the size of a head in both towers
FORMS = {
    "clip": dict(embedding=10),
    "siglip": dict(embedding=24, form="siglip", activation="gelu_tanh", norm_epsilon=1e-6),
}
SCHEMES = [("huggingface", "clip"), ("huggingface", "siglip"), ("open_clip", "clip"), ("google", "siglip")]


def drawn(form, **settings):
    model = models.build("clip", V, **TINY | FORMS[form] | settings)
    image, tokens = np.zeros((1, 12, 12, 3), np.float32), np.ones((1, LENGTH), np.int32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, tokens, train=False))["params"]
    rng = np.random.default_rng(0)
    flat = {path: np.asarray(rng.normal(size=x.shape), np.float32) for path, x in weights.flat(shapes).items()}
    fields = {field: getattr(model, field) for field in model.__dataclass_fields__}
    return flat, fields | {"name": "clip", "grid": (3, 3)}


def same(a, b):
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert (array.shape, array.tobytes()) == (b[name].shape, b[name].tobytes()), name


@pytest.mark.parametrize(("scheme", "form"), SCHEMES)
@pytest.mark.parametrize("scan", [False, True])
def test_there_and_back_is_the_same_bit_for_bit(tmp_path, scheme, form, scan):
    params, model = drawn(form, scan=scan)
    path = tmp_path / ("a.npz" if scheme == "google" else "a.safetensors")
    moves, notes = weights.write(path, params, scheme, model)
    assert notes == []
    found = weights.read(path, heads=HEAD)
    same(weights.flat(weights.unstacked(params)), weights.flat(found.params))
    assert found.scheme == scheme
    assert {key: model[key] for key in found.model} == found.model
    assert (found.classes, found.channels, found.image_size, found.side) == (0, 3, 12, 4)
    assert found.vocabulary == {"text/embedding/embedding": 0}
    assert sum(move.arrays for move in moves) == len(weights.files.read(path)[0])
    assert weights.default_config(path) == f"configs/clip_coco.py:{ {'clip': 'B/32', 'siglip': 'siglip+B/16'}[form] }"


@pytest.mark.parametrize(("scheme", "form"), SCHEMES)
def test_a_scale_beyond_its_end_is_written_as_it_counts(tmp_path, scheme, form):
    params, model = drawn(form)
    path = tmp_path / ("a.npz" if scheme == "google" else "a.safetensors")
    weights.write(path, params | {"scale": np.asarray(9.0, np.float32)}, scheme, model)
    scale = weights.flat(weights.read(path, heads=HEAD).params)["scale"]
    assert scale == pytest.approx(np.log(100) if form == "clip" else 9.0)


def test_a_file_of_ours_says_itself_how_large_a_head_is(tmp_path):
    params, model = drawn("clip", activation="gelu")
    _, notes = weights.write(tmp_path / "a.safetensors", params, "open_clip", model)
    assert notes == [
        "activation is gelu here and usually gelu_quick there: open_clip.create_model(..., force_quick_gelu=True), or "
        "False for gelu"
    ]
    found = weights.read(tmp_path / "a.safetensors")
    assert (found.model["heads"], found.model["text_heads"], found.model["activation"]) == (2, 3, "gelu")


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_says_what_its_model_is_given(tmp_path, form):
    params, model = drawn(form)
    weights.write_folder(tmp_path / "folder", params, model | {"special": {"eos_token_id": 7, "decoder_start": 1}})
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert (config["model_type"], config["text_config"]["eos_token_id"]) == (form, 7)
    assert config["vision_config"]["image_size"] == 12
    found = weights.read(tmp_path / "folder")
    same(params, weights.flat(found.params))
    assert (found.data["max_length"], found.data["begin"]) == (LENGTH, form == "clip")


def test_a_config_json_may_leave_out_what_is_usual():
    found = clip_names.CLIP.read({"text_config": {"hidden_size": 512}, "vision_config": None})
    assert (found.heads, found.settings["activation"], found.data["max_length"]) == (64, "gelu_quick", 77)


@pytest.mark.parametrize(
    ("form", "changes", "message"),
    [
        ("clip", {"num_attention_heads": 4}, "heads of .64, 128. numbers in its two towers"),
        ("siglip", {"hidden_act": "gelu"}, "two towers of different hidden_act or layer_norm_eps"),
        ("clip", {"hidden_act": "tanh"}, "KeyError|cannot be used"),
    ],
)
def test_towers_that_cannot_be_read(form, changes, message):
    kind = beside.KINDS[form]
    both = changes if "tanh" in changes.values() else {}
    with pytest.raises((UserError, KeyError), match=message if not both else "tanh"):
        kind.read({"text_config": changes, "vision_config": both})


def test_layers_that_are_stacked_are_read_one_by_one(tmp_path):
    params, model = drawn("siglip")
    weights.write(tmp_path / "a.npz", params, "google", model)
    arrays, _ = weights.files.read(tmp_path / "a.npz")
    layers = {name: array for name, array in arrays.items() if "img/Transformer/encoderblock_" in name}
    stacked = {name: array for name, array in arrays.items() if name not in layers}
    for name in (name for name in layers if "encoderblock_0" in name):
        both = [layers[name.replace("block_0", f"block_{i}")] for i in range(2)]
        stacked[name.replace("encoderblock_0", "encoderblock")] = np.stack(both)
    np.savez(tmp_path / "b.npz", **{f"params/{name}": array for name, array in stacked.items()})
    same(weights.flat(weights.read(tmp_path / "b.npz").params), params)


@pytest.mark.parametrize("head", ["map", "gap", "token"])
def test_big_visions_vit(tmp_path, head):
    model = models.build("vit", 5, width=16, depth=2, mlp_dim=24, heads=2, patch=4, head=head, activation="gelu_tanh")
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 12, 12, 3), np.float32), train=False))
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=x.shape).astype(np.float32) for name, x in weights.flat(shapes["params"]).items()}
    if head == "token":
        params["positions/embedding"][:, 0] = 0
    fields = {field: getattr(model, field) for field in model.__dataclass_fields__} | {"name": "vit"}
    weights.write(tmp_path / "a.npz", params, "google", fields)
    arrays, _ = weights.files.read(tmp_path / "a.npz")
    theirs = {}
    for name, array in arrays.items():
        for old, new in (("LayerNorm_2", "LayerNorm_1"), ("MlpBlock_3", "MlpBlock_0"), ("Attention_1", "Attention_0")):
            name = name.replace(old, new)
        if name.endswith("pos_embedding"):
            name, array = "pos_embedding", array[:, 1:] if head == "token" else array
        theirs[name] = array
    np.savez(tmp_path / "b.npz", **theirs)
    found = weights.read(tmp_path / "b.npz")
    assert (found.model["head"], found.image_size) == (head, 12)
    same(params, weights.flat(found.params))
    weights.write(tmp_path / "c.npz", found.params, "google", found.model)
    assert not weights.mismatch(weights.read(tmp_path / "c.npz"), params)


def test_positions_are_resized_to_other_images():
    params, _ = drawn("clip")
    shapes = {name: x.shape for name, x in params.items()} | {"image/positions/embedding": (1, 1 + 25, 24)}
    taken, line = transplant.fit(params, shapes, (None, (5, 5)), "there")
    table = taken["image/positions/embedding"]
    np.testing.assert_array_equal(table[:, 0], params["image/positions/embedding"][:, 0])
    whole = params["image/positions/embedding"][0, 1:].reshape(3, 3, -1)
    np.testing.assert_allclose(table[0, 1:].reshape(5, 5, -1)[::4, ::4], whole[::2, ::2], atol=1e-6)
    assert "image/positions/embedding resized from 3x3 patches to 5x5 patches" in line
    same({"text/positions": taken["text/positions"]}, {"text/positions": params["text/positions"]})
