"""Images with label maps: both move alike, the same views after a resume and for any number of hosts, and bad input."""

import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import input_pipeline
from data import label_maps, surveys
from data.pipelines.base import Feed
from errors import UserError
from planning import unread

CLASSES = ("sky", "road", "car")
FEED = {field.name for field in dataclasses.fields(Feed)}
EVERYTHING = dict(scales=(0.5, 2.0), flip=True)


def scene(number: int, height: int = 12, width: int = 16) -> np.ndarray:
    """A label map of blocks of 4x4 pixels, which differs with its number: classes 0 to 2, and 3 for void."""
    blocks = np.random.default_rng(number).integers(0, 4, (height // 4, width // 4))
    return np.kron(blocks, np.ones((4, 4), int)).astype(np.uint8)


def look(label: np.ndarray) -> np.ndarray:
    """An image that shows the label map: 60 times the class, in grey."""
    return np.repeat(60 * label[..., None], 3, axis=-1)


def write(folder: Path, count: int, images: str = "images", labels: str = "labels", **size: int) -> None:
    for name in (images, labels):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(look(scene(number, **size))).save(folder / images / f"{number:02}.png")
        Image.fromarray(scene(number, **size)).save(folder / labels / f"{number:02}.png")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("set")
    write(root / "train", 10)
    write(root / "validation", 5, height=16, width=12)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def make(name: Path | str, source: str = "label_images", augmentation: dict | None = None, **changes):
    settings = dict(
        train_split="train", eval_splits=("validation",), batch_size=4, image_size=12, image_width=16, ignored=(3,),
        mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    section = dict(kind="masks", source=source, name=str(name), augment=augmentation or {}) | settings
    return input_pipeline.build(section, Feed(**{key: value for key, value in changes.items() if key in FEED}))


def first(batches, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(batches, count))


def test_an_image_as_it_is_has_its_label_map(whole):
    pipeline = make(whole)
    assert pipeline.sizes == {"outputs": 3}
    assert pipeline.classes == CLASSES
    for batch in first(pipeline.train_batches(0), 3):
        seen = np.round(batch["image"][..., 0] * 255 / 60)
        np.testing.assert_array_equal(np.where(seen == 3, -1, seen), batch["label"])


def test_image_and_label_map_move_alike_in_every_view(whole):
    """Where a view is not between two blocks, its colour tells its class."""
    batches = first(make(whole, augmentation=EVERYTHING).train_batches(0), 12)
    seen, label = (np.concatenate([batch[name] for batch in batches]) for name in ("image", "label"))
    levels = seen[..., 0] * 255 / 60
    certain = np.abs(levels - np.round(levels)) < 0.01
    filled = (seen.max(-1) == 0) & (label == -1)  # what is filled up, of black class 0's colour
    agree = np.where(np.round(levels) == 3, -1, np.round(levels)) == label
    assert (certain & ~filled).mean() > 0.3
    assert (agree | filled)[certain].mean() > 0.97  # a mean of other classes can be a third one's colour
    assert len({one.tobytes() for one in label}) > 40
    assert filled.any()


def test_the_views_are_the_same_after_a_resume_and_for_two_hosts(whole):
    changes = dict(augmentation=EVERYTHING | dict(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1))
    batches = first(make(whole, **changes).train_batches(0), 4)
    later = first(make(whole, **changes).train_batches(2), 2)
    halves = [first(make(whole, host=host, hosts=2, **changes).train_batches(2), 2) for host in (0, 1)]
    for number, batch in enumerate(later):
        for name, x in batch.items():
            np.testing.assert_array_equal(x, batches[2 + number][name])
            np.testing.assert_array_equal(x, np.concatenate([half[number][name] for half in halves]))


def test_an_evaluation_sees_every_image_whole_and_once(whole):
    pipeline = make(whole, eval_size=20, eval_width=16, short_side=24)  # which the height does not allow
    batches = list(pipeline.eval_batches("validation"))
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    real = rows["index"] >= 0
    assert sorted(rows["index"][real]) == list(range(5))
    assert rows["mask"].tolist() == real.astype(float).tolist()
    assert {name: x.shape[1:] for name, x in rows.items() if name != "index"} == {
        name: shape[1:] for name, (shape, _) in pipeline.largest("validation").items()
    }
    assert (rows["size"] == (20, 15)).all()
    for index, label in zip(rows["index"][real], rows["label"][real], strict=True):
        resized = Image.fromarray(scene(int(index), 16, 12)).resize((15, 20), Image.Resampling.NEAREST)
        expected = np.asarray(resized, int)
        assert (label[:, 15:] == -1).all()
        assert (np.where(expected == 3, -1, expected) == label[:, :15]).mean() > 0.95


def test_a_users_image_is_seen_as_in_evaluation(whole, tmp_path):
    pipeline, path = make(whole, eval_size=20, eval_width=16), whole / "validation" / "images" / "03.png"
    batch, notes = pipeline.read([str(path)])
    assert (batch["size"].tolist(), batch["original"].tolist(), notes) == ([[16, 12]], [[16, 12]], [])
    Image.open(path).resize((48, 64)).save(tmp_path / "large.png")
    large, _ = pipeline.read([str(tmp_path / "large.png")])
    assert (large["size"].tolist(), large["original"].tolist()) == ([[16, 12]], [[64, 48]])
    np.testing.assert_allclose(batch["image"][0, :16, :12], look(scene(3, 16, 12)) / 255, atol=1e-6)


def test_other_layouts_and_lists_are_the_same_set(whole, tmp_path):
    for name in ("images", "annotations"):
        shutil.copytree(whole / "train" / name.replace("annotations", "labels"), tmp_path / name / "training")
    lines = ["path,label", *(f"images/training/{n:02}.png,annotations/training/{n:02}.png" for n in range(10))]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "objectInfo150.txt").write_text("Idx\tName\n1\tsky, heaven\n2\troad\n3\tcar, auto\n")
    expected = first(make(whole).train_batches(0), 3)
    for split in ("training", "train"):
        pipeline = make(tmp_path, train_split=split)
        assert pipeline.classes == CLASSES
        for batch, other in zip(first(pipeline.train_batches(0), 3), expected, strict=True):
            np.testing.assert_array_equal(batch["label"], other["label"])
    assert make(tmp_path, train_split="train[:40%]").steps_per_epoch == 1


def test_names_with_an_ending_and_vocs_folders_are_the_same_set(whole, tmp_path):
    shutil.copytree(whole / "train" / "images", tmp_path / "images")
    for folder, ending in (("masks", "_mask"), ("SegmentationClass", "")):
        (tmp_path / folder).mkdir()
        for path in (whole / "train" / "labels").iterdir():
            shutil.copy(path, tmp_path / folder / f"{path.stem}{ending}.png")
    (tmp_path / "JPEGImages").mkdir()
    for path in (tmp_path / "images").iterdir():  # PNG within, which decoders tell by its first bytes
        shutil.copy(path, tmp_path / "JPEGImages" / f"{path.stem}.jpg")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{n:02}\n" for n in range(10)))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    expected = next(make(whole).train_batches(0))["label"]
    for split in ("all", "train"):
        np.testing.assert_array_equal(next(make(tmp_path, train_split=split).train_batches(0))["label"], expected)


def test_label_images_may_have_any_number_for_each_class(whole, folder):
    numbers = np.array([0, 128, 255, 7], np.uint8)
    for path in folder.rglob("labels/*.png"):
        Image.fromarray(numbers[np.asarray(Image.open(path))]).save(path)
    pipeline = make(folder, label_numbers=(0, 128, 255), ignored=(7,))
    assert pipeline.numbers == (0, 128, 255)
    np.testing.assert_array_equal(next(pipeline.train_batches(0))["label"], next(make(whole).train_batches(0))["label"])
    with pytest.raises(UserError, match=r'has class 7 in .* classes are 0, 128, 255: .*ignored="\(9, 7\)"'):
        first(make(folder, label_numbers=(0, 128, 255), ignored=(9,)).train_batches(0), 3)


@pytest.mark.parametrize("mode", ["P", "RGB", "I;16", "LA"])
def test_label_images_of_any_form_hold_the_same_numbers(mode, tmp_path):
    label = scene(0)
    if mode == "P":
        image = Image.fromarray(label, "L")
        image = image.convert("P") if image.mode == "P" else Image.frombytes("P", image.size, label.tobytes())
        image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    else:
        image = Image.fromarray(label.astype(np.uint16)) if mode == "I;16" else Image.fromarray(label).convert(mode)
    image.save(tmp_path / "a.png")
    found = label_maps.decode(label_maps.tf.constant((tmp_path / "a.png").read_bytes()), -1)
    np.testing.assert_array_equal(found, label)


def test_sets_of_tfds_are_read_by_their_features(tmp_path):
    """Those of oxford_iiit_pet, whose classes begin at 1, and of scene_parse150, whose label images are in colour."""
    image = tfds.features.Image(encoding_format="jpeg")
    sets = {
        "segmentation_mask": (tfds.features.Image(shape=(None, None, 1)), scene(0)[..., None]),
        "annotation": (tfds.features.Image(encoding_format="png"), np.stack([scene(0), 9 * scene(0), 0 * scene(0)], 2)),
    }
    for name, (feature, label) in sets.items():
        examples = [(number, {"image": look(scene(0)), name: label}) for number in range(4)]
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict({"image": image, name: feature}),
            split_datasets={"train": examples},
            data_dir=tmp_path,
            disable_shuffling=True,
        )
    of_tfds = dict(source="tfds", data_dir=str(tmp_path), class_names=("pet", "background"), first_class=1)
    batch = next(make("segmentation_mask", label_map="segmentation_mask", **of_tfds).train_batches(0))
    expected = np.where(scene(0) == 3, -1, scene(0).astype(int) - 1)
    np.testing.assert_array_equal(batch["label"][0], np.maximum(expected, -1))
    with pytest.raises(UserError, match=r"label image is in colour.*config.data.label_channel=0"):
        next(make("annotation", label_map="annotation", **of_tfds).train_batches(0))
    other = next(make("annotation", label_map="annotation", label_channel=0, **of_tfds).train_batches(0))
    np.testing.assert_array_equal(other["label"], batch["label"])


def test_canvases_have_a_class_for_the_background(tmp_path):
    pipeline = make("32", "canvases", image_size=32, image_width=0, mean=(0.5,), std=(0.5,))
    batch = next(pipeline.train_batches(0))
    assert pipeline.classes == ("background", *"0123456789")
    assert pipeline.numbers == tuple(range(11))
    assert ((batch["label"] > 0) * (batch["image"][..., 0] > -0.5)).sum() > 0.5 * (batch["label"] > 0).sum() > 0
    trained = make("elsewhere", known={"classes": ["a", "b"]})
    assert trained.sizes == {"outputs": 2}
    plan = unread.pipeline(7)(dict(kind="masks", name="x", batch_size=4, image_size=8, augment={}), Feed())
    assert plan.sizes == {"outputs": 7}


def damaged(folder: Path, how: str) -> None:
    """Damages the label image of one training example, or what is beside it."""
    labels, path = folder / "train" / "labels", folder / "train" / "labels" / "07.png"
    if how == "colour":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)).save(path)
    elif how == "size":
        Image.fromarray(scene(0, 8, 8)).save(path)
    elif how == "beyond":
        Image.fromarray(np.full((12, 16), 37, np.uint8)).save(path)
    elif how == "jpeg":
        Image.fromarray(scene(0)).save(labels / "07.jpg")
        path.unlink()
    elif how == "broken":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "text":
        path.write_bytes(b"no image")
    elif how == "listed":
        (folder / "train.txt").write_text("train/images/98.png train/labels/00.png\ntrain/images/99.png train/x.png\n")
    elif how == "two":
        shutil.copy(path, labels / "07.bmp")
    elif how == "none":
        shutil.rmtree(labels)
    elif how == "apart":
        for one in labels.iterdir():
            one.rename(labels / f"label_{one.name}")
    elif how == "names":
        (folder / "classes.txt").unlink()
    elif how == "twice":
        (folder / "classes.txt").write_text("sky\nroad\nsky\n")


