"""DiT of diffusers, and the code published with it where DIT says that it is checked out: the same weights."""

import importlib.util

import jax
import numpy as np
import pytest
import safetensors.torch

import models
import weights
from tests.parity.compare import TOLERANCE, draw, same

CLASSES, SIDE = 5, 8
TIME, LABEL = np.array([3.0, 981.0], np.float32), np.array([2, CLASSES])  # and no class


def filled(torch, model):
    """The model with random weights, but for what it computes itself."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "pos_embed":
                parameter.copy_(torch.tensor(draw(name, tuple(parameter.shape))))
    return model.eval()


def compare(name, path, channels, theirs):
    """Weights of a file give theirs, (2, channels, SIDE, SIDE). Returns the row for the record."""
    found = weights.read(path)
    assert found.data == {"image_size": SIDE}
    assert found.model["learned_variance"] == (theirs.shape[1] == 2 * channels)
    model = models.build(outputs=found.classes, **found.model)
    call = jax.jit(lambda p, x: model.apply({"params": p}, x, TIME, LABEL, train=False))
    ours = np.asarray(call(found.params, image(channels))).transpose(0, 3, 1, 2)
    error, spread = float(np.abs(ours - theirs).max()), float(theirs.std())
    assert spread > 0.05, "outputs so small that any error would pass"
    assert error < TOLERANCE, f"outputs of spread {spread:.3g} differ by {error:.3g}"
    about = {"read as": f"{found.words}, {found.scheme}", "image": SIDE}
    return {"weights": name, **about, "largest error": error, "spread of outputs": spread}


def image(channels):
    return np.random.default_rng(0).normal(size=(2, SIDE, SIDE, channels)).astype(np.float32)


def settings(found):
    """config.model of the weights, and the grid of their patches."""
    model = models.build(outputs=found.classes, **found.model)
    fields = {field: getattr(model, field) for field in model.__dataclass_fields__}
    return fields | {"name": "dit", "grid": (SIDE // 2,) * 2}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("variance", [False, True])
def test_diffusers(torch, measured, tmp_path, channels, variance):
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: make test-parity")
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=12,
        num_layers=3,
        in_channels=channels,
        out_channels=channels * (1 + variance),
        sample_size=SIDE,
        num_embeds_ada_norm=CLASSES,
    )
    filled(torch, model)
    embedders = [block.norm1.emb for block in model.transformer_blocks]
    for embedder in embedders[1:]:
        embedder.load_state_dict(embedders[0].state_dict())
    model.save_pretrained(tmp_path / "a" / "transformer")
    with torch.no_grad():
        inputs = (torch.tensor(x) for x in (image(channels).transpose(0, 3, 1, 2), TIME, LABEL))
        theirs = model(*inputs).sample.numpy()
    measured.append(compare(f"diffusers DiTTransformer2DModel, {channels} channels", tmp_path / "a", channels, theirs))

    found, file = weights.read(tmp_path / "a"), "transformer/diffusion_pytorch_model.safetensors"
    weights.write_folder(tmp_path / "b", found.params, settings(found), "vwxyz")
    same(weights.files.read(tmp_path / "a" / file)[0], weights.files.read(tmp_path / "b" / file)[0])
    again, told = diffusers.DiTTransformer2DModel.from_pretrained(
        tmp_path / "b", subfolder="transformer", output_loading_info=True
    )
    assert not any(told.values())
    assert {key: again.config[key] for key in again.config if key[0] != "_"} == {
        key: model.config[key] for key in model.config if key[0] != "_"
    }
    pipeline = diffusers.DiTPipeline.from_pretrained(tmp_path / "b", vae=None, scheduler=diffusers.DDIMScheduler())
    assert pipeline.get_label_ids("w") == [1]


@pytest.mark.parametrize("variance", [False, True])
def test_published_code(torch, measured, tmp_path, checkout, variance):
    file = checkout("DIT", "facebookresearch/DiT") / "models.py"
    spec = importlib.util.spec_from_file_location("published_dit", file)
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    size = dict(hidden_size=48, depth=3, num_heads=1, num_classes=CLASSES, input_size=SIDE, in_channels=4)
    model = filled(torch, code.DiT(learn_sigma=variance, **size))
    path, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    safetensors.torch.save_file({name: x.contiguous() for name, x in model.state_dict().items()}, path)
    with torch.no_grad():
        inputs = (torch.tensor(x) for x in (image(4).transpose(0, 3, 1, 2), TIME, LABEL))
        theirs = model(*inputs).numpy()
    measured.append(compare(f"facebookresearch DiT, learn_sigma={variance}", path, 4, theirs))

    found = weights.read(path)
    weights.write(again, found.params, "facebook", settings(found))
    model.load_state_dict(safetensors.torch.load_file(again))
    first, second = (weights.files.read(one)[0] for one in (path, again))
    np.testing.assert_allclose(first.pop("pos_embed"), second.pop("pos_embed"), atol=1e-6)
    same(first, second)
