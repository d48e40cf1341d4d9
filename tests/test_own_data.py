"""Own data in one command: what is found in a person's folder, and what follows from it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import experiment
import input_pipeline
from data import sources, surveys, text
from errors import UserError
from experiment import config as configs
from experiment import open_keys, record
from experiment.recipes import Machine
from tests.commandline import command
from train import train

CLASSES = ("cat", "dog")
GERMAN = ["ein Hund läuft", "eine Katze schläft", "ein Mann geht heim", "zwei Frauen lachen laut"] * 10


def images(root: Path, count: int = 10, colour: bool = True) -> Path:
    """Images of two classes in mixed formats, of sizes around 20 x 24."""
    draw = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = draw.integers(0, 256, (20 + i % 3, 24, 3) if colour else (20, 24), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}{('.png', '.webp', '.bmp', '.jpg')[i % 4]}")
    return root


def texts(root: Path) -> Path:
    """Texts of every form."""
    root.mkdir(exist_ok=True)
    rows = [f'{i},"{words}, {i}",{CLASSES[i % 2]}' for i, words in enumerate(GERMAN)]
    (root / "table.csv").write_text("\n".join(["id,Text,Label", *rows]) + "\n")
    (root / "a.de").write_text("\n".join(f"{words} {i}" for i, words in enumerate(GERMAN)) + "\n")
    (root / "a.en").write_text("\n".join(f"{words[::-1]} {i}" for i, words in enumerate(GERMAN)) + "\n")
    (root / "book.txt").write_text(" ".join(GERMAN) * 5)
    return root


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file."""
    path.write_text(text, encoding)
    return path


def listed(root: Path) -> Path:
    """A list of these images, below names of columns that are not known."""
    rows = [f"{name}/{i}{('.png', '.webp', '.bmp', '.jpg')[i]},{name}" for name in CLASSES for i in range(4)]
    return written(root / "list.csv", "\n".join(["photo,species", *rows]))


def boxes(root: Path, bbox: object = (2, 2, 9, 9), **changes: object) -> Path:
    """COCO's files of one split."""
    images(root / "images", 6)
    files = sorted(path.relative_to(root / "images").as_posix() for path in (root / "images").rglob("*.*"))
    whole = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(files)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "bbox": bbox, "iscrowd": 0} for i in range(len(files))
        ],
        "categories": [{"id": "7", "name": "thing"}],  # some tools write ids as texts
    } | changes
    (root / "annotations.json").write_text(json.dumps(whole))
    return root


