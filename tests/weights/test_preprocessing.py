"""preprocessor_config.json of a run: how transformers is to make images ready."""

import json

import pytest

import weights
from errors import UserError
from experiment import config as configs
from experiment import open_keys
from weights import preprocessing


def data(name: str, **changes: object) -> dict:
    return configs.load(name, changes).data.to_dict()


def test_a_whole_image_is_resized():
    said = preprocessing.written(data("configs/vit_digits.py", **{"data.interpolation": "bicubic"}))
    assert said["image_processor_type"] == "ViTImageProcessor"
    assert said["size"] == {"height": 8, "width": 8}
    assert said["resample"] == 3
    assert (said["do_rescale"], said["rescale_factor"]) == (True, 1 / 255)
    assert (len(said["image_mean"]), len(said["image_std"])) == (1, 1)


def test_the_middle_square_is_a_crop_of_a_larger_image():
    """Of 224 pixels with a share of 0.875: the shorter side becomes 256, as torchvision's usual recipe has it."""
    changes = {"data.eval_crop": "center", "data.eval_crop_share": 0.875}
    said = preprocessing.written(data("configs/vit_imagenet.py:B/16", **changes))
    assert said["size"] == {"shortest_edge": 256}
    assert (said["do_center_crop"], said["crop_size"]) == (True, {"height": 224, "width": 224})
    assert said["do_convert_rgb"]


@pytest.mark.parametrize("resize", ["fit", "stretch"])
def test_images_with_boxes(resize):
    changes = {"data.resize": resize, "data.image_size": 96, "data.image_width": 128, "data.short_side": 80}
    said = preprocessing.written(data("configs/detr_digits.py", **changes))
    sizes = {"fit": {"shortest_edge": 80, "longest_edge": 128}, "stretch": {"height": 96, "width": 128}}
    assert said["size"] == sizes[resize]
    assert said["image_processor_type"] == "DetrImageProcessor"


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("clip_coco.py:B/32", "CLIP", {"shortest_edge": 224}),
        ("clip_glyphs.py:siglip", "Siglip", {"height": 32, "width": 32}),
        ("video_kinetics400.py:vivit", "VideoMAE", {"shortest_edge": 224}),
    ],
)
def test_images_with_captions_and_clips(tmp_path, name, kind, size):
    settings = data(f"configs/{name}")
    said = preprocessing.written(settings)
    assert (said["image_processor_type"], said["size"]) == (f"{kind}ImageProcessor", size)
    assert said.get("do_center_crop", False) == (kind != "Siglip")
    (tmp_path / preprocessing.FILE).write_bytes(preprocessing.file(settings)[preprocessing.FILE])
    found, _ = preprocessing.read(tmp_path, len(settings["mean"]))
    assert {"mean", "std", "image_size"} <= found.keys()
    used = {key: settings[key] for key in found.keys() & settings.keys()}
    used |= {} if settings.get("eval_crop") != "none" else {"eval_crop": "none"}
    assert used == {key: value for key, value in found.items() if key in settings}


