"""Resizing, cropping and normalising are quick forms of simple ones: the same to the bit."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import augment, images
from data.resize import resize
from tests.data.test_pipeline import first, make

SIZES = [((33, 47), (20, 20)), ((33, 47), (64, 21)), ((9, 5), (30, 40)), ((40, 40), (40, 13)), ((1, 7), (3, 2))]


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth, with grain."""
    y, x, c = np.ogrid[:height, :width, :channels]
    grain = np.random.default_rng(height).normal(0, 12, (height, width, channels))
    return np.clip(128 + 100 * np.sin(x / 6 + c) * np.cos(y / 9) + grain, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, subsampling: int) -> tf.Tensor:
    Image.fromarray(image).save(file := io.BytesIO(), "JPEG", quality=90, subsampling=subsampling)
    return tf.constant(file.getvalue())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3"])
def test_an_antialiased_image_is_tensorflows(interpolation, channels):
    for before, after in SIZES:
        image = tf.constant(photo(*before, channels))
        theirs = tf.saturate_cast(tf.round(tf.image.resize(image, after, interpolation, antialias=True)), tf.uint8)
        np.testing.assert_array_equal(resize(image, after, interpolation, True), theirs)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3"])
def test_an_antialiased_image_is_pillows(interpolation):
    name = interpolation.rstrip("3").upper()
    for before, (height, width) in SIZES[:3]:
        image = photo(*before) // 2 + 60  # Pillow clips between the passes: nothing is to overshoot
        theirs = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling[name]))
        ours = resize(tf.constant(image), (height, width), interpolation, True).numpy()
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_without_antialiasing_pixels_between_are_passed_over():
    stripes = np.zeros((8, 32, 3), np.uint8)
    stripes[:, 1::4] = stripes[:, 2::4] = 240
    quick, fair = (resize(tf.constant(stripes), (8, 8), "bilinear", antialias) for antialias in (False, True))
    assert np.unique(quick).tolist() == [240]
    assert 100 < np.mean(fair) < 140


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_middle_is_that_of_the_whole_image(subsampling):
    """A file is decoded only around it."""
    rng = np.random.default_rng(0)
    for share in (1.0, 0.875, 0.51, 0.03):
        file = jpeg(photo(*rng.integers(30, 150, 2)), subsampling)
        keys = dict(size=(24, 24), channels=3, interpolation="bilinear", antialias=True)
        here, there = (
            images.for_evaluation(x, crop="center", crop_share=share, **keys) for x in (file, tf.io.decode_jpeg(file))
        )
        np.testing.assert_array_equal(here, there)


def test_batches_are_normalised_and_mirrored_as_the_formulas_say():
    batch = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    by_channel = 1 / (255 * np.array(std, np.float32)), np.array(mean, np.float32) / np.array(std, np.float32)
    plain = batch.astype(np.float32) * by_channel[0].astype(np.float32) - by_channel[1]
    np.testing.assert_array_equal(augment.normalise(tf.constant(batch), mean, std), plain)
    np.testing.assert_array_equal(augment.normalise(batch[0], mean, std), plain[0])
    mirrored = np.array([True, False, False, True, True, False])
    turned = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
    np.testing.assert_array_equal(augment.flip(tf.constant(batch), tf.constant(mirrored)), turned)


def test_the_keys_hold_for_training_evaluation_and_prediction(tmp_path):
    (path := tmp_path / "train" / "x" / "1.png").parent.mkdir(parents=True)
    Image.fromarray(photo(40, 40)).save(path)
    seen = {}
    for interpolation, antialias in (("bilinear", True), ("bilinear", False), ("bicubic", True)):
        keys = dict(interpolation=interpolation, antialias=antialias, batch_size=1, eval_splits=("train",))
        pipeline = make("folder", tmp_path, image_size=16, **keys)
        (trained,) = first(pipeline.train_batches(0), 1)
        (evaluated,) = pipeline.eval_batches("train")
        read, _ = pipeline.read([str(path)])
        np.testing.assert_array_equal(trained["image"], read["image"])
        np.testing.assert_array_equal(evaluated["image"], read["image"])
        seen[interpolation, antialias] = read["image"].tobytes()
    assert len(set(seen.values())) == 3