def masks(root: Path, numbers: tuple[int, ...] = (0, 1, 2), names: str = "") -> Path:
    """Images and label images, without splits."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for i in range(10):
        labels = np.array(numbers, np.uint8)[np.random.default_rng(i).integers(0, len(numbers), (40, 48))]
        Image.fromarray(labels).save(root / "labels" / f"{i}.png")
        Image.fromarray(np.repeat(labels[..., None] * 80, 3, 2)).save(root / "images" / f"{i}.jpg")
    if names:
        (root / "classes.txt").write_text(names)
    return root


def names_of(config: str, tmp_path: Path) -> str:
    """Data for one of the configs."""
    made = {
        "my_images": lambda: str(images(tmp_path / "images")),
        "my_sentences": lambda: str(texts(tmp_path / "texts") / "table.csv"),
        "my_translation": lambda: ",".join(str(texts(tmp_path / "texts") / name) for name in ("a.de", "a.en")),
        "my_text": lambda: str(texts(tmp_path / "texts") / "book.txt"),
        "my_boxes": lambda: str(boxes(tmp_path / "boxes")),
        "my_masks": lambda: str(masks(tmp_path / "masks")),
    }
    return made[config]()


OWN = ("my_images", "my_sentences", "my_translation", "my_text", "my_boxes", "my_masks")


@pytest.mark.parametrize("name", OWN)
def test_every_config_of_own_data_takes_its_steps(name, tmp_path):
    data = {"data.name": names_of(name, tmp_path), "parallel.mode": "mesh"}
    config, lines = open_keys.resolve(configs.load(f"configs/{name}.py:debug", data), tmp_path / "run")
    assert lines[0].startswith("Your data: ")
    assert "to change one: --config." in "\n".join(lines)
    run = experiment.build(config, tmp_path / "run")
    run.pipeline.check()
    batch = next(run.batches(0))  # the model is traced to tell what it needs
    spec = run.pipeline.spec
    assert {key: batch[key].shape[2:] for key in spec} == {key: shape[2:] for key, (shape, _) in spec.items()}
    assert run.steps == 4
    best = run.config["checkpoint"]["keep_best"]
    assert best.rpartition("/")[0] in run.pipeline.eval_splits


@pytest.mark.parametrize("name", OWN)
def test_what_is_set_is_checked_before_the_rest_follows_from_it(name, tmp_path):
    size = "data.batch_tokens" if name == "my_translation" else "data.batch_size"
    for key, value in {size: 0, "epochs": -1.0, "steps": -5, "optim.warmup_steps": -1}.items():
        config = configs.load(f"configs/{name}.py", {"data.name": str(tmp_path), key: value})
        with pytest.raises(UserError, match=rf"config\.{key}={value} should be greater than"):
            open_keys.resolve(config, tmp_path / "run")


def test_from_photos_to_answers_in_two_commands(tmp_path):
    data, workdir, table = names_of("my_images", tmp_path), tmp_path / "run", tmp_path / "answers.csv"
    flags = [f"--config.data.name={data}", f"--workdir={workdir}"]
    trained = command("train.py", "--config=configs/my_images.py:debug", *flags)
    assert trained.returncode == 0, trained.stderr
    assert "Your data: " in trained.stdout
    answered = command("predict.py", f"--workdir={workdir}", data, f"--csv={table}")
    assert answered.returncode == 0, answered.stderr
    assert len(table.read_text().splitlines()) == 21  # a head and 20 images


@pytest.mark.parametrize(
    ("there", "train", "scored"),
    [
        (("train", "val", "test"), "train", ("val",)),
        (("Training", "VALID"), "Training", ("VALID",)),
        (("train", "dev"), "train", ("dev",)),
        (("training", "test"), "training", ("test",)),
        (("train",), "train[:80%]", ("train[80%:]",)),
        ((), "all[:80%]", ("all[80%:]",)),
    ],
)
def test_splits_are_found_by_their_usual_names_or_made(there, train, scored, tmp_path):
    for split in there or ("",):
        images(tmp_path / split)
    survey = surveys.of("images", {"name": str(tmp_path)})
    assert (survey.keys["train_split"], survey.keys["eval_splits"]) == (train, scored)
    assert survey.examples == (16 if "[" in train else 20)
    assert (survey.classes, survey.size) == (2, (21, 24))


def test_a_list_is_split_with_the_same_share_of_each_class_whatever_its_order(tmp_path):
    images(tmp_path)
    rows = [f"x,{name}/{i}{('.png', '.webp', '.bmp', '.jpg')[i % 4]},{name}" for name in CLASSES for i in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["id,filename,label", *rows]))
    survey = surveys.of("images", {"name": str(tmp_path / "list.csv")})
    assert survey.keys["source"] == "list"
    parts = [sources.open("list", str(tmp_path / "list.csv"), split) for split in ("train[:80%]", "train[80%:]")]
    assert [np.bincount(part.labels()).tolist() for part in parts] == [[8, 8], [2, 2]]
    every = {part.describe(i) for part in parts for i in range(part.size)}
    assert len(every) == 20


def test_grey_images_are_seen_in_grey_and_not_mirrored(tmp_path):
    config = configs.load("configs/my_images.py", {"data.name": str(images(tmp_path, colour=False))})
    config, _ = open_keys.resolve(config, tmp_path / "run")
    assert len(config.data.mean) == 1
    assert not config.data.augment.flip


def test_what_is_set_stays_and_what_follows_from_it_follows(tmp_path):
    given = {"data.name": str(images(tmp_path)), "data.batch_size": 8, "epochs": 20.0, "model.width": 64}
    config, lines = open_keys.resolve(configs.load("configs/my_images.py", given), tmp_path / "run")
    assert (config.data.batch_size, config.epochs, config.model.width, config.step.accumulate) == (8, 20.0, 64, 1)
    assert config.optim.warmup_steps == 4  # a tenth of 20 epochs of 16 images in batches of 8
    assert not any("batch_size" in line for line in lines)
    assert config.data.augment.rotate == 0.0  # which nothing decided


def test_a_run_that_goes_on_has_what_it_began_with(tmp_path):
    root, workdir = images(tmp_path / "data"), tmp_path / "run"
    begun, _ = open_keys.resolve(configs.load("configs/my_images.py", {"data.name": str(root)}), workdir)
    workdir.mkdir()
    record.write(workdir, configs.plain(begun))
    images(root, 100)  # five times as many
    again, lines = open_keys.resolve(configs.load("configs/my_images.py", {"data.name": str(root)}), workdir)
    assert json.loads(json.dumps(configs.plain(again))) == json.loads(json.dumps(configs.plain(begun)))
    assert lines == []
    for where, name, message in (
        (workdir, tmp_path / "more", f"on other data: .*--config.data.name={root};.*--workdir={workdir}_2"),
        (root, root, "is among the data: choose a folder outside"),
        (root / "runs" / "x", root, "is among the data"),
    ):
        with pytest.raises(UserError, match=message):
            train(configs.load("configs/my_images.py", {"data.name": str(name)}), where)
    assert sorted(path.name for path in root.iterdir()) == ["cat", "dog"]


def test_labels_that_are_numbers_are_learned_as_such_where_that_is_asked_for(tmp_path):
    rows = "".join(f"{words}\t{i % 7 / 2}\n" for i, words in enumerate(GERMAN))
    data = {"data.name": str(written(tmp_path / "a.tsv", "text\tlabel\n" + rows)), "parallel.mode": "mesh"}
    _, lines = open_keys.resolve(configs.load("configs/my_sentences.py:debug", data), tmp_path / "run")
    assert any(line.endswith("numbers: --config.data.numbers=True --config.task.name=regress") for line in lines)
    changes = {"data.numbers": True, "task.name": "regress"}
    config, lines = open_keys.resolve(configs.load("configs/my_sentences.py:debug", data | changes), tmp_path / "run")
    assert lines[0].startswith("Your data: 32 texts with numbers")
    assert (config.checkpoint.keep_best, config.checkpoint.keep_best_mode) == ("train[80%:]/loss", "min")
    assert experiment.build(config, tmp_path / "run").pipeline.sizes["outputs"] == 1


def test_classes_without_an_example_are_said(tmp_path):
    rows = "".join(f"text {i},{2000 + i % 3}\n" for i in range(30))
    survey = surveys.of("sentences", {"name": str(written(tmp_path / "a.csv", "text,label\n" + rows))})
    assert "2,000 of 2,003 classes have no training example, such as '0' (whole numbers count" in survey.notes[-1]


def test_a_training_split_alone_is_scored_on_the_rest_of_it(tmp_path):
    section = {"name": str(images(tmp_path)), "train_split": "all[:70%]"}
    assert surveys.of("images", section).keys["eval_splits"] == ("all[70%:]",)
    with pytest.raises(UserError, match="train_split='all' is set, and there is no split to score"):
        surveys.of("images", section | {"train_split": "all"})


def test_boxes_of_which_none_can_be_used_are_refused(tmp_path):
    splits = {"train_split": "annotations[:80%]", "eval_splits": ("annotations[80%:]",)}
    section = {"kind": "boxes", "source": "coco", "name": str(boxes(tmp_path, bbox=[900, 900, 9, 9])), **splits}
    pipeline = input_pipeline.build(section | {"batch_size": 4, "image_size": 32}, input_pipeline.Feed())
    with pytest.raises(UserError, match="of 10 boxes none can be used: 10 outside of their image"):
        _ = pipeline.train


def test_a_small_memory_splits_the_batch(tmp_path):
    config = configs.load("configs/my_images.py", {"data.name": str(images(tmp_path)), "parallel.mode": "mesh"})
    config, _ = open_keys.resolve(config, tmp_path / "run")
    run = experiment.build(config, tmp_path / "run")
    needed = open_keys.activations(run, open_keys.abstract(run.pipeline.shapes[0][1]))
    parameters = 4 * open_keys.COPIES * run.parameters()
    counts = [
        open_keys.micro_batches(run, Machine(False, 1, int((parameters + needed * share) / open_keys.SHARE)))
        for share in (4.0, 0.6, 0.3)
    ]
    assert counts == [1, 2, 4]


def test_a_run_begins_with_the_model_of_its_weights(tmp_path, monkeypatch):
    model = {"name": "resnet", "depths": [1, 1], "width": 8, "root": "cifar"}
    monkeypatch.setattr(open_keys.init_from, "check", lambda source: None)
    monkeypatch.setattr(open_keys, "beginning", lambda _: open_keys.Start(model, {"interpolation": "bicubic"}))
    config = configs.load("configs/my_images.py", {"data.name": str(images(tmp_path)), "init_from": "runs/x"})
    config, lines = open_keys.resolve(config, tmp_path / "run")
    assert (config.model.name, config.model.depths, config.model.root) == ("resnet", (1, 1), "cifar")
    assert (config.data.image_size, config.data.interpolation) == (
        224,
        "bicubic",
    )  # which the weights do not say, and do
    assert "these weights" in "\n".join(lines)


DINOV2 = {"layer_scale": 1.0, "registers": 4, "key_bias": False, "norm_epsilon": 1e-5, "positions": "rotary"}


@pytest.mark.parametrize("name", ["my_images", "my_masks"])
def test_a_run_that_goes_on_has_the_model_of_the_weights_that_it_began_with(tmp_path, monkeypatch, name):
    model = {"name": "vit", "width": 8, "depth": 1, "mlp_dim": 8, "heads": 2, "patch": 14} | DINOV2
    monkeypatch.setattr(open_keys.init_from, "check", lambda source: None)
    monkeypatch.setattr(open_keys, "beginning", lambda _: open_keys.Start(model, {}, parameters=1000, side=14))
    root = {"my_images": images, "my_masks": masks}[name](tmp_path / "data")
    given = {"data.name": str(root), "init_from": "folder"}
    begun, _ = open_keys.resolve(configs.load(f"configs/{name}.py", given), tmp_path / "run")
    assert {key: begun.model[key] for key in DINOV2} == DINOV2
    (tmp_path / "run").mkdir()
    record.write(tmp_path / "run", configs.plain(begun))
    again, _ = open_keys.resolve(configs.load(f"configs/{name}.py", given), tmp_path / "run")
    assert json.loads(json.dumps(configs.plain(again))) == json.loads(json.dumps(configs.plain(begun)))
    if name == "my_images":  # whose config has these keys before the weights are known
        config = configs.load("configs/my_images.py", given | {"model.registers": 2})
        config, _ = open_keys.resolve(config, tmp_path / "run")
        assert config.model.registers == 2, "which is refused later: it differs from the run's"


def test_weights_of_a_vit_become_a_segmenters(tmp_path, monkeypatch):
    """Of MAE, whose decoder is another one; images are as wide and high as the data's, in whole patches."""
    size = {"width": 8, "depth": 1, "mlp_dim": 8, "heads": 2, "patch": 14, "decoder_depth": 8}
    shown = {"image_size": 224, "mean": (0.1, 0.2, 0.3), "std": (0.5,) * 3}
    start = open_keys.Start({"name": "mae", **size}, shown, parameters=1000, side=14)
    monkeypatch.setattr(open_keys, "beginning", lambda _: start)
    config = configs.load("configs/my_masks.py", {"data.name": str(masks(tmp_path / "masks")), "init_from": "folder"})
    config, _ = open_keys.resolve(config, tmp_path / "run")
    assert (config.model.name, config.model.patch, config.model.decoder_depth) == ("segmenter", 14, 2)
    assert (config.data.image_size, config.data.image_width, config.data.mean) == (42, 42, (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    [
        ("images", lambda root: root / "nowhere", "there is no such file or folder"),
        ("images", lambda root: images(root / "a") / "cat", "has no folders of classes"),
        ("images", lambda root: images(root / "x" / "data").parent, "holds one folder: --config.data.name="),
        ("sentences", lambda root: texts(root / "t") / "book.txt", "expected is a table FILE.csv"),
        ("pairs", lambda root: texts(root / "t") / "book.txt", "expected is two files with commas between"),
        ("boxes", lambda root: images(root), "no boxes in a form that is known"),
        ("masks", lambda root: images(root), "no images with label images"),
        ("images", lambda root: "https://x.org/photos.zip", "download it"),
        ("images", lambda root: "", "config.data.name is not set"),
        ("images", lambda root: (images(root / "x").parent / "y").mkdir() or root, r"has one class \(x\): there is no"),
        ("images", lambda root: images(root, 1), "2 examples are too few to hold some of them out"),
        ("images", lambda root: texts(root / "t") / "table.csv", "line 1: it should be a path and a class"),
        ("images", lambda root: written(root / "a.csv", "path,class\nx.png,a\ny.png,b\n" * 3), "none of its files is"),
        ("images", lambda root: listed(images(root)), "line 1: there is no file .*/photo; if it names the columns"),
        ("boxes", lambda root: boxes(root) / "annotations.json", "is a file: name its folder, --config.data.name="),
        ("boxes", lambda root: boxes(root, categories=[]), "its 12 boxes have no class with a name"),
        ("boxes", lambda root: boxes(root, bbox=["2", None]), ": 12 annotations have no bbox"),
        ("masks", lambda root: masks(root, (0,)), "only 0: there is nothing to tell apart. .*; of two classes, 0 and"),
        (
            "masks",
            lambda root: masks(root, (0, 255) * 90 + tuple(range(9, 39))),
            "white with grey in between.* 0 and 255",
        ),
        ("masks", lambda root: masks(root, (255, 255)), "only 255, which is no class"),
        ("masks", lambda root: masks(root, (0, 1, 2), "sky\n"), "numbers 0, 1, 2, of which 0 has a name: give each a"),
        ("images", lambda root: masks(root, (0, 1)), r"label images \(--config=configs/my_masks.py\) or with boxes"),
        ("pairs", lambda root: f"{texts(root / 't')}/a.de,{root}/t/a.de", "a.de twice"),
        ("pairs", lambda root: written(root / "a.tsv", "a\tb\tc\n" * 9), "Others: --config.data.languages="),
        ("sentences", lambda root: written(root / "a.csv", "text,label\nä,b\n", "utf-16"), "iconv -f utf-16"),
        ("sentences", lambda root: written(root / "a.csv", "a,b,c\n1,2,3\n"), "Others: --config.data.fields=COLUMN"),
    ],
)
def test_data_that_are_not_as_expected_are_one_line_that_says_what_is(kind, make, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        input_pipeline.survey({"kind": kind, "name": str(make(tmp_path))})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("images", lambda root: images(root / "my data").parent),
        ("images", lambda root: texts(root)),
        ("boxes", lambda root: boxes(root) / "annotations.json"),
        ("sentences", lambda root: texts(root)),
    ],
)
def test_a_flag_that_is_proposed_can_be_pasted(kind, make, tmp_path):
    root = tmp_path / "my photos"
    root.mkdir()
    with pytest.raises(UserError) as error:
        input_pipeline.survey({"kind": kind, "name": str(make(root))})
    flag, _, name = shlex.split(str(error.value))[-1].partition("=")
    assert flag == "--config.data.name"
    assert Path(name).exists()