BAD = {
    "colour": r"cannot read .*07.png: its label image is in colour, and should have the number of a class",
    "size": r"cannot read .*07.png: .*the image has 12x16 pixels .height x width., and its label image 8x8. Mend",
    "beyond": r'07.png has class 37 in its label image, and the 3 classes are 0 to 2: .*ignored="\(3, 37\)"',
    "jpeg": r"07.png: its label image is a JPEG, which changes numbers: save it as PNG",
    "broken": r"cannot read .*07.png: ",
    "text": r"cannot read .*07.png: its label image is damaged, or none of BMP",
    "listed": r"train.txt: of none of its 2 pairs both files are there, such as .*98.png",
    "two": r"has two label images for one image: 07.bmp, 07.png",
    "none": r"has no split 'train': there should be train/images and train/labels",
    "apart": r"no image of .*images .00.png. has a label image of the same name in .*labels .label_00.png.",
    "names": r"have no names: set --config.data.class_names=.*classes.txt",
    "twice": r"classes.txt has the class 'sky' twice",
}


@pytest.mark.parametrize("how", BAD)
def test_bad_input_is_one_line(how, folder):
    damaged(folder, how)

    def read() -> None:
        pipeline = make(folder)
        assert pipeline.sizes
        first(pipeline.train_batches(0), 3)

    with pytest.raises(UserError, match=BAD[how]) as error:
        read()
    assert "\n" not in str(error.value)


