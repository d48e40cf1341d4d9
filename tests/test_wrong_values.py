"""Values that a key cannot have: one line each that names the key, before anything is computed or written.

Every key of every family with values of other types; hundreds of random wrong values over all configs; and values that
are possible by themselves and not beside the others.
"""

import functools
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import UserError
from experiment import config as configs
from experiment import config_file, teacher
from tests.families import COMMON, FAMILIES
from train import train
from training import checkpoint, parallel

WRONG: dict[type, tuple[object, ...]] = {
    int: ("many", 1.5, True, math.nan, -(2**40), 2**80, (), {}),
    float: ("much", math.nan, math.inf, (1.0,), 1e30, {}),
    bool: ("yes", 2, ()),
    str: (7, ("a",), "\0", {}),
    tuple: (3, "a", (None,), ({},), (math.nan,), 1.5),
}
SIGNED = ("stop", "gate_bias")  # numbers that may be below 0


@functools.cache
def whole(name: str, family: str = "") -> configs.ConfigDict:
    """The whole config of a file, or of a family."""
    return configs.load(name, COMMON | FAMILIES[family] if family else None)


@functools.cache
def keys(name: str, family: str = "") -> dict[str, type]:
    """Every key of a config, with the type that the command line reads it as."""
    return {key: configs.plain_type(of_key.hint) for key, of_key in configs.every_key(whole(name, family)).items()}


def changed(config: configs.ConfigDict, changes: dict[str, Any]) -> configs.ConfigDict:
    """A copy with other values, whatever they are: a config file can hold anything."""
    plain = config.to_dict()
    for key, value in changes.items():
        *sections, name = key.split(".")
        functools.reduce(lambda here, section: here[section], sections, plain)[name] = value
    return configs.ConfigDict(plain)


class Begins(Exception):
    """The config is accepted."""


def begins(*_: object, **__: object) -> None:
    """Stands for the first thing that a config which is accepted comes to."""
    raise Begins


def line(config: configs.ConfigDict, workdir: Path) -> str:
    """What `train` says of a config in one line; "" if it is accepted. Anything but a UserError is raised."""
    try:
        train(config, workdir)
    except UserError as error:
        return str(error)
    except Begins:
        return ""
    raise AssertionError("nothing was trained and nothing said")


@pytest.fixture
def no_devices(monkeypatch):
    """A config is accepted when devices are opened for it, which comes before its data are."""
    monkeypatch.setattr(parallel, "make", functools.wraps(parallel.make)(begins))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_of_another_type_is_one_line_that_names_its_key(family, tmp_path, no_devices):
    mine = keys("configs/vit_digits.py", family)
    earlier = {k for f in list(FAMILIES)[: list(FAMILIES).index(family)] for k in keys("configs/vit_digits.py", f)}
    accepted, unnamed = [], []
    for key, kind in mine.items():
        for value in WRONG.get(kind, ()) if key not in earlier else ():
            said = line(changed(whole("configs/vit_digits.py", family), {key: value}), tmp_path / "run")
            if not said:
                accepted.append((key, value))
            elif "\n" in said or key.split(".")[-1] not in said:
                unnamed.append((key, value, said))
    assert not accepted
    assert not unnamed
    assert not list(tmp_path.iterdir())


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 2**63, -(2**63), 10**30]),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3)), max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)


def impossible(kind: type, name: str, value: object) -> bool:
    """Whether no key of this type can have the value, by what types and numbers are, and not by what the code says."""
    if value is None:
        return False  # the default
    if isinstance(value, (int, float)) and not isinstance(value, bool) and kind in (int, float):
        whole_number = kind is float or isinstance(value, int)
        return not whole_number or not abs(value) < 2**33 or (value < 0 and name not in SIGNED)
    if kind is tuple:
        return not isinstance(value, tuple) or any(x is None or x != x for x in value)
    return not isinstance(value, kind) or (isinstance(value, str) and "\0" in value)


@st.composite
def wrong_changes(draw: st.DrawFn) -> tuple[str, str, object]:
    """A config, one of its keys, and a value that this key cannot have. Those of own data first ask where they are."""
    name = draw(st.sampled_from([name for name in config_file.files("configs") if not whole(name).recipe]))
    key, kind = draw(st.sampled_from(sorted(keys(name).items(), key=lambda item: item[0])))
    value = draw(ANYTHING.filter(lambda v: impossible(kind, key.split(".")[-1], v)))
    return name, key, value