def test_a_text_decides_how_long_its_windows_are_and_how_far_a_token_sees(tmp_path):
    name = str(texts(tmp_path / "texts") / "book.txt")  # of 4,000 characters or so

    def chosen(**given: object) -> tuple[int, int, int]:
        changes = {"data.name": name, "step.accumulate": 1} | {key.replace("__", "."): x for key, x in given.items()}
        config, lines = open_keys.resolve(configs.load("configs/my_text.py", changes), tmp_path / "run")
        assert "window=" in "\n".join(lines) or "model__window" in given
        return config.data.length, config.model.max_length, config.model.window

    assert chosen() == (64, 64, 64)
    assert chosen(model__max_length=16) == (16, 16, 16)
    assert chosen(data__length=24, model__window=0) == (24, 24, 0)
    Path(name).write_text("ein kurzer Text. " * 40)
    assert chosen() == (30, 30, 30)  # of 612 characters that are trained on
    assert chosen(data__tokenizer="byte") == chosen()


def test_masks_in_black_and_white_are_two_classes(tmp_path):
    """255 is a class where the label images have 0 and 255 alone, unless a key says otherwise."""
    section = {"kind": "masks", "name": str(masks(tmp_path, (0, 255)))}
    survey = surveys.of("masks", section)
    expected = {"label_numbers": (0, 255), "ignored": (), "class_names": ("black", "white")}
    assert expected.items() <= survey.keys.items()
    assert survey.classes == 2
    assert "If 255 is no class: --config.data.ignored=" in "\n".join(survey.notes)
    for ignored in ({"ignored": (255,)}, {"first_class": 1}):
        with pytest.raises(UserError, match="there is nothing to tell apart"):
            surveys.of("masks", section | ignored)
    (tmp_path / "classes.txt").write_text("street\ncar\n")
    assert "255 is 'car'" in "\n".join(surveys.of("masks", section).notes)
    (tmp_path / "classes.txt").write_text("street\ncar\nman\n")
    with pytest.raises(UserError, match="only 0 and 255, which is no class"):
        surveys.of("masks", section)


