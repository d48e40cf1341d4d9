"""Sources: whatever features a set has come through, by index, from TFDS, arrays and folders."""

import importlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data import sources
from data.order import tensorflow
from data.sources import Feature
from errors import UserError

SIZE = 6


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Images with i mod 3 boxes, a mask, a caption, labels and a number, as detection and segmentation sets have
    them.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        f = tfds.features
        features = {
            "image": f.Image(shape=(None, None, 3)),
            "objects": f.Sequence({"bbox": f.BBoxFeature(), "label": f.ClassLabel(names=["cat", "dog"])}),
            "segmentation_mask": f.Image(shape=(None, None, 1)),
            "text": f.Text(),
            "captions": f.Sequence(f.Text()),
            "kind": f.ClassLabel(names=["even", "odd"]),
            "clip": f.Video(shape=(None, 4, 4, 3)),
        }
        return tfds.core.DatasetInfo(builder=self, features=f.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(7)}

    def _generate_examples(self, count):
        for i in range(count):
            boxes = [tfds.features.BBox(0.1 * n, 0.0, 1.0, 0.5) for n in range(i % 3)]
            yield (
                i,
                {
                    "image": np.full((4 + i, 5, 3), i, np.uint8),
                    "objects": [{"bbox": box, "label": n % 2} for n, box in enumerate(boxes)],
                    "segmentation_mask": np.full((4 + i, 5, 1), i % 2, np.uint8),
                    "text": f"text {i} é",
                    "captions": ["a"] * i,
                    "kind": i % 2,
                    "clip": np.full((i + 1, 4, 4, 3), i, np.uint8),
                },
            )


