"""Commands as a person types them: one line for a mistake and exit status 2; results where they are said to be."""

import csv
import errno
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import commands
import predict
import tasks
from tasks import Answer
from tests.commandline import ROOT, command
from tests.conftest import tiny
from train import train
from training.progress import Live


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("trained") / "run"
    train(tiny(**{"checkpoint.keep_best": "test/accuracy"}), workdir)
    return workdir


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.py", "--config.optim.learning_rat=1"], "did you mean config.optim.learning_rate?"),
        (["train.py", "--config.optim.learning_rate=fast"], "--config.optim.learning_rate=fast: should be a number."),
        (["train.py", "--config=configs/vit_digit.py"], "did you mean 'configs/vit_digits.py'"),
        (["train.py", "--workdr=x"], "Did you mean: workdir"),
        (["train.py", "--model.dept=3"], "--model.dept is not a flag: did you mean --config.model.depth=...?"),
        (["train.py", "--config.log_every_steps=9"], "did you mean config.log.every_steps? There is: checkpoint"),
        (["train.py", "--config.data.augment.flip=yes"], "--config.data.augment.flip=yes: should be True or False."),
        (["train.py", "--epochs=3"], "--epochs is not a flag: did you mean --config.epochs=...?"),
        (["train.py", "--config.data.batch_size=all"], "--config.data.batch_size=all: should be a whole number."),
        (["train.py", "--config.steps=9", "--config.epochs=3"], "both --config.steps and --config.epochs are given"),
        (["train.py", "--config.optim.name=adamW"], "did you mean 'adamw'"),
        (["predict.py", "--workdir=x", "--config=configs/vit_digits.py"], "takes the config of the run in --workdir"),
        (["train.py", "configs/gpt2.py:small"], "is not a flag: did you mean --config=configs/gpt2.py:small? See"),
        (["plan.py", "config.steps=3"], "is not a flag: did you mean --config.steps=3? See --help."),
        (
            ["train.py", "--config=configs/vit_finetune.py:cars+B/16"],
            "cars+B/16: there is no task 'cars'",
        ),
        (
            [
                "train.py",
                "--config=configs/vit_imagenet.py:X/16",
                "--config.data.source=synthetic",
                "--config.data.name=10",
            ],
            "there is no variant 'X/16': did you mean 'S/16'",
        ),
        (
            ["study.py", "--study=configs/vit_digits.py"],
            "train.py --config=configs/vit_digits.py",
        ),
        (
            ["convert.py", "configs", "model.onnx"],
            "model.onnx should be a workdir, or end in .npz, .safetensors or .st",
        ),
        (["convert.py", "", "x.npz"], "two names are needed: python convert.py FROM TO"),
        (["convert.py", "x", "x.stablehlo", "--platforms="], "--platforms= names nothing"),
        (["visualize.py", "--workdir=x", "--images="], '--images= names nothing: write what it is after the "="'),
        (["evaluate.py"], "--workdir=FOLDER of a training run is needed"),
        (["evaluate.py", "--workdir=nowhere"], "nowhere holds no run"),
        (["predict.py", "--workdir=nowhere", "x.png"], "nowhere holds no run"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments, message):
    done = command(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--config", "a.py:B"], ["--config=a.py:B"]),
        (["-config", "a.py", "--workdir", "~/my run"], ["--config=a.py", "--workdir=~/my run"]),
        (["--config.seed", "-1"], ["--config.seed=-1"]),
        (["--config.model.scan", "--workdir=x"], ["--config.model.scan", "--workdir=x"]),
        (["--study.seeds", "2", "image.jpg"], ["--study.seeds=2", "image.jpg"]),
    ],
)
def test_a_space_does_for_the_sign_between_a_flag_and_its_value(given, read):
    assert commands.joined(["train.py", *given]) == ["train.py", *read]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config="], "--config= names nothing"),
        (["--workdir="], "--workdir= names nothing"),
        (["--config", "configs/nope.py"], "there is no config configs/nope.py"),
        (
            ["--config=configs/resnet_digits.py", "--config.model.depth=3"],
            "config.model.depth is not a setting: did you",
        ),
        (["--config.model.depth.x=3"], "config.model.depth.x is not a setting: config.model.depth is one value"),
        (["--config.=3"], "config. is not a setting"),
        (
            ["--config.model=vit"],
            "config.model is a section with keys of its own: did you mean --config.model.name=vit",
        ),
        (["--config.log=3"], "config.log is a section with keys of its own: set one of every_steps"),
        (["--noconfig.model.scam"], "config.model.scam is not a setting: did you mean config.model.scan?"),
        (["--config.seed=18446744073709551616"], "config.seed=18446744073709551616 should be a number of at most"),
        (["--config.model.depth=1000000000"], "config.model.depth=1000000000 should be less than or equal to 1000"),
    ],
)
def test_flags_that_cannot_be_are_one_line(arguments, message, tmp_path):
    done = command("train.py", *arguments, *([] if "--workdir=" in arguments else [f"--workdir={tmp_path / 'run'}"]))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_task_that_answers_nothing_is_one_line(trained, monkeypatch):
    monkeypatch.setattr("tasks.classify.Task.predict", tasks.Task.predict)
    done = command("predict.py", f"--workdir={trained}", ROOT / "docs" / "digit.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: tasks/classify.py has no `predict`, which is needed to answer.\n"


def test_windows_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(commands.__file__)
    assert capsys.readouterr().err == "error: this runs on Linux and macOS: on Windows, run it in WSL 2.\n"


def test_help_says_the_variants():
    done = command("train.py", "--help", "--config=configs/seq2seq_multi30k.py")
    assert "configs/vit_finetune.py[:TASK+MODEL]" in done.stdout
    assert "attention  none, bahdanau, luong_dot, luong_general" in done.stdout
    done = command("study.py", "--help", "--study=configs/studies/vit_data_scaling.py")
    assert "size       tiny, fashion_mnist" in done.stdout


def test_an_unknown_study_size_or_key_is_one_line():
    for arguments, message in (
        (["--study=configs/studies/vit_shape.py:tinny"], "no size 'tinny': did you mean 'tiny'"),
        (
            ["--study=configs/studies/vit_shape.py", "--study.seedz=3"],
            "study.seedz is not a setting: did you mean study.seeds?",
        ),
        (["--study", "vit_head"], "there is no study vit_head: did you mean 'configs/studies/vit_head.py'"),
        (["--study=configs/studies/vit_head.py:tiny", "x"], "'x' is not a flag: did you mean --study=x?"),
        (["--study", "configs/studies/vit_shap.py"], "there is no study configs/studies/vit_shap.py: did you mean"),
        ([], "--study=configs/studies/FILE.py[:VARIANT] says which study"),
    ):
        done = command("study.py", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr


def test_a_full_disk_is_one_line_and_nothing_is_tried_after_it():
    code = """if True:
        import atexit, commands
        atexit.register(print, "flushing")
        def main(arguments):
            raise OSError(28, "No space left on device")
        commands.train_flags()
        commands.run(main, "", config="configs/vit_digits.py")
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: no space left on the disk\. Free some .*\n", done.stderr)


def test_help_lists_flags_and_configs():
    done = command("train.py", "--help")
    assert done.returncode == 0
    for text in ("--workdir", "configs/vit_digits.py", "configs/vit_imagenet.py", "configs/README.md"):
        assert text in done.stdout
    assert "configs/base.py" not in done.stdout


def test_help_lists_what_the_command_takes_and_nothing_else():
    done = command("visualize.py", "--help")
    assert "confusion  " in done.stdout
    assert "configs/vit_digits.py" not in done.stdout
    done = command("plan.py", "--help")
    assert "stopped_status" not in done.stdout
    assert "h100xN" in done.stdout
    done = command("train.py", "--help", "--config=configs/my_images.py")
    assert re.search(r"--config\.data\.batch_size=None  examples of a global training batch", done.stdout)
    assert "--config.recipe='images'" in done.stdout


def test_evaluate_scores_the_checkpoint_that_training_scored(trained):
    from training import log

    done = command("evaluate.py", f"--workdir={trained}", "--json", "--config.data.eval_batch_size=7")
    scores, last = json.loads(done.stdout), log.read(trained)[-1]
    assert scores["step"] == 6
    assert {k: v for k, v in scores.items() if "/" in k} == pytest.approx(
        {k: v for k, v in last.items() if "/" in k}, rel=1e-5
    )


def test_evaluate_takes_any_split_and_step(trained):
    done = command("evaluate.py", f"--workdir={trained}", "--split=train[:10%]", "--step=best")
    assert "train[:10%]/accuracy" in done.stdout, done.stderr
    for step, message in (("5", "no checkpoint of step 5"), ("newest", "should be last, best or a number")):
        done = command("evaluate.py", f"--workdir={trained}", f"--step={step}")
        assert done.returncode == 2
        assert message in done.stderr


def test_predict_names_the_likeliest_classes(trained, tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (8, 8)), ("b.jpg", (30, 20, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    done = command("predict.py", f"--workdir={trained}", "--json", "--top=3", tmp_path / "a.png", tmp_path / "b.jpg")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["a.png", "b.jpg"]
    for line in lines:
        probabilities = [best["probability"] for best in line["top"]]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert {best["class"] for best in line["top"]} <= set("0123456789")
    whole = command("predict.py", f"--workdir={trained}", "--json", "--top=10", tmp_path / "a.png")
    assert sum(b["probability"] for b in json.loads(whole.stdout)["top"]) == pytest.approx(1, abs=1e-5)


def test_predict_writes_a_table_of_folders_with_their_classes_and_counts_what_is_right(trained, tmp_path):
    for name in ("3", "7", "others"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / "set" / name / f"{number}.png")
    (tmp_path / "set" / "notes.txt").write_text("no image")
    loose = tmp_path / "loose.gif"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(loose)
    table = tmp_path / "out" / "a.csv"
    done = command("predict.py", f"--workdir={trained}", f"--csv={table}", tmp_path / "set", tmp_path / "*.gif")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["true"] for row in rows] == ["3", "3", "7", "7", "", "", ""]
    assert {row["predicted"] for row in rows} == {row["class_1"] for row in rows} <= set("0123456789")
    right = sum(row["true"] == row["predicted"] for row in rows[:4])
    assert f"{right} of 4 whose class is known are right" in done.stdout
    assert done.stdout.startswith(f"{table}: 7 answers.")


def test_predict_refuses_addresses_and_what_stands_for_nothing_in_a_line_each(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for item, message in (
        ("https://x.org/a.png", "https://x.org/a.png is not on this machine: download it, and give the file."),
        (tmp_path / "empty", "empty holds no images"),
        (tmp_path / "*.png", "no image is called"),
    ):
        done = command("predict.py", f"--workdir={trained}", item)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr


def test_evaluate_names_the_surest_mistakes_and_visualize_draws_them(trained, tmp_path):
    flags = (f"--workdir={trained}", "--config.data.eval_splits=('test[:50]',)")
    done = command("evaluate.py", *flags, "--worst=3", "--json", "--config.task.by_class=True")
    scores = json.loads(done.stdout)
    errors = [one["error"] for one in scores["worst"]]
    assert errors == sorted(errors, reverse=True)
    assert re.fullmatch(r"\d \(\d+%\) for \d", scores["worst"][0]["mistake"])
    names = [name for name in scores if "/accuracy_" in name]
    assert len(names) == 10
    assert 0 <= scores["test[:50]/calibration_error"] <= 1
    done = command("visualize.py", *flags, f"--out={tmp_path}", "confusion", "calibration", "mistakes")
    assert done.returncode == 0, done.stderr
    counts = np.load(tmp_path / "confusion.npz")["confusion"]
    assert counts.sum() == 50
    assert np.diag(counts).sum() / 50 == pytest.approx(scores["test[:50]/accuracy"])
    found = np.load(tmp_path / "calibration.npz")
    assert float(found["expected_calibration_error"]) == pytest.approx(scores["test[:50]/calibration_error"], rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv=FOLDER"], "cannot write --csv="),
        (["--csv=FOLDER/a.png/x.csv"], "cannot write --csv="),
        (["--csv=x.csv", "--json"], "both --csv and --json are given"),
        (["--csv=FOLDER/a.png"], "a.png is to be read, and would be overwritten: name another file."),
        (["--csv="], '--csv= names nothing: write what it is after the "="'),
        (["--out=FOLDER/a.png"], "a.png is a file: name a folder for the pictures, --out=FOLDER."),
        (["--file=FOLDER/a.png"], "a.png is no text: it should have one item a line. Give others without --file=."),
    ],
)
def test_predict_refuses_flags_before_it_answers(trained, tmp_path, flags, message):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    flags = [flag.replace("FOLDER", str(tmp_path)) for flag in flags]
    items = [] if "--file" in flags[0] else [tmp_path / "a.png"]
    done = command("predict.py", f"--workdir={trained}", *flags, *items)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


def test_a_run_is_planned_by_its_own_config_alone(trained):
    done = command("plan.py", f"--workdir={trained}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{trained} holds a run: name its config too" in done.stderr


def test_predict_names_a_file_it_cannot_read(trained, tmp_path):
    (tmp_path / "x.png").write_text("no image")
    for path in (tmp_path / "x.png", tmp_path / "missing.png"):
        done = command("predict.py", f"--workdir={trained}", path)
        assert done.returncode == 2
        assert str(path) in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_an_answer_that_grows_is_printed_piece_by_piece_and_characters_whole(as_json, capsys):
    """As bytes: two of the euro's three, and one that begins no character."""
    data = "1 €\n".encode() + b"\xff"
    answers = [Answer(data[:end].decode(errors="replace"), {"n": end}) for end in range(len(data) + 1)]
    last, printed = predict.grown(iter(answers), "x", as_json)
    assert (last, printed) == (answers[-1], "1 €\n")
    predict.show("x", last, as_json, Path("x.png"), printed)
    lines = capsys.readouterr().out
    if as_json:
        *pieces, whole = map(json.loads, lines.splitlines())
        assert [piece["piece"] for piece in pieces] == ["1", " ", "€", "\n"]
        assert whole == {"input": "x", "n": len(data)}
    else:
        assert lines == "1 €\n\ufffd\n"


def test_a_gpu_compiles_without_what_is_slow_unless_asked_otherwise(monkeypatch, tmp_path):
    first, second = (f"--{name}=" for name in commands.SLOW_TO_COMPILE)
    monkeypatch.setattr(commands, "NVIDIA", str(tmp_path / "gpu"))
    monkeypatch.setenv("XLA_FLAGS", f"{first}true")
    commands.begin()
    assert os.environ["XLA_FLAGS"] == f"{first}true"
    (tmp_path / "gpu").touch()
    for _ in range(2):  # a command that starts another
        commands.begin()
        assert os.environ["XLA_FLAGS"] == f"{second}false {first}true"


@pytest.mark.parametrize(("where", "status"), [("stop()", -2), ("commands.parse = stop; commands.run(stop, '')", 130)])
def test_ctrl_c_is_a_line_also_while_libraries_are_imported(where, status):
    program = f"import commands\ncommands.begin()\ndef stop(*arguments): raise KeyboardInterrupt\n{where}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "stopped by Ctrl-C.\n")


def test_closed_standard_streams_are_empty_ones(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    commands.open_streams()
    with sys.stdin, sys.stdout, sys.stderr:
        assert sys.stdin.buffer.read() == b""
        print("nobody reads this")


def test_an_output_that_nobody_reads_does_not_end_a_run(monkeypatch, capsys):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Gone())
    with Live(0, 10) as live:
        for line in ("one", "two"):
            live.say(line)
    assert capsys.readouterr().err == "warning: the output cannot be written (Broken pipe); the run continues.\n"


def test_input_that_cannot_be_read_ends_predict_and_does_not_hang_it():
    def items():
        yield "one"
        raise OSError(errno.EIO, "Input/output error")

    found = predict.batches(items(), 8)
    assert next(found) == ["one"]
    with pytest.raises(OSError, match="Input/output"):
        next(found)


def test_predict_answers_what_it_can_and_tells_by_its_status(trained, tmp_path):
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_text("no image")
    os.mkfifo(tmp_path / "fifo.png")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")
    shutil.copy(tmp_path / "0.png", odd)
    files = [tmp_path / name for name in ("0.png", "1.png", "fifo.png", "2.png")]
    done = command("predict.py", f"--workdir={trained}", "--json", *files, odd)
    assert done.returncode == 2
    rows = {Path(row["input"]).name: row for row in map(json.loads, done.stdout.splitlines())}
    assert {name for name, row in rows.items() if "top" in row} == {"0.png", "2.png", "\\xe9.png"}
    assert "1.png: it is not one of" in rows["1.png"]["error"]
    assert "fifo.png: it is no plain file" in rows["fifo.png"]["error"]
    assert done.stderr.splitlines()[-1] == "2 of 5 could not be read."
    assert "Traceback" not in done.stderr


def test_predict_inverts_a_dark_digit_on_white_and_says_so(trained, tmp_path):
    digit = np.zeros((8, 8), np.uint8)
    digit[1:7, 3:5] = 255
    for name, pixels in (("light.png", digit), ("dark.png", 255 - digit)):
        Image.fromarray(pixels).save(tmp_path / name)
    done = command("predict.py", f"--workdir={trained}", "--json", tmp_path / "light.png", tmp_path / "dark.png")
    light, dark = map(json.loads, done.stdout.splitlines())
    assert light["top"] == dark["top"]
    assert done.stderr.count("it is inverted") == 1
    as_it_is = command(
        "predict.py", f"--workdir={trained}", "--json", tmp_path / "dark.png", "--config.data.invert=never"
    )
    assert json.loads(as_it_is.stdout)["top"] != light["top"]
    assert as_it_is.stderr == ""


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_evaluation_says_how_many_images_it_could_not_read(trained, tmp_path, flags):
    (folder := tmp_path / "set" / "test" / "7").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number}.png")
    (folder / "1.png").write_text("no image")
    data = ("--config.data.source=folder", f"--config.data.name={tmp_path / 'set'}", "--config.data.unreadable=skip")
    done = command("evaluate.py", f"--workdir={trained}", "--config.parallel.mode=mesh", *data, *flags)
    assert done.returncode == 0, done.stderr
    assert "test: 1 examples that could not be read are left out of the score, such as" in done.stdout
    assert "Split 'test' lacks 9 of 10 classes" in done.stdout
