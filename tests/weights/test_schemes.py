"""Tables of names: complete, the same in both directions, and right about layouts."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import models
import weights
from errors import UserError
from models import paths
from models.sizes import HYBRIDS
from weights import changes, our_resnet, our_vit
from weights.tables import spell

ROOT = Path(__file__).parents[2]
SUFFIX = {"google": ".npz", "timm": ".safetensors", "huggingface": ".safetensors", "nnx": ".safetensors"}
TEXT = ("transformer", "t5")
ANY_IMAGE = ("resnet", "swin")
SWIN = ({}, {"version": "2", "window": 8})
DINOV2 = dict(outputs=0, layer_scale=1.0, position_grid=(3, 3), activation="gelu")
DINOV3 = dict(outputs=0, layer_scale=1.0, positions="rotary", key_bias=False, registers=4, norm_epsilon=1e-5)
FORMS = [
    *[(scheme, {}) for scheme in SUFFIX],
    *[(scheme, {"scan": True}) for scheme in SUFFIX],
    ("google", {"representation": True}),
    ("google", {"head": "gap"}),
    ("timm", {"head": "gap"}),
    ("timm", {"outputs": 0}),
    ("timm", {"head": "distilled"}),
    ("huggingface", {"head": "distilled"}),
    ("huggingface", {"outputs": 0, "representation": True}),
    *[("huggingface", DINOV2 | changes) for changes in ({}, {"registers": 3}, {"activation": "swiglu"})],
    *[("timm", DINOV2 | changes) for changes in ({}, {"registers": 3})],
    *[("huggingface", DINOV3 | changes) for changes in ({}, {"activation": "swiglu"})],
    ("google", {"stem": "cifar", "stem_depths": (2, 1), "stem_width": 8, "patch": 2}),
    ("google", {"stem": "imagenet", "stem_width": 8, "patch": 1}),
    ("google", {"name": "resnet"}),
    ("google", {"name": "resnet", "outputs": 0}),
    ("google", {"name": "resnet", "order": "post", "root": "imagenet"}),
    ("google", {"name": "mixer"}),
    ("google", {"name": "mixer", "outputs": 0}),
    ("huggingface", {"name": "transformer", "outputs": 40}),
    ("huggingface", {"name": "transformer", "outputs": 40, "decoder_depth": 1, "output_bias": False}),
    ("huggingface", {"name": "t5", "outputs": 40}),
    *[(scheme, {"name": "swin"} | version) for scheme in ("timm", "huggingface") for version in SWIN],
    ("huggingface", {"name": "t5", "outputs": 40, "version": "1.1", "decoder_depth": 1, "head_dim": 8}),
]


def same(a, b):
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() and a[name].shape == b[name].shape for name in a)


@pytest.mark.parametrize(("scheme", "settings"), FORMS)
def test_there_and_back_is_the_same_bit_for_bit(drawn, tmp_path, scheme, settings):
    if settings.get("name") not in (*ANY_IMAGE, *TEXT):
        settings = {"activation": "gelu" if "layer_scale" in settings else "gelu_tanh"} | settings
    params, model = drawn(**settings)
    if scheme == "timm" and settings.get("registers"):
        positions = params["positions/embedding"].copy()
        positions[:, 0] = 0.0
        params = params | {"positions/embedding": positions}
    path, again = tmp_path / f"a{SUFFIX[scheme]}", tmp_path / f"b{SUFFIX[scheme]}"
    moves, _ = weights.write(path, params, scheme, model)
    found = weights.read(path)
    same(weights.flat(weights.unstacked(params)), weights.flat(found.params))
    if settings.get("scan"):
        same(params, weights.flat(weights.stacked(found.params)))
    assert found.scheme == scheme
    assert {key: model[key] for key in found.model} == found.model
    text = model["name"] in TEXT
    assert (found.classes, found.channels) == ((0, 0) if text else (settings.get("outputs", 5), 3))
    assert found.image_size == (0 if model["name"] in (*ANY_IMAGE, *TEXT) or model.get("positions") == "rotary" else 12)
    of_tokens = ("embedding/embedding", "logits_bias", "head/kernel")
    assert list(found.vocabulary) == [name for name in of_tokens if text and name in params]
    assert not weights.mismatch(found, params)
    weights.write(again, found.params, scheme, found.model)
    same(weights.files.read(path)[0], weights.files.read(again)[0])
    assert sum(move.arrays for move in moves) == len(weights.files.read(path)[0])
    assert moves == found.moves


def test_schemes_that_have_no_place_for_a_part_say_so(drawn, tmp_path):
    params, model = drawn(representation=True)
    with pytest.raises(UserError, match=r"'pre_logits/bias' and 1 more of this model has no place in a ViT by timm"):
        weights.write(tmp_path / "a.safetensors", params, "timm", model)
    params, model = drawn(positions="sinusoid_2d")
    with pytest.raises(UserError, match="by google needs 'positions/embedding', which this model lacks"):
        weights.write(tmp_path / "a.npz", params, "google", model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("head", ["gap", "token"])
@pytest.mark.parametrize("positions", ["sinusoid_1d", "sinusoid_2d"])
def test_positions_that_are_not_learned_are_written_as_an_array(drawn, tmp_path, head, positions):
    params, model = drawn(head=head, positions=positions)
    _, notes = weights.write(tmp_path / "vit.safetensors", params, "timm", model | {"grid": (3, 3)})
    assert f"config.model.positions={positions!r} became an array, as it is learned there" in notes
    found = weights.read(tmp_path / "vit.safetensors")
    image = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    theirs = models.build(outputs=5, **found.model).apply({"params": found.params}, image, train=False)
    sizes = {name: model[name] for name in ("width", "depth", "mlp_dim", "heads", "patch", "head", "positions")}
    ours = models.build("vit", 5, **sizes).apply({"params": weights.nested(params)}, image, train=False)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_names_of_layers_are_those_of_the_models():
    assert spell(paths.BLOCK_PATTERN, (("block", 7),)) == paths.block(7)
    assert spell(paths.UNIT_PATTERN, (("stage", 1), ("unit", 11))) == paths.unit(1, 11)


def test_a_hybrid_is_named_after_the_vit_within():
    assert all(name.partition("+")[2].partition("/")[0] == size for name, (_, _, size) in HYBRIDS.items())


def test_a_variant_is_told_from_the_shapes_and_heads_from_the_width():
    blocks = {(("block", i),) for i in range(12)}
    sizes = dict(D=384, F=1536, H=6, P=16, E=3, N=197, C=10)
    described = our_vit.describe(sizes, blocks, {"token", "head"})
    assert (described.variant, described.image_size, described.settings["variant"]) == ("S/16", 224, "S/16")
    assert not our_vit.describe(sizes | {"F": 1000}, blocks, {"token"}).variant
    assert our_vit.describe(sizes | {"N": 196}, blocks, {"token"}).image_size is None
    stem = {(("stage", s), ("unit", u)) for s in range(4) for u in range(2)}
    hybrid = our_vit.describe(sizes | dict(P=1, J=3, R=7, W=64, N=50), blocks | stem, {"token", "stem"})
    assert (hybrid.variant, hybrid.image_size, hybrid.channels) == ("R26+S/32", 224, 3)
    units = {(("stage", s), ("unit", u)) for s, depth in enumerate((3, 4, 23, 3)) for u in range(depth)}
    assert our_resnet.describe(dict(R=7, W=192, J=3), units, set()).variant == "R101x3"
    assert [our_vit.heads_of(width) for width in (192, 1280, 1152, 16)] == [3, 16, 18, 1]


def test_each_model_with_published_names_has_configs_that_are_there():
    assert {"vit", "gpt", "bert", "video_mae", "dit"} <= set(weights.MODELS)
    files = {config.split(":")[0] for name in weights.MODELS for config in weights.configs_of(name)}
    assert "configs/gpt2.py" in files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_published_names_of_older_and_of_todays_flax_are_the_same_weights(drawn, tmp_path):
    params, model = drawn()
    weights.write(tmp_path / "a.npz", params, "google", model)
    arrays, _ = weights.files.read(tmp_path / "a.npz")
    new = {
        name.replace("LayerNorm_2", "LayerNorm_1")
        .replace("MlpBlock_3", "MlpBlock_0")
        .replace("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"): array
        for name, array in arrays.items()
    }
    assert new.keys() != arrays.keys()
    np.savez(tmp_path / "new.npz", **new)
    same(weights.flat(weights.read(tmp_path / "new.npz").params), params)


def test_a_linear_layer_is_our_projections():
    """PyTorch's y = x W^T + b, its outputs cut into query, key and value and each into heads."""
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(4, 6)), rng.normal(size=(18, 6)), rng.normal(size=18)
    whole = (x @ w.T + b).reshape(4, 3, 2, 3)  # tokens, three parts, heads, head size
    kernels, biases = changes.QKV.ours(w, 2), changes.QKV_BIAS.ours(b, 2)
    for part, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        np.testing.assert_allclose(np.einsum("td,dhk->thk", x, kernel) + bias, whole[:, part])
    (kernel,), (bias,) = changes.HEADS.ours(w[6:12], 2), changes.HEADS_BIAS.ours(b[6:12], 2)
    np.testing.assert_allclose(np.einsum("td,dhk->thk", x, kernel) + bias, whole[:, 1])
    heads, out = whole[:, 2], rng.normal(size=(5, 6))
    (kernel,) = changes.OUT.ours(out, 2)
    np.testing.assert_allclose(np.einsum("thk,hkd->td", heads, kernel), heads.reshape(4, 6) @ out.T)
    (kernel,) = changes.DENSE.ours(out, 2)
    np.testing.assert_allclose(x @ kernel, x @ out.T)
    window, filters = rng.normal(size=(3, 4, 4)), rng.normal(size=(7, 3, 4, 4))  # (in, h, w), (out, in, h, w)
    (kernel,) = changes.CONVOLUTION.ours(filters, 1)
    expected = np.einsum("ihw,oihw->o", window, filters)
    np.testing.assert_allclose(np.einsum("hwi,hwio->o", window.transpose(1, 2, 0), kernel), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("scheme", ["google", "timm"])
def test_other_precisions_become_float32_and_it_is_said(drawn, tmp_path, scheme, dtype):
    params, model = drawn()
    path = tmp_path / f"a{SUFFIX[scheme]}"
    cast = {name: array.astype(dtype) for name, array in params.items()}
    weights.write(path, cast, scheme, model)
    found = weights.read(path)
    same(weights.flat(found.params), {name: array.astype(np.float32) for name, array in cast.items()})
    assert f"{np.dtype(dtype).name} became float32" in found.notes


def test_what_must_be_set_elsewhere_is_said(drawn, tmp_path):
    params, model = drawn(activation="gelu_tanh", norm_epsilon=1e-6)
    for scheme, keys in {"google": [], "timm": ["activation"], "huggingface": ["activation", "norm_epsilon"]}.items():
        _, notes = weights.write(tmp_path / f"{scheme}{SUFFIX[scheme]}", params, scheme, model)
        assert [note.split(" ")[0] for note in notes] == keys


def test_hugging_faces_config_beside_the_file_is_heeded(drawn, tmp_path):
    params, model = drawn()
    weights.write(tmp_path / "own.safetensors", params, "huggingface", model)
    arrays, _ = weights.files.read(tmp_path / "own.safetensors")
    weights.files.write(tmp_path / "model.safetensors", arrays, {})
    config = '{"num_attention_heads": 4, "hidden_act": "gelu_new", "layer_norm_eps": 0.001, "id2label": %s}'
    labels = '{"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}'
    (tmp_path / "config.json").write_text(config % labels)
    found = weights.read(tmp_path / "model.safetensors")
    assert (found.model["heads"], found.model["activation"], found.model["norm_epsilon"]) == (4, "gelu_tanh", 1e-3)
    assert found.names == ("a", "b", "c", "d", "e")
    assert weights.read(tmp_path / "own.safetensors").model["heads"] == 2
    (tmp_path / "config.json").write_text(config % '{"0": "a"}')
    with pytest.raises(UserError, match=r"has 5 classes, and config.json beside it names 1"):
        weights.read(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"hidden_act": "quick"}')
    with pytest.raises(UserError, match="beside the weights of"):
        weights.read(tmp_path / "model.safetensors")
