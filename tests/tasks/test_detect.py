"""Detection: matching against scipy, losses against loops, padding, COCO's AP against the tool's own."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import coco, cocoeval
from scipy.optimize import linear_sum_assignment

from errors import UserError
from models.boxes import Detections
from tasks.assignment import assignment
from tasks.average_precision import NAMES, Metrics
from tasks.detect import Task
from tasks.detection_loss import FIRST, Truth, matching

RNG = np.random.default_rng(0)
B, Q, M, C = 3, 6, 4, 5


def example(no_object: bool, queries: int = Q):
    logits = jnp.asarray(RNG.normal(size=(2, B, queries, C + no_object)), jnp.float32)
    boxes = jnp.asarray(RNG.uniform(0.1, 0.5, (2, B, queries, 4)), jnp.float32)
    low = RNG.uniform(0, 0.5, (B, M, 2))
    truth = np.concatenate([low, low + RNG.uniform(0.1, 0.4, (B, M, 2))], axis=-1).astype(np.float32)
    labels = np.where(np.arange(M) < np.array([[4], [2], [0]]), RNG.integers(0, C, (B, M)), -1).astype(np.int32)
    return Detections(logits, boxes, no_object=no_object), jnp.asarray(truth), jnp.asarray(labels)


def centred(box):
    return np.stack(
        [box[..., 1] + box[..., 3], box[..., 0] + box[..., 2], 2 * (box[..., 3] - box[..., 1]),
         2 * (box[..., 2] - box[..., 0])], axis=-1
    ) / 2  # fmt: skip


def giou(a, b):
    """Of (x, y, width, height), by pixels' worth of arithmetic."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    across = max(0, min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2))
    down = max(0, min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2))
    union = aw * ah + bw * bh - across * down
    wide = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    high = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    return across * down / union - (wide * high - union) / (wide * high)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_loops(found, truth, labels):
    """The published loss with cross-entropy, layer by layer, image by image."""
    total, weight = 0.0, sum(max(1, (row >= 0).sum()) for row in np.asarray(labels))
    for logits, boxes in zip(np.asarray(found.logits), np.asarray(found.boxes), strict=True):
        for image in range(B):
            wanted = [i for i in range(M) if labels[image, i] >= 0]
            true = centred(np.asarray(truth))[image]
            p = softmax(logits[image])
            cost = np.array(
                [[-p[q, labels[image, m]] + 5 * np.abs(boxes[image, q] - true[m]).sum()
                  - 2 * giou(boxes[image, q], true[m]) for q in range(Q)] for m in wanted]
            ).reshape(-1, Q)  # fmt: skip
            classes = np.full(Q, C)
            for m, q in zip(*linear_sum_assignment(cost), strict=True):
                classes[q] = labels[image, wanted[m]]
                total += 5 * np.abs(boxes[image, q] - true[wanted[m]]).sum()
                total += 2 * (1 - giou(boxes[image, q], true[wanted[m]]))
            total -= sum(np.log(p[q, c]) * (0.1 if c == C else 1) for q, c in enumerate(classes))
    return total, weight


def batch_of(truth, labels):
    return {
        "image": jnp.zeros((B, 4, 4, 1)),
        "extent": jnp.ones((B, 2)),
        "boxes": truth,
        "labels": labels,
        "ignored": jnp.zeros((B, M), jnp.int32),
        "area": jnp.ones((B, M)),
        "mask": jnp.ones(B),
        "size": jnp.full((B, 2), 100),
    }


def test_the_loss_is_the_published_one_summed():
    found, truth, labels = example(True)
    sums = jax.jit(lambda: Task().sums(lambda *_: found, batch_of(truth, labels), train=True))()
    assert sums.keys() == {"loss", "class_loss", "l1", "giou_loss"}
    loss, weight = sums["loss"]
    expected, boxes = by_loops(found, truth, np.asarray(labels))
    assert (float(loss), float(weight)) == pytest.approx((expected, boxes), rel=1e-3)


def test_parts_of_a_batch_add_up_to_it():
    found, truth, labels = example(False, queries=3)
    batch = batch_of(truth, labels)

    def sums(rows):
        part = Detections(found.logits[:, rows], found.boxes[:, rows], no_object=False)
        return Task().sums(lambda *_: part, {name: x[rows] for name, x in batch.items()}, train=True)

    whole, first, rest = jax.jit(lambda: [sums(rows) for rows in (slice(None), slice(1), slice(1, None))])()
    for name in whole:
        np.testing.assert_allclose(whole[name], np.add(first[name], rest[name]), rtol=1e-5, err_msg=name)
    assert [float(x) for x in whole["beyond_queries"]] == [
        1,
        7,
    ]  # of 4, 2 and 0 boxes, where an image counts at least one