def test_numbers_that_label_images_skip_are_said(tmp_path):
    section = {"kind": "masks", "name": str(masks(tmp_path, (0, 2, 255)))}
    survey = surveys.of("masks", section)
    assert (survey.classes, survey.keys["ignored"]) == (3, (255,))
    assert "such as 1, have no pixel" in survey.notes[-1]
    assert '--config.data.label_numbers="(0, 2)"' in survey.notes[-1]
    assert surveys.of("masks", section | {"label_numbers": (0, 2, 255)}).keys["ignored"] == ()
    assert surveys.of("masks", section | {"label_numbers": (0, 2)}).keys["class_names"] == ("class 0", "class 2")


def test_names_that_may_begin_at_one_are_said(tmp_path):
    section = {"kind": "masks", "name": str(masks(tmp_path, (1, 2, 3), "sky\nroad\ncar\n"))}
    survey = surveys.of("masks", section)
    assert "have 3, which no class is" in survey.notes[-1]
    assert "If 'sky' is their number 1: --config.data.first_class=1" in survey.notes[-1]
    survey = surveys.of("masks", section | {"first_class": 1})
    assert survey.keys["ignored"] == (255,)
    assert not any("no class is" in note for note in survey.notes)


def test_columns_of_a_part_of_a_table_belong_together(tmp_path):
    rows = [f"{number},a text of {number} words,{number / 2}" for number in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["id,Text,Score", *rows]) + "\n")
    for split in ("train[:80%]", "train[80%:]"):
        texts_, scores = (text.column("table", "a.csv", split, str(tmp_path), field) for field in ("", "score"))
        assert [float(one.split()[3]) / 2 for one in texts_] == [float(one) for one in scores]
        assert len(scores) in (32, 8)
    with pytest.raises(UserError, match="names no column 'scor': did you mean 'score'"):
        text.column("table", "a.csv", "train", str(tmp_path), "scor")


