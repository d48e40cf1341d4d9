"""What README.md and docs/ tell people to type: every command parses, and the examples run."""

import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import commands
import experiment
import models
import tasks
from data import sources
from experiment import config as configs
from experiment import record
from tests import commandline

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"`(python (\w+)\.py [^`]*)`")
ROWS = [line for line in (ROOT / "docs" / "coming_from.md").read_text().splitlines() if line.startswith("| ")]
COMING = [
    found for line in ROWS for found in COMMAND.findall(line.rstrip(" |").rpartition(" | ")[2])
]  # the last column
LINE = re.compile(
    r"(?:\w+=\S+ )?(?:\.venv/bin/)?python ((?:train|predict|evaluate|visualize|convert|study|plan)\.py\b.*)"
)
SECTIONS = {
    "Translation": "transformer_dates",
    "Language models": "gpt_python",
    "Segmentation": "segmenter_digits",
    "Without labels": "dino_fashion_mnist",
    "Images and text": "clip_glyphs",
    "Video": "vivit_digits",
}  # the run that is called RUN there; vit_digits in others
NAMED = {
    **{name: f"configs/{name}.py" for name in (*SECTIONS.values(), "vit_digits", "detr_digits", "dit_digits")},
    "bert_pretrain-python+Tiny": "configs/bert_pretrain.py:python+Tiny",
    "clip": "configs/clip_coco.py:B/32",
    "gpt2": "configs/gpt2.py",
    "published": "configs/vit_imagenet.py:B/16",
}  # the runs that are named, and their configs


def written() -> list[str]:
    """The commands that have a line of their own in the documents, or a row of README's table of families, as
    "train.py --config=...", with a run for RUN."""
    found = {}
    for path in ("README.md", "docs/guide.md", "configs/README.md", "docs/plan.md", "launch/README.md"):
        section = ""
        for line in (ROOT / path).read_text().splitlines():
            section = line.strip("# ") if line.startswith("#") else section
            parts = re.findall(r"`([^`]*)`", line) if line.startswith("| [") else line.strip().split(" && ")
            for part in parts:
                if match := LINE.fullmatch(part.strip()):
                    words = shlex.split(match[1].partition(" < ")[0], comments=True)
                    named = f"--workdir=runs/{SECTIONS.get(section, 'vit_digits')}"
                    found[shlex.join(named if word == "--workdir=RUN" else word for word in words)] = None
    # configs/my_*.py follow from data: test_own_data.py; a bucket is not here.
    return [found for found in found if not re.search(r"/my_\w+\.py|--help|evaluate\.py --workdir=s3:", found)]


BEGUN = written()
RUNS = {"vit_digits": "vit", "vit_b16": "vit", "gpt": "gpt"} | dict.fromkeys(
    ("transformer", "transformer_dates"), "transformer"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, untrained) -> Path:
    """Where the commands are typed: with the runs that they name."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs").mkdir()
    for name, family in RUNS.items():
        (folder / "runs" / name).symlink_to(untrained(family))
    (folder / "docs").symlink_to(ROOT / "docs")
    return folder


@pytest.fixture(scope="module")
def configured(tmp_path_factory) -> Path:
    """The same with the configs alone of the runs that other documents name."""
    folder = tmp_path_factory.mktemp("configured")
    for name, config in NAMED.items():
        (folder / "runs" / name).mkdir(parents=True)
        record.write(folder / "runs" / name, configs.plain(configs.load(config)) | {"format": record.FORMAT})
    return folder


def test_there_are_commands_of_each_kind():
    assert len(COMING) > 50
    assert {door for _, door in COMING} == {"train", "predict", "evaluate", "convert"}


def test_the_documents_have_commands_of_each_kind():
    assert len(BEGUN) > 60
    doors = {command.split(".py")[0] for command in BEGUN}
    assert doors == {"train", "predict", "evaluate", "visualize", "convert", "study", "plan"}


@pytest.mark.parametrize("typed", [*(typed for typed, _ in COMING), *(f"python {command}" for command in BEGUN)])
def test_a_command_parses(typed, folder, configured, monkeypatch):
    """With its flags, its config, its keys and the types and ranges of their values."""
    monkeypatch.chdir(configured if typed.partition(" ")[2] in BEGUN else folder)
    parsed: list[list[str]] = []

    def run(main: object, description: str, config: str = "") -> None:
        arguments = commands.parse(sys.argv, config)
        if "config" in commands.FLAGS:
            config = commands.FLAGS.config
            of_data = config.get("recipe")  # the rest of its keys follows from the data
            (configs.check_set if of_data else configs.check)(config)
        parsed.append(arguments)

    with mock.patch.object(commands, "run", run):
        assert commandline.command(*shlex.split(typed)[1:]).returncode == 0
    assert len(parsed) == 1
    assert not [argument for argument in parsed[0] if argument.startswith("-")]


def test_the_example_of_the_library_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (folder / "library.py").write_text(block)
    run = runpy.run_path(str(folder / "library.py"))["run"]
    assert run.predict(["docs/digit.png"])["probability"].shape == (1, 10)


def test_the_digit_to_predict_is_one_of_the_test_split():
    """On the background that the training images have, so that it is not inverted."""
    digits = load_digits()
    with Image.open(ROOT / "docs" / "digit.png") as picture:
        pixels = np.asarray(picture)[::20, ::20]
    _, test = train_test_split(np.arange(len(digits.images)), test_size=0.2, stratify=digits.target, random_state=0)
    (number,) = np.flatnonzero((np.round(digits.images * (255 / 16)) == pixels).all((1, 2)))
    assert number in test
    assert digits.target[number] == 3


def test_the_examples_of_linen_and_nnx_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = (ROOT / "docs" / "linen_and_nnx.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    (folder / "typed.py").write_text("\n".join(blocks))  # one after another, as a reader types them
    runpy.run_path(str(folder / "typed.py"))


def test_the_example_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guide.md").read_text(), re.DOTALL)
    (tmp_path / "typed.py").write_text(block)
    found = runpy.run_path(str(tmp_path / "typed.py"))
    assert found["run"].step == found["config"].steps == configs.load("configs/vit_digits.py:debug").steps + 2
    assert found["logits"].shape == (10, 10)


def test_what_the_page_on_adding_has_can_be_trained_and_used(tmp_path, monkeypatch):
    """Each file where its first line says, and the command as it is written."""
    text = (ROOT / "docs" / "adding.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True)
        path.write_text(block)
    for package in (models, tasks, sources):
        folder = tmp_path / package.__name__.replace(".", "/")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in text.splitlines() if line.startswith(".venv/bin/python train.py"))
    done = commandline.command(*shlex.split(line)[1:], "--workdir=run", "--config.evaluation.page=False")
    assert done.returncode == 0, done.stderr
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("a.png")
    done = commandline.command("predict.py", "--workdir=run", "a.png")
    assert (done.returncode, "disc" in done.stdout) == (0, True), done.stderr
    assert experiment.load("run").features("a.png").shape[0] == 1


def test_no_flag_that_is_proposed_ends_in_a_full_stop():
    """It would be pasted with it. What stands for a value is in capitals: FILE, VALUE."""
    ends = re.compile(r'--[a-z_.]+=[^\s"A-Z][^\s"]*\."')
    rooms = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    code = [*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    lines = [line for path in code for line in path.read_text().splitlines() if not line.strip().endswith('"""')]
    assert len(lines) > 10_000
    assert [line for line in lines if ends.search(line)] == []
