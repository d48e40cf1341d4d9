"""The arrays of figures against naive computations."""

from pathlib import Path

import numpy as np
import pytest

from analysis import picture
from analysis.figures import (
    alignment,
    curves,
    distance,
    filters,
    heads,
    positions,
    queries,
    rollout,
    segments,
    sinusoids,
    token_layers,
)
from errors import UserError
from models.sinusoids import sinusoid_2d

RNG = np.random.default_rng(0)


def attentions(*shape: int) -> np.ndarray:
    weights = RNG.random(shape) ** 3
    return weights / weights.sum(-1, keepdims=True)


def test_filters_are_principal_components():
    kernel = RNG.normal(size=(3, 2, 3, 10))
    components, variance = filters.principal_components(kernel)
    rows = kernel.reshape(18, 10).T
    _, singular, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert components.shape == (10, 3, 2, 3)
    dots = np.abs((components.reshape(10, -1) * directions).sum(-1))
    np.testing.assert_allclose(dots[:4], 1, atol=1e-6)
    np.testing.assert_allclose(variance, singular**2 / (singular**2).sum(), atol=1e-6)


@pytest.mark.parametrize(("shape", "count"), [((2, 2, 1, 10), 4), ((4, 4, 3, 6), 6), ((4, 4, 3, 60), 28)])
def test_there_are_no_more_filters_than_pixels_or_filters(shape, count):
    assert len(filters.principal_components(RNG.normal(size=shape))[0]) == count


def test_positions_are_most_like_themselves():
    table = RNG.normal(size=(6, 8))
    similarity = positions.similarity(table, (2, 3))
    assert similarity.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(np.diagonal(similarity.reshape(6, 6)), 1, atol=1e-6)
    a, b = table[1 * 3 + 2], table[0 * 3 + 1]
    assert similarity[1, 2, 0, 1] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_sinusoids_of_a_grid_are_alike_along_rows_and_columns():
    similarity = positions.similarity(sinusoid_2d(4, 4, 16), (4, 4))
    assert similarity[1, 1, 1, 2] > similarity[1, 1, 2, 2]


def test_sinusoids_depend_on_distance_alone():
    arrays = sinusoids.positions(10, 6)
    assert arrays["positions"].shape == (10, 6)
    np.testing.assert_allclose(np.diagonal(arrays["similarity"]), 1, atol=1e-5)
    np.testing.assert_allclose(arrays["similarity"][1:, 1:], arrays["similarity"][:-1, :-1], atol=1e-5)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_distance_is_that_of_loops(extra):
    grid, side = (2, 3), 4.0
    weights = attentions(2, 2, 2, 6 + extra, 6 + extra)
    distances = distance.mean_distance(weights, grid, side)
    places = [(r * side, c * side) for r in range(2) for c in range(3)]
    for index in np.ndindex(2, 2, 2):
        patches = weights[index][extra:, extra:]
        means = [
            sum(w * np.hypot(a[0] - b[0], a[1] - b[1]) for w, b in zip(row, places, strict=True)) / row.sum()
            for row, a in zip(patches, places, strict=True)
        ]
        assert distances[index] == pytest.approx(np.mean(means))


def test_distance_of_attention_to_oneself_is_none_and_of_uniform_attention_the_mean():
    np.testing.assert_array_equal(distance.mean_distance(np.eye(4)[None, None, None], (2, 2), 8.0), 0)
    uniform = distance.mean_distance(np.full((1, 1, 1, 4, 4), 0.25), (2, 2), 8.0)
    np.testing.assert_allclose(uniform, (0 + 8 + 8 + 8 * 2**0.5) / 4)
    to_the_class_token = np.zeros((1, 1, 1, 5, 5))
    to_the_class_token[..., 0] = 1
    np.testing.assert_array_equal(distance.mean_distance(to_the_class_token, (2, 2), 8.0), 0)


def test_rollout_is_the_product_of_layers():
    weights = attentions(3, 2, 4, 5, 5)
    shares = rollout.rollout(weights)
    for image in range(2):
        total = np.eye(5)
        for layer in range(3):
            total = (0.5 * weights[layer, image].mean(0) + 0.5 * np.eye(5)) @ total
        np.testing.assert_allclose(shares[image], total)
    np.testing.assert_allclose(shares.sum(-1), 1)


def test_rollout_of_attention_to_oneself_is_the_identity():
    np.testing.assert_allclose(rollout.rollout(np.tile(np.eye(3), (4, 1, 2, 1, 1))), np.eye(3)[None])


