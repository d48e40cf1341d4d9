"""timm and transformers on a CPU."""

from functools import partial

import pytest

import weights
from tests.parity.compare import CLASSES, compare, draw, images


def filled(torch, model):
    """The model in evaluation, every parameter drawn."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(draw(name, tuple(parameter.shape))))
    return model.eval()


def outputs(torch, model, image):
    with torch.no_grad():
        return model(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_tiny_patch16_224", 224, {}),
        ("vit_tiny_patch16_224", 384, {}),
        ("deit_tiny_patch16_224", 224, {}),
        ("deit_tiny_distilled_patch16_224", 224, {}),
        ("deit_tiny_distilled_patch16_224", 384, {}),
        ("vit_small_patch32_224", 384, {}),
        ("vit_base_patch16_224", 224, {"depth": 2}),
        ("vit_huge_patch14_224", 224, {"depth": 1}),
        ("vit_tiny_patch16_224", 160, {"global_pool": "avg", "class_token": False, "fc_norm": False}),
    ],
)
def test_timm(torch, measured, tmp_path, name, size, options):
    import timm
    from safetensors.torch import load_file, save_file

    make = partial(timm.create_model, name, img_size=size, num_classes=CLASSES, **options)
    model, path, image = filled(torch, make()), tmp_path / "model.safetensors", images(size)
    save_file(model.state_dict(), path)
    theirs = outputs(torch, model, image).numpy()
    measured.append(compare(f"timm {name} {options or ''}".strip(), path, image, theirs, scan=True))
    make().load_state_dict(load_file(tmp_path / "again.safetensors"))  # raises if a name or a shape is not theirs


TINY = dict(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, num_labels=CLASSES)


@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("ViTForImageClassification", 224, {}),
        ("ViTForImageClassification", 384, {}),
        ("ViTForImageClassification", 160, {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}),
        ("ViTModel", 224, {}),
        ("DeiTForImageClassificationWithTeacher", 224, {}),
        ("DeiTForImageClassificationWithTeacher", 384, {}),
    ],
)
def test_transformers(torch, measured, tmp_path, kind, size, options):
    import transformers

    transformers.logging.disable_progress_bar()
    config = getattr(transformers, f"{kind[:4].rstrip('FM')}Config")(image_size=size, **TINY, **options)
    make = partial(getattr(transformers, kind), config)
    model, image = filled(torch, make()), images(size)
    model.save_pretrained(tmp_path)
    theirs = outputs(torch, model, image)
    theirs = theirs.logits if hasattr(theirs, "logits") else theirs.pooler_output
    path = tmp_path / "model.safetensors"
    measured.append(compare(f"transformers {kind} {options or ''}".strip(), path, image, theirs.numpy(), scan=True))
    (tmp_path / "again.safetensors").rename(path)
    again, told = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("kind", ["ViTForImageClassification", "DeiTForImageClassificationWithTeacher"])
def test_a_folder_that_is_written_is_opened(torch, tmp_path, kind):
    """Weights and config.json of a run are a model of theirs, with the same outputs and names of classes."""
    import transformers

    small = TINY | dict(num_hidden_layers=2, num_labels=3, id2label={0: "ant", 1: "bee", 2: "cat"})
    config = getattr(transformers, f"{kind[:4].rstrip('FM')}Config")(image_size=96, patch_size=16, **small)
    model, image = filled(torch, getattr(transformers, kind)(config)), images(96)
    model.save_pretrained(tmp_path / "there")
    found = weights.read(tmp_path / "there")
    settings = {"dropout": 0.0, "grid": found.grid} | found.model
    weights.write_folder(tmp_path / "again", found.params, settings, found.names)
    again, told = type(model).from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(told.values())
    assert torch.equal(outputs(torch, again.eval(), image).logits, outputs(torch, model, image).logits)
    assert again.config.id2label == model.config.id2label