def test_a_folder_says_its_normalisation(tmp_path):
    """ImageNet's of Swin and DeiT; written of a run, it is read again."""
    folder = tmp_path / preprocessing.FILE
    assert preprocessing.read(tmp_path, 3) == ({}, ())
    folder.write_text(json.dumps({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}))
    found, (line,) = preprocessing.read(tmp_path, 3)
    assert found == {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert "made ready as" in line
    assert preprocessing.read(tmp_path, 0) == ({}, ())  # a model of texts
    folder.write_bytes(preprocessing.file(data("configs/vit_digits.py"))[preprocessing.FILE])
    whole = {"image_size": 8, "image_width": 0, "eval_crop": "none", "interpolation": "bilinear"}
    assert preprocessing.read(tmp_path, 1)[0] == {"mean": (0.5,), "std": (0.5,)} | whole
    folder.write_text(json.dumps({"do_normalize": False}))
    assert preprocessing.read(tmp_path, 3)[0] == {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    folder.write_text(json.dumps({"image_mean": [0.5] * 3, "rescale_factor": 1 / 127.5, "offset": True}))
    assert preprocessing.read(tmp_path, 3)[0] == {}  # ViViT's


@pytest.mark.parametrize(
    ("said", "expected"),
    [  # as CLIP's, DINOv2's, DeiT's, ViT's, SigLIP's and DETR's are; and others
        ({"size": 224, "crop_size": 224, "do_center_crop": True, "resample": 3}, ("bicubic", 224, "center", 1.0)),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True},
            (None, 224, "center", 0.875),
        ),
        ({"size": 256, "crop_size": 224, "do_center_crop": True, "resample": 3}, ("bicubic", 224, "center", 0.875)),
        ({"size": 224, "resample": 2}, ("bilinear", 224, "none", None)),
        ({"size": {"height": 384, "width": 384}, "resample": 3}, ("bicubic", 384, "none", None)),
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}}, (None,) * 4),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, (None,) * 4),
        ({"size": {"height": 64, "width": 128}}, (None,) * 4),
        ({"size": 224, "do_resize": False, "resample": 3}, (None,) * 4),
    ],
)
def test_a_folder_says_the_size_the_crop_and_the_filter(said, expected, tmp_path):
    (tmp_path / preprocessing.FILE).write_text(json.dumps(said))
    found, _ = preprocessing.read(tmp_path, 3)
    assert tuple(found.get(key) for key in ("interpolation", "image_size", "eval_crop", "eval_crop_share")) == expected


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("config.json", {"crop_pct": 0.9}, ("bicubic", 224, "center", 224 / 248)),  # timm rounds down
        ("config.json", {"crop_pct": 1.0, "crop_mode": "squash"}, ("bicubic", 224, "center", 1.0)),
        ("config.json", {"crop_pct": 0.9, "crop_mode": "border"}, ("bicubic", None, None, None)),
        ("config.json", {"input_size": [3, 224, 256]}, ("bicubic", None, None, None)),
        ("open_clip_config.json", {"resize_mode": "shortest"}, ("bicubic", 224, "center", 1.0)),
        (
            "open_clip_config.json",
            {"resize_mode": "squash", "interpolation": "bilinear"},
            ("bilinear", 224, "none", None),
        ),
    ],
)
def test_folders_of_timm_and_open_clip_say_it_too(name, said, expected, tmp_path):
    said = {"mean": [0.1] * 3, "std": [0.2] * 3, "interpolation": "bicubic"} | said
    if name == "config.json":
        forms = [{"pretrained_cfg": {"input_size": [3, 224, 224]} | said}, {"input_size": [3, 224, 224]} | said]
        forms = [{"architecture": "vit_small_patch16_224", "num_classes": 3} | form for form in forms]
    else:
        forms = [{"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg": said}]
    for form in forms:
        (tmp_path / name).write_text(json.dumps(form))
        found, (line,) = preprocessing.read(tmp_path, 3)
        assert (found["mean"], found["std"]) == ((0.1,) * 3, (0.2,) * 3)
        keys = ("interpolation", "image_size", "eval_crop", "eval_crop_share")
        assert tuple(found.get(key) for key in keys) == expected
        assert name in line
        with pytest.raises(UserError, match="normalises 3 channels"):
            preprocessing.read(tmp_path, 1)


@pytest.mark.parametrize("name", ["config.json", "open_clip_config.json"])
def test_another_projects_config_says_nothing_of_images(name, tmp_path):
    (tmp_path / name).write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    assert preprocessing.read(tmp_path, 3) == ({}, ())


@pytest.mark.parametrize(
    "said",
    ["[]", "{", '{"size": [224]}', '{"image_mean": 3, "image_std": 3}', '{"image_mean": [0], "image_std": [1]}'],
)
def test_a_file_that_cannot_be_used_is_one_line(said, tmp_path):
    (tmp_path / preprocessing.FILE).write_text(said)
    with pytest.raises(UserError, match=r"preprocessor_config.json"):
        preprocessing.read(tmp_path, 3)


def test_a_run_begins_with_the_normalisation_of_its_weights(drawn, tmp_path):
    params, model = drawn(name="vit", outputs=3)
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": 224, "resample": 3}
    others = {preprocessing.FILE: json.dumps(said).encode()}
    weights.write_folder(tmp_path / "vit", params, model | {"grid": (3, 3)}, ("a", "b", "c"), None, others)
    start = open_keys.beginning(str(tmp_path / "vit"))
    assert (start.data["mean"], start.data["std"]) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (start.data["interpolation"], start.data["image_size"]) == ("bicubic", 12)  # that of its positions


def test_a_run_begins_with_what_timm_says_of_its_weights(drawn, tmp_path):
    params, model = drawn(name="vit", outputs=3)
    said = {
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "input_size": [3, 12, 12],
        "crop_pct": 0.75,
        "interpolation": "bicubic",
    }
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": said}))
    weights.write(tmp_path / "model.safetensors", params, "timm", model | {"grid": (3, 3)})
    assert weights.is_published(tmp_path)
    start = open_keys.beginning(str(tmp_path))
    assert (start.data["mean"], start.data["interpolation"]) == ((0.1,) * 3, "bicubic")
    assert weights.read(tmp_path).data["eval_crop_share"] == 0.75


def test_others_have_none():
    assert preprocessing.file(data("configs/transformer_dates.py")) == {}
    ((name, content),) = preprocessing.file(data("configs/vit_digits.py")).items()
    assert name == "preprocessor_config.json"
    assert json.loads(content) == preprocessing.written(data("configs/vit_digits.py"))
