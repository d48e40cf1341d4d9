"""DETR of transformers, whose ResNet is timm's: the same logits and boxes, of a padded image too."""

import jax
import numpy as np

import models
import weights
from tests.parity.compare import CLASSES, TOLERANCE, same
from tests.parity.test_torch import filled


def test_transformers(torch, measured, tmp_path):
    import transformers

    transformers.logging.disable_progress_bar()
    config = transformers.DetrConfig(
        use_timm_backbone=True, backbone="resnet50", use_pretrained_backbone=False, backbone_config=None,
        encoder_layers=2, decoder_layers=2, num_queries=10, num_labels=CLASSES,
    )  # fmt: skip
    model = filled(torch, transformers.DetrForObjectDetection(config)).eval()
    with torch.no_grad():
        for name, value in model.named_buffers():  # FrozenBatchNorm2d's
            if name.endswith(("weight", "running_var")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                value.normal_(0, 0.1)
    model.save_pretrained(tmp_path)

    image = np.random.default_rng(0).normal(size=(2, 160, 192, 3)).astype(np.float32)
    pixels, mask = np.array([[160, 192], [120, 100]]), np.zeros((2, 160, 192), np.int64)
    for row, (height, width) in enumerate(pixels):
        mask[row, :height, :width] = 1
    image *= mask[..., None]
    with torch.no_grad():
        theirs = model(torch.tensor(image.transpose(0, 3, 1, 2)), pixel_mask=torch.tensor(mask))

    found = weights.read(tmp_path)
    ours_model = models.build(outputs=found.classes, **found.model)
    extent = (pixels / image.shape[1:3]).astype(np.float32)
    ours = jax.jit(lambda params: ours_model.apply({"params": params}, image, extent, train=False))(found.params)
    errors = [
        float(np.abs(np.asarray(mine[-1]) - other.numpy()).max())
        for mine, other in ((ours.logits, theirs.logits), (ours.boxes, theirs.pred_boxes))
    ]
    assert float(theirs.logits.std()) > 0.05
    assert max(errors) < TOLERANCE, errors
    measured.append(
        {
            "weights": "transformers DetrForObjectDetection",
            "read as": f"{found.words}, {found.scheme}",
            "image": image.shape[1],
            "largest error": max(errors),
            "spread of outputs": float(theirs.logits.std()),
        }
    )
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    weights.write(again, found.params, found.scheme, found.model)
    same(weights.files.read(path)[0], weights.files.read(again)[0])

    weights.write_folder(tmp_path / "folder", found.params, found.model | {"dropout": 0.1}, found.names)
    opened, told = transformers.AutoModelForObjectDetection.from_pretrained(
        tmp_path / "folder", output_loading_info=True
    )
    assert not any(told.values())
    with torch.no_grad():
        again = opened.eval()(torch.tensor(image.transpose(0, 3, 1, 2)), pixel_mask=torch.tensor(mask))
    assert torch.equal(again.logits, theirs.logits)
    assert torch.equal(again.pred_boxes, theirs.pred_boxes)