def test_padding_and_ignored_boxes_weigh_nothing():
    found, truth, labels = example(False)
    batch = batch_of(truth, labels) | {"mask": jnp.asarray([1.0, 0.0, 1.0])}
    sums = jax.jit(lambda batch: Task(quality=True).sums(lambda *_: found, batch, train=True))
    one, hidden = sums(batch), batch | {"labels": labels.at[1].set(-1), "boxes": truth.at[1].set(0)}
    np.testing.assert_allclose(one["loss"], sums(hidden)["loss"], rtol=1e-6)
    ignored = batch | {"ignored": batch["ignored"].at[0, 3].set(1)}
    without = batch | {"labels": labels.at[0, 3].set(-1)}
    np.testing.assert_allclose(sums(ignored)["loss"], sums(without)["loss"], rtol=1e-6)
    assert float(sums(ignored)["loss"][0]) != pytest.approx(float(one["loss"][0]))


@pytest.mark.parametrize("queries", [Q, 3])  # 3: more boxes than queries
def test_matching_is_scipys(queries):
    found, truth, labels = example(False, queries)
    weights = Task().weights
    wanted = Truth(jnp.asarray(centred(np.asarray(truth))), labels)
    query = np.asarray(jax.jit(lambda: matching(found.logits[0], found.boxes[0], wanted, False, weights))())
    assert (query[np.asarray(labels) < 0] == queries).all()
    assert [len(set(row[row < queries])) for row in query] == [min(4, queries), 2, 0]
    assert FIRST > 20  # any difference of costs


@pytest.mark.parametrize("shape", [(1, 1), (4, 9), (7, 7), (30, 40)])
def test_an_assignment_is_scipys_of_the_rows_that_are_there(shape):
    rng, (rows, columns) = np.random.default_rng(0), shape
    cost = rng.normal(size=(6, *shape)).astype(np.float32)
    there = rng.random((6, rows)) < np.array([0, 0.2, 0.5, 0.8, 1, 1])[:, None]
    found = np.asarray(jax.jit(jax.vmap(assignment))(cost, there))
    for mine, one, kept in zip(found, cost, there, strict=True):
        np.testing.assert_array_equal(mine[kept], linear_sum_assignment(one[kept])[1])
        assert (mine[~kept] == columns).all()


def test_noised_boxes_are_judged_by_their_own_truth():
    found, truth, labels = example(False)
    own = jnp.tile(jnp.asarray(centred(np.asarray(truth))), (1, 2, 1))
    sure = jnp.where(jnp.arange(C) == jnp.tile(labels, (1, 2))[..., None], 20.0, -20.0)
    none = jax.jit(lambda f: Task().sums(lambda *_: f, batch_of(truth, labels), train=True)["loss"][0])
    right = found.replace(noised=(sure[None], own[None]))
    assert float(none(right)) == pytest.approx(float(none(found)), rel=1e-4)
    assert float(none(right.replace(noised=(sure[None], own[None, :, ::-1])))) > float(none(found)) + 1


def test_ap_is_the_tools_own(tmp_path, capsys):
    """Rows of two uneven batches against a file of COCO's, read by the tool. Areas are those of outlines."""
    rng, n, size = np.random.default_rng(0), 12, np.array([120, 180])
    labels = np.where(np.arange(M) < rng.integers(0, M + 1, (n, 1)), rng.integers(0, C, (n, M)), -1)
    low = rng.uniform(0, 0.5, (n, M, 2))
    truth = np.concatenate([low, low + rng.uniform(0.05, 0.5, (n, M, 2))], axis=-1)
    found = np.clip(truth + rng.normal(0, 0.03, truth.shape), 0, 1)
    ignored = (rng.random((n, M)) < 0.1).astype(int)
    score, guess = rng.random((n, M)), np.where(rng.random((n, M)) < 0.8, np.maximum(labels, 0), 1)
    rows = {"boxes": truth, "labels": labels, "ignored": ignored, "box": found, "score": score, "label": guess}
    area = (truth[..., 2:] - truth[..., :2]).prod(-1) * size.prod() * rng.uniform(0.2, 1.0, (n, M))
    rows |= {"size": np.tile(size, (n, 1)), "index": np.arange(n), "area": area}
    metrics = Metrics([f"c{i}" for i in range(C)])
    for part in (slice(0, 7), slice(7, n)):
        metrics.update({name: x[part] for name, x in rows.items()})
    metrics.update({name: x[:2] for name, x in rows.items()})  # rows that another host has too
    stats, lines = metrics.compute()

    def bounds(box):
        t, l, b, r = box * np.tile(size, 2)  # noqa: E741
        return [l, t, r - l, b - t]

    annotations = [
        {"id": 1 + i * M + m, "image_id": i, "category_id": int(labels[i, m]), "bbox": bounds(truth[i, m]),
         "area": area[i, m], "iscrowd": int(ignored[i, m])}
        for i, m in np.argwhere(labels >= 0)
    ]  # fmt: skip
    whole = {"images": [{"id": i} for i in range(n)], "annotations": annotations}
    whole["categories"] = [{"id": i, "name": f"c{i}"} for i in range(C)]
    detections = [
        {"image_id": i, "category_id": int(guess[i, m]), "bbox": bounds(found[i, m]), "score": float(score[i, m])}
        for i, m in np.ndindex(n, M)
    ]
    for name, content in (("truth", whole), ("found", detections)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content, default=int))
    judge = coco.COCO(str(tmp_path / "truth.json"))
    evaluation = cocoeval.COCOeval(judge, judge.loadRes(str(tmp_path / "found.json")), "bbox")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    assert stats == pytest.approx(
        {name: x for name, x in zip(NAMES, evaluation.stats, strict=True) if x >= 0}, rel=1e-9
    )
    assert stats["AP_small"] < 1 > stats["AP_medium"]
    assert 0.05 < stats["AP"] < stats["AP50"] < 1
    assert "12 images" in lines[0]