def test_texts_of_a_table_or_of_folders_keep_the_share_of_each_class(tmp_path):
    table = texts(tmp_path / "texts") / "table.csv"
    parts = [text.labelled("table", str(table), split, "") for split in ("train[:80%]", "train[80%:]")]
    assert [np.bincount(labels).tolist() for _, labels, _ in parts] == [[16, 16], [4, 4]]
    assert {classes for _, _, classes in parts} == {CLASSES}
    assert "ein Hund läuft, 0" in {*parts[0][0], *parts[1][0]}  # a comma within quotation marks
    assert not set(parts[0][0]) & set(parts[1][0])
    for number, name in enumerate(CLASSES):
        (tmp_path / "folders" / name).mkdir(parents=True)
        for i in range(10):
            (tmp_path / "folders" / name / f"{i}.txt").write_text(f"text {i}\nof {number}")
    survey = surveys.of("sentences", {"name": str(tmp_path / "folders")})
    assert (survey.keys["source"], survey.examples, survey.classes) == ("class_folders", 16, 2)
    found, labels, _ = text.labelled("class_folders", str(tmp_path / "folders"), "all", "")
    assert found[labels.index(1)] == "text 0 of 1"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b,c", "1,2,3"], "should name the columns 'text' and 'label'"),
        (["text,x", "1,2"], "names no column 'label'"),
        (["text,label", "only"], "row 2 has 1 columns, not 2"),
        (["text,label", "one,"], "example 0 has no label"),
        (["text,label"], "has no rows below its first line"),
    ],
)
def test_a_table_that_is_none_is_one_line(rows, message, tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=message):
        text.labelled("table", str(tmp_path / "a.csv"), "train", "")