def test_no_random_wrong_value_of_any_config_trains_or_takes_long(tmp_path, no_devices):
    """The deadline is of each case, in milliseconds."""
    tried: set[str] = set()

    @settings(
        max_examples=400,
        derandomize=True,
        deadline=5000,
        database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(wrong_changes())
    def case(change: tuple[str, str, object]) -> None:
        name, key, value = change
        tried.add(repr(change))
        said = line(changed(whole(name), {key: value}), tmp_path / "run")
        assert said, "accepted"
        assert "\n" not in said
        assert key.split(".")[-1] in said

    case()
    assert len(tried) >= 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("vit", {"model.heads": 3}, "config.model.width=16 does not divide by heads=3"),
        ("vit", {"model.patch": 3}, "does not divide into patches of 3"),
        ("vit", {"data.image_size": 2**14}, "has 16,777,216 patches, more than 65,536"),
        ("vit", {"data.batch_size": 2048}, "batch_size=2048 is more than the whole training split"),
        ("vit", {"optim.warmup_steps": 20}, "warmup_steps=20 leaves nothing of 20 steps"),
        ("vit", {"steps": 0, "epochs": 4e9}, "too many steps"),
        ("vit", {"data.train_split": "train[5:3]"}, "digits train.5:3. is empty"),
        ("vit", {"data.eval_splits": ("test[50%:40%]",)}, "digits test.50%:40%. is empty"),
        ("vit", {"task.inputs": ()}, r"config.task.inputs=\(\) should have at least 1 item"),
        (
            "multimodal",
            {"task.inputs": ("image",)},
            "config.model, config.task and config.data do not fit one another: TypeError.*\\(tasks/classify",
        ),
        ("multimodal", {"task.inputs": ("image", "image")}, "has 'image' more than once"),
        ("multimodal", {"data.augment.mixup": 0.5}, "a mixture of two images has no text: set config.data.augment"),
        ("vit", {"task.label_smoothing": 1.0}, "label_smoothing=1.0 should be less than 1"),
        ("vit", {"data.eval_splits": ("test", "test")}, "config.data.eval_splits=.* has 'test' more than once"),
        ("vit", {"data.augment.repeats": 33}, "augment.repeats=33 are more than batch_size=32"),
        ("vit", {"profile.steps": 1, "profile.first_step": 21}, "first_step=21 is after the last step, 20"),
        (
            "vit",
            {"evaluation.fewshot.shots": (1,), "evaluation.fewshot.test_split": "tests"},
            "digits has no split 'tests': did you mean 'test'",
        ),
        ("swin", {"model.window": 10**6}, "config.model.window=1000000 should be less than or equal to 1024"),
        ("detr", {"model.strides": ()}, r"config.model.strides=\(\) should have at least 1 item"),
        ("detr", {"model.strides": (4, 4)}, r"config.model.strides=\(4, 4\) has 4 more than once"),
        ("detr", {"model.trunk.name": "vit", "model.trunk.head_dim": 3}, "trunk.width=8 does not divide by head_dim=3"),
        ("detr", {"model.trunk.name": "bit", "model.trunk.variant": "x"}, "config.model.trunk.variant='x' does not"),
        (
            "detr",
            {"model.trunk.name": "vit", "model.trunk.head_dim": 4, "model.trunk.patch": 5},
            "does not divide into patches of 5: change .* config.model.trunk.patch",
        ),
        (
            "detr",
            {f"task.{part}_weight": 0.0 for part in ("class", "l1", "giou")},
            "config.task.class_weight, l1_weight and giou_weight are all 0",
        ),
        ("detr", {f"task.{part}_cost": 0.0 for part in ("class", "l1", "giou")}, "giou_cost are all 0"),
        ("upernet", {"model.scales": (1, 1)}, r"config.model.scales=\(1, 1\) has 1 more than once"),
        ("upernet", {"data.ignored": tuple(range(11))}, "config.data.ignored=.* leaves out every class"),
        ("upernet", {"data.class_names": ("a",)}, "segment tells classes of pixels apart, and the data have one"),
        ("upernet", {"evaluation.fewshot.shots": (1,)}, "config.evaluation.fewshot is for models that tell classes"),
        ("segmenter", {"task.window": (18, 18)}, r"config.task.window=\(18, 18\): an image of 18x18 does not divide"),
        ("segmenter", {"model.registers": 2000}, "config.model.registers=2000 should be less"),
        ("segmenter", {"task.window": (), "data.eval_size": 18}, "in an evaluation .config.data.eval_size.: an image"),
        ("masked_patches", {"model.colors": 4}, "config.model.colors=4 are fewer than the 8 of 1 channels"),
        ("dino", {"task.inputs": ("label",)}, r"config.task.inputs\[0\]='label' should be 'image'"),
        ("dino", {"model.prototypes": 1}, "config.model.prototypes=1 should be greater"),
        ("vit", {"task.inputs": ("tokens",)}, "config.task.name='classify' needs 'tokens' of every example"),
        ("vit", {"model.head": "distilled"}, r"needs logits \(examples, classes\) of the model, .*\(32, 2, 10\)"),
        ("distilled", {"model.head": "gap", "task.teacher": "x"}, "distill needs a model of two heads"),
        ("masked_patches", {"task.mean": ()}, r"config.task.mean=\(\) and std"),
        ("mae", {"model.decoder_width": 18}, "must divide by 4"),
        ("video_mae", {"data.eval_clips": 2}, "VideoMAE draws one view of a video: set config.data.eval_clips"),
        ("vivit", {"model.patch": 5}, "a clip of 4x24x24 does not divide into tubelets of 2x5x5"),
        ("vivit", {"model.positions": "rotary"}, "config.model.positions=rotary is for images"),
        ("vivit", {"data.image_size": 2**14}, "a clip of 4x16384x16384 has 4,194,304 patches, more than 65,536"),
        ("timesformer", {"data.image_size": 2**14}, "a clip of 4x16384x16384 has 4,194,304 patches, more than 65,536"),
        ("clip", {"model.text_heads": 3}, "config.model.text_width=16 does not divide by text_heads=3"),
        ("clip", {"data.ask": ("a", "a")}, "config.data.ask=.* has 'a' more than once"),
        ("bert", {"model.activation": "geglu"}, "config.model.activation=geglu is gated, and .* take gelu, gelu_tanh"),
        ("bert", {"model.padding": 280}, "config.model.padding=280 is none of the 280 tokens"),
        ("bert", {"data.name": ""}, "config.data.name='' names no text"),
        ("skip_gram", {"model.subsample": 2.0}, "config.model.subsample=2.0 should be less than or equal to 1"),
        ("skip_gram", {"evaluation.fewshot.neighbours": (1,)}, "a skip_gram has no representation of a whole example"),
        ("transformer", {"data.languages": ("x", "x")}, "config.data.languages=.* has 'x' more than once"),
        ("dit", {"data.augment.mixup": 0.2}, "a mixture of two images has no class to be drawn of"),
        ("dit", {"evaluation.fewshot.linear": True}, "a dit has no representation of a whole example"),
        ("dit", {"data.image_size": 2**14}, "has 67,108,864 patches, more than 65,536"),
        ("dit", {"model.patch": 3}, "an image of 8x8 does not divide into patches of 3"),
        ("dit", {"model.width": 18}, "config.model.width=18 does not divide by 4"),
        ("dit", {"model.learned_variance": True}, "learned_variance needs config.task.path=diffusion"),
        ("dit", {"model.class_dropout": 0.0, "task.guidance": 2.0}, "class_dropout=0: take config.task.guidance=1"),
        ("classifier", {"data.batch_size": 10**6}, "batch_size=1000000 is more than the whole training split"),
        ("transformer", {"task.beams": 50}, "config.task.beams=50 are more than the 13 tokens"),
        ("gpt", {"task.stop": 50}, "config.task.stop=50 is none of the 15 tokens"),
        ("gpt", {"data.length": 17}, "no positions beyond config.model.max_length=16"),
    ],
)
def test_values_that_cannot_be_beside_the_others(family, changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.Checkpoints, "check_space", begins)
    monkeypatch.setattr(teacher, "load", lambda run: None)
    said = line(changed(whole("configs/vit_digits.py", family), changes), tmp_path / "run")
    assert re.search(message, said), said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("family", "model", "why"),
    [
        ("vit", "classifier", "such data have no vocabulary"),
        ("classifier", "vit", "its class has no field `vocabulary`"),
        ("gpt", "transformer", "such data have no source_vocabulary"),
    ],
)
def test_a_model_for_data_of_another_kind_is_named(family, model, why, tmp_path):
    config = configs.load("configs/vit_digits.py", COMMON | FAMILIES[family])
    configs.choose(config, "model.name", model)
    configs.complete(config)
    said = line(config, tmp_path / "run")
    assert f"config.model.name='{model}' is no model for config.data.kind=" in said
    assert said.endswith(f"take one for such data ({why}).")


@pytest.mark.parametrize("name", ["model", "data", "optim", "evaluation", "data.augment"])
def test_a_section_that_is_a_value_is_named(name, tmp_path, no_devices):
    said = line(changed(whole("configs/vit_digits.py"), {name: 3}), tmp_path / "run")
    assert said == f"config.{name}=3 should be a section with keys of its own."


@pytest.mark.parametrize(
    ("model", "task", "said"),
    [
        ("detr", "classify", "config.task.name='classify' needs 'label' of every example, and config.data.kind"),
        ("mae", "classify", "the task needs logits .* of the model, which returns"),
        ("resnet", "reconstruct", r"config.task and config.data do not fit one another.*\(tasks/reconstruct.py:\d+\)$"),
        ("mixer", "mean_color", r"config.task and config.data do not fit one another.*\(tasks/mean_color.py:\d+\)$"),
    ],
)
def test_a_model_that_returns_what_its_task_does_not_want_is_named(model, task, said, tmp_path):
    changes = FAMILIES[model] | {"task.name": task}
    changes |= {"task.mean": (0.5,), "task.std": (0.5,)} if task == "mean_color" else {}
    config = configs.load("configs/vit_digits.py", COMMON | changes)
    assert re.search(said, line(config, tmp_path / "run"))