def test_an_images_error_counts_what_is_missing_and_what_is_wrong():
    here, there, nowhere = [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.6, 0.0, 0.8, 0.2]
    row = {"boxes": [here, there, nowhere], "labels": [1, 2, 3], "ignored": [0, 0, 1]}
    row |= {"box": [here, here, there, nowhere, nowhere], "label": [1, 1, 0, 3, 3], "score": [0.9, 0.8, 0.7, 0.6, 0.1]}
    row = {name: np.asarray(x) for name, x in row.items()}
    task = Task()
    # Right: the first. Wrong: it again, and the second by another class. What is of a crowd is neither.
    assert task.error(row) == pytest.approx(3 / 5)
    assert task.mistake(row, None) == "1 of 2 not found, 2 wrong"
    assert task.error(row | {"score": 0 * row["score"], "labels": row["labels"] * 0 - 1}) == 0


def test_predictions_are_the_likeliest_boxes_and_an_answer_draws_them(tmp_path):
    found, truth, labels = example(False)
    batch = batch_of(truth, labels)
    user = {name: batch[name] for name in ("image", "extent", "size")}
    rows = Task(detections=7).predict(lambda *_, train: found, user, jax.random.key(0))
    assert rows["box"].shape == (B, 7, 4)
    assert (jnp.diff(rows["score"]) <= 0).all()
    flat = jax.nn.sigmoid(found.logits[-1][0])
    assert float(rows["score"][0, 0]) == pytest.approx(float(flat.max()))
    assert int(rows["label"][0, 0]) == int(flat.max(0).argmax())

    class Data:
        classes = tuple("abcde")
        numbers = (1, 3, 4, 7, 90)  # as COCO's, with gaps

        @staticmethod
        def picture(image):
            return image

    answer = Task(threshold=0.6).answer({name: np.asarray(x[0]) for name, x in rows.items()}, Data)
    first = answer.data["detections"][0]
    assert first["category"] == Data.classes[int(rows["label"][0, 0])]
    assert first["category_id"] == Data.numbers[int(rows["label"][0, 0])]
    assert first["bbox"][2] == pytest.approx(100 * float(rows["box"][0, 0, 3] - rows["box"][0, 0, 1]), abs=0.02)
    assert answer.picture.shape[2] == 3
    (tmp_path / "0.json").write_text(json.dumps(answer.file("a.jpg")))
    read = coco.COCO(str(tmp_path / "0.json"))
    (image,) = read.loadImgs(read.getImgIds())
    assert image == {"id": 1, "file_name": "a.jpg", "height": 100, "width": 100}
    assert read.getCatIds() == [*Data.numbers]
    for one, other in zip(read.loadAnns(read.getAnnIds()), answer.data["detections"], strict=True):
        assert {name: one[name] for name in ("bbox", "category_id", "score")}.items() <= other.items()
        assert one["area"] == pytest.approx(one["bbox"][2] * one["bbox"][3], abs=0.01)
    nothing = Task(threshold=1.0).answer({name: np.asarray(x[0]) for name, x in rows.items()}, Data)
    likeliest = f"at most {float(rows['score'][0, 0]):.2%}, {first['category']}"
    assert nothing.text == f"  nothing of at least 100% (config.task.threshold): {likeliest}"
    evaluated = Task(threshold=0.6).predict(lambda *_, train: found, batch, jax.random.key(0))
    row = {name: np.asarray(x[0]) for name, x in (evaluated | {name: batch[name] for name in Task.pictured}).items()}
    picture = Task(threshold=0.6).answer(row, Data).picture
    assert picture.shape[1] > 2 * picture.shape[0]  # the true ones beside
    assert answer.picture.any()
    with pytest.raises(UserError, match="the task needs boxes of the model"):
        Task().sums(lambda *_: jnp.zeros((B, C)), batch, train=True)
