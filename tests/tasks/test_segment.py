"""A class for each pixel: the loss and the confusion matrix against naive forms, windows, and answers."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools.coco import COCO
from sklearn import metrics

from errors import UserError
from tasks import Answer, label_picture, windows
from tasks.segment import Task

CLASSES = ("sky", "road", "red car")
DATA = SimpleNamespace(classes=CLASSES, numbers=(1, 2, 3), picture=lambda image: image)
DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(4, 5, 6, 3)).astype(np.float32) * 2
LABEL = DRAW.integers(-1, 3, (4, 5, 6))
LABEL[1] = np.where(LABEL[1] == 2, 0, LABEL[1])  # has two classes alone
BATCH = {"image": np.zeros((4, 5, 6, 3), np.float32), "label": LABEL, "mask": np.array([1.0, 1, 1, 0])}


def sums(task: Task, train: bool, rows: slice = slice(None)):
    batch = {name: jnp.asarray(x[rows]) for name, x in BATCH.items()}
    return task.sums(lambda image: jnp.asarray(LOGITS[rows]), batch, train)


@pytest.mark.parametrize("dice", [0.0, 0.7])
@pytest.mark.parametrize("weights", [(), (1.0, 0.0, 3.0)])
def test_the_loss_is_the_weighted_mean_over_pixels_that_are_not_ignored(weights, dice):
    probability = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    total, weight = 0.0, 0.0
    for label, p in zip(LABEL[:3], probability[:3], strict=True):
        mine, pixels = 0.0, [(i, j) for i in range(5) for j in range(6) if label[i, j] >= 0]
        for i, j in pixels:
            w = (weights or (1,) * 3)[label[i, j]]
            total, mine = total - w * np.log(p[i, j, label[i, j]]), mine + w
        there = label >= 0
        scores = [
            (2 * p[label == c, c].sum() + 1) / (p[there, c].sum() + (label == c).sum() + 1)
            for c in range(3)
            if (label == c).any()
        ]
        total, weight = total + dice * mine * (1 - np.mean(scores)), weight + mine
    found = sums(Task(class_weights=weights, dice=dice), True)["loss"]
    assert [float(x) for x in found] == pytest.approx([total, weight], rel=1e-5)


def test_auxiliary_logits_add_their_share_to_the_loss():
    weight, task = 0.3, Task(auxiliary=0.3, dice=0.5, class_weights=(1.0, 2.0, 0.5))
    batch = {name: jnp.asarray(x) for name, x in BATCH.items()}
    (whole, count), main = (
        task.sums(lambda image: (jnp.asarray(LOGITS), jnp.asarray(LOGITS[..., ::-1])), batch, True)[name]
        for name in ("loss", "pixel_accuracy")
    )
    alone = sums(task, True)
    other = task.sums(lambda image: jnp.asarray(LOGITS[..., ::-1]), batch, True)["loss"][0]
    assert float(whole) == pytest.approx(float(alone["loss"][0] + weight * other), rel=1e-6)
    assert float(count) == float(alone["loss"][1])
    assert [float(x) for x in main] == [float(x) for x in alone["pixel_accuracy"]]


def test_a_perfect_prediction_has_no_dice_loss():
    perfect = jax.nn.one_hot(jnp.maximum(LABEL, 0), 3) * 200
    loss, weight = Task(dice=1.0).sums(lambda image: perfect, BATCH, True)["loss"]
    assert float(loss / weight) == pytest.approx(0, abs=1e-5)


def test_smoothed_labels_are_those_of_a_mixture():
    smoothed, plain = (sums(Task(label_smoothing=rate), True)["loss"][0] for rate in (0.3, 0.0))
    logs = jax.nn.log_softmax(LOGITS[:3])[LABEL[:3] >= 0]
    assert float(smoothed) == pytest.approx(0.7 * float(plain) - 0.3 * float(logs.mean(-1).sum()), rel=1e-5)
    assert float(sums(Task(label_smoothing=0.3), False)["loss"][0]) == pytest.approx(float(plain))


def test_sums_of_parts_add_up_to_those_of_the_whole():
    task = Task(class_weights=(1.0, 2.0, 3.0), dice=0.5)
    for train in (True, False):
        parts = [sums(task, train, rows) for rows in (slice(0, 1), slice(1, 4))]
        added = jax.tree.map(lambda a, b: a + b, *parts)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), added, sums(task, train))


def test_every_metric_follows_from_one_confusion_matrix():
    totals = {name: tuple(np.asarray(x, float) for x in pair) for name, pair in sums(Task(), False).items()}
    there = LABEL[:3] >= 0
    true, said = LABEL[:3][there], LOGITS[:3].argmax(-1)[there]
    np.testing.assert_array_equal(totals["confusion"][0], metrics.confusion_matrix(true, said))
    found = Task().summaries(totals, DATA, "test")
    iou = metrics.jaccard_score(true, said, average=None)
    expected = {"mean_iou": iou.mean(), "pixel_accuracy": metrics.accuracy_score(true, said)}
    expected |= {"class_accuracy": metrics.balanced_accuracy_score(true, said)}
    expected |= {"iou_sky": iou[0], "iou_road": iou[1], "iou_red_car": iou[2]}
    assert found == pytest.approx(expected)
    assert "iou_sky" not in Task(by_class=False).summaries(totals, DATA, "test")
    absent = np.array([[3.0, 1, 0], [0, 2, 0], [0, 0, 0]])  # a class that is neither there nor predicted
    found = Task().summaries({"confusion": (absent, absent.sum(1))}, DATA, "test")
    assert found["mean_iou"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert "iou_red_car" not in found
    assert Task().summaries({"confusion": (0 * absent, absent[2])}, DATA, "test") == {}


def test_windows_are_averaged_where_they_overlap():
    image = jnp.asarray(DRAW.normal(size=(2, 7, 9, 1)), jnp.float32)

    def function(x):  # which depends on where in its window a pixel is
        place = jnp.arange(x.shape[1])[:, None] + 10.0 * jnp.arange(x.shape[2])
        return jnp.concatenate([x * place[..., None], x.sum((1, 2), keepdims=True) + 0 * x], axis=-1)

    whole = windows.apply(function, image, (7, 9))
    np.testing.assert_array_equal(whole, function(image))  # one window: the plain pass
    np.testing.assert_array_equal(windows.apply(function, image, (8, 12)).shape, (2, 7, 9, 2))
    found = windows.apply(function, image, (4, 4), (3, 2))
    total, count = np.zeros((2, 7, 9, 2)), np.zeros((7, 9, 1))
    for top in (0, 3):
        for left in (0, 2, 4, 5):
            total[:, top : top + 4, left : left + 4] += function(image[:, top : top + 4, left : left + 4])
            count[top : top + 4, left : left + 4] += 1
    np.testing.assert_allclose(found, total / count, rtol=1e-4, atol=1e-4)
    # Of an image that fills a part of it, the windows are those of the part alone.
    sizes = np.array([[7, 8], [5, 6]])
    found = windows.apply(function, image, (4, 4), (3, 2), jnp.asarray(sizes))
    for one, (high, wide), there in zip(image, sizes, found, strict=True):
        part = windows.apply(function, one[None, :high, :wide], (4, 4), (3, 2))
        np.testing.assert_allclose(there[:high, :wide], part[0], rtol=1e-5, atol=1e-5)
    assert windows.places(9, 4, 2) == [0, 2, 4, 5]
    assert windows.places(3, 4, 2) == [0]


def test_the_task_sees_large_images_by_windows_outside_of_training():
    seen = []
    image = np.zeros((1, 4, 6, 1), np.float32)
    batch = {"image": image, "label": np.zeros((1, 4, 6), int), "mask": np.ones(1)}

    def apply(x, **options):
        seen.append((x.shape, options))
        return jnp.zeros((*x.shape[:3], 3))

    task = Task(window=(4, 4), stride=(4, 2))
    task.sums(apply, batch, True)
    task.sums(apply, batch, False)
    assert task.predict(apply, batch, None)["predicted"].shape == (1, 4, 6)
    assert seen == [((1, 4, 6, 1), {}), ((2, 4, 4, 1), {}), ((2, 4, 4, 1), {"train": False})]


def opened(folder: Path, answer: Answer) -> COCO:
    """The file beside an answer's picture, by COCO's own tool."""
    (folder / "0.json").write_text(json.dumps(answer.file("a.jpg")))
    return COCO(str(folder / "0.json"))


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_an_answer_is_shares_a_picture_and_run_lengths(tmp_path):
    predicted = np.array([[0, 0, 2, 1], [0, 2, 2, 1], [0, 0, 0, 1]])
    row = {"image": np.zeros((3, 4, 1)), "predicted": predicted, "size": np.array([2, 3])}
    answer = Task().answer(row, DATA, most=1)
    assert answer.text == "   50.00%  sky"
    sky, car = answer.data["segments"]
    assert (sky["class"], sky["area"], sky["segmentation"]) == ("sky", 3, {"size": [2, 3], "counts": [0, 3, 3]})
    assert (car["category_id"], car["segmentation"]["counts"]) == (3, [3, 3])
    large = Task().answer(row | {"original": np.array([4, 9])}, DATA).data["segments"][0]
    assert (large["area"], large["segmentation"]) == (18, {"size": [4, 9], "counts": [0, 14, 2, 2, 2, 2, 14]})
    read = opened(tmp_path, answer)
    assert [one["name"] for one in read.loadCats(read.getCatIds())] == [*CLASSES]
    assert read.loadImgs(1) == [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}]
    for one in read.loadAnns(read.getAnnIds()):
        np.testing.assert_array_equal(read.annToMask(one), predicted[:2, :3] == one["category_id"] - 1)
    assert [one["bbox"] for one in read.loadAnns(read.getAnnIds())] == [[0, 0, 2, 2], [1, 0, 2, 2]]
    assert answer.picture.shape[0] >= label_picture.HIGH
    assert 0 <= answer.picture.min() < answer.picture.max() <= 1
    truth = Task().answer(row | {"label": predicted}, DATA)
    assert truth.picture.shape[1] > answer.picture.shape[1]
    assert Task().error({"predicted": predicted, "label": predicted}) == 0
    assert Task().error({"predicted": predicted, "label": 0 * predicted - 1}) is None
    assert Task().error(
        {"predicted": 0 * predicted, "label": np.where(predicted == 1, -1, predicted)}
    ) == pytest.approx(1 - (6 / 9 + 0) / 2)
    wrong = {"predicted": 0 * predicted, "label": np.where(predicted == 1, -1, predicted)}
    assert Task().mistake(wrong, DATA) == "sky for red car at 33.3% of the pixels"
    assert Task().mistake({"predicted": predicted, "label": predicted}, DATA) == ""


def test_the_background_is_not_painted():
    image, label = DRAW.random((4, 6, 3)), np.array([[0, 1, 1, 0, -1, 2]] * 4)
    names = {0: "Background", 1: "cat", 2: "dog"}
    picture = label_picture.beside(image, [label], names, 3)
    scale, frame = label_picture.HIGH // 4, label_picture.FRAME
    seen = picture[: 4 * scale : scale, 6 * scale + frame : 12 * scale + frame : scale]
    np.testing.assert_array_equal(seen[label == 0], image[label == 0])
    assert (np.abs(seen - image).max(-1) > 0.01)[label != 0].all()
    colours = label_picture.colours(3)
    for name, colour, there in zip(names.values(), colours, (False, True, True), strict=True):
        in_legend = (np.abs(picture[:, 12 * scale + 2 * frame :] - colour).max(-1) < 0.01).any()
        assert in_legend == there, name


def test_classes_have_colours_of_their_own():
    colours = label_picture.colours(150)
    assert len({tuple(np.round(255 * colour)) for colour in colours}) == 150
    assert ((colours >= 0) & (colours <= 1)).all()
    apart = np.abs(np.diff(colours[:20], axis=0)).max(-1)
    assert (apart > 0.3).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(class_weights=(1.0, 2.0)), "has 2 numbers, and the data have 3 classes"),
        (dict(class_weights=(0.0, 0.0, 0.0)), "are all 0"),
        (dict(window=(4,)), "window=\\(4,\\) should be a height and a width"),
        (dict(window=(0, 4)), "should be a height and a width"),
        (dict(stride=(4, 4)), "set config.task.window too"),
        (dict(window=(4, 4), stride=(5, 4)), "should not be more than window"),
    ],
)
def test_settings_that_cannot_be_are_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        Task(**changes).check(3)
    with pytest.raises(UserError, match=r"needs logits \(images, height, width, classes\)"):
        Task().sums(lambda image: jnp.zeros((4, 3)), BATCH, True)
