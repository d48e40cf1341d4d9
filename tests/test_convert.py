"""convert.py: a published file becomes a run that is used like any other, and a run becomes a file again."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import convert
import experiment
import models
import weights
from errors import UserError
from experiment import config as configs
from experiment import init_from, restore
from tests import commandline
from tests.conftest import tiny
from tests.weights.conftest import drawn  # noqa: F401
from tests.weights.test_clip import drawn as drawn_clip
from tests.weights.test_dit import drawn as drawn_dit
from tests.weights.test_video import drawn as drawn_video
from weights import preprocessing


def command(*arguments: object) -> commandline.Done:
    return commandline.command("convert.py", *arguments)


@pytest.fixture(scope="module")
def published(drawn, tmp_path_factory) -> Path:  # noqa: F811
    """A tiny ViT by timm's names, in a .safetensors file."""
    params, model = drawn()
    path = tmp_path_factory.mktemp("published") / "vit.safetensors"
    weights.write(path, params, "timm", model)
    return path


@pytest.fixture(scope="module")
def converted(published) -> Path:
    """The run that convert.py makes of it."""
    workdir, names = published.parent / "run", published.parent / "names.txt"
    names.write_text("ant\nbee\ncat\ndog\nelk\n")
    done = command(published, workdir, f"--classes={names}")
    assert done.returncode == 0, done.stderr
    assert "44 arrays matched: 44 renamed, 17 changed in shape." in done.stdout
    assert "blocks.*.attn.qkv.weight   encoder/block_*/attention/query|key|value/kernel  48x16" in done.stdout
    return workdir


def contents(path):
    arrays, notes = weights.files.read(path)
    return {name: (array.shape, array.tobytes()) for name, array in arrays.items()}, notes


def load(workdir):
    config = restore.saved_config(workdir)
    config.parallel.mode = "mesh"
    return restore.load(workdir, config)


def test_the_run_has_the_weights_the_model_and_the_classes(published, converted):
    run, state, number = load(converted)
    found = weights.read(published)
    ours, theirs = weights.flat(jax.device_get(state.params)), weights.flat(found.params)
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert (number, run.pipeline.classes, run.pipeline.image_size) == (1, ("ant", "bee", "cat", "dog", "elk"), 12)
    assert (run.model.activation, run.model.norm_epsilon, run.model.heads) == ("gelu", 1e-6, 2)
    record = json.loads((converted / "config.json").read_text())
    assert record["converted"] == {"from": str(published), "names": "timm"}
    assert {path.name for path in converted.iterdir()} == {"checkpoints", "config.json"}


def test_the_run_becomes_the_file_again(published, converted, tmp_path):
    params, model, run = convert.of_run(converted, "last", 1)
    convert.export(params, model, run, tmp_path / "again.safetensors", None)
    assert contents(tmp_path / "again.safetensors") == contents(published)


def test_of_grey_images_the_std_of_the_command_line_is_kept(tmp_path, monkeypatch):
    params, model = drawn_grey()
    weights.write(tmp_path / "a.npz", params, "google", model)
    monkeypatch.setattr("sys.argv", ["convert.py", "--config.data.std=(0.3,)"])
    config = configs.load("configs/vit_imagenet.py", {"data.std": (0.3,)})
    data = convert.config_of(weights.read(tmp_path / "a.npz"), config, False, tmp_path).data
    assert (data.mean, data.std) == ((0.5,), (0.3,))