@pytest.mark.parametrize(
    ("source", "folder"), [("coco", ""), ("voc", "Annotations"), ("voc", "annotations"), ("yolo", "labels")]
)
def test_boxes_are_found_by_the_form_of_their_files(source, folder, tmp_path):
    root = boxes(tmp_path)
    files = sorted((root / "images").rglob("*.*"))
    if source != "coco":
        (root / "annotations.json").unlink()
    if source == "voc":
        (root / folder).mkdir()
        for path in files[:6]:  # of one folder: VOC names images without theirs
            path.rename(root / "images" / path.name)
            box = "".join(
                f"<{side}>{x}</{side}>" for side, x in zip(("xmin", "ymin", "xmax", "ymax"), (2, 2, 9, 9), strict=True)
            )
            thing = f"<object><name>thing</name><bndbox>{box}</bndbox></object>"
            name = root / folder / f"{path.stem}.xml"
            name.write_text(f"<annotation><filename>{path.name}</filename>{thing}</annotation>")
    if source == "yolo":
        for path in files:
            label = root / folder / path.relative_to(root / "images").with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.2 0.2\n")
        (root / "classes.txt").write_text("thing\n")
    survey = surveys.of("boxes", {"name": str(root)})
    assert (survey.keys["source"], survey.classes, survey.length) == (source, 1, 1)
    assert survey.keys["train_split"].endswith("[:80%]")


