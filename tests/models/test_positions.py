"""Positions: the formula of 1706.03762, its rotations, and the grid."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.typing import DTypeLike

from errors import UserError
from models.positions import (
    AddPositions,
    AddTokenPositions,
    Kind,
    RelativeBias,
    RelativePositions,
    distance_buckets,
    positions_in_segments,
)
from models.sinusoids import sinusoid_1d, sinusoid_2d, sinusoid_2d_halves, sinusoid_halves

restarting = jax.jit(positions_in_segments)
many = settings(max_examples=25, deadline=None, derandomize=True, database=None)
GRID, D = (2, 3), 8
KINDS = ("learned", "sinusoid_1d", "sinusoid_2d", "none")


def added(kind: Kind, extra: int, dtype: DTypeLike = jnp.float32) -> tuple[np.ndarray, Any]:
    """What AddPositions adds to zeros, and its parameters."""
    x = jnp.zeros((2, extra + GRID[0] * GRID[1], D), dtype)
    out, variables = AddPositions(kind).init_with_output(jax.random.key(0), x, GRID)
    assert (out.shape, out.dtype) == (x.shape, dtype)
    np.testing.assert_array_equal(out[0], out[1])
    return np.asarray(out[0]), variables


def test_halves_are_the_same_sines_and_then_the_same_cosines():
    table, halves = sinusoid_1d(20, D), sinusoid_halves(20, D)
    np.testing.assert_array_equal(halves[:, : D // 2], table[:, 0::2])
    np.testing.assert_array_equal(halves[:, D // 2 :], table[:, 1::2])
    x = jnp.zeros((1, 3, D))
    added = AddTokenPositions("sinusoid_halves").apply({}, x, jnp.arange(3)[None], 3)
    np.testing.assert_array_equal(added[0], halves[:3])


def test_halves_of_a_grid_have_the_column_first():
    table, halves = sinusoid_2d(*GRID, D), sinusoid_2d_halves(*GRID, D)
    order = [4, 6, 5, 7, 0, 2, 1, 3]  # sines and cosines of the column, then of the row
    np.testing.assert_array_equal(halves, table[:, order])


def test_sinusoid_1d_equals_the_formula():
    table = sinusoid_1d(50, D)
    assert (table.shape, table.dtype) == ((50, D), np.float32)
    for p, i in np.ndindex(50, D // 2):
        angle = p / 10000 ** (2 * i / D)
        np.testing.assert_allclose(table[p, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6)


@many
@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([2, 6, 64]))
def test_k_steps_further_is_a_rotation_that_depends_on_k_alone(p, k, width):
    rotation = np.zeros((width, width))
    for i in range(width // 2):
        angle = k / 10000 ** (2 * i / width)
        rotation[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [
            [np.cos(angle), np.sin(angle)],
            [-np.sin(angle), np.cos(angle)],
        ]
    table = sinusoid_1d(p + k + 1, width)
    np.testing.assert_allclose(rotation @ table[p], table[p + k], atol=1e-6)


def test_the_first_half_of_sinusoid_2d_is_the_row_and_the_second_the_column():
    table = sinusoid_2d(*GRID, D).reshape(*GRID, D)
    row, column = sinusoid_1d(GRID[0], D // 2), sinusoid_1d(GRID[1], D // 2)
    assert table.dtype == np.float32
    for r, c in np.ndindex(*GRID):
        np.testing.assert_array_equal(table[r, c], np.concatenate([row[r], column[c]]))


@pytest.mark.parametrize("width", [1, 7])
def test_one_dimension_needs_an_even_width(width):
    with pytest.raises(ValueError, match=f"even width, not {width}"):
        sinusoid_1d(4, width)


@pytest.mark.parametrize("width", [2, 6, 7])
def test_two_dimensions_need_a_width_that_divides_by_four(width):
    with pytest.raises(ValueError, match=f"divides by 4, not {width}"):
        sinusoid_2d(2, 2, width)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(
    ("kind", "table"), [("sinusoid_1d", sinusoid_1d(6, D)), ("sinusoid_2d", sinusoid_2d(*GRID, D))]
)
def test_sinusoids_have_no_parameters_and_give_the_class_token_zero(kind, table, extra):
    positions, variables = added(kind, extra)
    assert not variables
    np.testing.assert_array_equal(positions, np.concatenate([np.zeros((extra, D)), table]))


@pytest.mark.parametrize("extra", [0, 1])
def test_learned_positions_have_one_vector_for_each_token_the_class_token_too(extra):
    positions, variables = added("learned", extra)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"embedding": (1, 6 + extra, D)}}
    np.testing.assert_array_equal(positions, variables["params"]["embedding"][0])
    assert np.unique(positions).size == positions.size


def test_learned_positions_start_with_a_deviation_of_two_hundredths():
    x = jnp.zeros((1, 64, 64))
    table = AddPositions("learned").init(jax.random.key(0), x, (8, 8))["params"]["embedding"]
    assert float(table.std()) == pytest.approx(0.02, rel=0.05)


def test_none_is_the_identity():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, D)), jnp.float32)
    out, variables = AddPositions("none").init_with_output(jax.random.key(0), x, GRID)
    assert not variables
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_added_to_x_in_its_own_dtype(kind):
    positions, variables = added(kind, 1)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, D)), jnp.float32)
    np.testing.assert_allclose(AddPositions(kind).apply(variables, x, GRID), x + positions, rtol=1e-6)
    added(kind, 1, jnp.bfloat16)


@many
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_positions_begin_again_with_every_sentence_of_a_packed_row(lengths):
    lengths = [*lengths, 12 - sum(lengths)]  # the last one is padding
    segment = np.repeat([*range(1, len(lengths)), 0], lengths)
    position = restarting(np.stack([segment, segment[::-1]]))
    expected = [[p for length in row for p in range(length)] for row in (lengths, lengths[::-1])]
    assert position.dtype == jnp.int32
    np.testing.assert_array_equal(position, expected)


POSITION = jnp.array([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]])


@pytest.mark.parametrize("position", [POSITION, POSITION[:1]], ids=["each its own", "all the same"])
def test_each_token_gets_the_sinusoid_of_its_own_position(position):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, D)), jnp.float32)
    out, variables = AddTokenPositions().init_with_output(jax.random.key(0), x, position, 4)
    assert not variables
    np.testing.assert_array_equal(out, x + sinusoid_1d(4, D)[position])


def test_each_token_gets_the_learned_vector_of_its_own_position():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, D)), jnp.float32)
    out, variables = AddTokenPositions("learned", 6).init_with_output(jax.random.key(0), x, POSITION, 4)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"embedding": (6, D)}}
    table = np.asarray(variables["params"]["embedding"])
    assert np.unique(table).size == table.size
    np.testing.assert_array_equal(out, x + table[POSITION])


def test_learned_positions_of_tokens_start_as_wide_as_the_embeddings():
    model, x = AddTokenPositions("learned", 512), jnp.zeros((1, 1, 64))
    init = jax.jit(lambda key: model.init(key, x, jnp.zeros((1, 1), jnp.int32), 1)["params"]["embedding"])
    table = init(jax.random.key(0, impl="rbg"))
    assert float(table.std()) == pytest.approx(64**-0.5, rel=0.05)


@pytest.mark.parametrize("kind", ["sinusoid_1d", "learned"])
def test_positions_of_tokens_are_added_in_the_dtype_of_x(kind):
    x = jnp.zeros((2, 5, D), jnp.bfloat16)
    out = jax.eval_shape(lambda: AddTokenPositions(kind, 4).init_with_output(jax.random.key(0), x, POSITION, 4)[0])
    assert (out.shape, out.dtype) == (x.shape, jnp.bfloat16)


def test_a_sentence_that_is_longer_than_what_is_learned_is_refused_and_not_by_sinusoids():
    def shape(kind, length):
        model, x = AddTokenPositions(kind, 5), jnp.zeros((1, length, D))
        return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, jnp.arange(length)[None], length))[0]

    assert shape("learned", 5).shape == (1, 5, D)
    assert shape("sinusoid_1d", 6).shape == (1, 6, D)
    with pytest.raises(UserError, match=r"of 6 tokens has no learned positions beyond 5.*max_length"):
        shape("learned", 6)


@pytest.mark.parametrize("extra", [0, 1])
def test_learned_positions_of_a_row_and_a_column_stand_side_by_side(extra):
    positions, variables = added("learned_2d", extra)
    params = variables["params"]
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            found = positions[extra + row * GRID[1] + column]
            np.testing.assert_array_equal(found, np.concatenate([params["row"][row], params["column"][column]]))
    assert ("extra" in params) == bool(extra)


@pytest.mark.parametrize("extra", [0, 2])
def test_relative_positions_score_each_offset_of_a_key_by_its_own_vector(extra):
    rows, columns, heads, size = 2, 3, 2, 4
    tokens = extra + rows * columns
    query = jnp.asarray(np.random.default_rng(0).normal(size=(1, tokens, heads, size)), jnp.float32)
    bias, variables = RelativePositions((rows, columns)).init_with_output(jax.random.key(0), query)
    table = variables["params"]["embedding"].reshape(2 * rows - 1, 2 * columns - 1, size)
    expected = np.zeros((1, heads, tokens, tokens))
    for i in range(rows * columns):
        for j in range(rows * columns):
            offset = table[i // columns - j // columns + rows - 1, i % columns - j % columns + columns - 1]
            expected[0, :, extra + i, extra + j] = query[0, extra + i] @ offset / size**0.5
    np.testing.assert_allclose(bias, expected, rtol=1e-5, atol=1e-7)


def bucket(distance: int, buckets: int, furthest: int, both_sides: bool) -> int:
    """T5's rule for one distance: of the buckets half are for one distance each, and the others' ends grow by a
    constant factor up to `furthest`."""
    first = 0
    if both_sides:
        buckets //= 2
        first = buckets if distance > 0 else 0
        away = abs(distance)
    else:
        away = max(-distance, 0)
    near = buckets // 2
    if away < near:
        return first + away
    ends = [near * (furthest / near) ** (step / (buckets - near)) for step in range(1, buckets - near)]
    return first + near + sum(away > end - 1e-6 for end in ends)


@pytest.mark.parametrize("both_sides", [True, False])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20)])
def test_a_distance_has_t5s_bucket(buckets, furthest, both_sides):
    distances = np.arange(-300, 301)
    found = distance_buckets(distances, buckets, furthest, both_sides)
    assert found.tolist() == [bucket(d, buckets, furthest, both_sides) for d in distances.tolist()]
    assert sorted(set(found.tolist())) == [i for i in range(buckets) if not (both_sides and i == buckets // 2)]


@pytest.mark.parametrize("both_sides", [True, False])
def test_a_relative_bias_is_the_tables_number_of_each_head_and_distance(both_sides):
    heads, buckets, furthest = 2, 8, 10
    table = np.random.default_rng(0).normal(size=(buckets, heads)).astype(np.float32)
    module = RelativeBias(heads, both_sides, buckets, furthest, jax.nn.initializers.zeros)
    variables = {"params": {"embedding": table}}
    queries, keys = 5, 13
    number = [[bucket(s - t, buckets, furthest, both_sides) for s in range(keys)] for t in range(queries)]
    np.testing.assert_array_equal(module.apply(variables, queries, keys), table[number].transpose(2, 0, 1)[None])
    row = jax.jit(lambda query: module.apply(variables, query, keys, method="row"))
    for query in (0, 4, keys - 1):
        expected = [table[bucket(s - query, buckets, furthest, both_sides)] for s in range(keys)]
        np.testing.assert_array_equal(row(query), np.transpose(expected)[None, :, None])
