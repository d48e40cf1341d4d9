"""From a config file to the whole config."""

import importlib
import inspect

import pytest

from errors import UserError, closest_keys
from experiment import config as configs
from experiment import config_file
from experiment.settings import Experiment
from models import vit
from models.variants import Sizes

DIGITS = "configs/vit_digits.py"


def test_every_section_is_whole_and_says_what_its_file_says():
    config = configs.load(DIGITS)
    assert set(config) == set(Experiment.__dataclass_fields__)
    assert (config.model.width, config.model.dropout, config.optim.b1) == (48, 0.0, 0.9)


def test_what_is_chosen_decides_which_keys_there_are():
    config = configs.load(DIGITS, {"optim.name": "sgd", "optim.momentum": 0.5})
    assert config.optim.momentum == 0.5
    assert "b1" not in config.optim
    sam = configs.load(DIGITS, {"optim.name": "sam", "optim.optimizer": "adamw", "optim.b1": 0.8})
    assert (sam.optim.b1, sam.optim.rho) == (0.8, 0.05)
    assert "momentum" not in sam.optim


def test_a_variant_takes_the_place_of_the_sizes_of_a_config_without_one():
    chosen = configs.load(DIGITS, {"model.variant": "S/16", "model.patch": 2}).model
    assert (chosen.width, chosen.depth, chosen.patch, chosen.head) == (None, None, 2, "gap")
    assert vit.Model(10, chosen.variant, patch=chosen.patch).size == (Sizes(384, 12, 1536, 6), 2)
    mixer = configs.load(DIGITS, {"model.name": "mixer", "model.variant": "S/16"}).model
    assert (mixer.variant, mixer.width, mixer.depth) == ("S/16", None, None)
    kept = configs.load("configs/dinov2_probe.py:cifar10+v2-S/14", {"model.variant": "B/14"}).model
    assert kept.position_grid is not None  # published weights have it
    assert configs.load(DIGITS, {"model.variant": ""}).model.width == 48
    with pytest.raises(UserError, match=r"config.model.variant=3 should be a valid string"):
        configs.check(configs.load(DIGITS, {"model.variant": 3}))


def test_what_another_model_cannot_have_is_dropped():
    config = configs.load(DIGITS, {"model.name": "transformer"})
    assert (config.model.width, config.model.positions) == (48, "sinusoid_1d")  # and not "sinusoid_2d", of images
    assert configs.load(DIGITS, {"data.kind": "class_images"}).data.augment.rotate == 10.0
    config = configs.load(DIGITS, {"model.name": "resnet", "model.depths": (1, 1)})
    assert "patch" not in config.model


@pytest.mark.parametrize(
    ("name", "changes", "line"),
    [
        ("configs/vit_digit.py", {}, "there is no config configs/vit_digit.py: did you mean 'configs/vit_digits.py'"),
        ("vit_digits", {}, "there is no config vit_digits: did you mean 'configs/vit_digits.py'"),
        ("here/gpt2.yaml", {}, "there is no config here/gpt2.yaml: did you mean 'configs/gpt2.py'"),
        (f"{DIGITS}:B/16", {}, "configs/vit_digits.py has no variants, except :debug"),
        (f"{DIGITS}:dbug", {}, "configs/vit_digits.py has no variants, except :debug"),
        ("configs/vit_fashion_mnist.py:hybird", {}, "no variant 'hybird': did you mean 'hybrid'"),
        ("configs/vit_imagenet.py:B/16:dbug", {}, "no variant 'B/16:dbug': did you mean 'B/16'"),
        ("configs/recall.py:gru+long", {}, "length 'long' should be a number from 1 to"),
        ("configs/recall.py:rn", {}, "no model 'rn': did you mean 'rnn'"),
        ("configs/seq2seq_multi30k.py:gru+luong", {}, "no attention 'luong': did you mean 'luong_dot'"),
        ("configs", {}, "configs is a folder"),
        ("docs/curves.png", {}, "--config=docs/curves.png: it is no Python file"),
        ("x" * 5000, {}, "cannot read xx.*name too long"),
        ("configs/vit_finetune.py:cars+B/16", {}, "cars.B/16: there is no task 'cars': There is: cifar10"),
        (DIGITS, {"optim.momentum": 0.9}, "config.optim.momentum is not a setting"),
        (DIGITS, {"optim.optimizer": "sgd"}, "config.optim.optimizer is not a setting"),
        (DIGITS, {"model.widht": 3}, "config.model.widht is not a setting: did you mean config.model.width\\?"),
        (DIGITS, {"modle.width": 3}, "config.modle.width is not a setting: did you mean config.model.width\\?"),
    ],
)
def test_a_mistake_is_one_line(name, changes, line):
    with pytest.raises(UserError, match=line):
        configs.load(name, changes)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("log_every_steps", "log.every_steps"),
        ("every_steps", "steps log.every_steps checkpoint.every_steps evaluation.every_steps"),
        ("checkpoint.steps", "checkpoint.every_steps profile.steps steps"),
        ("eval_every_steps", "evaluation.every_steps"),
        ("learning_rate", "optim.learning_rate"),
        ("optimizer.learning_rat", "optim.learning_rate"),
        ("optim.lr", "optim.learning_rate"),
        ("data.mixup", "data.augment.mixup"),
        ("data.Mix_Up", "data.augment.mixup"),
        ("data.augmnt.flip", "data.augment.flip"),
        ("data.trian_split", "data.train_split"),  # and not that of evaluation.fewshot
        ("model.num_heads", "model.heads"),
        ("wandb", ""),
    ],
)
def test_an_unknown_key_is_told_the_nearest_of_any_section(wrong, right):
    keys = configs.every_key(configs.load(DIGITS))
    assert closest_keys(wrong, keys) == right.split()
    assert set(right.split()) <= keys.keys()


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ("", "log_every_steps", r"log_every_steps is not a setting: did you mean config.log.every_steps\? There"),
        ("", "optimiser", r"config.optimiser is not a setting: did you mean config.optim\? There is: checkpoint, data"),
        ("data", "mixup", r"data.mixup is not a setting: did you mean config.data.augment.mixup\? There is: anti"),
    ],
)
def test_a_config_file_is_told_the_nearest_key_of_any_section(section, key, line):
    config = configs.load(DIGITS)
    with config.unlocked():
        (config[section] if section else config)[key] = 3
    with pytest.raises(UserError, match=line):
        configs.check(config)


