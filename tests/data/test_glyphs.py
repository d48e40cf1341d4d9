"""Drawn characters: example i is always the same, splits differ, and a class looks like its character."""

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from data.sources import glyphs
from errors import UserError


def read(split: str, *indices: int, classes: int = 40) -> dict[str, np.ndarray]:
    found = glyphs.Source(str(classes), split).read(tf.constant(indices, tf.int64))
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_an_example_depends_on_its_split_and_place_alone():
    alone, among = read("train", 7), read("train", 3, 7, 11)
    np.testing.assert_array_equal(alone["image"][0], among["image"][1])
    np.testing.assert_array_equal(read("train[5:]", 2)["image"], alone["image"])
    assert (read("test", 7)["image"] != alone["image"]).any()
    assert (read("train", 47)["image"] != alone["image"]).any()  # of the same class


def test_labels_are_known_without_reading():
    source = glyphs.Source("40", "train[10:100]")
    found = source.read(tf.range(90, dtype=tf.int64))
    np.testing.assert_array_equal(source.labels(), found["label"])
    assert source.size == 90
    assert found["image"].shape == (90, 28, 28, 1)
    assert (found["image"].numpy().max((1, 2, 3)) > 128).all()


def test_classes_are_characters_that_look_different_and_that_many_faces_have():
    names = glyphs.characters()
    assert len(names) == len(set(names)) > 1000
    assert set("0123456789abcXYZé") <= set(names)
    assert "Α" not in names  # the Greek one looks like the Latin A
    pictures, begins = glyphs.pictures_of(names[:20])
    assert (np.diff(begins) >= glyphs.LEAST).all()
    assert len(pictures) == begins[-1]


def test_without_change_an_image_is_the_picture_made_smaller(monkeypatch):
    for name in ("ROTATION", "SHEAR", "ZOOM", "SHIFT"):
        monkeypatch.setattr(glyphs, name, 0.0)
    image = read("train", 3)["image"][0]
    pictures, begins = glyphs.pictures_of(glyphs.characters()[:40])
    small = tf.image.resize(pictures[begins[3] : begins[4], ..., None], (28, 28)).numpy()
    assert np.abs(small - image).mean((1, 2, 3)).min() < 1


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("0", "train", "named by its number of classes, from 2 to"),
        ("a", "train", "named by its number of classes"),
        ("10", "trian", "glyphs has no split 'trian': did you mean 'train'"),
        ("10", "train[5:5]", "is empty, of 1,000,000 examples"),
    ],
)
def test_a_mistake_is_one_line(name, split, message):
    with pytest.raises(UserError, match=message):
        glyphs.Source(name, split)


def test_a_run_reads_a_nested_part_of_them():
    section = dict(
        kind="images", source="glyphs", name="40", image_size=28, batch_size=4, mean=(0.1,), std=(0.25,),
        eval_splits=("validation[:10]",), train_examples=8,
    )  # fmt: skip
    pipeline = input_pipeline.build(section, input_pipeline.Feed(seed=0))
    batches = [batch for batch, _ in zip(pipeline.train_batches(0), range(4), strict=False)]
    assert len({image.tobytes() for batch in batches for image in batch["image"]}) == 8
    assert sum(batch["mask"].sum() for batch in pipeline.eval_batches("validation[:10]")) == 10
