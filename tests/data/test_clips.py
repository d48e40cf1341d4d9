"""Clips: which frames of a video they take, and digits that move."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import clip_views
from data.pipelines import clips
from data.sources import moving_digits
from errors import UserError


@pytest.fixture(scope="module")
def pipeline() -> clips.Pipeline:
    return clips.Pipeline(
        source="moving_digits",
        name="24,8,both",
        frames=3,
        stride=2,
        image_size=24,
        mean=(0.5,),
        std=(0.5,),
        batch_size=4,
        eval_batch_size=4,
        eval_splits=("test[:6]",),
    )


def changed(pipeline, frames, train, position=0):
    clip = tf.constant(np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 24, 24, 1), np.uint8))
    split = pipeline.split("test[:6]")
    row = {"position": tf.constant(position, tf.int64)}
    found = pipeline.change(split, train)({"clip": clip, "label": tf.constant(0)}, row)["clip"].numpy()
    return np.round((found[:, 0, 0, 0] * 0.5 + 0.5) * 255).astype(int).tolist()


def test_evaluation_takes_the_middle_and_training_any_part(pipeline):
    assert changed(pipeline, 9, train=False) == [2, 4, 6]
    starts = {tuple(changed(pipeline, 9, train=True, position=p)) for p in range(40)}
    assert starts == {(first, first + 2, first + 4) for first in range(5)}
    assert changed(pipeline, 9, train=True, position=3) == changed(pipeline, 9, train=True, position=3)


def test_of_a_short_video_the_last_frame_is_repeated(pipeline):
    assert changed(pipeline, 3, train=False) == [0, 2, 2]
    assert changed(pipeline, 1, train=True) == [0, 0, 0]


def test_batches_are_the_same_after_a_resume_and_evaluation_sees_each_clip_once(pipeline):
    batches = pipeline.train_batches(0)
    whole = [next(batches) for _ in range(3)]
    later = next(pipeline.train_batches(2))
    np.testing.assert_array_equal(whole[2]["clip"], later["clip"])
    assert whole[0]["clip"].shape == (4, 3, 24, 24, 1)
    seen = list(pipeline.eval_batches("test[:6]"))
    assert sorted(i for batch in seen for i in batch["index"] if i >= 0) == list(range(6))
    assert sum(batch["mask"].sum() for batch in seen) == 6


def views(**changes) -> clips.Pipeline:
    """Two clips and three crops of each video."""
    arguments = dict(source="moving_digits", name="24,8,both", frames=3, stride=2, image_size=24, batch_size=4)
    arguments |= dict(mean=(0.5,), std=(0.5,), eval_clips=2, eval_crops=3, eval_splits=("test[:6]",))
    return clips.Pipeline(**arguments | changes)


def test_several_views_are_of_one_video():
    pipeline = views()
    video = np.zeros((9, 24, 36, 1), np.uint8)
    video += np.arange(9, dtype=np.uint8)[:, None, None, None] * 10 + np.arange(36, dtype=np.uint8)[:, None] // 12
    change = pipeline.change(pipeline.split("test[:6]"), train=False)
    found = change({"clip": tf.constant(video), "label": tf.constant(0)}, {})["clip"].numpy()
    assert found.shape == (6, 3, 24, 24, 1)
    levels = np.round((found * 0.5 + 0.5) * 255).astype(int)[..., 0]
    # Of each clip the left, the middle and the right square; the first from the beginning, the second to the end.
    assert levels[:3, :, 0, 0].tolist() == [[0, 20, 40], [0, 20, 40], [1, 21, 41]]
    assert levels[3:, :, 0, 0].tolist() == [[40, 60, 80], [40, 60, 80], [41, 61, 81]]
    assert [view[0, 0, -1] for view in levels[:3]] == [1, 2, 2]
    batches = list(pipeline.eval_batches("test[:6]"))
    assert pipeline.largest("test[:6]")["clip"] == (batches[0]["clip"].shape, "float32")
    assert sum(batch["mask"].sum() for batch in batches) == 6
    assert next(pipeline.train_batches(0))["clip"].shape == (4, 3, 24, 24, 1)
    assert "averages 6 views of each video: 2 clips x 3 crops" in pipeline.describe()[1]


def test_frames_are_shuffled_by_the_clip_in_training_and_evaluation():
    pipeline = views(frames=4, stride=1, shuffled=True, eval_clips=1, eval_crops=1)
    clip = tf.constant(np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 24, 24, 1), np.uint8))
    for train in (True, False):
        change, orders = pipeline.change(pipeline.split("test[:6]"), train), set()
        for place in [*range(20), *range(20)]:
            row = {name: tf.constant(place, tf.int64) for name in ("position", "index")}
            found = change({"clip": clip, "label": tf.constant(0)}, row)["clip"].numpy()[:, 0, 0, 0]
            orders.add((place, tuple(np.round((found * 0.5 + 0.5) * 255).astype(int).tolist())))
        assert len(orders) == 20, "the same order for the same clip"
        assert len({order for _, order in orders}) > 5
        assert all(sorted(order) == [0, 1, 2, 3] for _, order in orders)


@pytest.mark.parametrize(("there", "expected"), [(9, [[0, 3, 6], [2, 5, 8]]), (2, [[0, 0, 1], [0, 1, 1]])])
def test_even_sampling_covers_the_whole_video(there, expected):
    assert clip_views.moments(tf.constant(there), 3, 1, 2, "even").numpy().tolist() == expected
    for seed in range(20):
        seeds = tf.constant([seed, 1], tf.int64)
        taken = clip_views.random_moments(tf.constant(9), 3, 1, "even", seeds).numpy()[0]
        assert (taken // 3 == [0, 1, 2]).all()


def test_all_frames_of_a_clip_are_changed_alike():
    augment = clips.Augment(crop="random", rotate=20.0, shift=0.2, flip=True)
    pipeline = views(augment=augment)
    video = tf.constant(np.random.default_rng(0).integers(0, 255, (1, 30, 40, 1), np.uint8).repeat(5, 0))
    row = {"position": tf.constant(3, tf.int64)}
    split = pipeline.train
    row |= {name: x[0] for name, x in pipeline.draw(tf.constant(0, tf.int64), split, True).items()}
    clip = pipeline.change(split, True)({"clip": video, "label": tf.constant(0)}, row)["clip"].numpy()
    assert (clip == clip[:1]).all()
    assert clip.std() > 0.1


@pytest.mark.parametrize("asked", moving_digits.ASKED)
def test_digits_move_where_their_class_says(asked):
    source = moving_digits.Source(f"32,6,{asked}", "validation")
    raw = source.read(tf.range(12, dtype=tf.int64))
    names = source.features["label"].names
    assert len(names) == {"digit": 10, "direction": 8, "both": 80}[asked]
    for i in range(12):
        example = source.parse({name: x[i] for name, x in raw.items()})
        ink = np.maximum(example["clip"].numpy()[..., 0].astype(float) - 20, 0)
        rows, columns = np.mgrid[:32, :32]
        middle = np.array([[(ink[t] * place).sum() / ink[t].sum() for place in (rows, columns)] for t in (0, -1)])
        down, right = middle[1] - middle[0]
        assert ink[0].sum() == pytest.approx(ink[-1].sum(), rel=0.05), "it stays inside"
        name = names[int(example["label"])]
        if asked != "digit":
            assert ("down" in name, "up" in name) == (down > 3, down < -3)
            assert ("right" in name, "left" in name) == (right > 3, right < -3)


def test_digits_of_one_split_are_in_no_other():
    of = {split: moving_digits.Source("24,2,digit", split) for split in ("train", "validation", "test")}
    seen = {}
    for split, source in of.items():
        pictures = source.read(tf.range(300, dtype=tf.int64))["digit"].numpy()
        seen[split] = {picture.tobytes() for picture in pictures}
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (lambda own: own[1:], "has a class .* that the model does not have"),
        (lambda own: [*own, "more"], "lacks the class 'more'"),
        (lambda own: own[::-1], "has its classes in another order"),
    ],
)
def test_a_split_has_the_classes_of_the_run(pipeline, classes, message):
    known = {"classes": list(classes(pipeline.classes))}
    run = replace(pipeline, feed=replace(pipeline.feed, known=known))
    with pytest.raises(UserError, match=rf"split 'test\[:6\]' {message}"):
        run.split("test[:6]")


def test_a_users_frames_are_read(pipeline, tmp_path):
    frames = [Image.new("L", (30, 24), 10 * i) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "folder").mkdir()
    for i, frame in enumerate(frames):
        frame.save(tmp_path / "folder" / f"{i}.png")
    batch, notes = pipeline.read([str(tmp_path / "a.gif"), str(tmp_path / "folder")])
    assert batch["clip"].shape == (2, 3, 24, 24, 1)
    levels = np.round((batch["clip"][1, :, 0, 0, 0] * 0.5 + 0.5) * 255)
    np.testing.assert_array_equal(levels, [0, 20, 40])
    assert notes == []
    frames[0].save(tmp_path / "one.png")
    assert "has 1 frames, and a clip spans 5: some are repeated" in pipeline.read([str(tmp_path / "one.png")])[1][0]


def test_what_holds_no_frames_is_one_line(pipeline, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.gif").write_text("no picture")
    cases = (("empty", "as a video: it has no frames"), ("text.gif", "or it is damaged"), ("nothing", "no such file"))
    for path, message in cases:
        with pytest.raises(UserError, match=message):
            pipeline.read([str(tmp_path / path)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("32", "named by pixels of a side, frames and what is asked"),
        ("32,8,speed", "named by pixels"),
        ("32,1,digit", "frames should be from 2 to 64"),
        ("8,8,digit", "side should be from 24 to 128"),
    ],
)
def test_names_that_cannot_be(name, message):
    with pytest.raises(UserError, match=message):
        moving_digits.Source(name, "train")


def test_made_up_clips_have_the_shapes_of_real_ones(pipeline):
    made_up = replace(pipeline, source="synthetic", name="8", eval_splits=("test",))
    batch, real = next(made_up.train_batches(0)), next(pipeline.train_batches(0))
    assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
        name: (x.shape, x.dtype) for name, x in real.items()
    }
