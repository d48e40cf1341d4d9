"""Views of images: the same for any start and number of hosts, within the image, and refused where they cannot be."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from data.pipelines.view_augmentation import Views
from errors import UserError
from input_pipeline import Feed

SECTION = dict(
    kind="views",
    source="tfds",
    name="digits",
    image_size=8,
    mean=(0.5,),
    std=(0.5,),
    batch_size=8,
    eval_batch_size=8,
    eval_splits=("test[:20]",),
    views=dict(locals=3, local_size=4, local_area=(0.2, 0.5)),
)
FEED = Feed(seed=3)
PLAIN = dict(flip=0.0, jitter=0.0, grey=0.0, blur=(0.0, 0.0, 0.0), solarise=0.0)


def build(feed: Feed = FEED, views: dict | None = None, **changes):
    return input_pipeline.build(SECTION | {"views": SECTION["views"] | (views or {})} | changes, feed)


def some(pipeline, start: int, count: int) -> list[dict[str, np.ndarray]]:
    return list(islice(pipeline.train_batches(start), count))


def test_a_batch_is_the_same_after_a_resume_and_for_two_hosts():
    whole = some(build(), 0, 3)
    (third,) = some(build(), 2, 1)
    assert {name: x.shape for name, x in third.items()} == {
        "image": (8, 8, 8, 1),
        "second": (8, 8, 8, 1),
        "local": (8, 3, 4, 4, 1),
        "label": (8,),
        "mask": (8,),
    }
    hosts = [some(build(Feed(seed=3, host=host, hosts=2)), 2, 1)[0] for host in range(2)]
    for name, x in third.items():
        np.testing.assert_array_equal(x, whole[2][name], err_msg=name)
        np.testing.assert_allclose(np.concatenate([host[name] for host in hosts]), x, atol=1e-6, err_msg=name)
    other = some(build(Feed(seed=4)), 2, 1)[0]
    assert np.abs(other["local"] - third["local"]).max() > 0.1


def test_views_differ_from_one_another_and_stay_in_range():
    batch = some(build(views=PLAIN), 0, 1)[0]
    assert np.abs(batch["local"][:, 0] - batch["local"][:, 1]).max() > 0.1
    changed = some(build(), 0, 1)[0]
    assert np.abs(changed["image"] - changed["second"]).max() > 0.1
    low, high = (0 - 0.5) / 0.5 - 1e-5, (1 - 0.5) / 0.5 + 1e-5
    assert all(low <= changed[name].min() and changed[name].max() <= high for name in ("image", "second", "local"))


def test_a_crop_is_a_part_of_the_image():
    from data import multi_crop
    from data.order import tensorflow

    tf = tensorflow()
    gradient = np.broadcast_to(np.arange(8, dtype=np.uint8)[None, :, None, None] * 30, (5, 8, 8, 1))
    pipeline = build(views=PLAIN | {"local_area": (0.25, 0.25)})
    found = multi_crop.of_batch(pipeline, tf.constant(gradient), tf.range(5, dtype=tf.int64), True)
    local = (found["local"].numpy() * 0.5 + 0.5) * 255
    np.testing.assert_allclose(np.ptp(local, axis=3), 0, atol=1e-3)  # rows stay rows
    span = local[..., -1, 0, 0] - local[..., 0, 0, 0]
    assert (span > 0).all()  # and in their order
    assert (span <= 30 * 8 * 0.5 * (4 / 3) ** 0.5 + 1).all()  # a quarter of the area, at most 4:3


def test_an_evaluation_has_whole_images_and_one_view_whatever_the_batch():
    batches = list(build().eval_batches("test[:20]"))
    assert sorted(batches[0]) == ["image", "index", "label", "mask", "second"]
    assert sum((batch["index"] >= 0).sum() for batch in batches) == 20
    other = list(build(Feed(seed=9), eval_batch_size=5).eval_batches("test[:20]"))
    for name in ("image", "second"):
        ours, theirs = (np.concatenate([b[name][b["index"] >= 0] for b in found]) for found in (batches, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_images_of_any_size_have_the_same_views_after_a_resume(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20 + i, 30, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{i}.png")
    changes = dict(source="folder", name=str(tmp_path), image_size=12, mean=(0.5,) * 3, std=(0.5,) * 3, batch_size=4)
    changes["eval_splits"] = ("test",)
    pipeline = build(**changes)
    whole = some(pipeline, 0, 2)
    (second,) = some(build(**changes), 1, 1)
    for name, x in second.items():
        np.testing.assert_array_equal(x, whole[1][name], err_msg=name)
    assert second["local"].shape == (4, 3, 4, 4, 3)
    (batch,) = pipeline.eval_batches("test")
    assert batch["image"].shape == batch["second"].shape == (4, 12, 12, 3)


def test_colours_blur_and_inversion():
    from data import multi_crop
    from data.order import tensorflow

    tf = tensorflow()
    x = tf.constant(np.random.default_rng(0).uniform(size=(4, 6, 6, 3)).astype(np.float32))
    u = np.full((4, 14), 0.0, np.float32)
    off = Views(flip=0, jitter=0, grey=0, blur=(0, 0, 0), solarise=0)
    zero, one = tf.zeros(4), tf.ones(4)
    np.testing.assert_array_equal(multi_crop.augmented(x, tf.constant(u), off, zero, zero), x)
    grey = multi_crop.augmented(x, tf.constant(u), Views(flip=0, jitter=0, grey=1, blur=(0, 0, 0)), zero, zero).numpy()
    np.testing.assert_allclose(grey[..., 0], x.numpy() @ np.array([0.299, 0.587, 0.114]), atol=1e-5)
    inverted = multi_crop.augmented(x, tf.constant(u), Views(flip=0, jitter=0, grey=0, blur=(0, 0, 0)), zero, one)
    np.testing.assert_allclose(inverted, np.where(x >= 0.5, 1 - x, x), atol=1e-6)
    blurred = multi_crop.blurred(x, tf.fill((4, 1, 1), 1.5)).numpy()
    assert blurred.std() < 0.5 * x.numpy().std()
    np.testing.assert_allclose(multi_crop.blurred(tf.ones_like(x), tf.fill((4, 1, 1), 1.5)), 1, atol=1e-5)
    np.testing.assert_allclose(multi_crop.blurred(x, tf.fill((4, 1, 1), 0.01)), x, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (dict(views=dict(local_size=9)), "local_size=9 is larger than the images, 8x8"),
        (dict(views=dict(local_area=(0.5, 0.2))), r"local_area=\(0.5, 0.2\) should be the least and the largest"),
        (dict(augment=dict(flip=True)), "config.data.augment is for other kinds of data: config.data.views"),
    ],
)
def test_views_that_cannot_be_are_one_line(changes, line):
    with pytest.raises(UserError, match=line) as raised:
        build(**changes)
    assert "\n" not in str(raised.value)
