"""RandAugment against Pillow, whose operations the published recipes were run with."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from data import randaugment

NAMES = tuple(randaugment.OPERATIONS)
WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def noise(channels=3, height=33, width=47, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (height, width, channels)).astype(np.uint8)


def smooth(channels=3, height=40, width=56):
    """An image whose neighbours are alike, so that a wrong direction or half a pixel shows and rounding does not."""
    y, x, c = np.ogrid[:height, :width, :channels]
    return (128 + 100 * np.sin(x / 6 + c) * np.cos(y / 9)).astype(np.uint8)


IMAGES = {
    "noise": noise(),
    "noise of one channel": noise(1),
    "narrow": noise(low=90, high=140),
    "narrow of one channel": noise(1, low=3, high=6),
    "skewed": (noise() / 255.0) ** 3 * 255 // 1,
    "two levels": noise(low=0, high=2) * 200,
    "few pixels": noise(height=4, width=5),
    "smooth": smooth(),
    "constant": np.full((9, 7, 3), 77),
    "constant of one channel": np.full((9, 7, 1), 200),
    "black": np.zeros((9, 7, 3)),
    "white": np.full((9, 7, 1), 255),
    "one channel constant": np.concatenate([noise(2), np.full((33, 47, 1), 9)], axis=-1),
}
IMAGES = {name: image.astype(np.uint8) for name, image in IMAGES.items()}


def pillow(image, f):
    mode = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.asarray(f(mode)).reshape(image.shape)


def gap(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (randaugment.autocontrast, ImageOps.autocontrast),
        (randaugment.equalize, ImageOps.equalize),
        (randaugment.invert, ImageOps.invert),
        *[(lambda x, n=n: randaugment.posterize(x, n), lambda x, n=n: ImageOps.posterize(x, n)) for n in (1, 3, 4, 8)],
        *[
            (lambda x, n=n: randaugment.solarize(x, n), lambda x, n=n: ImageOps.solarize(x, n))
            for n in (0, 77, 128, 256)
        ],
    ],
)
def test_point_operations_are_pillows(ours, theirs):
    for name, image in IMAGES.items():
        result = ours(tf.constant(image))
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, pillow(image, theirs), err_msg=name)


def test_autocontrast_is_pillows_for_every_range():
    for low, high in np.random.default_rng(0).integers(0, 256, (40, 2)):
        image = np.resize(np.arange(min(low, high), max(low, high) + 1), (16, 16, 1)).astype(np.uint8)
        np.testing.assert_array_equal(
            randaugment.autocontrast(tf.constant(image)), pillow(image, ImageOps.autocontrast)
        )


@pytest.mark.parametrize("factor", [0.1, 0.55, 1.0, 1.72, 1.9, 3.7])
@pytest.mark.parametrize("enhancer", ["Color", "Contrast", "Brightness", "Sharpness"])
def test_enhancers_are_pillows(factor, enhancer):
    for name, image in IMAGES.items():
        result = getattr(randaugment, enhancer.lower())(tf.constant(image), factor)
        expected = pillow(image, lambda x: getattr(ImageEnhance, enhancer)(x).enhance(factor))
        assert result.dtype == tf.uint8
        # Both truncate float32; a compiler that fuses multiplication with addition may land on a level's other side.
        assert gap(result, expected) <= 1, name
        assert np.mean(np.asarray(result) != expected) < 0.01, name


def test_color_leaves_one_channel_alone():
    np.testing.assert_array_equal(randaugment.color(tf.constant(noise(1)), 0.1), noise(1))


def test_solarize_add():
    image = np.array([0, 17, 18, 100, 127, 128, 255], np.uint8).reshape(1, 7, 1)
    assert np.ravel(randaugment.solarize_add(tf.constant(image), 110)).tolist() == [110, 127, 128, 210, 237, 128, 255]
    assert np.ravel(randaugment.solarize_add(tf.constant(image), 200)).tolist() == [200, 217, 218, 255, 255, 128, 255]


def affine(image, *rows):
    return image.transform(image.size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)


THEIRS = {  # As timm calls Pillow.
    "rotate": lambda x, degrees: x.rotate(degrees, Image.Resampling.BILINEAR),
    "shear_x": lambda x, slope: affine(x, 1, slope, 0, 0, 1, 0),
    "shear_y": lambda x, slope: affine(x, 1, 0, 0, slope, 1, 0),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "amount"),
    [("rotate", 25.0), ("rotate", -30.0), ("shear_x", 0.3), ("shear_x", -0.2), ("shear_y", 0.3), ("shear_y", -0.2)],
)
def test_warps_are_pillows_inside(name, amount, channels):
    image, warp = smooth(channels), lambda x: THEIRS[name](x, amount)
    result = np.asarray(getattr(randaugment, name)(tf.constant(image), amount))
    # At the edge the two differ: we blend it with the grey, Pillow takes all of the pixel. There white is not white.
    white = np.full_like(image, 255)
    inner = np.asarray(getattr(randaugment, name)(tf.constant(white), amount)) == 255
    assert np.all(pillow(white, warp)[inner] == 255)
    assert inner.mean() > 0.5
    assert gap(result[inner], pillow(image, warp)[inner]) <= 1  # Pillow truncates, we round.
    assert gap(image[inner], pillow(image, warp)[inner]) > 20


def test_rotation_is_counterclockwise_about_the_middle():
    image = np.full((5, 5, 1), 10, np.uint8)
    image[2, 4] = 250
    turned = np.asarray(randaugment.rotate(tf.constant(image), 90.0))
    expected = np.full((5, 5, 1), 10, np.uint8)
    expected[0, 2] = 250
    np.testing.assert_array_equal(turned, expected)


def test_shears_move_left_and_up_from_the_corner():
    image = np.zeros((8, 16, 1), np.uint8)
    image[:, 6] = 240
    sheared = np.asarray(randaugment.shear_x(tf.constant(image), 0.5))[..., 0].astype(float)
    for row in range(8):  # Its middle lies row + 1/2 below the edge.
        line = sheared[row, :8]
        assert line @ np.arange(8) / line.sum() == pytest.approx(6 - (row + 0.5) / 2)
    transposed = randaugment.shear_y(tf.constant(image.swapaxes(0, 1)), 0.5)
    np.testing.assert_array_equal(np.asarray(transposed)[..., 0].T, sheared)


@pytest.mark.parametrize(("share", "pixels"), [(0.45, 9), (-0.45, -9), (0.13, 3), (0.0, 0)])
def test_translations_are_whole_pixels_of_the_side(share, pixels):
    image = noise(height=20, width=20)
    expected = np.full_like(image, 128)
    expected[:, max(-pixels, 0) : 20 - max(pixels, 0)] = image[:, max(pixels, 0) : 20 + min(pixels, 0)]
    np.testing.assert_array_equal(randaugment.translate_x(tf.constant(image), share), expected)
    moved_up = randaugment.translate_y(tf.constant(image.swapaxes(0, 1)), share)
    np.testing.assert_array_equal(moved_up, expected.swapaxes(0, 1))


@pytest.mark.parametrize("name", WARPS)
def test_warps_of_magnitude_zero_do_nothing(name):
    for sign in (-1.0, 1.0):
        result = randaugment.OPERATIONS[name](tf.constant(noise()), 0.0, tf.constant(sign))
        np.testing.assert_array_equal(result, noise())


@pytest.mark.parametrize("name", WARPS)
def test_signs_turn_warps_around(name):
    one, other = (randaugment.OPERATIONS[name](tf.constant(smooth()), 1.0, tf.constant(sign)) for sign in (-1.0, 1.0))
    assert gap(one, other) > 20


@pytest.mark.parametrize(
    ("name", "magnitude", "theirs"),
    [
        ("posterize", 10, lambda x: ImageOps.posterize(x, 4)),
        ("posterize", 9, lambda x: ImageOps.posterize(x, 3)),
        ("posterize", 0, lambda x: ImageOps.posterize(x, 1)),
        ("posterize", 30, lambda x: x),
        ("solarize", 5, lambda x: ImageOps.solarize(x, 128)),
        ("solarize", 0, ImageOps.invert),
        ("solarize", 10, lambda x: x),
        ("solarize_add", 5, lambda x: x.point(lambda v: v + 55 if v < 128 else v)),
        ("color", 10, lambda x: ImageEnhance.Color(x).enhance(1.9)),
        ("contrast", 0, lambda x: ImageEnhance.Contrast(x).enhance(0.1)),
        ("brightness", 5, lambda x: x),
        ("sharpness", 15, lambda x: ImageEnhance.Sharpness(x).enhance(2.8)),
        ("rotate", 10, lambda x: x.rotate(30, Image.Resampling.BILINEAR)),
        ("rotate", 15, lambda x: x.rotate(45, Image.Resampling.BILINEAR)),
        ("shear_x", 10, lambda x: affine(x, 1, 0.3, 0, 0, 1, 0)),
        ("shear_y", 10, lambda x: affine(x, 1, 0, 0, 0.3, 1, 0)),
        ("translate_x", 10, lambda x: affine(x, 1, 0, 25, 0, 1, 0)),  # 0.45 * 56 = 25.2
        ("translate_y", 5, lambda x: affine(x, 1, 0, 0, 0, 1, 9)),  # 0.225 * 40
    ],
)
def test_magnitudes_are_the_original_ones(name, magnitude, theirs):
    image = smooth()
    result = np.asarray(randaugment.OPERATIONS[name](tf.constant(image), magnitude / 10, tf.constant(1.0)))
    middle = slice(15, 24), slice(20, 30)  # Where no warp brings in what lies outside.
    assert gap(result[middle], pillow(image, theirs)[middle]) <= 1


def test_each_operation_and_sign_is_as_likely():
    which, sign = randaugment.draw(tf.constant([3, 4], tf.int64), 15_000)
    counts = np.zeros((len(NAMES), 2))
    np.add.at(counts, (which.numpy(), (sign.numpy() > 0).astype(int)), 1)
    assert np.sum((counts - 500) ** 2 / 500) < 65  # Chi squared of 29 degrees: one seed in ten thousand exceeds it.


def test_every_operation_is_reached_by_some_position():
    """The pipeline draws with one seed an image, so the first draw of many seeds must vary too."""
    positions = tf.data.Dataset.range(400).map(lambda p: randaugment.draw(tf.stack([tf.constant(0, tf.int64), p]), 1))
    which, sign = (np.concatenate(x) for x in zip(*positions.as_numpy_iterator(), strict=True))
    assert set(which) == set(range(len(NAMES)))
    assert set(sign) == {-1.0, 1.0}


def test_apply_runs_the_drawn_operations_in_order(monkeypatch):
    monkeypatch.setattr(randaugment, "draw", lambda seed, layers: seed)
    image = tf.constant(smooth())
    apply = tf.function(lambda which, sign: randaugment.apply(image, (which, sign), 2, 9.0))
    for index in range(len(NAMES)):
        which, sign = [index, (index + 7) % len(NAMES)], [-1.0, 1.0]
        expected = image
        for i, s in zip(which, sign, strict=True):
            expected = randaugment.OPERATIONS[NAMES[i]](expected, 0.9, tf.constant(s))
        result = apply(tf.constant(which), tf.constant(sign))
        assert gap(result, expected) <= 1, NAMES[index]  # A graph may fuse what runs step by step outside of it.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("known", [True, False])
def test_in_a_dataset(channels, known):
    """Shapes, types, repetition and variety where it is used; the size of images known beforehand or not."""
    image = smooth(channels)

    def view(index):
        x = tf.constant(image)
        if not known:
            x = tf.ensure_shape(tf.py_function(lambda: image, [], tf.uint8), (None, None, channels))
        return randaugment.apply(x, tf.stack([index // 60, index % 60]), 2, 10.0)

    dataset = tf.data.Dataset.range(120).map(view, num_parallel_calls=4)
    assert dataset.element_spec.dtype == tf.uint8
    assert dataset.element_spec.shape.as_list() == (list(image.shape) if known else [None, None, channels])
    once, again = (np.stack(list(dataset.as_numpy_iterator())) for _ in range(2))
    assert once.shape == (120, *image.shape)
    np.testing.assert_array_equal(once, again)
    assert len(np.unique(once[:60].reshape(60, -1), axis=0)) > 30
    assert np.mean([np.any(a != b) for a, b in zip(once[:60], once[60:], strict=True)]) > 0.8


def test_same_seed_is_the_same_in_and_out_of_a_graph():
    image, compiled = tf.constant(smooth()), tf.function(randaugment.apply)
    for index in range(12):
        seed = tf.constant([7, index], tf.int64)
        assert gap(randaugment.apply(image, seed, 2, 9.0), compiled(image, seed, 2, 9.0)) <= 1


def test_tiny_images():
    for shape in ((1, 1, 3), (2, 5, 1), (1, 9, 3)):
        image = tf.constant(noise(shape[2], shape[0], shape[1]))
        for name, f in randaugment.OPERATIONS.items():
            assert f(image, 1.0, tf.constant(1.0)).shape == shape, name
    np.testing.assert_array_equal(randaugment.apply(image, tf.constant([0, 0], tf.int64), 0, 10.0), image)
