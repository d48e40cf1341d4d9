"""Captions: lists as they are published, what is left out, tokens, draws by seed and step, every caption once."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from data import caption_files
from data.sources import captioned, glyph_names
from errors import UserError
from input_pipeline import Feed
from models.tokens import BOS, EOS, UNKNOWN

CAPTIONS = {
    "a.jpg": ["A dog runs.", "The dog is running , fast"],
    "b.jpg": ["Two cats"],
    "c.jpg": ["A red, round ball", "A ball", "The ball is red"],
    "d.jpg": ["Nothing to see"],
}


def image(path: Path, grey: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 12, 3), grey, np.uint8)).save(path)


def pairs():
    return [(name, caption) for name, captions in CAPTIONS.items() for caption in captions]


def table(path: Path, mark: str = "\t", head: str = "", name=lambda name: name) -> None:
    quoted = lambda text: f'"{text}"' if mark in text else text  # noqa: E731
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join([head, *(f"{name(image)}{mark}{quoted(caption)}\n" for image, caption in pairs())]))


def lines(root: Path) -> None:
    rows = [{"file_name": name, "text": caption} for name, caption in pairs()]
    (root / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))


def published(root: Path) -> None:
    rows = [f"{name}#{i}\t{caption}" for name, captions in CAPTIONS.items() for i, caption in enumerate(captions)]
    rows.append("e.jpg#0\tOf another split")
    (root / "Flickr8k.token.txt").write_text("\n".join(rows))
    (root / "Flickr_8k.trainImages.txt").write_text("\n".join(CAPTIONS))


LAYOUTS = {
    "tsv beside a folder of the split": ("train", lambda root: table(root / "train.tsv")),
    "csv with a head": ("", lambda root: table(root / "train.csv", ",", "image,caption\n")),
    "tsv of open_clip": ("images", lambda root: table(root / "train.tsv", "\t", "filepath\ttitle\n")),
    "json lines": ("images", lines),
    "metadata within the folder": ("train", lambda root: table(root / "train/metadata.csv", ",", "file_name,text\n")),
    "Flickr8k as it is published": ("Flicker8k_Dataset", published),
    "one list, no splits": ("Images", lambda root: table(root / "captions.txt", ",", "image,caption\n")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    folder, write = LAYOUTS[layout]
    write(tmp_path)
    for name in CAPTIONS:
        image(tmp_path / folder / name)
    source = captioned.Source(str(tmp_path), "train")
    assert source.captions() == list(CAPTIONS.values())
    assert source.notes == ()
    assert [Path(source.describe(i)).name for i in range(source.size)] == list(CAPTIONS)
    assert captioned.Source(str(tmp_path), "train[:50%]").captions() == list(CAPTIONS.values())[:2]


def test_what_is_left_out_is_counted(tmp_path):
    rows = [
        *pairs(),
        ("a.jpg", "A dog runs."),
        ("b.jpg", " "),
        ("e.jpg", ""),
        ("gone.jpg", "A ghost"),
        ("gone.jpg", "B"),
    ]
    (tmp_path / "train.tsv").write_text("".join(f"{name}\t{caption}\n" for name, caption in rows) + "f.jpg\n")
    for name in (*CAPTIONS, "e.jpg", "f.jpg", "unnamed.jpg"):
        image(tmp_path / "train" / name)
    source = captioned.Source(str(tmp_path), "train")
    assert source.captions() == list(CAPTIONS.values())
    notes = "\n".join(source.notes)
    for line in (
        "left out: 3 captions that are empty",
        "left out: 1 captions that are another caption of the image again",
        "left out: 2 images that have no caption (e.jpg)",
        "left out: 2 captions of 1 images that are missing (gone.jpg)",
        "left out: 1 images of",
    ):
        assert line in notes
    assert "(unnamed.jpg)" in notes


@pytest.mark.parametrize(
    ("files", "split", "message"),
    [
        ({}, "train", "has no captions of 'train': train.tsv, train.csv, train.jsonl"),
        ({"train.tsv": "a.jpg\t\n"}, "train", "none of its 1 images has a caption"),
        ({"train.tsv": "a.jpg\tA dog\n"}, "train", "none of its 1 images is there"),
        ({"train.jsonl": "{'a'"}, "train", "line 1: it should be a JSON object with an image"),
        ({"captions.txt": "image,caption\na.jpg,A dog\n"}, "test", "no list says which are of 'test'"),
        ({"captions.txt": "a.jpg,A dog\n", "test.txt": "z.jpg\n"}, "test", "captions of none of the 1 images"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, files, split, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message.replace("(", "[(]")):
        captioned.Source(str(tmp_path), split)


def test_a_comma_within_a_caption_needs_no_quotes(tmp_path):
    (tmp_path / "train.csv").write_text("image,caption\na.jpg,one, two\n")
    assert caption_files.read(tmp_path, "train").captions == {"a.jpg": ["one, two"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eleven images, number i with i % 3 + 1 captions, all of them different words."""
    root = tmp_path_factory.mktemp("captions")
    for split in ("train", "test"):
        rows = []
        for i in range(11):
            image(root / split / f"{i}.png", 20 * i)
            rows += [f"{i}.png\tWord{i}, word{i} number{n}!\n" for n in range(i % 3 + 1)]
        (root / f"{split}.tsv").write_text("".join(rows))
    return root


