"""The published code: vision_transformer, big_vision and big_transfer of github.com/google-research."""

import importlib
from types import SimpleNamespace

import flax
import jax
import numpy as np
import pytest

from tests.parity.compare import CLASSES, compare, draw, images

TINY = dict(num_layers=12, mlp_dim=768, num_heads=3, dropout_rate=0.0, attention_dropout_rate=0.0)


@pytest.fixture
def vit_jax(checkout, monkeypatch):
    """vit_jax(module): one of the published modules."""
    monkeypatch.syspath_prepend(checkout("VISION_TRANSFORMER", "google-research/vision_transformer"))
    return lambda module: importlib.import_module(f"vit_jax.{module}")


def theirs_and_file(model, image, path, published=lambda name: name, output=lambda out: out):
    """Outputs of their model with weights drawn, and a .npz of them with the names and shapes that were published."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    flat = {name: draw(name, leaf.shape) for name, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items()}
    params = flax.traverse_util.unflatten_dict(flat, sep="/")
    np.savez(path, **{published(name): published_norms(name, array) for name, array in flat.items()})
    return np.asarray(jax.jit(lambda p, x: output(model.apply({"params": p}, x, train=False)))(params, image))


def old_names(name: str) -> str:
    """What today's flax calls the modules of a block -> the published files' names."""
    for new, old in (
        ("LayerNorm_1", "LayerNorm_2"),
        ("MultiHeadDotProductAttention_0", "MultiHeadDotProductAttention_1"),
        ("MlpBlock_0", "MlpBlock_3"),
    ):
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (224, {}),
        (384, {}),
        (160, {"representation_size": 192}),
        (160, {"classifier": "gap"}),
    ],
)
def test_vit(vit_jax, measured, tmp_path, size, options):
    arguments = dict(hidden_size=192, transformer=TINY, patches=SimpleNamespace(size=(16, 16)), num_classes=CLASSES)
    model = vit_jax("models_vit").VisionTransformer(**arguments, **options)
    image, path = images(size), tmp_path / "published.npz"
    theirs = theirs_and_file(model, image, path, old_names)
    measured.append(compare(f"vision_transformer ViT-Ti/16 {options or ''}".strip(), path, image, theirs, scan=True))


def published_norms(name: str, array: np.ndarray) -> np.ndarray:
    """GroupNorm's parameters were published with the axes of an image before the channels."""
    norm = f"/{name}".split("/")[-2].startswith("gn")
    return array.reshape(1, 1, 1, -1) if norm else array


@pytest.mark.parametrize(
    ("name", "size", "depths", "patch", "options"),
    [
        ("R26+ViT", 224, (2, 2, 2, 2), 1, {}),
        ("R26+ViT", 384, (2, 2, 2, 2), 1, {}),
        ("R50+ViT", 160, (3, 4, 9), 1, {"representation_size": 192}),
        ("R+ViT-Ti/16", 224, (), 8, {}),
    ],
)
def test_hybrids(vit_jax, measured, tmp_path, name, size, depths, patch, options):
    resnet = SimpleNamespace(num_layers=depths, width_factor=1)
    arguments = dict(
        hidden_size=192, transformer=TINY, patches=SimpleNamespace(size=(patch, patch)), num_classes=CLASSES
    )
    model = vit_jax("models_vit").VisionTransformer(**arguments, resnet=resnet, **options)
    image, path = images(size), tmp_path / "published.npz"
    theirs = theirs_and_file(model, image, path, old_names)
    measured.append(compare(f"vision_transformer {name}, 192 wide", path, image, theirs, scan=True))


@pytest.mark.parametrize(("size", "patch"), [(224, 32), (384, 32)])
def test_mixer(vit_jax, measured, tmp_path, size, patch):
    pytest.importorskip("einops", reason="einops is not installed: make test-parity")
    model = vit_jax("models_mixer").MlpMixer(
        patches=SimpleNamespace(size=(patch, patch)),
        num_classes=CLASSES,
        num_blocks=8,
        hidden_dim=512,
        tokens_mlp_dim=256,
        channels_mlp_dim=2048,
    )
    image, path = images(size), tmp_path / "published.npz"
    theirs = theirs_and_file(model, image, path)
    measured.append(compare("vision_transformer Mixer-S/32", path, image, theirs))


@pytest.mark.parametrize("size", [224, 288])
def test_resnet(checkout, monkeypatch, measured, tmp_path, size):
    """big_vision's, the one whole ResNet of the JAX code: norms after the convolutions."""
    monkeypatch.syspath_prepend(checkout("BIG_VISION", "google-research/big_vision"))
    bit = pytest.importorskip(
        "big_vision.models.bit", reason="what big_vision imports is not installed", exc_type=ImportError
    )
    model = bit.Model(CLASSES, width=1, depth=50)
    image, path = images(size), tmp_path / "published.npz"
    theirs = theirs_and_file(model, image, path, output=lambda out: out[0])
    measured.append(compare("big_vision ResNet-50", path, image, theirs))


@pytest.mark.parametrize(
    ("size", "units", "factor"), [(224, (3, 4, 6, 3), 1), (320, (3, 4, 6, 3), 1), (128, (3, 4, 6, 3), 3)]
)
def test_bit(torch, checkout, monkeypatch, measured, tmp_path, size, units, factor):
    """Google's own PyTorch port of BiT, which reads the published .npz files; the JAX code of big_transfer is for a
    flax that is no more."""
    monkeypatch.syspath_prepend(checkout("BIG_TRANSFER", "google-research/big_transfer"))
    model = importlib.import_module("bit_pytorch.models").ResNetV2(units, factor, head_size=CLASSES)
    arrays = dict(bit_arrays(model))
    model.load_from(arrays)
    image, path = images(size), tmp_path / "published.npz"
    np.savez(path, **arrays)
    with torch.no_grad():
        theirs = model.eval()(torch.from_numpy(image.transpose(0, 3, 1, 2).copy())).numpy()
    measured.append(compare(f"big_transfer BiT-R50x{factor}", path, image, theirs))


def bit_arrays(model):
    """Random weights for Google's port by the names and shapes of the published files."""
    kernel = "standardized_conv2d/kernel"

    def conv(name, layer):
        out, into, height, width = layer.weight.shape
        return name, draw(name, (height, width, into, out))

    def norm(name, layer):
        return [(f"{name}/{leaf}", draw(f"{name}/{leaf}", tuple(layer.weight.shape))) for leaf in ("gamma", "beta")]

    yield conv(f"resnet/root_block/{kernel}", model.root.conv)
    for block_name, block in model.body.named_children():
        for unit_name, unit in block.named_children():
            prefix = f"resnet/{block_name}/{unit_name}"
            for letter, number in zip("abc", "123", strict=True):
                yield conv(f"{prefix}/{letter}/{kernel}", getattr(unit, f"conv{number}"))
                yield from norm(f"{prefix}/{letter}/group_norm", getattr(unit, f"gn{number}"))
            if hasattr(unit, "downsample"):
                yield conv(f"{prefix}/a/proj/{kernel}", unit.downsample)
    yield from norm("resnet/group_norm", model.head.gn)
    yield conv("resnet/head/conv2d/kernel", model.head.conv)
    yield "resnet/head/conv2d/bias", draw("resnet/head/conv2d/bias", (CLASSES,))
