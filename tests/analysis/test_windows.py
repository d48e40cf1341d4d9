"""Figures of a Swin's windows and of what a segmenter is wrong about: their arrays against naive computations."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from analysis import windows
from analysis.figures import class_maps, distance, mistakes
from analysis.figures import windows as figure
from analysis.page import examples
from analysis.subject import Subject
from experiment import scoring
from models import detr, swin
from models.trunks import Trunk
from tasks.classify import Task as Classify
from tasks.detect import Task as Detect
from tasks.segment import Task

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("grid", [(4, 6), (5, 4), (2, 2)])
@pytest.mark.parametrize("shifted", [False, True])
def test_distance_within_windows_is_that_of_pixels_of_the_map(grid, shifted):
    """The place of every token, found by cutting a map of places; what fills it up is left out."""
    cut = swin.Windows.of(grid, 3, shifted)
    place = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1)[None] + 1.0  # 0 is what fills up
    place = np.asarray(cut.cut(place.astype(np.float32)))
    region = cut.regions(grid)
    region = np.ones(place.shape[:2], int) if region is None else region
    count, tokens = region.shape
    weights = RNG.random((2 * count, 2, tokens, tokens)) * np.tile(
        region[:, None, :, None] == region[:, None, None], (2, 1, 1, 1)
    )
    weights = weights / weights.sum(-1, keepdims=True)
    layer = windows.Layer(1, 1 + shifted, 4, grid, cut, weights.astype(np.float32))
    found, uniform = windows.mean_distance(layer)
    total, even, queries = np.zeros(2), 0.0, 0
    for window in range(2 * count):
        where, of = place[window % count], region[window % count]
        for query in np.flatnonzero(of):
            apart = 4 * np.hypot(*(where - where[query]).T)
            total += weights[window, :, query] @ apart
            even, queries = even + apart[of == of[query]].mean(), queries + 1
    assert queries == 2 * np.prod(grid)
    np.testing.assert_allclose(found, total / queries, rtol=1e-5)
    assert uniform == pytest.approx(even / queries)


def test_a_detectors_trunk_has_windows_too():
    trunk = Trunk(name="swin", width=8, depths=(2, 2), head_dim=4, window=3, patch=2)
    sizes = dict(width=8, encoder_depth=0, decoder_depth=1, heads=2, mlp_dim=8, queries=2)
    model = detr.Model(3, trunk, (4,), **sizes)
    images = RNG.random((2, 14, 20, 1)).astype(np.float32)
    variables = model.init(jax.random.key(0), images, np.ones((2, 2), np.float32), train=False)
    pipeline = SimpleNamespace(spec={"image": ((1, 14, 20, 1), "float32"), "extent": ((1, 2), "float32")})
    run = SimpleNamespace(model=model, task=Detect(), pipeline=pipeline)
    found = windows.layers(Subject(run=run, restore=lambda: variables, load=None), images)
    assert [(layer.stage, layer.number, layer.side, layer.grid) for layer in found] == [
        *((1, 1, 2, (7, 10)), (1, 2, 2, (7, 10))),
        *((2, 1, 4, (4, 5)), (2, 2, 4, (4, 5))),
    ]
    assert [layer.cut.shift for layer in found] == [(0, 0), (1, 1)] * 2
    assert found[0].weights.shape == (2 * 3 * 4, 2, 9, 9)


def test_windows_end_where_they_are_cut():
    assert figure.edges(12, 4, 0) == [4, 8]
    assert figure.edges(12, 4, 2) == [2, 6, 10]
    assert figure.edges(12, 12, 0) == []


def test_a_figure_is_drawn_of_its_arrays_alone():
    stages = np.array([[[4, 4, 0, 0], [4, 4, 2, 2]], [[8, 8, 0, 0], [-1, -1, -1, -1]]])
    drawn = figure.draw({"image": RNG.random((8, 12, 3)), "windows": stages})
    assert [len(axes.lines) for axes in drawn.axes] == [3, 5, 1, 0]
    layers = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    drawn = distance.draw({"distance": layers, "uniform": np.array([2.0, 4.0]), "images": np.array(3)})
    assert drawn.axes[0].get_legend().get_title().get_text() == "up to 3 heads, a dot each"
    maps = {
        "image": RNG.random((2, 8, 8, 1)),
        "maps": RNG.random((2, 3, 2, 2)),
        "class": np.array([["a", "b", "$"]] * 2),
    }
    assert class_maps.draw(maps).axes[3].get_title() == r"\$"
    arrays = {"picture": RNG.random((2, 8, 30, 3)), "error": np.array([0.9, 0.5]), "example": np.array(["x.jpg", "y"])}
    assert mistakes.draw(arrays | {"mistake": np.array(["", ""])}).axes[0].get_title("left") == "0.900  x.jpg"
    named = mistakes.draw(arrays | {"mistake": np.array(["says 3, is 5", ""])})
    assert named.axes[0].get_title("left") == "says 3, is 5\nx.jpg"


def test_clips_are_shown_by_four_frames_of_their_first_view():
    task, data = Classify(inputs=("clip",)), SimpleNamespace(classes=("a", "b"), picture=lambda x: x / 10)
    clip = np.arange(7.0)[:, None, None, None] * np.ones((3, 7, 4, 6, 1))
    clip[1:] = 9.0  # other views
    row = {"probability": np.array([0.2, 0.8]), "label": np.array(0), "index": np.array(5)}
    run = SimpleNamespace(
        task=task, data=data, predict=lambda *_: [{name: x[None] for name, x in row.items()}],
        pipeline=SimpleNamespace(
            eval_splits=("test",), called=lambda *_: "v.mp4",
            eval_batches=lambda _: [{"clip": clip[None], "index": np.array([5])}],
        ),
    )  # fmt: skip
    subject = Subject(run=run, restore=dict, load=dict)
    assert mistakes.lacks(subject) == ""
    arrays = mistakes.arrays(subject)
    assert arrays["mistake"].tolist() == ["b (80%) for a"]
    assert arrays["picture"].shape == (1, 8, 12, 3)
    assert arrays["picture"][0, ::4, ::6, 0].round(6).tolist() == [[0.0, 0.2], [0.4, 0.6]]
    seen = examples.Seen("v.mp4", {"clip": clip}, {}, None)
    assert examples.Examples(subject).picture(seen).startswith("data:image/png")
    assert task.answer({"probability": row["probability"]}, data).picture is None


def test_the_worst_examples_come_first_whatever_their_batch():
    errors = [0.2, 0.9, None, 0.5, 0.9]
    label = np.zeros((5, 1, 10), int)
    predicted = np.zeros((5, 1, 10), int)
    label[2] = -1
    for i, error in enumerate(errors):
        predicted[i, 0, : round(10 * (error or 0))] = 1
    rows = {"label": label, "predicted": predicted, "index": np.arange(5)}
    parts = [{name: x[part] for name, x in rows.items()} for part in (slice(0, 3), slice(3, 5))]
    pipeline = SimpleNamespace(eval_batches=lambda _: parts)
    run = SimpleNamespace(task=Task(), predict=lambda _, batches: batches, pipeline=pipeline)
    assert [index for _, index, _ in scoring.worst(run, {}, "test", 3)] == [1, 4, 3]

    class Pictured(Task):
        """Whose rows have no image of their own."""

        pictured = ("image",)

    batches = [part | {"image": 10 * part["index"]} for part in parts]
    run.pipeline.eval_batches, run.predict, run.task = lambda _: batches, lambda *_: [parts.pop(0)], Pictured()
    assert [row["image"] for _, _, row in scoring.worst(run, {}, "test", 3)] == [10, 40, 30]
