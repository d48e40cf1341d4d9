"""Batches: every example once an epoch, the same whenever and wherever the pipeline starts, padding that is marked."""

import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import input_pipeline
import lookup
from data import augment, presence
from data.pipelines import images
from data.pipelines.base import Feed
from data.sources import tfds as tfds_source
from errors import UserError
from planning import unread

SIZE = 8
EVERYTHING = dict(
    crop="random", flip=True, rotate=10.0, zoom=0.1, shear=0.1, shift=0.1, randaugment_layers=1, erase=0.5, repeats=2
)
MIXES = dict(mixup=0.5, cutmix=1.0)


FEED = {field.name for field in dataclasses.fields(Feed)}


def make(source: str, name: Path | str, augmentation: dict | None = None, **changes):
    settings = dict(
        train_split="train", eval_splits=("test",), batch_size=8, image_size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3
    )
    settings |= {key: value for key, value in changes.items() if key not in FEED}
    section = dict(kind="images", source=source, name=str(name), augment=augmentation or {}) | settings
    return input_pipeline.build(section, Feed(**{key: value for key, value in changes.items() if key in FEED}))


def first(batches, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(batches, count))


def assert_same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> None:
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key], err_msg=key)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    """20 training and 19 test images; all pixels of an image are its number, which is its label too."""
    path = tmp_path_factory.mktemp("arrays") / "set.npz"

    def images(n: int) -> np.ndarray:
        return np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, SIZE, SIZE, 3))

    np.savez(
        path, train_images=images(20), train_labels=np.arange(20), test_images=images(19), test_labels=np.arange(19)
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes of JPEG and PNG images of many sizes."""
    root, rng = tmp_path_factory.mktemp("folder"), np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 5)):
        for number in range(count):
            path = root / split / ("cat" if number % 2 else "dog") / f"{number}.{'jpg' if number % 3 else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (*rng.integers(9, 40, 2), 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return root


def test_each_epoch_shows_every_example_once_in_another_order(arrays):
    labels = np.concatenate([b["label"] for b in first(make("arrays", arrays).train_batches(0), 10)])
    epochs = labels[:80].reshape(4, 20)
    for epoch in epochs:
        assert sorted(epoch) == list(range(20))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_images_stay_with_their_labels_and_are_normalised(arrays):
    pipeline = make("arrays", arrays, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 0.25))
    for batch in (*first(pipeline.train_batches(0), 3), *pipeline.eval_batches("test")):
        value = batch["label"][:, None, None, None] / 255
        expected = (value - np.array([0.5, 0.25, 0.0])) / np.array([0.5, 1.0, 0.25])
        real = batch["mask"] > 0
        np.testing.assert_allclose(
            batch["image"][real], np.broadcast_to(expected, batch["image"].shape)[real], atol=1e-6
        )


@pytest.mark.parametrize("kind", ["arrays", "folder"])
def test_a_pipeline_started_at_step_k_goes_on_as_the_uninterrupted_one(kind, request):
    path = request.getfixturevalue(kind)
    whole = first(make(kind, path, EVERYTHING | MIXES).train_batches(0), 7)
    assert_same(first(make(kind, path, EVERYTHING | MIXES).train_batches(4), 3), whole[4:])
    other_seed = first(make(kind, path, EVERYTHING | MIXES, seed=1).train_batches(0), 7)
    assert any((a["image"] != b["image"]).any() for a, b in zip(whole, other_seed, strict=True))


def test_hosts_read_slices_of_the_batch_that_one_host_reads(arrays):
    everything = EVERYTHING | MIXES
    one = first(make("arrays", arrays, everything).train_batches(2), 3)
    four = [first(make("arrays", arrays, everything, host=h, hosts=4).train_batches(2), 3) for h in range(4)]
    joined = [{k: np.concatenate([host[i][k] for host in four]) for k in one[i]} for i in range(3)]
    assert_same(joined, one)


@pytest.mark.parametrize(("hosts", "divisor", "eval_batch_size"), [(1, 1, 8), (1, 8, 0), (2, 8, 3), (4, 4, 100)])
def test_evaluation_sees_every_example_once(arrays, hosts, divisor, eval_batch_size):
    seen = []
    for host in range(hosts):
        settings = dict(host=host, hosts=hosts, divisor=divisor, eval_batch_size=eval_batch_size)
        batches = list(make("arrays", arrays, **settings).eval_batches("test"))
        assert {len(b["label"]) * hosts % divisor for b in batches} == {0}
        seen.append([b["label"][b["mask"] > 0] for b in batches])
        for b in batches:
            assert b["index"].dtype == np.int32
            np.testing.assert_array_equal(b["index"], np.where(b["mask"] > 0, b["label"], -1))
    assert len({len(s) for s in seen}) == 1
    assert sorted(np.concatenate([x for s in seen for x in s])) == list(range(19))


def test_a_mixture_is_what_its_shares_say(arrays):
    batch = first(make("arrays", arrays, MIXES, batch_size=16).train_batches(0), 1)[0]
    value, other, share = batch["label"] / 255, batch["partner"] / 255, batch["share"]
    np.testing.assert_allclose(batch["image"].mean((1, 2, 3)), share * value + (1 - share) * other, atol=1e-5)
    np.testing.assert_array_equal(batch["partner"], batch["label"].reshape(-1, 2)[:, ::-1].ravel())
    assert (share > 0).all()
    assert (share < 1).any()


def test_a_batch_has_as_many_views_of_an_image_as_repeats_apart_from_one_another(arrays):
    batches = first(make("arrays", arrays, dict(repeats=3), batch_size=12).train_batches(0), 10)
    for batch in batches:
        labels = batch["label"].reshape(3, 4)
        assert (labels == labels[0]).all()
        assert len(set(labels[0])) == 4
    seen = np.concatenate([batch["label"][:4] for batch in batches]).reshape(2, 20)
    assert [sorted(epoch) for epoch in seen] == [list(range(20))] * 2


def test_views_of_one_image_differ(arrays, tmp_path):
    path = tmp_path / "noise.npz"
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    np.savez(path, train_images=images, train_labels=np.arange(4), test_images=images, test_labels=np.arange(4))
    (batch,) = first(make("arrays", path, dict(repeats=2, shift=0.3, crop="random"), batch_size=8).train_batches(0), 1)
    assert (batch["label"][:4] == batch["label"][4:]).all()
    assert all((a != b).any() for a, b in zip(batch["image"][:4], batch["image"][4:], strict=True))


def test_erasing_puts_noise_into_one_rectangle_of_some_images():
    draws = augment.Draws(seed=0, step=tf.constant(3), batch=400, start=0, rows=400)
    found = augment.erase(tf.fill((400, 32, 32, 1), 7.0), draws, 0.25).numpy()[..., 0] != 7
    erased = found.any((1, 2))
    assert 0.15 < erased.mean() < 0.35
    shares = found[erased].mean((1, 2))
    assert shares.max() < 0.4
    assert 0.08 < shares.mean() < 0.2  # of 2 to 33 %, some of it cut off
    for mask in found[erased]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(repeats=0), r"config.data.augment.repeats=0 should be greater than 0"),
        (dict(erase=1.5), r"config.data.augment.erase=1.5 should be less than or equal to 1"),
        (dict(crop="centre"), r"config.data.augment.crop='centre' should be 'random' or 'none'"),
    ],
)
def test_augmentation_out_of_range_is_said(arrays, wrong, message):
    with pytest.raises(UserError, match=message):
        make("arrays", arrays, wrong)


def test_every_key_has_a_meaning():
    assert not set(lookup.keys(images.Pipeline, without=("feed",))) - set(lookup.meanings(images.Pipeline))
    assert not set(lookup.keys(images.Augment)) - set(lookup.meanings(images.Augment))


def test_it_offers_all_of_a_pipeline(arrays):
    protocol = {name for name in dir(input_pipeline.Pipeline) if not name.startswith("_")}
    assert not [name for name in protocol if not hasattr(make("arrays", arrays), name)]


def test_the_spec_is_one_row_of_a_training_batch(arrays):
    pipeline = make("arrays", arrays)
    (batch,) = first(pipeline.train_batches(0), 1)
    assert {name: ((1, *x.shape[1:]), str(x.dtype)) for name, x in batch.items()} == pipeline.spec


@pytest.mark.parametrize("augment", [{}, dict(mixup=0.2), dict(cutmix=1.0)])
def test_the_shapes_are_those_of_training_batches(arrays, augment):
    pipeline = make("arrays", arrays, augment)
    (batch,) = first(pipeline.train_batches(0), 1)
    assert pipeline.shapes == [(1.0, {name: (x.shape, str(x.dtype)) for name, x in batch.items()})]
    made_up = make("synthetic", "7", augment)  # which are not mixed
    (batch,) = first(made_up.train_batches(0), 1)
    assert made_up.shapes == [(1.0, {name: (x.shape, str(x.dtype)) for name, x in batch.items()})]


def test_a_set_that_is_made_up_has_batches_of_its_spec():
    pipeline = make("synthetic", "7")
    assert [
        {n: ((1, *x.shape[1:]), str(x.dtype)) for n, x in b.items()} for b in first(pipeline.train_batches(0), 1)
    ] == [pipeline.spec]
    assert_same(first(make("synthetic", "7").train_batches(5), 2), first(pipeline.train_batches(0), 7)[5:])
    assert np.concatenate([b["index"] for b in pipeline.eval_batches("test")]).tolist() == list(range(64))


def test_a_debug_variant_is_small():
    assert images.debug(dict(image_size=224)) == dict(batch_size=16, eval_batch_size=64, image_size=32)
    assert images.debug(dict(image_size=28))["image_size"] == 28


def test_a_flip_mirrors_some_and_a_shift_moves_by_whole_pixels(tmp_path):
    image = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    image[0, 2, 1] = 255
    np.savez(tmp_path / "x.npz", train_images=image, train_labels=[0])
    flipped = np.concatenate(
        [b["image"] for b in first(make("arrays", tmp_path / "x.npz", {"flip": True}).train_batches(0), 4)]
    )
    assert {tuple(np.argwhere(x[..., 0])[0]) for x in flipped} == {(2, 1), (2, 6)}
    moved = np.concatenate(
        [b["image"] for b in first(make("arrays", tmp_path / "x.npz", {"shift": 0.125}).train_batches(0), 9)]
    )
    places = {tuple(np.argwhere(x[..., 0])[0]) for x in moved}
    assert places == {(y, x) for y in (1, 2, 3) for x in (0, 1, 2)}
    assert set(np.unique(moved)) == {0.0, 1.0}


def test_a_rotation_turns_about_the_middle():
    image = np.zeros((64, 9, 9, 1), np.uint8)
    image[:, 4, 4] = 255
    draws = augment.Draws(0, tf.constant(0), 64, 0, 64)
    turned = augment.warp(tf.constant(image), augment.transforms(draws, 9, 9, 45.0, 0.0, 0.0, 0.0)).numpy()
    assert (turned[:, 4, 4] >= 254).all()
    assert (
        augment.warp(tf.constant(image), augment.transforms(draws, 9, 9, 0.0, 0.0, 0.0, 0.0)).numpy() == image
    ).all()


def test_folders_are_read_as_evaluation_shows_single_files(folder):
    pipeline = make("folder", folder, eval_crop="center")
    batch = next(pipeline.eval_batches("test"))
    files = sorted(folder.glob("test/*/*"))
    assert pipeline.classes == ("cat", "dog")
    assert [pipeline.classes[label] for label in batch["label"][:5]] == [f.parent.name for f in files]
    read, notes = pipeline.read([str(f) for f in files])
    assert (list(read), notes) == (["image"], [])
    np.testing.assert_array_equal(batch["image"][:5], read["image"])
    assert batch["mask"].sum() == 5


@pytest.fixture
def damaged(folder, tmp_path) -> Path:
    """The folder with one file that is no image."""
    for file in folder.glob("*/*/*"):
        copy = tmp_path / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    (tmp_path / "train" / "cat" / "1.jpg").write_bytes(b"this is no image")
    return tmp_path


def test_an_unreadable_image_stops_the_run_and_is_named(damaged):
    with pytest.raises(UserError, match=r"cannot read .*train/cat/1.jpg: .*--config.data.unreadable=skip"):
        first(make("folder", damaged).train_batches(0), 3)


def test_an_unreadable_image_is_skipped_with_weight_zero(damaged, folder):
    pipeline = make("folder", damaged, unreadable="skip")
    skipped = first(pipeline.train_batches(0), 3)
    assert pipeline.skipped == 2
    whole = first(make("folder", folder).train_batches(0), 3)
    assert sum(float((b["mask"] == 0).sum()) for b in skipped) == 2  # two epochs of twelve
    for a, b in zip(skipped, whole, strict=True):
        np.testing.assert_array_equal(a["image"][a["mask"] > 0], b["image"][a["mask"] > 0])
    mixed = first(make("folder", damaged, dict(mixup=1.0, cutmix=1.0), unreadable="skip").train_batches(0), 3)
    for a, b in zip(mixed, whole, strict=True):  # with nothing that was not read
        alone = a["mask"].reshape(-1, 2)[:, ::-1].ravel() == 0
        assert (a["share"][alone] == 1).all()
        np.testing.assert_array_equal(a["image"][alone], b["image"][alone])


def test_an_unreadable_image_of_evaluation_is_counted_and_said(damaged):
    pipeline = make("folder", damaged, unreadable="skip", train_split="test", eval_splits=("train",))
    assert pipeline.unscored() == []
    for _ in range(2):
        (first_batch, second) = pipeline.eval_batches("train")
        mask, index = (np.concatenate([b[name] for b in (first_batch, second)]) for name in ("mask", "index"))
        assert index.tolist() == [*range(12), -1, -1, -1, -1]
        assert index[(mask == 0) & (index >= 0)].tolist() == [0]  # cat/1.jpg
        (line,) = pipeline.unscored()
        assert line.startswith("train: 1 examples that could not be read are left out of the score, such as ")
        assert line.endswith("train/cat/1.jpg.")
    assert pipeline.skipped == 0


class Blobs(tfds.core.GeneratorBasedBuilder):
    """30 PNG images of many sizes whose colour is their label."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=30),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(30), "test": self._generate_examples(11)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"image": np.full((5 + i % 4, 7, 3), i, np.uint8), "label": i}


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """data_dir of the set by file format."""
    root = tmp_path_factory.mktemp("blobs")
    for file_format in ("tfrecord", "array_record"):
        Blobs(data_dir=root / file_format, file_format=file_format).download_and_prepare()
    return root


ACCESS = {"records": ("tfrecord", 1024), "array_record": ("array_record", 0), "stream": ("tfrecord", 0)}


@pytest.mark.parametrize("access", ACCESS)
def test_however_a_tfds_set_is_read_its_examples_and_their_order_hold(access, blobs):
    file_format, limit = ACCESS[access]
    settings = dict(
        data_dir=str(blobs / file_format), memory_limit_mb=limit, train_split="train[:90%]", shuffle_buffer=16
    )
    pipeline = make("tfds", "blobs", {"crop": "random"}, **settings)
    assert pipeline.train.source.access == access
    whole = first(pipeline.train_batches(0), 10)
    labels = np.concatenate([b["label"] for b in whole])
    assert sorted(labels[:27]) == sorted(labels[27:54])
    assert len(set(labels[:27])) == 27
    assert (labels[:27] != labels[27:54]).any()
    for batch in (*whole, *pipeline.eval_batches("test")):
        real = batch["mask"] > 0
        expected = np.broadcast_to(batch["label"][:, None, None, None] / 255, batch["image"].shape)
        np.testing.assert_allclose(batch["image"][real], expected[real], atol=1e-6)
    for start in (2, 6):
        assert_same(
            first(make("tfds", "blobs", {"crop": "random"}, **settings).train_batches(start), 2),
            whole[start : start + 2],
        )
    tests = [(b["label"][b["mask"] > 0], b["index"]) for b in pipeline.eval_batches("test")]
    labels, index = (np.concatenate(x) for x in zip(*tests, strict=True))
    assert sorted(labels) == list(range(11))
    assert index.tolist() == [*range(11), *[-1] * 5]


def _without(records: int):
    """Fewer records than dataset_info.json says."""

    def change(folder: Path) -> None:
        (path,) = folder.glob("*-train.tfrecord*")
        kept = list(tf.data.TFRecordDataset(str(path)).take(30 - records).as_numpy_iterator())
        with tf.io.TFRecordWriter(str(path)) as out:
            for record in kept:
                out.write(record)

    return change


def _written(pattern: str, change):
    def damage(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGE = {
    "no records": _without(30),
    "a record less": _without(1),
    "empty": _written("*-train.*", lambda x: b""),
    "cut": _written("*-train.*", lambda x: x[: len(x) // 2]),
    "flipped": _written("*-train.*", lambda x: x[:500] + bytes([x[500] ^ 1]) + x[501:]),
    "info": _written("dataset_info.json", lambda x: x[:100]),
    "no info": _written("dataset_info.json", lambda x: b"null"),
    "counts": _written("dataset_info.json", lambda x: x.replace(b'"30"', b'"-3"')),
}


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_tfds_set_is_one_line(access, damage, blobs, tmp_path):
    file_format, limit = ACCESS[access]
    if file_format == "array_record" and "record" in damage:
        return
    shutil.copytree(blobs / file_format / "blobs", tmp_path / "blobs")
    DAMAGE[damage](tmp_path / "blobs" / "1.0.0")
    with pytest.raises(UserError, match=r"cannot read|damaged|should have|is empty") as raised:
        first(
            make("tfds", "blobs", data_dir=str(tmp_path), memory_limit_mb=limit, shuffle_buffer=16).train_batches(0), 5
        )
    assert "\n" not in str(raised.value)
    assert "Traceback" not in str(raised.value)


class Depths(Blobs):
    """Images of numbers of another range."""

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=30)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"image": np.full((5 + i % 4, 7, 1), i, np.float32), "label": i}


def test_images_of_other_numbers_than_0_to_255_are_refused(tmp_path):
    Depths(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    with pytest.raises(UserError, match=r"its 'image' is float32, and images should be uint8"):
        make("tfds", "depths", data_dir=str(tmp_path)).train  # noqa: B018


def test_a_mistyped_data_dir_is_said_before_anything_is_made_or_fetched(tmp_path):
    folder = tmp_path / "mistyped dir"
    with pytest.raises(UserError, match=r"no such folder. Name the one that holds blobs, or .*: mkdir -p '/"):
        make("tfds", "blobs", data_dir=str(folder)).train  # noqa: B018
    assert not folder.exists()


def test_hosts_that_stream_share_the_examples(blobs):
    settings = dict(data_dir=str(blobs / "tfrecord"), memory_limit_mb=0, hosts=2)
    hosts = [make("tfds", "blobs", host=h, **settings) for h in range(2)]
    halves = [np.concatenate([b["label"] for b in first(p.train_batches(0), 15)])[:15] for p in hosts]
    assert sorted(np.concatenate(halves)) == list(range(30))
    tests = [b["label"][b["mask"] > 0] for p in hosts for b in p.eval_batches("test")]
    assert sorted(np.concatenate(tests)) == list(range(11))
    index = np.concatenate([b["index"] for p in hosts for b in p.eval_batches("test")])
    assert sorted(index[index >= 0]) == list(range(11))
    assert len(list(hosts[0].eval_batches("test"))) == len(list(hosts[1].eval_batches("test")))


def test_a_stream_says_what_going_on_costs(blobs, capsys):
    pipeline = make("tfds", "blobs", data_dir=str(blobs / "tfrecord"), memory_limit_mb=0)
    first(pipeline.train_batches(2), 1)
    assert "passing over 16 records" in capsys.readouterr().out


def test_the_digits_are_a_tfds_set_of_a_train_part_and_a_held_out_fifth():
    train, test = tfds_source.Source("digits", "train"), tfds_source.Source("digits", "test")
    assert (train.size, test.size) == (1437, 360)
    assert train.access == "decoded"
    assert train.features["image"].shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("source", "name", "changes", "message"),
    [
        ("tfd", "digits", {}, "did you mean 'tfds'"),
        ("tfds", "digitz", {}, "did you mean digits"),
        ("tfds", "digits", {"train_split": "trian"}, "digits has no split 'trian': did you mean 'train'"),
        ("tfds", "digits", {"train_split": "train[:x%]"}, "no slice of a split"),
        ("folder", "nowhere", {}, "there is no folder nowhere"),
        ("arrays", "nowhere.npz", {}, "there is no file nowhere.npz"),
        ("synthetic", "many", {}, "named by its number of classes"),
        ("tfds", "digits", {"mean": (0.5, 0.5)}, "need one number a channel"),
        ("tfds", "digits", {"batch_size": 0}, "config.data.batch_size=0 should be greater than 0"),
        ("tfds", "digits", {"augmentation": {"flipp": True}}, "did you mean 'flip'"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(source, name, changes, message):
    with pytest.raises(UserError, match=message):
        make(source, name, **changes).train  # noqa: B018


def test_a_folder_without_images_or_splits_says_what_is_expected(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no images: one folder a class"):
        make("folder", tmp_path).train  # noqa: B018
    with pytest.raises(UserError, match="no folder 'valid' for that split"):
        make("folder", tmp_path, train_split="valid").train  # noqa: B018


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_out_of_range_is_named(tmp_path, wrong):
    labels = np.array([0, 1, wrong, 2])
    np.savez(
        tmp_path / "x.npz", train_images=np.zeros((4, 8, 8), np.uint8), train_labels=labels, classes=["a", "b", "c"]
    )
    with pytest.raises(UserError, match=f"example 2 has label {wrong}, outside 0 to 2"):
        make("arrays", tmp_path / "x.npz").train  # noqa: B018


@pytest.mark.parametrize("wrong", [-1, 20])
def test_a_label_out_of_range_that_only_reading_shows_is_named(arrays, wrong, monkeypatch):
    pipeline = make("arrays", arrays)
    source, read = pipeline.train.source, pipeline.train.source.read

    def damaged(index):
        found = read(index)
        return found | {"label": tf.where(index == 13, tf.cast(wrong, found["label"].dtype), found["label"])}

    monkeypatch.setattr(source, "read", damaged)
    with pytest.raises(UserError, match=f"example 13 of .* has label {wrong}, outside 0 to 19"):
        first(pipeline.train_batches(0), 3)


def test_an_odd_share_of_a_mixed_batch_is_refused(arrays):
    with pytest.raises(UserError, match="mixup and cutmix need an even number"):
        make("arrays", arrays, MIXES, batch_size=7).train_batches(0)


def test_splits_of_other_classes_are_refused(folder, tmp_path):
    (tmp_path / "train").symlink_to(folder / "train")
    (tmp_path / "test" / "bird").mkdir(parents=True)
    (tmp_path / "test" / "bird" / "x.png").write_bytes(next(folder.glob("*/*/*.png")).read_bytes())
    with pytest.raises(UserError, match="split 'test' has a class 'bird' that the training split does not have"):
        make("folder", tmp_path).check()


def test_a_set_that_is_not_here_is_planned_by_its_config():
    build = unread.pipeline(1000)
    images_of = dict(kind="images", source="tfds", name="imagenet2012", image_size=224, batch_size=1000)
    planned = build(images_of | dict(train_split="train[1000:]"), Feed())
    assert planned.sizes == {"outputs": 1000}
    assert planned.shapes[0][1]["image"] == ((1000, 224, 224, 3), "float32")
    assert planned.steps_per_epoch == 1280.167
    parts = [dict(train_split="train[:90%]"), dict(train_examples=5000), dict(train_split="train+validation[:50%]")]
    assert [build(images_of | part, Feed()).epoch for part in parts] == [1153.05, 5.0, None]
    with pytest.raises(UserError, match="its number of classes is not known"):
        unread.pipeline(None)(images_of, Feed())
    pairs_of = dict(kind="pairs", source="tfds", name="wmt", languages=("de", "en"), batch_tokens=512, max_length=64)
    planned = unread.pipeline(None)(pairs_of | dict(vocabulary_size=300, joint=False), Feed(divisor=2))
    assert planned.sizes == {"outputs": 300, "source_vocabulary": 300}
    assert planned.shapes == [(1.0, dict.fromkeys(("source", "target"), ((8, 64), "int32")))]
    with pytest.raises(UserError, match=r"set --config.steps=N"):
        _ = planned.steps_per_epoch
    sentences_of = dict(kind="sentences", source="tfds", name="glue/sst2", batch_size=32, vocabulary_size=300)
    planned = unread.pipeline(2)(sentences_of, Feed())
    assert planned.sizes == {"outputs": 2, "vocabulary": 300}
    assert planned.shapes[0][1]["tokens"] == ((32, 128), "int32")
    assert planned.steps_per_epoch == 67_349 / 32


def test_whether_a_set_is_here(folder, tmp_path):
    assert presence.look("python", "", "").here
    assert presence.look("folder", str(folder), "").here
    (tmp_path / "a.txt").write_text("a")
    assert presence.look("files", "a.txt, *.txt", str(tmp_path)).here
    assert presence.look("files", "a.txt, *.md", str(tmp_path)) == presence.Presence(False, str(tmp_path / "*.md"))
