"""Swin: published counts, windows against a naive form over pixels, and maps of any size."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import swin

# 2103.14030 and 2111.09883, as timm has them with 1,000 classes: (variant, version, window, image) -> parameters.
COUNTS = {
    ("T", "1", 7, 224): 28_288_354,
    ("S", "1", 7, 224): 49_606_258,
    ("B", "1", 7, 224): 87_768_224,
    ("B", "1", 12, 384): 87_903_584,
    ("L", "1", 7, 224): 196_532_476,
    ("L", "1", 12, 384): 196_735_516,
    ("T", "2", 8, 256): 28_347_154,
}


@pytest.mark.parametrize("published", COUNTS, ids=str)
def test_sizes_are_the_published_ones(published):
    variant, version, window, side = published
    model = swin.Model(1000, variant, version=version, window=window)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == COUNTS[published]


@pytest.mark.parametrize("grid", [(6, 6), (5, 8), (2, 7), (3, 3)])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_map_is_its_windows_joined(grid, shifted):
    cut = swin.Windows.of(grid, 3, shifted)
    x = jnp.arange(2 * grid[0] * grid[1] * 4, dtype=jnp.float32).reshape(2, *grid, 4)
    windows = cut.cut(x)
    assert windows.shape[1] == cut.side[0] * cut.side[1] <= 9
    np.testing.assert_array_equal(cut.join(windows, grid), x)


def together(a: int, b: int, size: int, shifted: bool) -> bool:
    """Whether two rows (or columns) of a map of this size may see each other, with windows of 3 and a shift of 1."""
    side = min(3, size)
    if not shifted or size <= side:
        return a // side == b // side
    filled = -(-size // side) * side
    moved = [(place - 1) % filled for place in (a, b)]
    around = [place >= filled - 1 for place in moved]  # come round from the other end
    return moved[0] // side == moved[1] // side and around[0] == around[1]


def test_zeros_that_fill_up_a_map_are_attended_to_where_they_are_not_masked():
    models = [swin.Model(0, "", 8, (1,), 4, 3, 1, padding=padding) for padding in ("masked", "zeros")]
    image = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))

    def outputs(image):
        variables = models[0].init(jax.random.key(1), image, train=False)
        return [model.apply(variables, image, train=False) for model in models]

    masked, zeros = jax.jit(outputs)(image)
    assert not np.allclose(masked, zeros, atol=1e-5)
    masked, zeros = jax.jit(outputs)(image[:, :3])  # nothing is filled up
    np.testing.assert_array_equal(masked, zeros)


@pytest.mark.parametrize("grid", [(6, 6), (5, 8), (2, 7)])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("version", ["1", "2"])
def test_attention_is_that_of_pixels_in_one_region_of_one_window(grid, shifted, version):
    """The whole map's attention written out, a mask over all pairs of pixels, and the bias by their offsets."""
    heads, width = 2, 8
    cut = swin.Windows.of(grid, 3, shifted)
    attend = swin.WindowAttention(heads, 3, version)
    x = jax.random.normal(jax.random.key(0), (2, *grid, width))
    variables = attend.init(jax.random.key(1), cut.cut(x), cut.side, cut.regions(grid), train=False)
    keys = iter(jax.random.split(jax.random.key(2), 20))
    variables = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape) * 0.5, variables)
    found = cut.join(attend.apply(variables, cut.cut(x), cut.side, cut.regions(grid), train=False), grid)

    p = jax.tree.map(np.asarray, variables["params"])
    tokens = np.asarray(x, np.float64).reshape(2, -1, width)
    query, key, value = (
        np.einsum("bnd,dhk->bhnk", tokens, p[name]["kernel"]) + p[name].get("bias", np.zeros((heads, 4)))[:, None]
        for name in ("query", "key", "value")
    )
    if version == "2":
        query, key = (y / np.linalg.norm(y, axis=-1, keepdims=True) for y in (query, key))
        query *= np.exp(np.minimum(p["scale"], np.log(100)))[:, None, None]
    else:
        query /= 2  # the root of the head size
    if version == "1":
        whole = np.asarray(swin.TableBias(heads, 3).apply({"params": p["bias"]}, (3, 3)))[0]  # of all pairs of a window

    def bias(down: int, right: int) -> np.ndarray:
        """Of an offset, for each head."""
        if version == "1":
            return whole[:, max(down, 0) * 3 + max(right, 0), max(-down, 0) * 3 + max(-right, 0)]
        share = np.array([down, right]) * 8 / np.maximum(np.array(cut.side) - 1, 1)
        logs = np.sign(share) * np.log2(np.abs(share) + 1) / 3
        hidden = np.maximum(logs @ p["bias"]["expand"]["kernel"] + p["bias"]["expand"]["bias"], 0)
        return 16 / (1 + np.exp(-hidden @ p["bias"]["contract"]["kernel"]))

    scores = query @ key.swapaxes(2, 3)
    places = [divmod(n, grid[1]) for n in range(grid[0] * grid[1])]
    for n, (row, column) in enumerate(places):
        for m, (other_row, other_column) in enumerate(places):
            down, right = row - other_row, column - other_column
            seen = together(row, other_row, grid[0], shifted) and together(column, other_column, grid[1], shifted)
            if not seen:
                scores[..., n, m] = -np.inf
                continue
            scores[..., n, m] += bias(down, right)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("bhnk,hkd->bnd", weights @ value, p["out"]["kernel"]) + p["out"]["bias"]
    np.testing.assert_allclose(found.reshape(2, -1, width), out, rtol=1e-4, atol=1e-5)


def test_merging_stacks_four_neighbours_down_before_right():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    merging = swin.Merging("2", jnp.float32)
    variables = merging.init(jax.random.key(0), x)
    kernel = np.zeros((4, 2), np.float32)
    kernel[1, 0] = kernel[2, 1] = 1  # the neighbour below, and the one on the right
    params = variables["params"] | {"reduction": {"kernel": kernel}}
    _, taken = merging.apply({"params": params}, x, capture_intermediates=lambda module, _: module.name == "reduction")
    (reduced,) = taken["intermediates"]["reduction"]["__call__"]
    np.testing.assert_array_equal(reduced[0, 0], [[4, 1], [6, 3]])


def small(**keys: object) -> swin.Model:
    return swin.Model(10, width=8, depths=(2, 2), head_dim=4, window=2, patch=2, **keys)


@pytest.mark.parametrize(("image", "maps"), [((16, 24), [(8, 12, 8), (4, 6, 16)]), ((7, 10), [(4, 5, 8), (2, 3, 16)])])
def test_the_maps_of_the_stages_have_strides_that_double(image, maps):
    of_trunk = dict(capture_intermediates=lambda module, _: module.name == "trunk")
    run = partial(small().init_with_output, jax.random.key(0), jnp.zeros((2, *image, 3)), train=False, **of_trunk)
    (found,) = jax.eval_shape(run)[1]["intermediates"]["trunk"]["__call__"]
    assert [x.shape for x in found] == [(2, *shape) for shape in maps]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"variant": "Tiny"}, "config.model.variant='Tiny' does not exist"),
        ({"width": 8}, "config.model.depths is not set: set it, or config.model.variant"),
        ({"width": 8, "depths": (2, 2)}, "config.model.width=8 does not divide by head_dim=32"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(keys, message):
    with pytest.raises(UserError, match=message):
        _ = swin.Model(10, **keys).size