def test_text_files_beside_their_images_are_yolos(tmp_path):
    for split in ("train", "valid"):
        for path in list(images(tmp_path / split, 3).rglob("*.*")):
            moved = path.rename(tmp_path / split / f"{path.parent.name}{path.name}")
            moved.with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
        (tmp_path / split / "classes.txt").write_text("thing\n")
    (tmp_path / "classes.txt").write_text("thing\n")
    both, one = (surveys.of("boxes", {"name": str(tmp_path / name)}) for name in ("", "train"))
    assert (both.keys["source"], both.keys["eval_splits"], both.examples) == ("yolo", ("valid",), 6)
    assert (one.keys["train_split"], one.examples) == ("all[:80%]", 5)


def test_languages_are_told_by_the_names_of_files_and_columns(tmp_path):
    root = texts(tmp_path / "texts")
    (root / "a.tsv").write_text("fa\ten\nx\ty\n" * 4)
    for split in ("train", "val"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}").write_text("eins\nzwei\n")
    for name, languages in ((f"{root}/a.de,{root}/a.en", ("de", "en")), (f"{root}/a.tsv", ("fa", "en"))):
        assert surveys.of("pairs", {"name": name}).keys["languages"] == languages
    survey = surveys.of("pairs", {"name": str(tmp_path)})
    assert (survey.keys["languages"], survey.keys["eval_splits"]) == (("de", "en"), ("val",))
