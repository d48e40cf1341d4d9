"""What later ViTs add: registers, factors of branches, positions of another grid and by rotation, keys without bias."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models.distances import rotated_on_grid
from models.positions import interpolated

TINY = dict(width=8, depth=1, mlp_dim=16, heads=2, patch=2)
IMAGE = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
MASK = 1  # tokens that stand for hidden patches, which transformers has in all and we in none
DINOV2 = {"S/14": 22_056_576, "B/14": 86_580_480, "L/14": 304_368_640}  # as transformers has them
REGISTERS = {"S/14": 22_058_112, "B/14": 86_583_552, "L/14": 304_372_736}
DINOV3 = {"S/16": 21_596_544, "B/16": 85_660_416, "L/16": 303_129_600}


def count(size: int, **arguments) -> int:
    model = models.build("vit", 0, scan=True, layer_scale=1.0, **arguments)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, size, size, 3)), train=False))["params"]
    return sum(x.size for x in jax.tree.leaves(shapes)) + MASK * model.size[0].width


@pytest.mark.parametrize("variant", DINOV2)
def test_dinov2_has_the_published_counts(variant):
    assert count(518, variant=variant) == DINOV2[variant]
    assert count(224, variant=variant, registers=4, position_grid=(37, 37)) == REGISTERS[variant]


def test_dinov2_g_has_the_published_count():
    size = dict(width=1536, depth=40, mlp_dim=4096, heads=24, patch=14)
    assert count(518, activation="swiglu", **size) == 1_136_480_768


@pytest.mark.parametrize("variant", DINOV3)
def test_dinov3_has_the_published_counts(variant):
    assert count(224, variant=variant, registers=4, positions="rotary", key_bias=False) == DINOV3[variant]


def filled(model, image=IMAGE):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)


def run(model, params, image=IMAGE):
    return np.asarray(jax.jit(partial(model.apply, train=False))({"params": params}, image))


def test_a_factor_multiplies_its_branch():
    model = models.build("vit", 0, layer_scale=0.1, **TINY)
    params = filled(model)
    block = params["encoder"]["block_00"]
    plain = models.build("vit", 0, **TINY)
    without = params | {
        "encoder": params["encoder"] | {"block_00": {k: v for k, v in block.items() if "scale" not in k}}
    }
    factors = {"attention_scale": np.ones(8, np.float32), "mlp_scale": np.ones(8, np.float32)}
    ones = params | {"encoder": params["encoder"] | {"block_00": block | factors}}
    np.testing.assert_allclose(run(model, ones), run(plain, without), atol=1e-5)
    assert np.abs(run(model, params) - run(plain, without)).max() > 0.05
    zeros = {name: 0 * x for name, x in factors.items()}
    nothing = params | {"encoder": params["encoder"] | {"block_00": block | zeros}}
    other = np.roll(IMAGE, 1, axis=0) + 1  # with both branches closed, a class token sees no image
    np.testing.assert_allclose(run(model, nothing), run(model, nothing, other), atol=1e-6)


@pytest.mark.parametrize("head", ["token", "gap"])
def test_registers_are_looked_at_and_read_by_no_head(head):
    model = models.build("vit", 0, registers=3, head=head, **TINY)
    params = filled(model)
    assert params["registers"].shape == (1, 3, 8)
    extra = 1 if head == "token" else 0
    assert params["positions"]["embedding"].shape == (1, 6 + extra, 8)
    assert model.extra == 3 + extra
    assert np.abs(run(model, params | {"registers": params["registers"][..., ::-1]}) - run(model, params)).max() > 1e-3
    _, seen = jax.jit(partial(model.apply, train=False, mutable="probe"))({"params": params}, IMAGE)
    assert seen["probe"]["encoder"]["block_00"]["attention"]["attention"][0].shape == (2, 2, 9 + extra, 9 + extra)


def test_positions_for_another_grid_are_those_of_the_whole_table_interpolated():
    """By loops, with PyTorch's weights."""
    table = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)

    def weight(x: float) -> float:
        x, a = abs(x), -0.75
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    rows, columns = 3, 7
    expected = np.zeros((rows, columns, 2))
    for i in range(rows):
        for j in range(columns):
            y, x = (i + 0.5) * 4 / rows - 0.5, (j + 0.5) * 5 / columns - 0.5
            for r in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for c in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    place = table[np.clip(r, 0, 3), np.clip(c, 0, 4)]
                    expected[i, j] += weight(y - r) * weight(x - c) * place
    np.testing.assert_allclose(interpolated(jnp.asarray(table), (rows, columns)), expected, atol=1e-5)
    np.testing.assert_allclose(interpolated(jnp.asarray(table), (4, 5), antialias=True), table, atol=1e-5)


def test_a_table_of_its_own_takes_images_of_any_size():
    model = models.build("vit", 0, position_grid=(2, 3), **TINY)
    params = filled(model)
    np.testing.assert_allclose(run(model, params), run(models.build("vit", 0, **TINY), params), atol=1e-6)
    larger = np.random.default_rng(2).normal(size=(2, 8, 10, 3)).astype(np.float32)
    assert run(model, params, larger).shape == (2, 8)


def test_rotations_are_those_of_rows_and_columns():
    x = np.random.default_rng(0).normal(size=(1, 2 + 6, 1, 8)).astype(np.float32)
    found = np.asarray(rotated_on_grid(jnp.asarray(x), (2, 3), 100.0))
    np.testing.assert_array_equal(found[:, :2], x[:, :2])
    for place in range(6):
        row, column = 2 * (place // 3 + 0.5) / 2 - 1, 2 * (place % 3 + 0.5) / 3 - 1
        for i in range(4):
            angle = 2 * np.pi * (row if i < 2 else column) / 100 ** ((i % 2) / 2)
            a, b = x[0, 2 + place, 0, i], x[0, 2 + place, 0, 4 + i]
            turned = found[0, 2 + place, 0, [i, 4 + i]]
            expected = [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)]
            np.testing.assert_allclose(turned, expected, atol=1e-5)


def test_a_keys_bias_changes_nothing():
    with_bias, without = models.build("vit", 0, **TINY), models.build("vit", 0, key_bias=False, **TINY)
    params = filled(with_bias)
    block = params["encoder"]["block_00"]
    attention = block["attention"] | {"key": {"kernel": block["attention"]["key"]["kernel"]}}
    fewer = params | {"encoder": params["encoder"] | {"block_00": block | {"attention": attention}}}
    np.testing.assert_allclose(run(without, fewer), run(with_bias, params), atol=1e-5)


def test_heads_that_cannot_be_turned_are_one_line():
    model = models.build("vit", 0, positions="rotary", **TINY | {"width": 12})
    with pytest.raises(UserError, match="heads of 6 must divide by 4"):
        filled(model)
