"""The published JAX code: github.com/google-research/vision_transformer, and big_transfer's PyTorch port of BiT."""

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
    monkeypatch.syspath_prepend(checkout("VISION_TRANSFORMER", "vision_transformer"))
    return lambda module: importlib.import_module(f"vit_jax.{module}")


def theirs_and_file(model, image, path, published=lambda name: name):
    """Outputs of their model with weights drawn, and a .npz of them with the names and shapes that were published."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    flat = {name: draw(name, leaf.shape) for name, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items()}
    params = flax.traverse_util.unflatten_dict(flat, sep="/")
    np.savez(path, **{published(name): array for name, array in flat.items()})
    return np.asarray(jax.jit(lambda p, x: model.apply({"params": p}, x, train=False))(params, image))


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