def test_what_cannot_be_read_can_be_passed_over(folder):
    damaged(folder, "size")
    pipeline = make(folder, unreadable="skip")
    batches = first(pipeline.train_batches(0), 5)  # two epochs
    assert pipeline.skipped == 2 == sum((batch["mask"] == 0).sum() for batch in batches)
    assert all((batch["label"][batch["mask"] == 0] == -1).all() for batch in batches)
    (folder / "validation" / "labels" / "01.png").write_bytes(b"")
    rows = list(make(folder, unreadable="skip", eval_size=16).eval_batches("validation"))
    assert sum(batch["mask"].sum() for batch in rows) == 4


def test_what_is_alone_is_left_out_and_counted(folder):
    (folder / "train" / "labels" / "03.png").unlink()
    (folder / "train" / "images" / "04.png").unlink()
    (folder / "train" / "images" / "notes.doc").touch()
    lines = make(folder).describe()
    assert lines[0].startswith("8 images, batch 4; 3 classes of pixels: sky, road, car.")
    assert "1 images without a label image (03.png)" in lines[1]
    assert "1 label images without an image (04.png)" in lines[1]
    assert "1 of another kind (notes.doc)" in lines[1]


@pytest.mark.parametrize("listed", ["train.csv", "ImageSets/Segmentation/train.txt"])
def test_files_that_a_list_names_and_are_missing_are_left_out_and_counted(folder, listed):
    (folder / "train" / "labels" / "04.png").unlink()
    shutil.copytree(folder / "train" / "labels", folder / "SegmentationClass")
    shutil.copytree(folder / "train" / "images", folder / "JPEGImages")
    for path in (folder / "JPEGImages").iterdir():
        path.rename(path.with_suffix(".jpg"))
    names = [f"{n:02}" for n in range(12)]  # of which 04 has no label image, and 10 and 11 nothing
    (folder / listed).parent.mkdir(parents=True, exist_ok=True)
    pair = "train/images/{0}.png,train/labels/{0}.png" if listed.endswith("csv") else "{0}"
    (folder / listed).write_text("".join(pair.format(name) + "\n" for name in names))
    lines = make(folder).describe()
    assert lines[0].startswith("9 images")
    assert "left out: 3 pairs with a missing file (04.png)" in lines[1]
    survey = surveys.of("masks", {"kind": "masks", "name": str(folder), "ignored": (3,)})
    assert survey.examples == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mean=(0.5,)), "need one number a channel"),
        (dict(augmentation=dict(scales=(2.0, 1.0))), "smaller factor first"),
        (dict(class_names=("a", "a")), "has a name twice"),
        (dict(label_numbers=(0, 0)), "has a number twice"),
        (dict(label_numbers=(0, 1, 3)), r'has 3, which config.data.ignored leaves out: set .*ignored="\(\)"'),
        (dict(label_numbers=(0, 1, 2), first_class=1), "leave config.data.first_class at 0"),
        (dict(label_numbers=(0, 1)), r"are 2 numbers, for 3 classes \(sky, road, car\)"),
        (dict(label_map="masks"), "has no masks: did you mean 'mask'"),
        (dict(known={"classes": ["sky", "car"]}), "class 1 is 'road' there and 'car' here"),
    ],
)
def test_settings_that_cannot_be_are_one_line(whole, changes, message):
    with pytest.raises(UserError, match=message):
        make(whole, **changes).check()