def pipeline(name, feed=None, **changes):
    settings = dict(
        kind="captions",
        source="captioned",
        name=str(name),
        image_size=8,
        batch_size=4,
        eval_splits=("test",),
        tokenizer="word",
        vocabulary_size=100,
        max_length=6,
        mean=(0.0,),
        std=(1.0,),
    )
    return input_pipeline.build(settings | changes, feed or Feed())


def test_evaluation_sees_every_image_and_every_caption_once(folder):
    data = pipeline(folder, begin=True)
    seen = {}
    for batch in data.eval_batches("test"):
        assert batch["tokens"].shape[1:] == (3, 6)
        for index, tokens, given, mask in zip(
            batch["index"], batch["tokens"], batch["given"], batch["mask"], strict=True
        ):
            assert mask == (index >= 0)
            if index >= 0:
                assert index not in seen
                seen[int(index)] = [data.decode(row) for row, there in zip(tokens, given, strict=True) if there]
                assert not given[int(index) % 3 + 1 :].any()
            else:
                assert not given.any()
    assert seen == {i: [f"word{i}, word{i} number{n}!" for n in range(i % 3 + 1)] for i in range(11)}
    assert data.largest("test")["tokens"][0] == (4, 3, 6)


def test_rows_begin_and_end_as_asked(folder):
    rows = {}
    for begin in (False, True):
        batch = next(pipeline(folder, begin=begin, simplify="words").train_batches(0))
        rows[begin] = batch["tokens"]
        assert (batch["tokens"][:, 3 + begin :] == EOS).all()
        assert (batch["tokens"][:, : 3 + begin] != EOS).all()
    assert (rows[True][:, 0] == BOS).all()
    assert np.array_equal(rows[True][:, 1:], rows[False][:, :-1])


def test_a_caption_is_drawn_by_seed_and_step_and_again_after_a_resume(folder):
    batches = pipeline(folder).train_batches(0)
    first = [next(batches) for _ in range(24)]
    again = pipeline(folder).train_batches(20)
    for one in first[20:]:
        other = next(again)
        assert all(np.array_equal(one[name], other[name]) for name in one)
    halves = [pipeline(folder, Feed(host=host, hosts=2)).train_batches(20) for host in range(2)]
    whole = np.concatenate([next(half)["tokens"] for half in halves])
    assert np.array_equal(whole, first[20]["tokens"])
    data = pipeline(folder)
    said = {data.decode(row) for batch in first for row in batch["tokens"]}
    assert said >= {f"word5, word5 number{n}!" for n in range(3)}  # all three of one image
    assert not np.array_equal(first[0]["tokens"], next(pipeline(folder, Feed(seed=1)).train_batches(0))["tokens"])


def test_words_are_dropped_in_training_alone(folder):
    data = pipeline(folder, word_dropout=0.5, batch_size=8)
    batches = data.train_batches(0)
    tokens = np.concatenate([next(batches)["tokens"] for _ in range(10)])
    words = tokens[:, :3]
    assert 0.35 < (words == UNKNOWN).mean() < 0.65
    assert (tokens[:, 3:] == EOS).all()
    assert not any((batch["tokens"] == UNKNOWN).any() for batch in data.eval_batches("test"))


def test_long_captions_are_cut_and_said(folder):
    data = pipeline(folder, max_length=3)
    assert any("captions cut to max_length=3" in line for line in data.describe())
    assert (next(data.train_batches(0))["tokens"][:, -1] == EOS).all()


