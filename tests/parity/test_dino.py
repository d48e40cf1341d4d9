"""DINOv2, DINOv3 and MAE's encoder: transformers' and timm's, the same weights."""

import numpy as np
import pytest

import models
import weights
from tests.parity.compare import TOLERANCE, compare, images
from tests.parity.test_torch import filled, outputs

SMALL = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Dinov2", {"patch_size": 14, "image_size": 70}),
        ("Dinov2", {"patch_size": 14, "image_size": 70, "use_swiglu_ffn": True}),
        ("Dinov2WithRegisters", {"patch_size": 14, "image_size": 70}),
        ("DINOv3ViT", {"intermediate_size": 96, "image_size": 80, "num_register_tokens": 4}),
        ("DINOv3ViT", {"intermediate_size": 96, "image_size": 80, "use_gated_mlp": True, "hidden_act": "silu"}),
        ("ViTMAE", {"intermediate_size": 96, "image_size": 80, "mask_ratio": 0.0}),
    ],
)
def test_transformers(torch, measured, tmp_path, kind, options):
    import transformers

    transformers.logging.disable_progress_bar()
    config = getattr(transformers, f"{kind}Config")(**SMALL, **options)
    make = getattr(transformers, f"{kind}{'ForPreTraining' if kind == 'ViTMAE' else 'Model'}")
    model, image = filled(torch, make(config)), images(options["image_size"])
    model.save_pretrained(tmp_path)
    encoder = getattr(model, "vit", model)
    theirs = outputs(torch, encoder, image).last_hidden_state[:, 0].numpy()
    path = tmp_path / "model.safetensors"
    if kind == "ViTMAE":  # whose decoder is left out
        found = weights.read(tmp_path)
        ours = models.build(outputs=0, **found.model).apply({"params": found.params}, image, train=False)
        assert np.abs(np.asarray(ours) - theirs).max() < TOLERANCE
        assert all(name.startswith("decoder.") for name in found.left_out)
        return
    measured.append(compare(f"transformers {kind} {options}", path, image, theirs))
    other = images(options["image_size"] + 2 * config.patch_size)  # positions of another grid
    theirs = outputs(torch, model, other).last_hidden_state[:, 0].numpy()
    found = weights.read(tmp_path)
    ours = models.build(outputs=0, **found.model).apply({"params": found.params}, other, train=False)
    assert np.abs(np.asarray(ours) - theirs).max() < TOLERANCE
    weights.write_folder(tmp_path / "again", found.params, found.model | {"grid": found.grid})
    again, told = make.from_pretrained(tmp_path / "again", output_loading_info=True)
    missing = {name for names in told.values() for name in names}
    assert all("mask_token" in str(name) for name in missing)
    np.testing.assert_allclose(
        outputs(torch, again.eval(), image).last_hidden_state.numpy(),
        outputs(torch, model, image).last_hidden_state.numpy(),
        atol=1e-5,
    )


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"])
def test_timm(torch, measured, tmp_path, name):
    import timm
    from safetensors.torch import load_file, save_file

    make = lambda: timm.create_model(name, img_size=70, depth=2)  # noqa: E731
    model, path, image = filled(torch, make()), tmp_path / "model.safetensors", images(70)
    save_file(model.state_dict(), path)
    measured.append(compare(f"timm {name}", path, image, outputs(torch, model, image).numpy()))
    make().load_state_dict(load_file(tmp_path / "again.safetensors"))