def test_the_small_form_of_a_model_stands_beside_it():
    config = configs.load("configs/gpt2.py:small:debug", {"init_from": "FOLDER"})
    assert config.data.tokenizer == "FOLDER"
    config = configs.load("configs/vit_imagenet.py:H/14:debug")
    assert config.steps == 4
    assert config.model.depth <= 2
    assert config.data.image_size <= 32


@pytest.mark.parametrize("name", ["gpt2.py:small", "gpt2.py:small:debug", "transformer_opus.py"])
def test_a_tokenizer_from_elsewhere_leaves_the_weights_where_they_are(name):
    first = {"init_from": "FOLDER", "data.tokenizer": "OTHER"}
    for changes in (first, dict(reversed(first.items()))):
        config = configs.load(f"configs/{name}", changes)
        assert (config.init_from, config.data.tokenizer) == ("FOLDER", "OTHER")


def test_every_key_has_a_meaning():
    for line in configs.describe(configs.load(DIGITS)):
        flag, _, meaning = line.strip().partition("  ")
        assert flag.startswith("--config.")
        assert meaning, line


OWN = """
from ml_collections import ConfigDict
from . import sizes
from configs import vit_digits

VARIANTS = {"width": tuple(sizes.WIDTHS), "depth": range(1, 5)}

def get_config(width="wide", depth=2):
    config = vit_digits.get_config()
    config.model.update(width=sizes.WIDTHS[width], depth=depth)
    return config
"""


def test_a_config_of_ones_own_imports_its_neighbours_and_says_its_variants(tmp_path, monkeypatch):
    (tmp_path / "sizes.py").write_text("WIDTHS = {'wide': 64, 'small': 16}")
    (tmp_path / "own.v2.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tmp_path / "own.v2.py", "own.v2.py", "./own.v2.py", "~/own.v2.py"):
        config = configs.load(f"{name}:small+3")
        assert (config.model.width, config.model.depth) == (16, 3)
    assert configs.load("own.v2.py:small:debug").steps == 4
    assert configs.load("own.v2.py").model.width == 64
    with pytest.raises(UserError, match="no width 'smal': did you mean 'small'"):
        configs.load("own.v2.py:smal+3")
    with pytest.raises(UserError, match="depth '9' should be a number from 1 to 4"):
        configs.load("own.v2.py:small+9")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "has no get_config"),
        ("get_config = 3", "has no get_config"),
        ("def get_config(:", "it is no Python file: invalid syntax"),
        ("\0", "it is no Python file"),
        ("import nowhere", "line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("from .. import nowhere", "line 1: ImportError"),
        ("\ndef get_config():\n    return {}['x']", "line 3: KeyError: 'x'"),
        ("def get_config(): raise SystemExit", "line 1: SystemExit"),
        ("def get_config(): return 3", "should return a ConfigDict, not int"),
        (
            "VARIANTS = {'width': ('b',)}\ndef get_config(size='a'): pass",
            "names 'width', which its get_config",
        ),
        ("def get_config(size='a'): raise ValueError(size)", "line 1: ValueError: b"),
    ],
)
def test_a_file_that_is_no_config_is_one_line(tmp_path, text, line):
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UserError, match=line) as raised:
        configs.load(f"{tmp_path / 'own.py'}{':b' if 'size' in text else ''}")
    assert "\n" not in str(raised.value)


def test_every_config_says_its_variants_and_takes_them():
    for file in config_file.files("configs"):
        known = config_file.variants("--config", "configs", file)
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        assert list(known) == list(inspect.signature(module.get_config).parameters)
        first = [values[0] for values in known.values()]
        for place, values in enumerate(known.values()):
            for value in values if isinstance(values, tuple) else (values[-1],):
                variant = "+".join(map(str, [*first[:place], value, *first[place + 1 :]]))
                assert config_file.read("--config", "configs", file, variant).model.name
