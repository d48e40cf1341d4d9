"""What belongs to places of an image, on the grid of another image: positions, offsets, and a Mixer's patches."""

import numpy as np
import pytest

import weights
from errors import UserError
from weights import transplant

POSITIONS = "positions/embedding"


def places(rows: int, columns: int, before: int = 0) -> np.ndarray:
    """Row and column of every place, as float32 (1, before + rows * columns, 2); -1 for tokens before the grid."""
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2)
    return np.concatenate([np.full((before, 2), -1), grid])[None].astype(np.float32)


def fitted(value: np.ndarray, there, here, name: str = POSITIONS, shape=None, **others) -> tuple[np.ndarray, str]:
    shape = shape or (1, here[0] * here[1] + len(others), value.shape[-1])
    found = {name: value} | others
    shapes = {name: shape} | {key: x.shape for key, x in others.items()}
    taken, line = transplant.fit(found, shapes, (there, here), "SOURCE")
    return taken[name], line


@pytest.mark.parametrize(
    ("there", "here"), [((4, 9), (6, 6)), ((4, 4), (2, 8)), ((2, 4), (4, 8)), ((4, 9), (9, 4)), ((3, 5), (3, 5))]
)
def test_each_place_is_between_the_ones_that_it_was_between(there, here):
    new, line = fitted(places(*there, before=1), there, here, token=np.zeros((1, 1, 2), np.float32))
    scale = [(t - 1) / (h - 1) for t, h in zip(there, here, strict=True)]
    np.testing.assert_array_equal(new[0, 0], [-1, -1])
    np.testing.assert_allclose(new[0, 1:], places(*here)[0] * scale, atol=1e-5)
    resized = f"resized from {there[0]}x{there[1]} patches to {here[0]}x{here[1]} patches"
    assert (resized in line) == (there != here)


def test_a_square_is_taken_for_one_where_nothing_says_the_grid():
    new, line = fitted(places(6, 6), None, (4, 9))
    np.testing.assert_allclose(new[0], places(4, 9)[0] * [5 / 3, 5 / 8], atol=1e-5)
    assert "6x6 patches to 4x9 patches" in line
    same, line = fitted(places(2, 5), None, (2, 5))
    np.testing.assert_array_equal(same, places(2, 5))
    with pytest.raises(UserError, match=r"positions of 10 patches, which are no square: .* as in SOURCE:2x5"):
        fitted(places(2, 5), None, (4, 5))


def test_rows_and_columns_and_offsets_are_resized_as_well():
    rows = np.arange(4, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    new, _ = fitted(rows, (4, 9), (7, 9), "positions/row", (7, 3))
    np.testing.assert_allclose(new[:, 0], np.linspace(0, 3, 7), atol=1e-5)
    name, shape = "encoder/block_00/attention/relative/embedding", (7 * 3, 2)
    new, line = fitted(places(3, 7)[0], (2, 4), (4, 2), name, shape)  # 3 x 7 offsets, and 7 x 3
    np.testing.assert_allclose(new, places(7, 3)[0] * [2 / 6, 6 / 2], atol=1e-5)
    assert "resized from 2x4 patches to 4x2 patches" in line
    name = "trunk/stage_1_unit_01/attention/bias/embedding"  # a Swin's, of windows of 4 and of 3
    new, line = fitted(places(7, 7)[0], None, None, name, (25, 2))
    np.testing.assert_allclose(new, places(5, 5)[0] * 6 / 4, atol=1e-5)
    assert "resized from 49 to 25 offsets" in line


def test_a_mixer_keeps_its_grid():
    name, value = "block_00/token_mlp/expand/kernel", np.zeros((36, 5), np.float32)
    assert fitted(value, (4, 9), (4, 9), name, value.shape)[0] is value
    with pytest.raises(UserError, match="mixes 4x9 patches, and this model has 6x6 patches"):
        fitted(value, (4, 9), (6, 6), name, value.shape)


@pytest.fixture
def wide(drawn, tmp_path):
    """Parameters and config.model of a ViT for images of 2 x 5 patches."""
    params, model = drawn()
    table = np.random.default_rng(1).normal(size=(1, 11, 16)).astype(np.float32)
    return params | {POSITIONS: table}, model


def test_a_file_says_its_grid_or_is_told(wide, tmp_path):
    params, model = wide
    weights.write(tmp_path / "plain.safetensors", params, "timm", model)
    assert weights.read(tmp_path / "plain.safetensors").grid is None
    assert weights.read(tmp_path / "plain.safetensors", grid=(5, 2)).grid == (5, 2)
    with pytest.raises(UserError, match="is for images of 10 patches, which are not 3x3"):
        weights.read(tmp_path / "plain.safetensors", grid=(3, 3))
    weights.write(tmp_path / "told.safetensors", params, "timm", model | {"grid": (2, 5)})
    assert weights.read(tmp_path / "told.safetensors").grid == (2, 5)


def test_positions_of_an_image_are_those_of_every_frame_and_those_of_clips_are_never_repeated():
    kernels = [np.zeros(shape, np.float32) for shape in ((4, 4, 3, 2), (2, 4, 4, 3, 2))]

    def fit(found, wanted: int, there, here, line: str = "") -> np.ndarray:
        shapes = {"embedding/kernel": kernels[1].shape, POSITIONS: (1, wanted, 2)}
        if line:
            with pytest.raises(UserError, match=line):
                transplant.fit(found, shapes, (there, here), "SOURCE")
            return np.zeros(())
        return transplant.fit(found, shapes, (there, here), "SOURCE")[0][POSITIONS]

    of_image = {"embedding/kernel": kernels[0], POSITIONS: places(2, 2)}
    np.testing.assert_array_equal(fit(of_image, 12, (2, 2), (2, 2)), np.tile(places(2, 2), (1, 3, 1)))
    larger = np.tile(places(4, 4) / 3, (1, 2, 1))  # and not eight times those of the image
    np.testing.assert_allclose(fit(of_image, 32, None, (4, 4)), larger, atol=1e-6)

    of_clip = {"embedding/kernel": kernels[1], POSITIONS: np.tile(places(2, 2), (1, 2, 1))}
    np.testing.assert_allclose(fit(of_clip, 32, (2, 2), (4, 4)), larger, atol=1e-6)
    fit(of_clip, 16, (2, 2), (2, 2), r"positions/embedding is \[1, 8, 2\] there and \[1, 16, 2\] here")  # longer clips
    square = {**of_clip, POSITIONS: np.tile(places(2, 2), (1, 4, 1))}  # 16 positions, and no 4 x 4 of an image
    fit(square, 4, None, (2, 2), r"\[1, 16, 2\] there and \[1, 4, 2\] here")