def drawn_grey():
    """Flat parameters of a tiny ViT of grey images, and its config.model."""
    size = dict(width=8, depth=1, mlp_dim=8, heads=2, patch=4)
    model = models.build("vit", 5, **size)
    image = np.zeros((1, 12, 12, 1), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    flat = {name: np.zeros(leaf.shape, np.float32) for name, leaf in weights.flat(shapes).items()}
    return flat, {field: getattr(model, field) for field in model.__dataclass_fields__} | {"name": "vit"}


def test_scanned_and_in_another_configs_words(published, tmp_path):
    """A config whose model has that size keeps how it computes, and takes what the weights were made with."""
    found = weights.read(published)
    config = configs.load("configs/vit_digits.py")
    config.model.update(
        width=16, depth=3, mlp_dim=24, heads=2, patch=4, head="token", positions="learned", scan=True, activation="relu"
    )
    config.data.update(image_size=12, mean=(0.5,) * 3, std=(0.5,) * 3)
    convert.make_run(
        found, convert.config_of(found, config, True, published), list("abcde"), published, tmp_path / "run"
    )
    run, state, _ = load(tmp_path / "run")
    assert (run.model.scan, run.model.activation) == (True, "gelu")
    again = weights.flat(weights.unstacked(jax.device_get(state.params)))
    assert all((again[name] == leaf).all() for name, leaf in weights.flat(found.params).items())
    params, model, run = convert.of_run(tmp_path / "run", "last", 1)
    convert.export(params, model, run, tmp_path / "again.safetensors", "timm")
    assert contents(tmp_path / "again.safetensors") == contents(published)


def test_weights_that_do_not_fit_a_config_name_the_mismatch_and_what_would(published, tmp_path):
    found = weights.read(published)
    config = convert.config_of(found, configs.load("configs/vit_imagenet.py:S/16"), True, published)
    message = r"vit.safetensors does not fit: token is \[1, 1, 16\] in the file and \[1, 1, 384\] in the model"
    with pytest.raises(UserError, match=message):
        convert.make_run(found, config, list("abcde"), published, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_classes_that_differ_in_number(published, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    found = weights.read(published)
    with pytest.raises(UserError, match=r"the head has 5 classes, and --classes=.*names.txt names 2\."):
        convert.class_names(found, str(tmp_path / "names.txt"), published)
    (tmp_path / "names.txt").write_text("ant\nbee\n\ndog\nelk\n")
    with pytest.raises(UserError, match=r"names.txt: line 3 names no class\."):
        convert.class_names(found, str(tmp_path / "names.txt"), published)
    with pytest.raises(UserError, match="cannot read --classes=nowhere: No such file"):
        convert.class_names(found, "nowhere", published)
    assert convert.class_names(found, None, published) == list("01234")


def test_weights_without_a_head_are_no_classifier(drawn, tmp_path):  # noqa: F811
    params, model = drawn(outputs=0)
    weights.write(tmp_path / "a.npz", params, "google", model)
    with pytest.raises(
        UserError, match=r"no head and tell no classes.*train.py --config=configs/my_images.py .*a.npz$"
    ):
        convert.class_names(weights.read(tmp_path / "a.npz"), None, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({"name": "vivit", "tubelet": 2}, "vivit"),
        ({"name": "vivit", "tubelet": 2, "head": "gap", "positions": "sinusoid_1d", "key_bias": False}, "video_mae"),
        ({"name": "video_mae", "tubelet": 2, "decoder_depth": 1}, "video_mae"),
        ({"name": "timesformer"}, "timesformer"),
    ],
)
def test_a_run_begins_with_headless_weights_of_video_by_the_config_of_their_family(settings, config, tmp_path):
    params, model = drawn_video(**settings)
    headless = {name: x for name, x in params.items() if not name.startswith("head/")}
    weights.write_folder(tmp_path / "a", headless, model | {"outputs": 0})
    with pytest.raises(UserError, match=rf"train.py --config=configs/video_kinetics400.py:{config} .*a$"):
        convert.class_names(weights.read(tmp_path / "a"), None, tmp_path / "a")


def test_help_says_which_config_weights_become_a_run_of():
    done = command("--help")
    assert "configs/gpt2.py                            a GPT\n" in done.stdout
    assert "configs/bert_finetune.py                   a BERT ForSequenceClassification, a RoBERTa For" in done.stdout
    assert "configs/video_kinetics400.py:video_mae     a VideoMAE's classifier, a VideoMAE\n" in done.stdout
    assert "configs/vit_imagenet.py                    others" in done.stdout


def test_a_mistake_is_one_line_and_exit_status_2():
    done = command("nothing.npz", "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no nothing.npz.\n"


def test_what_cannot_be_written(published, tmp_path):
    (tmp_path / "run").mkdir()
    for source, target, message in (
        (published, published, "exists: choose another name"),
        (published, published.parent, "exists: choose another name"),
        (published, tmp_path / "a.onnx", "should be a workdir, or end in .npz, .safetensors or .stablehlo"),
        (published, tmp_path / "a.safetensors.gz", "should be a workdir, or end in .npz, .safetensors or .stablehlo"),
        (published, tmp_path / "a.SAFETENSORS", "should be a workdir, or end in .npz, .safetensors or .stablehlo"),
        (tmp_path, tmp_path / "new", "holds neither a run nor published weights"),
    ):
        with pytest.raises(UserError, match=message):
            convert.check(source, target)
    convert.check(published, tmp_path / "run")  # an empty folder


@pytest.mark.parametrize("name", ["resnet", "mixer", "hybrid"])
def test_the_other_models_become_runs_as_well(drawn, tmp_path, name):  # noqa: F811
    if name == "hybrid":
        params, model = drawn(stem="cifar", stem_depths=(2, 1), stem_width=8, patch=2, activation="gelu_tanh")
    else:
        params, model = drawn(name=name, **{"activation": "gelu_tanh"} if name == "mixer" else {})
    weights.write(tmp_path / "a.npz", params, "google", model)
    found = weights.read(tmp_path / "a.npz")
    config = convert.config_of(found, configs.load("configs/vit_imagenet.py"), False, tmp_path)
    run = experiment.build(config, tmp_path / "run", {"classes": list("abcde")})
    assert not weights.mismatch(found, run.abstract_state.params)
    if name == "resnet":
        convert.make_run(found, config, list("abcde"), tmp_path / "a.npz", tmp_path / "run")
        written, model, run = convert.of_run(tmp_path / "run", "last", 1)
        convert.export(written, model, run, tmp_path / "again.npz", None)
        assert contents(tmp_path / "again.npz") == contents(tmp_path / "a.npz")


def test_a_folder_of_a_video_model_becomes_a_run_of_its_frames(tmp_path):
    params, model = drawn_video("timesformer", attention="divided")
    weights.write_folder(tmp_path / "folder", params, model, tuple("abcde"))
    assert convert.default([str(tmp_path / "folder")]) == "configs/video_kinetics400.py:timesformer"
    found = weights.read(tmp_path / "folder")
    config = configs.load("configs/video_kinetics400.py:timesformer")
    config = convert.config_of(found, config, False, tmp_path / "folder")
    assert (config.data.frames, config.data.image_size, config.data.stride) == (4, 12, 32)
    convert.make_run(found, config, list("abcde"), tmp_path / "folder", tmp_path / "run")
    written, model, run = convert.of_run(tmp_path / "run", "last", 1)
    convert.export(written, model, run, tmp_path / "again", None)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    (tmp_path / "again" / "config.json").unlink()
    alone = str(tmp_path / "again" / "model.safetensors")
    assert convert.default([alone]) == "configs/video_kinetics400.py:timesformer"


@pytest.mark.parametrize("channels", [3, 4])  # 4 of the latents that published ones draw, with their variance
def test_a_pipeline_of_diffusers_becomes_a_run_that_draws_its_classes_and_the_same_folder_again(tmp_path, channels):
    image, variance = np.zeros((1, 6, 6, channels), np.float32), channels == 4
    params, model = drawn_dit(image, frequency_shift=1, mlp_norm_epsilon=1e-5, learned_variance=variance)
    weights.write_folder(tmp_path / "folder", params, model, tuple("abcd"))
    assert convert.default([str(tmp_path / "folder")]) == "configs/dit_fashion_mnist.py:diffusion"
    found, config = weights.read(tmp_path / "folder"), configs.load("configs/dit_fashion_mnist.py:diffusion")
    config = convert.config_of(found, config, False, tmp_path / "folder")
    item = convert.make_run(found, config, list(found.names), tmp_path / "folder", tmp_path / "run")
    assert (item, config.data.image_size, len(config.data.mean)) == ("the name of a class", 6, channels)
    written, model, run = convert.of_run(tmp_path / "run", "last", 1)
    assert run.task.answer({"sample": image[0], "label": np.array(2)}, run.data).picture.shape == (6, 6, 3)
    convert.export(written, model, run, tmp_path / "again", None)
    files = [path.relative_to(tmp_path / "folder") for path in (tmp_path / "folder").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all((tmp_path / "again" / one).read_bytes() == (tmp_path / "folder" / one).read_bytes() for one in files)


def test_a_file_of_dits_own_names_is_one_without_being_asked(tmp_path):
    params, model = drawn_dit()
    convert.export(params, model, None, tmp_path / "dit.safetensors", None)
    assert convert.default([str(tmp_path / "dit.safetensors")]) == "configs/dit_fashion_mnist.py:diffusion"
    assert weights.read(tmp_path / "dit.safetensors").scheme == "facebook"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.depth": 2}, "has block_02/modulation/kernel, which this model has not"),
        ({"model.depth": 4}, "has no block_03/attention/key/bias, which this model has"),
        ({"model.patch": 3}, r"embedding/kernel is \[2, 2, 3, 16\] there and \[3, 3, 3, 16\] here"),
        ({"data.name": "5"}, r"classes/embedding is \[5, 16\] there and \[6, 16\] here"),
    ],
)
def test_a_dit_of_another_size_is_one_line(tmp_path, changes, message):
    params, model = drawn_dit(frequency_shift=1, mlp_norm_epsilon=1e-5)
    weights.write_folder(tmp_path / "folder", params, model, tuple("abcd"))
    own = dict(width=16, depth=3, heads=2, patch=2)
    same = {f"model.{key}": value for key, value in own.items()} | {"model.name": "dit", "task.name": "denoise"}
    same |= {"init_from": str(tmp_path / "folder"), "init_fresh": (), "data.kind": "class_images", "data.image_size": 6}
    same |= {"data.source": "synthetic", "data.name": "4", "data.mean": (0.5,) * 3, "data.std": (0.5,) * 3}
    config = configs.load("configs/dit_digits.py:debug", same | changes)
    with pytest.raises(UserError, match=message) as raised:
        init_from.weights(experiment.build(config, tmp_path / "run"))
    assert "\n" not in str(raised.value)


def begun(published, tmp_path, **changes):
    """What a run takes over from a file of weights, and the line about it."""
    same = {"model.depth": 3, "model.mlp_dim": 24, "model.head": "token", "model.positions": "learned"}
    same |= {"data.mean": (0.5,) * 3, "data.std": (0.5,) * 3, "data.image_size": 12}
    config = tiny(**{"init_from": str(published), "data.source": "synthetic", "data.name": "10"} | same | changes)
    return init_from.weights(experiment.build(config, tmp_path / "run"))


def test_a_run_begins_with_a_published_file(published, tmp_path):
    taken, line = begun(published, tmp_path)
    theirs = weights.flat(weights.read(published).params)
    assert taken.keys() == {name for name in theirs if not name.startswith("head/")}
    assert all((taken[name] == theirs[name]).all() for name in taken)
    assert line == f"{len(taken)} of {len(theirs)} parameters from {published}; begin anew: head/bias, head/kernel."
    taken, line = begun(published, tmp_path, **{"data.image_size": 20, "model.activation": "gelu_tanh"})
    assert taken["positions/embedding"].shape == (1, 26, 16)
    assert "positions/embedding resized from 3x3 patches to 5x5 patches" in line
    assert line.endswith("note: these weights were made with config.model.activation=gelu.")
    shutil.copy(published, tmp_path)  # with what transformers puts beside it
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3, "size": 12, "resample": 3}
    (tmp_path / preprocessing.FILE).write_text(json.dumps(said))
    _, line = begun(tmp_path / published.name, tmp_path)
    flags = "'--config.data.mean=(0.1, 0.2, 0.3)' --config.data.interpolation=bicubic"
    assert line.endswith(f"note: these weights saw data made ready in another way: {flags}")


@pytest.mark.parametrize(
    ("name", "sizes", "trunk"),
    [
        ("vit", dict(mlp_dim=64), dict(width=16, depths=(3,), head_dim=8, patch=4)),
        ("swin", {}, dict(width=8, depths=(2, 1), head_dim=4, window=3, patch=2)),
    ],
)
def test_a_dense_models_trunk_begins_with_a_published_classifier(drawn, tmp_path, name, sizes, trunk):  # noqa: F811
    params, model = drawn(name=name, **sizes)
    path = tmp_path / "a.safetensors"
    weights.write(path, params, "timm", model)
    changes = {f"model.trunk.{key}": value for key, value in (trunk | {"name": name}).items()}
    changes |= {"model.strides": (2, 4), "data.image_size": 24, "data.image_width": 36, "init_from": str(path)}
    config = configs.load("configs/upernet_digits.py", changes | {"data.mean": (0.5,) * 3, "data.std": (0.5,) * 3})
    run = experiment.build(config, tmp_path / "run")
    taken, line = init_from.weights(run)
    same = {name: x for name, x in taken.items() if not name.startswith("trunk/positions")}
    for path_, x in same.items():
        np.testing.assert_array_equal(x, params[path_ if name == "swin" else path_.removeprefix("trunk/")])
    expected = {one for one in run.shapes() if one.startswith("trunk/") and not one.startswith("trunk/up_")}
    assert taken.keys() == expected
    assert line.endswith("All else begins anew.")
    if name == "vit":
        assert taken["trunk/positions/embedding"].shape == (1, 54, 16)
        assert "left out: trunk/token, trunk/head/" in line
        more = {**params, "registers": params["token"]}  # of which a trunk has none
        with pytest.raises(UserError, match="has trunk/registers, which this model has not"):
            init_from.of_trunk(more, run.shapes(), ((3, 3), (6, 9)), "there", ())


def test_a_folder_of_a_clip_says_how_a_run_makes_images_ready(tmp_path):
    params, model = drawn_clip("clip")
    said = {"size": 16, "crop_size": 12, "do_center_crop": True, "resample": 2}
    others = {preprocessing.FILE: json.dumps(said).encode()}
    special = {"special": {"eos_token_id": 7, "decoder_start": 1}}
    weights.write_folder(tmp_path / "folder", params, model | special, others=others)
    found = weights.read(tmp_path / "folder")
    data = convert.config_of(found, configs.load("configs/clip_coco.py:B/32"), False, tmp_path / "folder").data
    shown = (data.image_size, data.eval_crop, data.eval_crop_share, data.interpolation)
    assert shown == (12, "center", 0.75, "bilinear")
    own = {**data, "begin": False, "max_length": 9, "eval_crop": "none"}
    assert init_from.other_data(found, own) == ["--config.data.begin=True", "--config.data.max_length=5"]


def test_a_model_of_images_that_are_not_square_becomes_a_run_once_their_shape_is_said(drawn, tmp_path):  # noqa: F811
    params, model = drawn(activation="gelu_tanh")
    table = np.random.default_rng(1).normal(size=(1, 11, 16)).astype(np.float32)
    weights.write(tmp_path / "plain.npz", params | {"positions/embedding": table}, "google", model)
    done = command(tmp_path / "plain.npz", tmp_path / "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--config.data.image_size=HEIGHT and --config.data.image_width=WIDTH, of patches of 4 pixels" in done.stderr
    shape = ("--config.data.image_size=8", "--config.data.image_width=20")
    done = command(tmp_path / "plain.npz", tmp_path / "run", *shape)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "run")[0]
    assert (run.grid, run.pipeline.image_shape) == ((2, 5), (8, 20, 3))
    written, settings, run = convert.of_run(tmp_path / "run", "last", 1)
    convert.export(written, settings, run, tmp_path / "again.safetensors", None)
    assert weights.read(tmp_path / "again.safetensors").grid == (2, 5)
    taken, line = begun(f"{tmp_path / 'plain.npz'}:2x5", tmp_path / "new")
    assert taken["positions/embedding"].shape == (1, 10, 16)
    assert "resized from 2x5 patches to 3x3 patches" in line


def test_a_file_of_another_size_names_what_it_holds(published, tmp_path):
    message = (
        r"is of another model: embedding/bias is \[16\] there and \[32\] here.*The file holds a ViT \(width 16, depth 3"
    )
    with pytest.raises(UserError, match=message):
        begun(published, tmp_path, **{"model.width": 32})
