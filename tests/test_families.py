"""Every family of models: 20 steps have the losses that they always had, and every command works with the run."""

import contextlib
import importlib.util
import itertools
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import commands
import experiment
import lookup
from errors import UserError
from experiment import config as configs
from experiment import init_from, open_keys, record, restore
from models import vit
from planning import programs
from tests.commandline import Done, command
from tests.families import COMMON, FAMILIES
from tests.own_hook import heard, own
from train import conclusion, train
from training import log

FIELDS = set(vit.Model.__dataclass_fields__) - {"name"}
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
ITEMS = {
    "images": "a.png",
    "boxes": "a.png",
    "views": "a.png",
    "image_texts": "a.png\tthe seven is at the top left",
    "class_images": "3",
    "captions": "a.png",
    "clips": "a.png",
    "masks": "a.png",
    "pairs": "1 2 3",
    "sentences": "good and bad",
    "tags": "good and bad",
    "documents": "1 2",
    "masked": "1 [MASK] 3",
    "spans": "1 <extra_id_0>",
}
FIGURES = {
    "vit": "filters",
    "dino": "segments",
    "dit": "samples",
    "swin": "windows",
    "segmenter": "class_maps",
    "upernet": "mistakes",
    "transformer": "sinusoids",
    "seq2seq": "alignment",
    "detr": "queries",
    "clip": "retrieval",
    "vivit": "mistakes",
    "timesformer": "mistakes",
}  # one that the family has, besides curves