def test_a_broken_image_is_a_counted_decision(folder, tmp_path):
    for path in folder.rglob("*.*"):
        if path.is_file():
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(b"no image" if path == folder / "test" / "3.png" else path.read_bytes())
    with pytest.raises(UserError, match=r"3\.png"):
        list(pipeline(tmp_path).eval_batches("test"))
    data = pipeline(tmp_path, unreadable="skip")
    batches = list(data.eval_batches("test"))
    lost = [(i, m) for batch in batches for i, m in zip(batch["index"], batch["mask"], strict=True) if i == 3]
    assert lost == [(3, 0.0)]
    assert any("test: 1 examples that could not be read" in line for line in data.unscored())


NAMES = glyph_names.letters(("cyrillic",))


def test_held_out_letters_and_marks_are_seen_and_never_together():
    latin = glyph_names.letters(("latin",))
    seen, held = ([unicodedata.name(one).partition(" WITH ") for one in part] for part in latin)
    assert len(held) > 100
    letters, marks = {letter for letter, _, _ in seen}, {mark for _, _, mark in seen}
    for letter, _, mark in held:
        assert letter in letters
        assert mark in marks
    assert not set(latin.seen) & set(latin.held_out)
    assert NAMES.held_out


def test_names_of_classes_are_captions():
    data = pipeline("cyrillic", source="glyph_names", image_size=32, eval_splits=("test[:50]",), max_length=12)
    batch = next(data.train_batches(3))
    assert data.shapes == [(1.0, {name: (x.shape, str(x.dtype)) for name, x in batch.items()})]
    assert [data.decode(row) for row in batch["tokens"]] == [data.classes[i] for i in batch["label"]]
    for batch in data.eval_batches("test[:50]"):
        for tokens, label, index in zip(batch["tokens"], batch["label"], batch["index"], strict=True):
            if index >= 0:
                assert data.decode(tokens[0]) == unicodedata.name(NAMES.held_out[label]).lower()
    assert np.abs(batch["image"]).max() > 0.5


def test_templates_are_drawn_in_training_and_all_there_in_evaluation():
    changes = dict(source="glyph_names", image_size=32, eval_splits=("test[:9]",), max_length=14)
    data = pipeline("cyrillic", templates=("{}", "a photo of {}"), batch_size=16, **changes)
    tokens = next(data.train_batches(0))["tokens"]
    photo = [data.decode(row).startswith("a photo of cyrillic") for row in tokens]
    assert 0 < sum(photo) < 16
    batch = next(data.eval_batches("test[:9]"))
    first = [data.decode(row) for row in batch["tokens"][0]]
    assert first[1] == f"a photo of {first[0]}"
    assert batch["given"].shape == (9, 2)


def test_a_users_images_are_compared_with_prompts(folder, tmp_path):
    image(tmp_path / "x.png")
    data = pipeline(folder, ask=("word1", "word2 number0", "word3"), templates=("{}", "number1 {}"), simplify="words")
    batch, notes = data.read([str(tmp_path / "x.png")] * 2)
    assert batch["image"].shape == (2, 8, 8, 1)
    assert batch["prompts"].shape == (2, 3, 2, 6)
    assert data.decode(batch["prompts"][1, 1, 1]) == "number1 word2 number0"
    assert not [note for note in notes if "cut" in note]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no classes: say what to compare with, --classes"),
        ({"ask": ("word1",)}, "one class, 'word1', leaves nothing to compare"),
        ({"ask": ("word1", " ")}, "class 2 of 2 has no name"),
        ({"ask": ("word1", "word2"), "templates": ("a word",)}, "2 classes are asked for and they have fewer prompts"),
        ({"ask": ("word1", "Word1")}, "'word1' and 'Word1' are the same to the model once they are tokens"),
    ],
)
def test_classes_that_cannot_be_told_apart(folder, tmp_path, changes, message):
    image(tmp_path / "x.png")
    with pytest.raises(UserError, match=message):
        pipeline(folder, **changes).read([str(tmp_path / "x.png")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"mixup": 0.2}}, "a mixture of two images has no caption"),
        ({"caption": "captoins"}, "config.data.caption='captoins' is no text of .*: did you mean 'captions'"),
        ({"source": "glyph_names", "name": "latni"}, "did you mean 'latin'"),
    ],
)
def test_settings_that_cannot_be(folder, changes, message):
    with pytest.raises(UserError, match=message):
        pipeline(changes.pop("name", folder), **changes).train_batches(0)
