"""ViT: its parameter counts, its heads, the images it takes and the settings it refuses."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import variants, vit

# 2010.11929 and 2106.10270, as timm counts them; PUBLISHED_GAP as google-research/big_vision: 224 px, 1000 outputs.
PUBLISHED = {
    "Ti/16": 5_717_416,
    "S/16": 22_050_664,
    "S/32": 22_878_952,
    "B/8": 86_576_872,
    "B/16": 86_567_656,
    "B/32": 88_224_232,
    "L/16": 304_326_632,
    "L/32": 306_535_400,
    "H/14": 632_045_800,
    "R+Ti/16": 6_337_704,
    "R26+S/32": 36_431_912,
    "R26+B/32": 101_383_976,
    "R50+B/16": 98_659_112,
    "R50+L/32": 328_994_856,
}
PUBLISHED_GAP = {"S/16": 22_049_896, "S/32": 22_878_184, "B/16": 86_566_120, "B/32": 88_222_696}

# 2010.11929, Table 1, and 2106.10270, Table 2: width, layers, MLP.
TABLE = {"Ti": (192, 12, 768), "S": (384, 12, 1536), "B": (768, 12, 3072), "L": (1024, 24, 4096), "H": (1280, 32, 5120)}


# 2010.11929, section 4.1: units of a hybrid's stages, and the side of a patch of what they give.
STEMS = {"R/16": ((), 8), "R26/32": ((2, 2, 2, 2), 1), "R50/16": ((3, 4, 9), 1), "R50/32": ((3, 4, 6, 3), 1)}


def stem_formula(depths: tuple[int, ...]) -> tuple[int, int]:
    """Parameters of a ResNet of bottlenecks without its head, and its channels."""
    total, channels = 7 * 7 * 3 * 64 + 2 * 64, 64
    for stage, depth in enumerate(depths):
        w = 64 * 2**stage
        for unit in range(depth):
            total += channels * w + 9 * w * w + 4 * w * w + 2 * (w + w + 4 * w)
            total += 0 if unit else channels * 4 * w + 2 * 4 * w
            channels = 4 * w
    return total, channels


def formula(variant: str) -> int:
    """The parameters with a class token and 1000 outputs, from the tables alone."""
    stem, _, name = variant.rpartition("+")
    name, patch = name.split("/")
    d, layers, f = TABLE[name]
    if stem:
        depths, side = STEMS[f"{stem}/{patch}"]
        weights, channels = stem_formula(depths)
        patches = (224 // (side * 2 ** (1 + max(len(depths), 1)))) ** 2
        embedding = weights + channels * side**2 * d + d
    else:
        patches = (224 // int(patch)) ** 2
        embedding = 3 * int(patch) ** 2 * d + d
    attention, mlp, norm = 4 * (d * d + d), 2 * d * f + f + d, 2 * d
    return embedding + d + (patches + 1) * d + layers * (attention + mlp + 2 * norm) + norm + 1000 * d + 1000


PLAIN = [f"{name}/{patch}" for name in TABLE for patch in (8, 14, 16, 32)]
HYBRID = ["R50+B/32", "R50+L/16"]
ROWS = {name: formula(name) for name in PLAIN + HYBRID} | PUBLISHED

TINY = dict(width=8, depth=1, mlp_dim=16, heads=2, patch=2)
IMAGE = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)


def tiny(outputs: int = 5, **arguments) -> nn.Module:
    return models.build("vit", outputs, **TINY | arguments)


def traced(model: nn.Module, image: tuple[int, ...] = IMAGE.shape, train: bool = False) -> tuple:
    """(what it returns, its parameters) as shapes."""
    keys = {name: jax.random.key(0) for name in ("params", "dropout")}
    x = jax.ShapeDtypeStruct(image, jnp.float32)
    out, variables = jax.eval_shape(lambda x: model.init_with_output(keys, x, train=train), x)
    return out, variables["params"]


def parameters(model: nn.Module, image: tuple[int, ...] = (1, 224, 224, 3)) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(traced(model, image)[1]))


def test_no_variant_lacks_its_row():
    assert set(ROWS) == set(vit.VARIANTS)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_the_formula_gives_the_published_counts(variant):
    assert formula(variant) == PUBLISHED[variant]


@pytest.mark.parametrize("variant", ROWS)
def test_a_variant_has_the_parameters_of_its_row(variant):
    assert parameters(vit.Model(1000, variant, scan=True)) == ROWS[variant]


@pytest.mark.parametrize("variant", ["Ti/16", "H/14"])
def test_unrolled_layers_have_as_many_parameters_as_a_scan(variant):
    assert parameters(vit.Model(1000, variant)) == ROWS[variant]


@pytest.mark.parametrize("variant", PUBLISHED_GAP)
def test_a_mean_of_tokens_needs_no_class_token_and_no_position_for_it(variant):
    assert parameters(vit.Model(1000, variant, head="gap", scan=True)) == PUBLISHED_GAP[variant]


def test_attention_pooling_adds_a_query_an_attention_a_norm_and_an_mlp():
    d, f = 192, 768
    pooling = d + 4 * (d * d + d) + 2 * d + (2 * d * f + f + d)
    without = parameters(vit.Model(1000, "Ti/16", head="gap", scan=True))
    assert parameters(vit.Model(1000, "Ti/16", head="map", scan=True)) == without + pooling


@pytest.mark.parametrize("positions", ["sinusoid_1d", "sinusoid_2d", "none"])
def test_positions_that_are_not_learned_have_no_parameters(positions):
    assert parameters(vit.Model(1000, "Ti/16", positions=positions, scan=True)) == ROWS["Ti/16"] - 197 * 192


def test_a_given_size_replaces_the_variants():
    model = models.build("vit", 10, variant="B/16", depth=2, patch=32)
    assert model.size == (variants.Sizes(width=768, depth=2, mlp_dim=3072, heads=12), 32)


@pytest.mark.parametrize("head", ["token", "gap", "map"])
@pytest.mark.parametrize("scan", [False, True])
def test_every_head_gives_float32_logits_and_without_outputs_the_representation(head, scan):
    for outputs, width in ((5, 5), (0, TINY["width"])):
        out, params = traced(tiny(outputs, head=head, scan=scan, dtype="bfloat16"), train=True)
        assert (out.shape, out.dtype) == ((2, width), jnp.float32)
        assert ("head" in params) == bool(outputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("positions", ["learned", "learned_2d", "sinusoid_1d", "sinusoid_2d", "relative", "none"])
@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (3, 8, 8, 1), (2, 4, 10, 3), (2, 10, 4, 3)])
def test_an_image_may_have_any_size_that_divides_by_the_patch(shape, positions):
    out, params = traced(tiny(positions=positions), shape)
    assert out.shape == (shape[0], 5)
    if positions == "learned":
        assert params["positions"]["embedding"].shape == (1, 1 + shape[1] * shape[2] // 4, 8)


def test_a_new_model_gives_zero_logits():
    logits, variables = jax.jit(lambda key: tiny().init_with_output(key, IMAGE, train=False))(
        jax.random.key(0, impl="rbg")
    )
    assert logits.shape == (2, 5)
    assert not np.asarray(logits).any()
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(variables["params"]["head"]))


def run(model: nn.Module, variables: dict, image: np.ndarray) -> tuple[np.ndarray, dict]:
    """(logits, probes)"""
    out, seen = jax.jit(lambda v, x: model.apply(v, x, train=False, mutable="probe"))(variables, image)
    return np.asarray(out), seen["probe"]


@pytest.mark.parametrize("head", ["token", "gap"])
def test_logits_are_a_linear_map_of_the_class_token_or_of_the_mean(filled, head):
    model = tiny(head=head)
    variables = filled(model, IMAGE)
    params = variables["params"]
    logits, seen = run(model, variables, IMAGE)
    tokens = np.asarray(seen["encoder"]["block_00"]["output"][0])
    assert tokens.shape == (2, 6 + (head == "token"), 8)
    centred = tokens - tokens.mean(-1, keepdims=True)
    tokens = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    tokens = tokens * params["encoder"]["norm"]["scale"] + params["encoder"]["norm"]["bias"]
    token = tokens[:, 0] if head == "token" else tokens.mean(1)
    np.testing.assert_allclose(seen["representation"][0], token, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits, token @ params["head"]["kernel"] + params["head"]["bias"], rtol=1e-5, atol=1e-5)


def test_an_attention_pool_is_one_query_to_every_token(filled):
    model = tiny(head="map")
    _, seen = run(model, filled(model, IMAGE), IMAGE)
    weights = seen["pooling"]["attention"]["attention"][0]
    assert weights.shape == (2, 2, 1, 6)
    np.testing.assert_allclose(weights.sum(-1), np.ones((2, 2, 1)), atol=1e-6)


@pytest.mark.parametrize("positions", ["none", "learned"])
def test_only_positions_tell_the_order_of_the_patches(filled, positions):
    model = tiny(positions=positions)
    variables = filled(model, IMAGE)
    patches = IMAGE.reshape(2, 2, 2, 3, 2, 3).swapaxes(2, 3)[:, ::-1, ::-1]
    shuffled = patches.swapaxes(2, 3).reshape(IMAGE.shape)
    moved = np.abs(run(model, variables, shuffled)[0] - run(model, variables, IMAGE)[0]).max()
    assert moved < 1e-5 if positions == "none" else moved > 1e-2


@pytest.mark.parametrize("train", [True, False])
def test_dropout_follows_the_positions_and_every_dense_layer_but_query_key_and_value(train):
    dropped = []

    def record(call, arguments, keywords, context):
        if isinstance(context.module, nn.Dropout) and context.module.rate and not context.module.deterministic:
            dropped.append(("/".join(context.module.path[:-1]), arguments[0].shape[-1]))
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        traced(tiny(dropout=0.1), train=train)
    block = "encoder/block_00"
    assert dropped == ([("", 8), (block, 8), (f"{block}/mlp", 16), (block, 8)] if train else [])


@pytest.mark.parametrize(("shape", "said"), [((1, 5, 4, 3), "5x4"), ((1, 4, 7, 3), "4x7")])
def test_an_image_that_does_not_divide_into_patches_is_refused(shape, said):
    with pytest.raises(UserError, match=rf"image of {said} does not divide into patches of 2: .*image_size.*patch"):
        traced(tiny(), shape)


def test_an_unknown_variant_names_the_nearest():
    with pytest.raises(UserError, match=r"config\.model\.variant='B/61' does not exist: did you mean 'B/16'\?.*Ti/16"):
        traced(vit.Model(10, "B/61"))


def test_a_width_that_does_not_divide_by_the_heads_is_refused():
    with pytest.raises(UserError, match=r"config\.model\.width=8 does not divide by heads=3"):
        traced(tiny(heads=3))


@pytest.mark.parametrize("key", TINY)
def test_a_size_that_is_missing_is_named(key):
    with pytest.raises(UserError, match=rf"config\.model\.{key} is not set: set it, or config\.model\.variant"):
        traced(vit.Model(10, **{k: v for k, v in TINY.items() if k != key}))


@pytest.mark.parametrize("key", TINY)
def test_a_size_below_one_is_refused(key):
    with pytest.raises(UserError, match=rf"config\.model\.{key}=0"):
        traced(tiny(**{key: 0}))


def test_a_misspelled_setting_names_the_nearest():
    with pytest.raises(UserError, match=r"config\.model\.mlp_dmi is not a setting: did you mean 'mlp_dim'\?"):
        models.build("vit", 10, variant="B/16", mlp_dmi=3072)


def test_a_misspelled_model_names_the_nearest():
    with pytest.raises(UserError, match=r"no 'vitt' in models/: did you mean 'vit'\?"):
        models.build("vitt", 10)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"head": "cls"}, "head='cls' should be 'token', 'gap', 'map'"),
        ({"width": "8"}, "width='8' should be a valid integer"),
        ({"width": 0}, "width=0 should be greater than or equal to 1"),
        ({"positions": "sin"}, "positions='sin' should be 'learned'"),
        ({"dtype": "float8"}, "dtype='float8' should be 'float32'"),
        ({"dropout": 1.0}, "dropout=1.0 should be less than 1"),
        ({"stochastic_depth": -0.1}, "stochastic_depth=-0.1 should be greater than or equal to 0"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(setting, said):
    with pytest.raises(UserError, match=rf"config\.model\.{said}"):
        tiny(**setting)


@pytest.mark.parametrize("variant", ["Ti/16", "B/32"])
def test_a_representation_layer_adds_a_dense_layer_of_the_width(variant):
    width = TABLE[variant.split("/")[0]][0]
    with_layer = parameters(vit.Model(1000, variant, representation=True, scan=True))
    assert with_layer == ROWS[variant] + width * width + width


def test_a_representation_is_the_tanh_of_a_dense_layer(filled):
    model = tiny(representation=True)
    variables = filled(model, IMAGE)
    params = variables["params"]
    plain = {key: value for key, value in params.items() if key in filled(tiny(), IMAGE)["params"]}
    token = run(tiny(), {"params": plain}, IMAGE)[1]["representation"][0]
    (layer,) = (value for key, value in params.items() if key not in plain)
    hidden = np.tanh(token @ layer["kernel"] + layer["bias"])
    logits, seen = run(model, variables, IMAGE)
    np.testing.assert_allclose(seen["representation"][0], hidden, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits, hidden @ params["head"]["kernel"] + params["head"]["bias"], rtol=1e-5, atol=1e-5)


def test_a_stem_stands_before_the_patches_and_says_what_images_it_takes():
    model = tiny(stem="cifar", stem_depths=(1, 1), stem_width=8, patch=2)
    assert traced(model, (1, 8, 12, 3))[1]["positions"]["embedding"].shape == (1, 1 + 2 * 3, 8)
    with pytest.raises(UserError, match=r"an image of 8x10 does not divide into patches of 4"):
        traced(model, (1, 8, 10, 3))
    out, params = traced(tiny(stem="imagenet", stem_depths=(1,), stem_width=8, patch=1), (1, 8, 8, 3))
    assert out.shape == (1, 5)
    assert set(params["stem"]) == {"root_conv", "root_norm", "stage_1_unit_01"}