def test_heads_are_read_as_the_head_of_the_model_reads():
    weights = attentions(2, 3, 4, 5, 5)
    token, mean = np.eye(5)[:1].repeat(3, 0), np.full((3, 5), 0.2)
    np.testing.assert_allclose(heads.read_by_head(weights, token), weights[..., 0, :])
    np.testing.assert_allclose(heads.read_by_head(weights, mean), weights.mean(-2))
    np.testing.assert_allclose(token_layers.token_attention(weights), weights[..., 0, :].mean(2))


def test_tiles_stand_as_a_grid_of_grids():
    tiled = picture.tiles(np.arange(24).reshape(2, 2, 2, 3))
    np.testing.assert_array_equal(tiled[0], [0, 1, 2, np.nan, 6, 7, 8])
    np.testing.assert_array_equal(tiled[4], [15, 16, 17, np.nan, 21, 22, 23])
    assert np.isnan(tiled[2]).all()


def test_maps_of_sentences_of_different_lengths_are_padded():
    weights = np.ones((2, 3, 4))
    arrays = alignment.maps(weights, [["a", "b"], ["a", "b", "c"]], [["x"], ["x", "y"]])
    assert arrays["weights"].tolist() == [[[1, 1, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]]]
    assert arrays["source"].tolist() == [["a", "b", ""], ["a", "b", "c"]]
    assert arrays["target"].tolist() == [["x", ""], ["x", "y"]]


def test_curves_are_a_logs_finite_metrics():
    rows = [
        {"step": 2, "train/loss": 1.5, "train/nll": 9.0, "seconds": 3.0},
        {"step": 4, "train/loss": None, "test/accuracy": 0.5},
    ]
    arrays = curves.curves(rows, ("loss", "accuracy"))
    assert arrays.keys() == {"train/loss", "test/accuracy"}
    np.testing.assert_array_equal(arrays["train/loss"], [[2], [3], [1.5]])
    np.testing.assert_array_equal(arrays["test/accuracy"], [[4], [3], [0.5]])


@pytest.mark.parametrize(
    ("keys", "keep_best", "metric"),
    [(["test/accuracy"], "", "accuracy"), (["test/bleu"], "test/bleu", "bleu"), (["train/loss"], "", "")],
)
def test_the_main_metric_is_what_the_best_checkpoint_is_chosen_by(keys, keep_best, metric):
    assert curves.main_metric([{"step": 1} | dict.fromkeys(keys, 1.0)], keep_best) == metric


def test_runs_of_the_same_name_go_by_their_paths():
    assert curves.names((Path("x/a"), Path("x/b"))) == ["a", "b"]
    assert curves.names((Path("x/a"), Path("y/a"))) == ["x/a", "y/a"]


def test_curves_of_two_runs_with_seconds_are_drawn_four_times(tmp_path):
    rows = [
        {"step": s, "seconds": 2.0 * s, "train/loss": 1 / s, "train/accuracy": s / 9, "test/loss": 1.0} for s in (1, 2)
    ]
    arrays = {f"{run}: {k}": c for run in "ab" for k, c in curves.curves(rows, ("loss", "accuracy")).items()}
    figure = curves.draw(arrays)
    picture.save(figure, arrays, tmp_path / "deep" / "curves.png")
    with pytest.raises(UserError, match=r"curves.png is no folder\."):
        picture.save(figure, arrays, tmp_path / "deep" / "curves.png" / "x.png")
    assert [a.get_xlabel() + "/" + a.get_ylabel() for a in figure.axes] == [
        "step/loss",
        "step/accuracy",
        "training, s/loss",
        "training, s/accuracy",
    ]
    assert np.load(tmp_path / "deep" / "curves.npz")["a: train/loss"].shape == (3, 2)
    assert (tmp_path / "deep" / "curves.png").exists()


def test_attention_to_several_maps_keeps_its_sum_and_its_place():
    weights = attentions(2, 3, 5 * 6 + 3 * 3)
    whole = queries.on_the_finest(weights, [(5, 6), (3, 3)])
    assert whole.shape == (2, 3, 5, 6)
    fine, coarse = weights[..., :30].reshape(2, 3, 5, 6), weights[..., 30:].reshape(2, 3, 3, 3)
    for row, column in ((0, 0), (4, 5), (2, 3)):
        expected = fine[..., row, column] + coarse[..., row // 2, column // 2] / 4
        np.testing.assert_allclose(whole[..., row, column], expected, rtol=1e-5)


def test_a_segment_is_the_fewest_patches_that_hold_the_mass():
    weights = attentions(2, 3, 7)
    kept = segments.heaviest(weights, 0.6)
    for row, mine in zip(weights.reshape(-1, 7), kept.reshape(-1, 7), strict=True):
        count = next(n for n in range(1, 8) if np.sort(row)[::-1][:n].sum() >= 0.6)
        assert mine.sum() == count
        assert row[mine].min() >= row[~mine].max()
