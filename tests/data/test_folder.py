"""Folders and lists of images: one rule says which files are examples; parts and names of splits; missing classes."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import slices, sources
from errors import UserError
from tests.data.test_pipeline import first, make


def fill(root: Path, splits=("train", "test"), classes=("cat", "dog", "owl"), count=6) -> Path:
    """PNG images whose first pixel is their number."""
    for split in splits:
        for name in classes:
            (folder := root / split / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"{number}.png")
    return root


def names(source) -> list[str]:
    return [source.describe(i).rpartition("/")[2] for i in range(source.size)]


def test_what_is_no_example_is_left_out_and_counted(tmp_path):
    cat = fill(tmp_path, ("train",), ("cat", "dog"), 1) / "train" / "cat"
    image = (cat / "0.png").read_bytes()
    for name in (
        ".ipynb_checkpoints/0-checkpoint.png",
        "cat/._0.png",
        "__MACOSX/0.png",
        "loose.png",
        "cat/notes.txt",
        "cat/a.heic",
    ):
        (path := cat.parent / name).parent.mkdir(exist_ok=True)
        path.write_bytes(image)
    (cat / "more" / "deep").mkdir(parents=True)
    (cat / "more" / "deep" / "9.webp").write_bytes(image)
    os.mkfifo(cat / "fifo.png")
    (cat / "dangling.png").symlink_to("nowhere")
    (cat / "loop").symlink_to(cat.parent)
    (cat.parent / "self").symlink_to("self")
    (cat.parent / "empty").mkdir()
    source = sources.open("folder", str(tmp_path), "train")
    assert sources.classes(source) == ("cat", "dog", "empty")
    assert names(source) == ["0.png", "9.webp", "0.png"]
    left_out, empty = source.notes
    for part in (
        "3 hidden (.ipynb_checkpoints)",
        "1 images outside a folder of a class (loose.png)",
        "2 links that lead nowhere",
        "1 links to what is read already (loop)",
        "1 no plain files (fifo.png)",
        "2 of another kind (a.heic, notes.txt)",
    ):
        assert part in left_out
    assert empty.endswith("class 'empty' has no image.")
    pipeline = make("folder", tmp_path, eval_splits=("train",))
    pipeline.check()
    assert pipeline.describe() == ["3 images of 3 classes, batch 8.", left_out, empty]


def test_names_need_not_be_utf_8(tmp_path):
    fill(tmp_path)
    os.rename(tmp_path / "train/dog/0.png", os.fsencode(tmp_path / "train/dog") + b"/caf\xe9.png")
    for split in ("train", "test"):
        os.rename(tmp_path / split / "owl", os.fsencode(tmp_path / split) + b"/\xe9")
    pipeline = make("folder", tmp_path)
    pipeline.check()
    assert pipeline.known == {"classes": ["cat", "dog", "\\xe9"]}
    (batch,) = first(make("folder", tmp_path, batch_size=18).train_batches(0), 1)
    assert sorted(batch["label"]) == sorted([0, 1, 2] * 6)
    Path(os.fsdecode(os.fsencode(tmp_path / "train/dog") + b"/caf\xe9.png")).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read .*train/dog/caf\\xe9.png: it is not one of"):
        first(make("folder", tmp_path).train_batches(0), 3)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Image.new("RGB", (8, 8)).save(odd)
    assert pipeline.read([odd])[0]["image"].shape == (1, 8, 8, 3)


def test_parts_of_a_folder_share_its_classes_and_no_image(tmp_path):
    fill(tmp_path, ("train",), count=10)
    parts = [sources.open("folder", str(tmp_path), split) for split in ("train[:80%]", "train[80%:]")]
    files = [{source.describe(i) for i in range(source.size)} for source in parts]
    assert [len(f) for f in files] == [24, 6]
    assert not files[0] & files[1]
    for source, each in zip(parts, (8, 2), strict=True):
        assert sources.classes(source) == ("cat", "dog", "owl")
        assert np.bincount(source.labels()).tolist() == [each] * 3
    make("folder", tmp_path, train_split="train[:80%]", eval_splits=("train[80%:]",)).check()
    wrong = {"train[:5": "no part of a split", "train[99:]": "reaches beyond", "train[3:3]": "is empty"}
    for split, message in wrong.items():
        with pytest.raises(UserError, match=message):
            sources.open("folder", str(tmp_path), split)
    assert sources.open("folder", str(tmp_path / "train"), "all[:50%]").size == 15


def test_parts_of_arrays_are_in_their_order(tmp_path):
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    validation = dict(valid_images=images[:1], valid_labels=[1])
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=np.arange(10) % 2, **validation)
    pipeline = make("arrays", tmp_path / "x.npz", train_split="train[:80%]", eval_splits=("train[80%:]", "val"))
    pipeline.check()
    (batch,) = pipeline.eval_batches("train[80%:]")
    assert (batch["image"][:2, 0, 0, 0] * 255).round().tolist() == [8, 9]
    assert pipeline.opened("train[80%:]").describe(1) == f"example 9 of {tmp_path / 'x.npz'} train"
    assert "Split 'val' is that of valid_images." in pipeline.notes()


@pytest.mark.parametrize("asked", ["validation", "valid", "val", "dev"])
def test_a_validation_split_is_found_by_its_other_names(tmp_path, asked):
    fill(tmp_path, ("train", "val"))
    source = sources.open("folder", str(tmp_path), f"{asked}[:50%]")
    assert source.size == 9
    assert source.notes == (() if asked == "val" else (f"Split '{asked}' is the folder 'val'.",))
    assert slices.named(asked, ["train", "test"]) == asked
    assert slices.named("test", ["train", "val"]) == "test"
    assert slices.named("dev", ["val", "valid"]) == "dev"  # which of the two, nobody knows


def test_a_split_may_lack_classes_which_are_found_by_name(tmp_path):
    fill(tmp_path, ("train",))
    fill(tmp_path, ("test",), ("dog", "owl"), 2)
    pipeline = make("folder", tmp_path)
    pipeline.check()
    (batch,) = pipeline.eval_batches("test")
    assert batch["label"][:4].tolist() == [1, 1, 2, 2]
    assert pipeline.notes() == ["Split 'test' lacks 1 of 3 classes (cat)."]
    trained = make("folder", tmp_path, train_split="none", known={"classes": ["ant", "dog", "owl"]})
    trained.check()
    with pytest.raises(UserError, match=r"class 'dog' that the model does not have: did you mean 'dogs'"):
        make("folder", tmp_path, known={"classes": ["dogs", "owl"]}).check()


def test_labels_without_names_are_places_of_the_models_classes(tmp_path):
    np.savez(tmp_path / "x.npz", test_images=np.zeros((2, 8, 8, 3), np.uint8), test_labels=[1, 0])
    pipeline = make("arrays", tmp_path / "x.npz", known={"classes": ["ant", "bee", "cat"]})
    pipeline.check()
    (batch,) = pipeline.eval_batches("test")
    assert batch["label"].tolist() == [1, 0]
    assert "its labels have no names" in pipeline.notes()[0]
    with pytest.raises(UserError, match="class '0' that the model does not have"):
        make("arrays", tmp_path / "x.npz", known={"classes": ["1", "2", "3"]}).check()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", 'path,label\ntrain/dog/1.png,dog\n"train/cat/2.png",cat\n\n'),
        ("train.txt", "train/dog/1.png dog\ntrain/cat/2.png cat"),
    ],
)
def test_a_list_names_images_and_their_classes(tmp_path, name, lines):
    fill(tmp_path, ("train",))
    (tmp_path / name).write_text(lines)
    (tmp_path / "dev.tsv").write_text("train/dog/3.png\tdog\n")
    pipeline = make("list", tmp_path, batch_size=2, eval_splits=("validation",))
    pipeline.check()
    assert pipeline.classes == ("cat", "dog")
    (batch,) = first(pipeline.train_batches(0), 1)
    numbers = (batch["image"][:, 0, 0, 0] * 255).round().astype(int).tolist()
    assert dict(zip(batch["label"].tolist(), numbers, strict=True)) == {0: 2, 1: 1}
    (evaluated,) = pipeline.eval_batches("validation")
    assert evaluated["label"].tolist() == [1]
    (tmp_path / name).write_text("only one cell\n\n" if name == "train.csv" else "one\n")
    with pytest.raises(UserError, match=f"{name}, line 1: it should be a path and a class"):
        make("list", tmp_path).train  # noqa: B018