class Grids(tfds.core.GeneratorBasedBuilder):
    """Images and masks of one size, which are decoded into memory."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        f = tfds.features
        features = {"image": f.Image(shape=(SIZE, SIZE, 3)), "segmentation_mask": f.Image(shape=(SIZE, SIZE, 1))}
        return tfds.core.DatasetInfo(
            builder=self, features=f.FeaturesDict(features | {"label": f.ClassLabel(names=["a"])})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(5):
            mask = np.full((SIZE, SIZE, 1), i % 2, np.uint8)
            yield i, {"image": np.full((SIZE, SIZE, 3), i, np.uint8), "segmentation_mask": mask, "label": 0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for file_format in ("tfrecord", "array_record"):
        for builder in (Shapes, Grids):
            builder(data_dir=root / file_format, file_format=file_format).download_and_prepare()
    return root


def example(source, index):
    raw = source.read(tensorflow().constant([index], "int64"))
    return source.parse(tf.nest.map_structure(lambda x: x[0], raw))


ACCESS = {"records": ("tfrecord", 1024), "array_record": ("array_record", 0)}


@pytest.mark.parametrize("access", ACCESS)
def test_boxes_masks_texts_and_clips_come_through_tfds_by_index(access, prepared):
    file_format, limit = ACCESS[access]
    source = sources.open("tfds", "shapes", "train", str(prepared / file_format), limit)
    assert (source.size, source.access) == (7, access)
    assert source.features == {
        "image": Feature("image", (None, None, 3), encoded=True),
        "objects": {"bbox": Feature("boxes", (None, 4)), "label": Feature("label", (None,), ("cat", "dog"))},
        "segmentation_mask": Feature("image", (None, None, 1), encoded=True),
        "text": Feature("text"),
        "captions": Feature("text", (None,)),
        "kind": Feature("label", (), ("even", "odd")),
        "clip": Feature("clip", (None, 4, 4, 3)),
    }
    seen = set()
    for index in (5, 0, 2, 6, 1, 3, 4):
        found = example(source, index)
        assert found.keys() == source.features.keys()
        i = int(tf.io.decode_image(found["image"])[0, 0, 0])
        seen.add(i)
        assert found["text"].numpy().decode() == f"text {i} é"
        assert found["objects"]["bbox"].shape == (i % 3, 4)
        np.testing.assert_allclose(found["objects"]["bbox"][:, 0], 0.1 * np.arange(i % 3), atol=1e-6)
        assert found["objects"]["label"].numpy().tolist() == [0, 1][: i % 3]
        mask = tf.io.decode_image(found["segmentation_mask"])
        assert mask.shape == (4 + i, 5, 1)
        assert set(mask.numpy().ravel()) == {i % 2}
        assert found["clip"].shape == (i + 1, 4, 4, 3)
        assert int(found["kind"]) == i % 2
        assert found["captions"].shape == (i,)
    assert seen == set(range(7))


def test_only_what_is_asked_for_is_read_and_a_label_may_have_another_name(prepared):
    wanted = ("image", "objects", "label")
    source = sources.open("tfds", "shapes", "train", str(prepared / "tfrecord"), wanted=wanted, label="kind")
    assert tuple(source.features) == wanted
    assert sources.classes(source) == ("even", "odd")
    found = example(source, 3)
    assert found.keys() == set(wanted)
    assert int(found["label"]) == int(tf.io.decode_image(found["image"])[0, 0, 0]) % 2


def test_masks_of_one_size_are_decoded_into_memory_with_their_images(prepared):
    wanted = ("image", "segmentation_mask")
    source = sources.open("tfds", "grids", "train", str(prepared / "tfrecord"), wanted=wanted)
    assert source.access == "decoded"
    assert sources.shape(source) == (SIZE, SIZE, 3)
    assert sources.shape(source, "segmentation_mask") == (SIZE, SIZE, 1)
    found = source.read(tensorflow().range(5, dtype="int64"))
    assert found.keys() == set(wanted)
    np.testing.assert_array_equal(found["segmentation_mask"][:, 0, 0, 0], found["image"][:, 0, 0, 0] % 2)
    assert sorted(found["image"][:, 0, 0, 0].numpy()) == list(range(5))


def test_a_stream_gives_all_features_with_their_places(prepared):
    source = sources.open("tfds", "shapes", "train", str(prepared / "tfrecord"), 0, ("text", "objects"))
    assert source.access == "stream"
    halves = [list(source.in_order(host, 2)) for host in range(2)]
    assert [int(place) for half in halves for _, place in half] == list(range(7))
    found = [source.parse(raw) for half in halves for raw, _ in half]
    whole = sources.open("tfds", "shapes", "train", str(prepared / "tfrecord"), 1024, ("text", "objects"))
    assert [x["text"].numpy() for x in found] == [example(whole, i)["text"].numpy() for i in range(7)]


def test_arrays_hold_any_features(tmp_path):
    masks = np.arange(4 * SIZE * SIZE).reshape(4, SIZE, SIZE).astype(np.uint8) % 3
    boxes = np.random.default_rng(0).random((4, 2, 4))
    np.savez(
        tmp_path / "set.npz",
        train_images=np.zeros((4, SIZE, SIZE, 3), np.uint8),
        train_mask=masks,
        train_boxes=boxes,
        train_text=np.array(["a", "bé", "", "dddd"]),
        train_labels=np.array([0, 1, 1, 0]),
        classes=["no", "yes"],
        test_images=np.zeros((2, SIZE, SIZE, 3), np.uint8),
    )
    source = sources.open("arrays", "set.npz", "train", str(tmp_path))
    assert source.features == {
        "image": Feature("image", (SIZE, SIZE, 3)),
        "mask": Feature("image", (SIZE, SIZE, 1)),
        "boxes": Feature("boxes", (2, 4)),
        "text": Feature("text"),
        "label": Feature("label", (), ("no", "yes")),
    }
    found = source.read(tensorflow().constant([2, 1], "int64"))
    np.testing.assert_array_equal(found["mask"][..., 0], masks[[2, 1]])
    np.testing.assert_allclose(found["boxes"], boxes[[2, 1]], rtol=1e-6)
    assert [x.decode() for x in found["text"].numpy()] == ["", "bé"]
    assert found["label"].numpy().tolist() == [1, 1]
    test = sources.open("arrays", "set.npz", "test", str(tmp_path), wanted=("image",))
    assert (test.size, list(test.features)) == (2, ["image"])
    with pytest.raises(UserError, match=r"has no test_label: did you mean"):
        sources.open("arrays", "set.npz", "test", str(tmp_path), wanted=("image", "label"))
    with pytest.raises(UserError, match=r"has no trian_images or others: did you mean 'train'"):
        sources.open("arrays", "set.npz", "trian", str(tmp_path))


def test_arrays_of_other_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.zeros((4, 2, 2, 3), np.uint8), train_mask=np.zeros((3, 2, 2)))
    with pytest.raises(UserError, match=r"mask should have 4 examples, as the others: not \(3, 2, 2\)"):
        sources.open("arrays", "set.npz", "train", str(tmp_path))


def test_a_feature_that_a_set_has_not_is_named_with_those_it_has(prepared, tmp_path):
    with pytest.raises(UserError, match=r"config.data.name='shapes' has no mask: .*segmentation_mask"):
        sources.open("tfds", "shapes", "train", str(prepared / "tfrecord"), wanted=("image", "mask"))
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "x.png").write_bytes(b"")
    with pytest.raises(UserError, match="has no boxes"):
        sources.open("folder", str(tmp_path), "train", wanted=("image", "boxes"))
    folder = sources.open("folder", str(tmp_path), "train")
    assert sources.classes(folder) == ("cat",)
    assert sources.shape(folder) is None


def test_a_set_that_another_process_has_prepared_meanwhile_is_read(tmp_path, monkeypatch):
    prepare = tfds.core.DatasetBuilder.download_and_prepare

    def twice(builder, *arguments, **options):
        prepare(builder, *arguments, **options)
        raise OSError(f"Cannot rename. Destination {builder.data_dir} already exists.")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", twice)
    assert sources.open("tfds", "digits", "train", str(tmp_path), 1024).size == 1437


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("canvases", "32"),
        ("glyphs", "12"),
        ("glyph_names", "latin"),
        ("moving_digits", "24,4,both"),
        ("questions", "24,fits"),
    ],
)
def test_a_part_of_a_made_split_has_its_examples_by_the_same_names(source, name):
    importlib.import_module("data.sources.list")  # whose name the package then has, in place of Python's
    whole, part = (sources.open(source, name, split) for split in ("test", "test[10:14]"))
    assert (part.size, part.describe(2)) == (4, whole.describe(12)) == (4, f"example 12 of {source}, test")
    theirs, ours = whole.read(tf.constant([12], tf.int64)), part.read(tf.constant([2], tf.int64))
    assert theirs.keys() == ours.keys()
    for entry in ours:
        np.testing.assert_array_equal(ours[entry], theirs[entry])


def test_a_source_need_not_name_its_examples():
    class Own(sources.Indexed):
        size = 3

    assert Own().describe(2) == "example 2"
