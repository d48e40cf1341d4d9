"""ViViT, TimeSformer and VideoMAE of transformers, the same weights."""

import jax
import numpy as np
import pytest

import models
import weights
from tests.parity.compare import CLASSES, TOLERANCE, compare, same
from tests.parity.test_torch import filled

SMALL = dict(
    hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=32, num_labels=CLASSES
)
DECODER = dict(
    decoder_hidden_size=24, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=96
)
CLIP = np.random.default_rng(0).normal(size=(2, 4, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Vivit", {"tubelet_size": [2, 8, 8]}),
        ("Vivit", {"tubelet_size": [2, 8, 8], "hidden_act": "gelu", "layer_norm_eps": 1e-5}),
        ("Timesformer", {"patch_size": 8}),
        ("Timesformer", {"patch_size": 8, "attention_type": "joint_space_time"}),
        ("Timesformer", {"patch_size": 8, "attention_type": "space_only", "num_frames": 1}),
        ("VideoMAE", {"patch_size": 8}),
    ],
)
def test_classifiers(torch, measured, tmp_path, kind, options):
    import transformers

    transformers.logging.disable_progress_bar()
    config = getattr(transformers, f"{kind}Config")(**SMALL | {"num_frames": 4} | options)
    make = getattr(transformers, f"{kind}ForVideoClassification")
    model, clip = filled(torch, make(config)), CLIP[:, : config.num_frames]
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        theirs = model(torch.tensor(clip.transpose(0, 1, 4, 2, 3))).logits.numpy()
    path = tmp_path / "model.safetensors"
    measured.append(compare(f"transformers {make.__name__} {options}", path, clip, theirs))
    (tmp_path / "again.safetensors").rename(path)
    again, told = make.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("mean_pooling", [True, False])
def test_pretraining(torch, measured, tmp_path, mean_pooling):
    import transformers

    transformers.logging.disable_progress_bar()
    config = transformers.VideoMAEConfig(**SMALL | DECODER, num_frames=4, patch_size=8, use_mean_pooling=mean_pooling)
    theirs = filled(torch, transformers.VideoMAEForPreTraining(config))
    theirs.save_pretrained(tmp_path)
    found = weights.read(tmp_path)
    model = models.build(outputs=1, **found.model)
    assert model.last_norm != mean_pooling
    drawn, hidden = jax.jit(lambda p: model.apply({"params": p}, CLIP, np.arange(2), train=False))(found.params)
    hidden = np.asarray(hidden).reshape(2, -1)
    with torch.no_grad():
        output = theirs(torch.tensor(CLIP.transpose(0, 1, 4, 2, 3)), bool_masked_pos=torch.tensor(hidden)).logits
    mine = np.asarray(drawn)[hidden].reshape(output.shape)
    error, spread = float(np.abs(mine - output.numpy()).max()), float(output.std())
    assert spread > 0.05
    assert error < TOLERANCE
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    weights.write(again, found.params, found.scheme, found.model)
    same(weights.files.read(path)[0], weights.files.read(again)[0])
    assert weights.read(again).model == found.model
    measured.append(
        {
            "weights": f"transformers VideoMAEForPreTraining use_mean_pooling={mean_pooling}",
            "read as": f"{found.words}, {found.scheme}",
            "image": 32,
            "largest error": error,
            "spread of outputs": spread,
        }
    )
