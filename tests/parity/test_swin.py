"""Swin and Swin V2: timm's and transformers', the same weights."""

from functools import partial

import pytest

from tests.parity.compare import CLASSES, compare, images
from tests.parity.test_torch import filled, outputs


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("swin_tiny_patch4_window7_224", 224, {}),
        ("swin_base_patch4_window12_384", 384, {"depths": (2, 2), "num_heads": (4, 8)}),
        ("swinv2_tiny_window8_256", 256, {}),
    ],
)
def test_timm(torch, measured, tmp_path, name, size, options):
    import timm
    from safetensors.torch import load_file, save_file

    make = partial(timm.create_model, name, num_classes=CLASSES, **options)
    model, path, image = filled(torch, make()), tmp_path / "model.safetensors", images(size)
    save_file(model.state_dict(), path)
    measured.append(compare(f"timm {name} {options or ''}".strip(), path, image, outputs(torch, model, image).numpy()))
    make().load_state_dict(load_file(tmp_path / "again.safetensors"))  # raises if a name or a shape is not theirs


# Windows of 16 are larger than the last stage's map of 256 pixels.
@pytest.mark.parametrize(("kind", "window", "size"), [("Swin", 7, 224), ("Swinv2", 8, 256), ("Swinv2", 16, 256)])
def test_transformers(torch, measured, tmp_path, kind, window, size):
    import transformers

    transformers.logging.disable_progress_bar()
    config = getattr(transformers, f"{kind}Config")(
        image_size=size, window_size=window, depths=[2, 2, 2, 2], num_labels=CLASSES
    )
    make = getattr(transformers, f"{kind}ForImageClassification")
    model, image = filled(torch, make(config)), images(size)
    model.save_pretrained(tmp_path)
    theirs, path = outputs(torch, model, image).logits.numpy(), tmp_path / "model.safetensors"
    measured.append(compare(f"transformers {make.__name__}", path, image, theirs))
    (tmp_path / "again.safetensors").rename(path)
    again, told = make.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
