"""UPerNet of transformers, on a Swin: the same logits of each pixel, the auxiliary ones too."""

import jax
import numpy as np

import models
import weights
from tests.parity.compare import CLASSES, TOLERANCE, same
from tests.parity.test_torch import filled


def test_transformers(torch, measured, tmp_path):
    import transformers

    transformers.logging.disable_progress_bar()
    trunk = transformers.SwinConfig(
        embed_dim=32, depths=[1, 2, 1, 1], num_heads=[1, 2, 4, 8], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = transformers.UperNetConfig(
        backbone_config=trunk, hidden_size=48, auxiliary_in_channels=128, num_labels=CLASSES
    )
    model = filled(torch, transformers.UperNetForSemanticSegmentation(config)).eval()
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.1)
    model.save_pretrained(tmp_path)
    # Windows divide none of its maps. (Of maps that are smaller than a window theirs has square ones.)
    image = np.random.default_rng(0).normal(size=(2, 232, 264, 3)).astype(np.float32)
    pixels = torch.tensor(image.transpose(0, 3, 1, 2))
    seen = {}
    model.auxiliary_head.register_forward_hook(lambda module, inputs, output: seen.update(auxiliary=output))
    with torch.no_grad():
        theirs = model(pixels).logits.numpy().transpose(0, 2, 3, 1)
        auxiliary = torch.nn.functional.interpolate(seen["auxiliary"], size=image.shape[1:3], mode="bilinear")

    found = weights.read(tmp_path)
    ours_model = models.build(outputs=found.classes, **found.model | {"dropout": 0.0})
    both = jax.jit(lambda params: ours_model.apply({"params": params}, image, train=True))(found.params)
    ours = jax.jit(lambda params: ours_model.apply({"params": params}, image, train=False))(found.params)
    errors = [
        float(np.abs(np.asarray(mine) - other).max())
        for mine, other in ((ours, theirs), (both[1], auxiliary.numpy().transpose(0, 2, 3, 1)))
    ]
    assert float(theirs.std()) > 0.05
    assert max(errors) < TOLERANCE, errors
    measured.append(
        {
            "weights": "transformers UperNetForSemanticSegmentation",
            "read as": f"{found.words}, {found.scheme}",
            "image": image.shape[1],
            "largest error": max(errors),
            "spread of outputs": float(theirs.std()),
        }
    )
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    weights.write(again, found.params, found.scheme, found.model)
    same(
        {name: array for name, array in weights.files.read(path)[0].items() if name not in found.left_out},
        weights.files.read(again)[0],
    )

    weights.write_folder(tmp_path / "folder", found.params, found.model | {"dropout": 0.1}, found.names)
    opened, told = transformers.UperNetForSemanticSegmentation.from_pretrained(
        tmp_path / "folder", output_loading_info=True
    )
    missing = [name for name in told.pop("missing_keys") if not name.endswith("num_batches_tracked")]
    assert all("swin.layernorm" in name for name in missing), missing  # a classifier's
    assert not any(told.values())
    with torch.no_grad():
        again = opened.eval()(pixels).logits.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(again, theirs)