EXPLORERS = {
    **dict.fromkeys(("vit", "hybrid", "distilled", "mae", "masked_patches", "segmenter", "dino"), "images"),
    **dict.fromkeys(("classifier", "regressor", "transformer", "seq2seq", "gpt", "t5", "bert", "tagger"), "words"),
}  # of the page, by family; the others have none
FIRST = {FAMILIES[family]["task.name"]: family for family in reversed(FAMILIES)}.values()
JUDGED = (
    "vit",
    "resnet",
    "vivit",
    "classifier",
    "recurrent",
    "transformer",
    "seq2seq",
)  # whose answers are right or wrong


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The workdir of each family that was trained so far."""
    return {"": tmp_path_factory.mktemp("families")}


def trained(runs: dict[str, Path], family: str) -> Path:
    if family not in runs:
        changes = COMMON | FAMILIES[family]
        if family == "distilled":
            changes["task.teacher"] = str(trained(runs, "vit"))
        if family == "dit":
            changes["hooks"] = (own(runs[""])[0],)
        config = configs.load("configs/vit_digits.py", changes)
        runs[family] = runs[""] / family
        with compiled() as steps:
            train(config, runs[family])
        assert steps == ["jit(train_step)"]  # what was compiled beside the initialisation is what the loop runs
    return runs[family]


@contextlib.contextmanager
def compiled() -> Iterator[list[str]]:
    """The training steps that are compiled within."""
    steps: list[str] = []

    def hear(event: str, seconds: float, fun_name: str = "", **_: object) -> None:
        if event.endswith("backend_compile_duration") and "train_step" in fun_name:
            steps.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        yield steps
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)


def done(*arguments: object) -> Done:
    """A command that must end well."""
    ended = command(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.parametrize(
    ("key", "package", "symbol"),
    [("model.name", "models", "Model"), ("task.name", "tasks", "Task"), ("data.kind", "data.pipelines", "Pipeline")],
)
def test_every_model_task_and_kind_of_data_is_in_a_family(key, package, symbol):
    assert {family[key] for family in FAMILIES.values()} == set(lookup.names(package, symbol))


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_losses(runs, family):
    losses = [row["train/loss"] for row in log.read(trained(runs, family)) if "train/loss" in row]
    np.testing.assert_allclose(losses, GOLDEN[family], rtol=1e-3, err_msg="see CONTRIBUTING.md, Golden curves")


@pytest.mark.parametrize("family", FAMILIES)
def test_evaluate_scores_as_training_did(runs, family):
    workdir = trained(runs, family)
    # The masks of an evaluation follow from its batches' shapes, which pmap has its own of.
    worst = family in ("detr", "segmenter")
    flags = (f"--workdir={workdir}", "--json", "--config.parallel.mode=mesh", f"--worst={2 * worst}")
    scores = json.loads(done("evaluate.py", *flags).stdout)
    assert len(scores.get("worst", ())) == 2 * worst
    last = {name: value for name, value in log.read(workdir)[-1].items() if "/" in name}
    assert {name: scores[name] for name in last} == pytest.approx(last, rel=1e-4, abs=1e-6)
    assert scores["step"] == 20


@pytest.mark.parametrize("family", FAMILIES)
def test_predict_answers(runs, family, tmp_path):
    item = ITEMS[str(FAMILIES[family]["data.kind"])]
    if item.startswith("a.png"):
        item = str(tmp_path / item)
        Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    found = done("predict.py", f"--workdir={trained(runs, family)}", "--json", f"--out={tmp_path / 'out'}", item)
    answer = json.loads(found.stdout)
    assert answer.pop("input") == item
    assert answer
    if "picture" in answer:
        with Image.open(answer["picture"]) as picture:
            assert picture.mode == "RGB"
    if family in FIRST:  # of its task, which says how an answer reads
        assert done("predict.py", f"--workdir={trained(runs, family)}", f"--out={tmp_path / 'out'}", item).stdout


def test_predict_compares_an_image_with_the_classes_that_are_named(runs, tmp_path):
    Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    (tmp_path / "classes.txt").write_text("small letter\ncapital letter\n")
    for named in ("small letter, capital letter", tmp_path / "classes.txt"):
        flags = (f"--workdir={trained(runs, 'clip')}", "--json", f"--classes={named}", tmp_path / "a.png")
        found = json.loads(done("predict.py", *flags).stdout)["top"]
        assert {one["class"] for one in found} == {"small letter", "capital letter"}
        assert sum(one["probability"] for one in found) == pytest.approx(1)
    refused = command("predict.py", f"--workdir={trained(runs, 'clip')}", "--classes=small,,letter", tmp_path / "a.png")
    assert (refused.returncode, "class 2 of 3 has no name" in refused.stderr) == (2, True)
    (tmp_path / "classes.txt").write_text("")
    refused = command(
        "predict.py", f"--workdir={trained(runs, 'clip')}", f"--classes={tmp_path / 'classes.txt'}", tmp_path / "a.png"
    )
    assert (refused.returncode, "classes.txt is empty: it should name a class" in refused.stderr) == (2, True)
    refused = command("predict.py", f"--workdir={trained(runs, 'vit')}", "--classes=a,b", tmp_path / "a.png")
    assert (refused.returncode, "--classes is for models of images and texts" in refused.stderr) == (2, True)


@pytest.mark.parametrize("family", FAMILIES)
def test_visualize_draws_what_there_is_and_names_it_otherwise(runs, family, tmp_path):
    figures = ["curves", *([FIGURES[family]] if family in FIGURES else [])]
    done("visualize.py", f"--workdir={trained(runs, family)}", f"--out={tmp_path}", *figures, "page")
    assert {path.stem for path in tmp_path.glob("*.png")} == set(figures)
    check_page((tmp_path / "page.html").read_text(), family)
    refused = command("visualize.py", f"--workdir={trained(runs, family)}", f"--out={tmp_path}", "nothing")
    assert refused.returncode == 2


def check_page(text: str, family: str) -> None:
    """What the page of a family holds."""
    assert len(text) < 1e6
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "not shown:" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert "loss" in data["curves"]["first"]
    assert text.count('<img src="data:image/png') >= len(FIGURES.keys() & {family}) + 1
    explorer = data["explorer"] or {"kind": "none", "items": []}
    assert explorer["kind"] == EXPLORERS.get(family, "none")
    assert ("no attention explorer" in text) == (family not in EXPLORERS)
    sections = re.findall(r'<section id="(\w+)"', text)
    wanted = ["results", "explore", "curves", "examples", "figures", "config", "reproduce"]
    assert sections == [name for name in wanted if name != "explore" or family in EXPLORERS]
    if family in JUDGED:
        assert re.search(r"The first \d+ of the split .*: \d+ right, \d+ wrong", text)


def test_a_classifier_begins_with_what_dino_learned(runs, tmp_path):
    workdir = trained(runs, "dino")
    rng = np.random.default_rng(0)
    for split, name in itertools.product(("train", "validation"), "ab"):
        (tmp_path / split / name).mkdir(parents=True)
        for i in range(9):
            Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).save(tmp_path / split / name / f"{i}.png")
    config = configs.load("configs/my_images.py", {"data.name": str(tmp_path), "init_from": str(workdir)})
    config, _ = open_keys.resolve(config, tmp_path / "run")
    run = experiment.build(config, tmp_path / "run")
    assert (config.model.name, tuple(config.model.position_grid), config.data.image_size) == ("vit", (4, 4), 8)
    weights, line = init_from.weights(run)
    assert set(weights) == {name for name in run.shapes() if not name.startswith("head/")}
    assert line.endswith("begin anew: head/bias, head/kernel.")
    same = {key: value for key, value in FAMILIES["dino"].items() if key.removeprefix("model.") in FIELDS}
    config = configs.load("configs/segmenter_digits.py", same | {"model.stem": "none", "init_from": str(workdir)})
    assert set(init_from.weights(experiment.build(config, tmp_path / "masks"))[0]) == set(weights)


def test_figures_are_drawn_after_an_evaluation(runs):
    with np.load(trained(runs, "dit") / "figures" / "20" / "samples.npz") as arrays:
        assert arrays["training_images"] == 1437  # all of scikit-learn's


def test_a_hook_hears_what_the_log_holds_and_of_each_figure(runs):
    rows = log.read(trained(runs, "dit"))
    first, *logged, figure, last = heard(runs[""] / "told")
    assert (first, figure, last) == (["begin", "dit", "dit", 0], ["figure", 20, "samples", True], ["end", "finished"])
    assert [{"step": step} | metrics for _, step, metrics in logged] == [pytest.approx(row) for row in rows]


@pytest.mark.parametrize("family", ["t5", "seq2seq", "bert", "detr", "dit", "vivit", "swin"])
def test_the_library_has_it_or_says_that_the_model_has_none(runs, family):
    item: object = ITEMS[str(FAMILIES[family]["data.kind"])]
    run = experiment.load(trained(runs, family))
    if run.run.pipeline.rank:
        item = np.zeros((4, 8, 8, 1)[4 - run.run.pipeline.rank :], np.uint8)
    found, lacks = {}, []
    for name in ("features", "attention", "generate"):
        try:
            found[name] = getattr(run, name)(item)
        except UserError as error:
            lacks.append(str(error))
    assert not [line for line in lacks if "\n" in line]
    assert ("features" in found) == (family not in ("detr", "dit", "seq2seq"))
    assert ("attention" in found) == (family not in ("dit", "swin"))
    assert ("generate" in found) == (family == "seq2seq")
    for weights in found["attention"].maps.values() if "attention" in found else ():
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-4)


def test_a_run_ends_with_its_page_and_the_figures_that_were_drawn_in_it(runs):
    page = (trained(runs, "dit") / "page.html").read_text()
    assert re.findall(r'<img src="data:image/png;base64,[^"]*" alt="(\w+)"', page) == ["samples"]


def test_figures_that_a_run_cannot_have_are_told_before_it_begins(tmp_path):
    for name, message in (("sample", "did you mean 'samples'"), ("samples", "this run cannot have 'samples'")):
        config = configs.load("configs/vit_digits.py", COMMON | FAMILIES["vit"] | {"evaluation.figures": (name,)})
        with pytest.raises(UserError, match=message):
            train(config, tmp_path / "run")


@pytest.mark.parametrize("family", FAMILIES)
def test_train_refuses_to_train_a_finished_run_again(runs, family):
    flags = [f"--config.{key}={value}" for key, value in (COMMON | FAMILIES[family]).items()]
    if family == "distilled":
        flags.append(f"--config.task.teacher={trained(runs, 'vit')}")
    ended = command("train.py", f"--workdir={trained(runs, family)}", *flags)
    assert ended.returncode == 2
    assert "has finished all 20 steps" in ended.stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_convert_writes_published_names_or_says_that_there_are_none(runs, family, tmp_path):
    ended = command("convert.py", trained(runs, family), tmp_path / "weights.npz")
    if FAMILIES[family]["model.name"] in ("vit", "resnet", "mixer") and family != "distilled":
        assert (ended.returncode, ended.stderr) == (0, "")
        assert (tmp_path / "weights.npz").exists()
    else:
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("family", ["vit", "dit", "classifier", "tagger", "transformer", "gpt", "bert", "t5"])
def test_the_commands_that_a_run_ends_with_can_be_pasted(runs, family, monkeypatch):
    run = restore.parts(restore.saved_config(trained(runs, family)), trained(runs, family))
    head, _, after = conclusion(run, run.steps, {}, 1.0, []).partition("Next:\n")
    (curves,) = re.findall(r"^  curves   (.*)", head, re.M)
    python, flag, module, *_ = shlex.split(curves)
    assert Path(shutil.which(python) or python).exists()
    assert flag == "-m"
    assert importlib.util.find_spec(module)
    lines = after.splitlines()
    parsed: dict[str, list[str]] = {}

    def parse(main, description, config=""):
        parsed[Path(sys.argv[0]).name] = commands.parse(sys.argv, config)

    monkeypatch.setattr(commands, "run", parse)
    for line in lines:
        python, *arguments = shlex.split(line)
        assert Path(shutil.which(python) or python).exists()
        command(*arguments)
    assert {"evaluate.py", "visualize.py"} <= parsed.keys()
    if "--classes" in after:
        run.pipeline.ask = ("a cat", "a dog")
    if family != "vit":  # whose digits are no files
        run.pipeline.read(parsed["predict.py"])


@pytest.mark.parametrize("family", FAMILIES)
def test_plan_counts_what_training_counted(runs, family, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "growing_share", lambda *_: None)  # which compiles once more, see test_plan.py
    flags = [f"--config.{key}={value}" for key, value in (COMMON | FAMILIES[family]).items()]
    if family == "distilled":
        flags.append(f"--config.task.teacher={trained(runs, 'vit')}")
    done("plan.py", f"--json={tmp_path / 'plan.json'}", f"--workdir={tmp_path}", *flags)
    plan, saved = json.loads((tmp_path / "plan.json").read_text()), record.read(trained(runs, family))
    assert plan["parameters"]["total"] == saved["parameters"]
    assert plan["flops_a_step"] == saved["step_flops"]
    assert plan["program"]["fits"]


@pytest.mark.parametrize("family", FAMILIES)
def test_study_takes_it_as_a_point(family, tmp_path):
    changes = tuple(f"{key}={value}" for key, value in (COMMON | FAMILIES[family]).items())
    (tmp_path / "one.py").write_text(
        "from configs.studies import base\n\n\n"
        "def get_config():\n"
        "    study = base.get_config('One point', 'none', 'Does it run?')\n"
        f"    study.runs = (base.run('configs/vit_digits.py', *{changes!r}, family={family!r}),)\n"
        "    return study\n"
    )
    lines = done("study.py", f"--study={tmp_path / 'one.py'}", f"--workdir={tmp_path}", "--dry_run").stdout.splitlines()
    assert len(lines) == 3  # seeds
    assert all(line.startswith("python train.py --config=configs/vit_digits.py") for line in lines)


def test_the_picture_of_an_answer_replaces_no_image_that_is_read(runs, tmp_path):
    for name in ("a.png", "0.png"):
        Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8)).save(tmp_path / name)
    before = (tmp_path / "0.png").read_bytes()
    items = (tmp_path / "a.png", tmp_path / "0.png")
    refused = command("predict.py", f"--workdir={trained(runs, 'detr')}", f"--out={tmp_path}", *items)
    assert (refused.returncode, (tmp_path / "0.png").read_bytes() == before) == (2, True)
    assert "0.png is to be read, and would be overwritten: choose another --out=FOLDER." in refused.stderr
