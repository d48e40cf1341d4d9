"""The count of arithmetic, against published ones and by hand. Nothing here is compiled."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from models import vit
from training import flops

# As timm has them for its ViTs of 2010.11929: 224 px, 1000 outputs, one image.
GIGAMACS = {
    "Ti/16": 1.26,
    "S/16": 4.61,
    "S/32": 1.15,
    "B/16": 17.58,
    "B/32": 4.41,
    "B/8": 78.22,
    "L/16": 61.60,
    "L/32": 15.39,
    "H/14": 167.4,
}


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


@functools.cache
def of_model(model: vit.Model, images: int = 1, size: int = 224) -> int:
    image = shape(images, size, size, 3)
    keys = jax.random.key(0)
    params = jax.eval_shape(lambda x: model.init(keys, x, train=False)["params"], image)
    return flops.forward(lambda p, x: model.apply({"params": p}, x, train=False), params, image)


def tiny(**arguments) -> vit.Model:
    return vit.Model(10, width=8, depth=2, mlp_dim=16, heads=2, patch=4, **arguments)


@pytest.mark.parametrize("variant", GIGAMACS)
def test_an_image_costs_what_the_reference_says(variant):
    assert of_model(vit.Model(1000, variant, scan=True)) / 2e9 == pytest.approx(GIGAMACS[variant], rel=0.01)


@pytest.mark.parametrize("variant", ["Ti/16", "B/16"])
def test_an_image_costs_exactly_its_products(variant):
    d, layers, f = {"Ti": (192, 12, 768), "B": (768, 12, 3072)}[variant.split("/")[0]]
    tokens, patches = 197, 196
    projections, scores_and_values, mlp = 4 * tokens * d * d, 2 * tokens * tokens * d, 2 * tokens * d * f
    macs = patches * 16 * 16 * 3 * d + layers * (projections + scores_and_values + mlp) + d * 1000
    assert of_model(vit.Model(1000, variant)) == 2 * macs


@pytest.mark.parametrize("remat", ["none", "dots", "full"])
@pytest.mark.parametrize("scan", [False, True])
def test_neither_a_scan_nor_remat_changes_the_forward_count(scan, remat):
    assert of_model(tiny(scan=scan, remat=remat), size=16) == of_model(tiny(), size=16)


def test_images_cost_alike():
    assert of_model(tiny(), images=6, size=16) == 6 * of_model(tiny(), size=16)


@pytest.mark.parametrize("scan", [False, True])
def test_the_gradient_costs_more_the_more_is_computed_again(scan):
    def cost(remat: str) -> int:
        model, image = tiny(scan=scan, remat=remat), shape(1, 16, 16, 3)
        params = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False)["params"], image)
        return flops.forward(
            jax.grad(lambda p, x: jnp.sum(jnp.asarray(model.apply({"params": p}, x, train=True)))), params, image
        )

    assert 2 * of_model(tiny(), size=16) < cost("none") < cost("dots") < cost("full") < 4 * of_model(tiny(), size=16)


@pytest.mark.parametrize(
    ("equation", "left", "right", "macs"),
    [
        ("ij,jk->ik", (3, 5), (5, 7), 3 * 5 * 7),
        ("bij,bjk->bik", (2, 3, 5), (2, 5, 7), 2 * 3 * 5 * 7),
        ("bthk,bshk->bhts", (2, 3, 4, 5), (2, 7, 4, 5), 2 * 4 * 3 * 7 * 5),
        ("ijk,jkl->il", (3, 5, 7), (5, 7, 2), 3 * 5 * 7 * 2),
        ("i,i->", (9,), (9,), 9),
    ],
)
def test_a_product_costs_two_for_each_multiply_add(equation, left, right, macs):
    assert flops.forward(lambda a, b: jnp.einsum(equation, a, b), shape(*left), shape(*right)) == 2 * macs


@pytest.mark.parametrize(
    ("stride", "groups", "padding", "macs"),
    [
        (1, 1, "SAME", 2 * 8 * 6 * 12 * 4 * 9),
        (1, 1, "VALID", 2 * 6 * 4 * 12 * 4 * 9),
        (2, 1, "SAME", 2 * 4 * 3 * 12 * 4 * 9),
        (1, 2, "SAME", 2 * 8 * 6 * 12 * 2 * 9),
        (1, 4, "SAME", 2 * 8 * 6 * 12 * 1 * 9),
    ],
)
def test_a_convolution_costs_its_window_for_each_output(stride, groups, padding, macs):
    def convolve(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=layout, feature_group_count=groups
        )

    assert flops.forward(convolve, shape(2, 8, 6, 4), shape(3, 3, 4 // groups, 12)) == 2 * macs


def test_what_stands_inside_other_programs_counts_each_time_it_runs():
    def layer(x, w):
        return jax.jit(jax.checkpoint(jnp.dot))(x, w), None

    def twice(x, w):
        return jax.lax.scan(lambda x, _: jax.lax.scan(layer, x, w), x, None, length=2)[0]

    assert flops.forward(twice, shape(3, 5), shape(7, 5, 5)) == 2 * 7 * (2 * 3 * 5 * 5)


def test_sums_and_activations_are_free():
    assert flops.forward(lambda x: jax.nn.softmax(jax.nn.gelu(x) + x).sum(), shape(4, 4)) == 0


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
    ],
)
def test_the_peak_of_a_known_device_is_its_data_sheets(kind, teraflops):
    peak, source = flops.peak(SimpleNamespace(device_kind=kind))
    assert peak == teraflops * 1e12
    assert source.startswith("data sheet of ")
