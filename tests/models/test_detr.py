"""DETR: its published size, what padding and noised queries must not change, and attention against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import boxes, detr
from models.detection_attention import POINTS, DeformableAttention, PlacedAttention
from models.trunks import Trunk

TRUNK = Trunk(width=8, depths=(1, 1), root="small", norm="frozen")
SMALL = dict(outputs=3, trunk=TRUNK, strides=(2, 4), width=16, encoder_depth=1, decoder_depth=2, heads=2, mlp_dim=16)
SMALL |= dict(queries=5, dropout=0.0)
QUICK = dict(queries_from="image", attention="deformable", denoising=2, no_object=False)
RNG = np.random.default_rng(0)


def made(**changes):
    """A model, its weights and inputs: two images; the second fills half of the canvas's width."""
    model = detr.Model(**(SMALL | changes))
    image = jnp.asarray(RNG.normal(size=(2, 16, 48, 1)), jnp.float32)
    extent = jnp.asarray([[1.0, 1.0], [1.0, 0.5]])
    truth = jnp.asarray([[[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.9, 0.8]]] * 2), jnp.asarray([[0, 2], [1, -1]])
    variables = jax.jit(lambda: model.init(jax.random.key(0), image, extent, *truth, train=False))()
    return model, variables, image, extent, truth


def test_detr_r50_has_the_published_number_of_parameters():
    model = detr.Model(91, trunk=Trunk(variant="50", norm="frozen"))
    inputs = jnp.zeros((1, 64, 64, 3)), jnp.ones((1, 2))
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    learned = [
        x.size for path, x in leaves if "norm" not in (name := jax.tree_util.keystr(path)) or "trunk" not in name
    ]
    assert sum(learned) == 41_524_768


@pytest.mark.parametrize("changes", [{}, dict(queries_from="anchors", attention="conditional"), QUICK])
def test_padding_changes_nothing(changes):
    model, variables, image, extent, _ = made(**changes)
    apply = jax.jit(lambda image: model.apply(variables, image, extent, train=False))
    one, other = apply(image), apply(image.at[1, :, 44:].add(100.0))  # beyond the reach of the trunk's convolutions
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-4, atol=1e-5)
    assert one.logits.shape == (2, 2, 5, 3 + one.no_object)
    assert (apply(image.at[1, :, 4].add(100.0)).logits != one.logits)[:, 1].any()


def test_the_queries_do_not_see_the_truth_that_is_noised_beside_them():
    model, variables, image, extent, (truth, labels) = made(**QUICK)

    @jax.jit
    def apply(truth, labels):
        rngs = {"dropout": jax.random.key(1)}
        return model.apply(variables, image, extent, truth, labels, train=True, rngs=rngs)

    one, other = apply(truth, labels), apply(truth[:, ::-1] * 0.5, 2 - labels)
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    assert one.noised[0].shape == (2, 2, 4, 3)
    assert (one.noised[1] != other.noised[1]).any()
    assert one.proposed[0].shape == (1, 2, 8 * 24 + 4 * 12, 3)


def test_queries_and_keys_of_self_attention_are_one_product():
    attention = PlacedAttention(16, 2)
    x, place = (jax.random.normal(jax.random.key(i), (2, 5, 16)) for i in range(2))
    variables = attention.init(jax.random.key(2), x, x, place, place, train=False)

    def own(x, place):
        return attention.apply(variables, x, x, place, place, train=False)

    def other(x, place):
        return attention.apply(variables, x, x + 0, place, place + 0, train=False)

    counts = [str(jax.make_jaxpr(way)(x, place)).count("dot_general") for way in (own, other)]
    assert counts[0] == counts[1] - 1
    np.testing.assert_allclose(own(x, place), other(x, place), rtol=1e-5, atol=1e-6)


def test_deformable_attention_is_bilinear_interpolation_at_its_points():
    heads, grids = 2, ((4, 6), (2, 3))
    model = DeformableAttention(heads, jnp.float32)
    x, memory = (jnp.asarray(RNG.normal(size=(1, n, 8)), jnp.float32) for n in (3, 30))
    box = jnp.asarray(RNG.uniform(0.1, 0.6, (1, 3, 4)), jnp.float32)
    extent, mask = jnp.asarray([[0.5, 1.0]]), jnp.ones((1, 1, 1, 30), bool)
    variables = model.init(jax.random.key(0), x, memory, box, grids, extent, mask)
    out = model.apply(variables, x, memory, box, grids, extent, mask)

    p = jax.device_get(variables["params"])
    value = np.einsum("sd,dhk->shk", memory[0], p["value"]["kernel"])
    offset = p["offset"]["bias"].reshape(heads, len(grids), POINTS, 2)  # its kernel begins with 0, as that of weights
    for query in range(3):
        total = np.zeros((heads, 4))
        for head, level, point in np.ndindex(heads, len(grids), POINTS):
            rows, columns = grids[level]
            at = np.asarray(box[0, query, :2] + offset[head, level, point] / POINTS * box[0, query, 2:] / 2)
            y, x_ = at[1] * rows * 0.5 - 0.5, at[0] * columns - 0.5
            for r, c in ((int(np.floor(y)) + i, int(np.floor(x_)) + j) for i in (0, 1) for j in (0, 1)):
                if 0 <= r < rows and 0 <= c < columns:
                    place = (0, 24)[level] + r * columns + c
                    share = (1 - abs(y - r)) * (1 - abs(x_ - c)) / (len(grids) * POINTS)
                    total[head] += share * value[place, head]
        expected = np.einsum("hk,hkd->d", total, p["out"]["kernel"])
        np.testing.assert_allclose(out[0, query], expected, rtol=1e-4, atol=1e-5)


def test_boxes_overlap_as_areas_do():
    a = jnp.asarray([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.2, 0.2], [0.1, 0.1, 0.3, 0.5]])
    b = jnp.asarray([[0.0, 0.25, 0.5, 0.75], [0.8, 0.8, 1.0, 1.0], [0.1, 0.1, 0.3, 0.5]])
    iou, giou = boxes.overlap(a, b)
    np.testing.assert_allclose(iou, [1 / 3, 0, 1], atol=1e-3)
    np.testing.assert_allclose(giou, [1 / 3, 0.08 - 1, 1], atol=1e-3)
    np.testing.assert_allclose(boxes.corners(boxes.centred(a)), a, atol=1e-6)
    small = jnp.asarray([0.5, 0.5, 0.5 + 3 / 800, 0.5 + 3 / 1344])  # 3x3 pixels
    np.testing.assert_allclose(boxes.overlap(small, small), 1, atol=1e-3)
    nothing = jnp.zeros(4)
    slope = jax.grad(lambda box: sum(boxes.overlap(box, nothing)))(nothing)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(attention="deformable"), "attention=deformable needs queries with boxes"),
        (dict(denoising=1), "denoising needs queries with boxes"),
        (dict(width=18), "width=18 should divide by 4"),
        (dict(queries_from="image", queries=1000), "the maps have 240 places"),
        (dict(strides=(2, 64)), "no features at stride 64"),
    ],
)
def test_keys_that_do_not_fit_are_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        made(**changes)
