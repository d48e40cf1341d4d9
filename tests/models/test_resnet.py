"""BiT ResNets: parameter and operation counts, what a unit computes, the settings that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import resnet, sizes
from training import flops

# 1912.11370: pre-activation, 224 px, 1000 outputs; parameters and, of those that timm has, GMACs.
PUBLISHED = {
    "R50x1": (25_549_352, 4.23),
    "R50x2": (97_988_712, None),
    "R50x3": (217_319_080, 37.06),
    "R101x1": (44_541_480, 8.04),
    "R101x3": (387_934_888, 71.23),
    "R152x1": (60_185_128, None),
    "R152x2": (236_335_208, 46.95),
    "R152x4": (936_533_224, 186.9),
}
DEPTHS = {"26": (2, 2, 2, 2), "200": (3, 24, 36, 3)}
IMAGE = jax.random.normal(jax.random.key(0), (2, 16, 24, 3))


def formula(variant: str) -> int:
    """The parameters with 1000 outputs, from the units of each stage."""
    name, width = variant.removeprefix("R").split("x")
    channels = 64 * int(width)
    total = 7 * 7 * 3 * channels
    for stage, depth in enumerate(DEPTHS[name]):
        w = 64 * int(width) * 2**stage
        for unit in range(depth):
            total += 2 * channels + channels * w + 2 * w + 9 * w * w + 2 * w + 4 * w * w
            total += 0 if unit else channels * 4 * w
            channels = 4 * w
    return total + 2 * channels + 1000 * channels + 1000


ROWS = {name: count for name, (count, _) in PUBLISHED.items()} | {name: formula(name) for name in ("R26x1", "R200x3")}


def shapes(model, image=(1, 224, 224, 3)):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(image), train=False)["params"])


def initialised(image=IMAGE, **arguments):
    model = models.build("resnet", 5, **dict(depths=(1, 2), width=8, root="cifar") | arguments)
    return model, jax.jit(lambda: model.init(jax.random.key(1), image, train=False)["params"])()


def test_no_variant_lacks_its_row():
    assert set(ROWS) == set(sizes.RESNET_VARIANTS)


@pytest.mark.parametrize("variant", ROWS)
def test_a_variant_has_the_parameters_of_its_row(variant):
    assert sum(x.size for x in jax.tree.leaves(shapes(resnet.Model(1000, variant)))) == ROWS[variant]


def test_the_order_of_the_published_jax_weights_has_theirs():
    assert sum(x.size for x in jax.tree.leaves(shapes(resnet.Model(1000, "R50x1", order="post")))) == 25_557_032


def normed(variant: str) -> int:
    """How many numbers GroupNorm is given for an image of 224 x 224."""
    name, width = variant.removeprefix("R").split("x")
    channels, side, total = 64 * int(width), 56, 0
    for stage, depth in enumerate(sizes.RESNET_DEPTHS[name]):
        w = 64 * int(width) * 2**stage
        for unit in range(depth):
            after = side // 2 if stage and not unit else side
            total += side**2 * (channels + w) + after**2 * w
            channels, side = 4 * w, after
    return total + side**2 * channels


@pytest.mark.parametrize("variant", [name for name, (_, macs) in PUBLISHED.items() if macs])
def test_a_variant_computes_as_much_as_is_listed(variant):
    """The listed figures add 4 operations for each standardised weight and 5 for each number that is normed to the
    multiply-adds of the convolutions, which alone are up to 4 % fewer."""
    model, params = resnet.Model(1000, variant), shapes(resnet.Model(1000, variant))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    products = flops.forward(lambda p, x: model.apply({"params": p}, x, train=False), params, image) / 2
    weights = sum(x.size for x in jax.tree.leaves(params) if x.ndim == 4)
    listed = PUBLISHED[variant][1]
    assert (products + 4 * weights + 5 * normed(variant)) / 1e9 == pytest.approx(listed, rel=0.005)
    assert products / 1e9 == pytest.approx(listed, rel=0.04)


def test_what_is_compiled_computes_as_much_as_is_listed(monkeypatch):
    """XLA leaves out the products with the zeros of a padding, 4 to 5 % of all; given as an input they are counted."""

    def padded(x, kernel, strides, padding, dimension_numbers):
        x = jax.lax.optimization_barrier(jnp.pad(x, [(0, 0), *padding, (0, 0)]))
        return convolve(x, kernel, strides, "VALID", dimension_numbers=dimension_numbers)

    convolve = jax.lax.conv_general_dilated
    monkeypatch.setattr(jax.lax, "conv_general_dilated", padded)
    model, params = resnet.Model(1000, "R50x1"), shapes(resnet.Model(1000, "R50x1"))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    step = jax.jit(lambda p, x: model.apply({"params": p}, x, train=False)).lower(params, image).compile()
    assert step.cost_analysis()["flops"] / 2e9 == pytest.approx(PUBLISHED["R50x1"][1], rel=0.02)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_kernels_are_standardised_for_each_output(order):
    kernel = 3 + 5 * np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32)
    mean, std = kernel.mean((0, 1, 2)), kernel.std((0, 1, 2))
    np.testing.assert_allclose(resnet.standardised(jnp.asarray(kernel), order), (kernel - mean) / std, atol=1e-4)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_convolution_is_one(order):
    """Of stride 2, against loops; the two orders pad differently."""
    x = np.asarray(IMAGE[:1, :6, :6])
    conv = resnet.Conv(4, 3, order, stride=2)
    params = conv.init(jax.random.key(0), x)["params"]
    kernel = np.asarray(resnet.standardised(params["kernel"], order))
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)) if order == "pre" else ((0, 1), (0, 1), (0, 0)))
    expected = [
        [np.einsum("hwi,hwio->o", padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) for j in range(3)]
        for i in range(3)
    ]
    np.testing.assert_allclose(conv.apply({"params": params}, x)[0], expected, atol=1e-4)


def test_the_two_orders_norm_before_and_after():
    assert "norm" in initialised()[1]
    _, post = initialised(order="post")
    assert "norm" not in post
    assert {"projection_norm", "norm_3"} < set(post["trunk"]["stage_1_unit_01"])
    assert not post["trunk"]["stage_2_unit_02"]["norm_3"]["scale"].any()  # a unit begins as its shortcut


@pytest.mark.parametrize(
    ("root", "depths", "size"), [("cifar", (1, 1, 1), (4, 6)), ("imagenet", (1, 1), (2, 3)), ("imagenet", (), (4, 6))]
)
@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_trunk_makes_images_as_much_smaller_as_it_says(root, depths, size, order):
    trunk = resnet.Trunk(depths, 8, root, order)
    out = jax.eval_shape(lambda: trunk.init_with_output(jax.random.key(0), IMAGE)[0])
    assert out.shape[1:3] == size == tuple(side // resnet.stride(root, depths) for side in IMAGE.shape[1:3])


def test_a_representation_is_what_the_head_sees_and_remat_changes_nothing():
    model, params = initialised(depths=(1, 1))
    params["head"]["kernel"] += jax.random.normal(jax.random.key(2), params["head"]["kernel"].shape)
    run = lambda model: jax.jit(lambda p: model.apply({"params": p}, IMAGE, train=True))(params)  # noqa: E731
    logits = run(model)
    features = run(model.clone(outputs=0))
    np.testing.assert_allclose(logits, features @ params["head"]["kernel"] + params["head"]["bias"], atol=1e-4)
    np.testing.assert_allclose(run(model.clone(remat="full")), logits, atol=1e-4)
    low = run(model.clone(dtype="bfloat16"))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, logits, atol=0.1 * np.abs(logits).max())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (dict(variant="R51x1"), r"variant='R51x1' does not exist: did you mean 'R50x1'"),
        (dict(depths=(1,)), r"depths and width are not set"),
        (dict(depths=(1, 0), width=8), r"depths\[1\]=0 should be greater than 0"),
    ],
)
def test_settings_that_cannot_be(arguments, line):
    with pytest.raises(UserError, match=line):
        models.build("resnet", 5, **arguments).size  # noqa: B018
