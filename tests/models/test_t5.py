"""T5 against NumPy and the published numbers of parameters; token by token against all at once."""

import functools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import kernels

B, S, T, K, V, D, H, HEAD, F = 2, 7, 5, 3, 11, 8, 2, 3, 12
TINY = dict(
    width=D,
    depth=1,
    decoder_depth=2,
    mlp_dim=F,
    heads=H,
    head_dim=HEAD,
    buckets=8,
    max_distance=5,
    dropout=0.0,
    norm_epsilon=0.5,
)

SOURCE = np.random.default_rng(1).integers(1, V, (B, S))
SOURCE[1, 4:] = 0
REAL = SOURCE != 0
INPUTS = np.random.default_rng(2).integers(1, V, (B, T))
ONE = (jnp.ones((1, 4), jnp.int32),) * 2

COUNTS = {
    ("1.0", "small"): 60_506_624,
    ("1.0", "base"): 222_903_552,
    ("1.0", "large"): 737_668_096,
    ("1.0", "3B"): 2_851_598_336,
    ("1.1", "small"): 76_961_152,
    ("1.1", "base"): 247_577_856,
    ("1.1", "large"): 783_150_080,
    ("1.1", "XL"): 2_849_757_184,
}


def t5(**arguments):
    return models.build("t5", V, **TINY | arguments)


def close(left, right) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


@pytest.fixture(scope="module")
def whole(filled):
    """whole(version) -> the compiled logits(variables, source, inputs[, segments]), and variables."""

    @functools.cache
    def build(version):
        model = t5(version=version)
        logits = jax.jit(lambda variables, *tokens: model.apply(variables, *tokens, train=False))
        return logits, filled(model, SOURCE, INPUTS)

    return build


@pytest.mark.parametrize(("version", "variant"), COUNTS)
def test_every_variant_has_the_published_number_of_parameters(version, variant):
    def parameters(depth: int) -> int:
        model = models.build("t5", 32_128, version=version, variant=variant, depth=depth)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *ONE, train=False))["params"]
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    one, two = parameters(1), parameters(2)  # layers are alike, and many take long to trace
    depth = models.build("t5", 32_128, version=version, variant=variant).size.depth
    assert one + (depth - 1) * (two - one) == COUNTS[version, variant]


def test_no_variant_lacks_its_number():
    assert set(COUNTS) == {(version, name) for version, table in models.sizes.T5.items() for name in table}


# Buckets of eight for distances up to 5, key's place less query's, as 1910.10683 describes them.
ENCODER_BUCKETS = {-6: 3, -5: 3, -4: 3, -3: 2, -2: 2, -1: 1, 0: 0, 1: 5, 2: 6, 3: 6, 4: 7, 5: 7, 6: 7}
DECODER_BUCKETS = {-4: 4, -3: 3, -2: 2, -1: 1, 0: 0, 1: 0, 2: 0, 3: 0, 4: 0}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_model_is_the_papers(whole, version):
    logits, variables = whole(version)
    params = jax.tree.map(np.float64, variables["params"])

    def norm(x, p):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.5) * p["scale"]

    def attention(x, memory, p, mask, bias):
        query, key, value = (
            np.einsum("bnd,dhk->bhnk", tokens, p[name]["kernel"])
            for name, tokens in (("query", x), ("key", memory), ("value", memory))
        )
        weights = np.exp(query @ key.swapaxes(2, 3) + bias) * mask
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bhnk,hkd->bnd", weights @ value, p["out"]["kernel"])

    def mlp(x, p):
        hidden = x @ p["expand"]["kernel"]
        if version == "1.0":
            return np.maximum(hidden, 0) @ p["contract"]["kernel"]
        gate = x @ p["gate"]["kernel"]
        gate = gate * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        return gate * hidden @ p["contract"]["kernel"]

    def bias(stack, buckets, length):
        table = params[f"{stack}_relative"]["embedding"]
        return np.array([[[table[buckets[j - i], h] for j in range(length)] for i in range(length)] for h in range(H)])

    padding, causal = REAL[:, None, None], np.tril(np.ones((T, T)))
    memory, p = params["embedding"]["embedding"][SOURCE], params["encoder"]["block_00"]
    y = norm(memory, p["attention_norm"])
    memory = memory + attention(y, y, p["attention"], padding, bias("encoder", ENCODER_BUCKETS, S))
    memory = memory + mlp(norm(memory, p["mlp_norm"]), p["mlp"])
    memory = norm(memory, params["encoder"]["norm"])

    x = params["embedding"]["embedding"][INPUTS]
    for layer in ("block_00", "block_01"):
        p = params["decoder"][layer]
        y = norm(x, p["self_norm"])
        x = x + attention(y, y, p["self_attention"], causal, bias("decoder", DECODER_BUCKETS, T))
        x = x + attention(norm(x, p["cross_norm"]), memory, p["cross_attention"], padding, 0.0)
        x = x + mlp(norm(x, p["mlp_norm"]), p["mlp"])
    x = norm(x, params["decoder"]["norm"])
    head = params["embedding"]["embedding"].T / math.sqrt(D) if version == "1.0" else params["head"]["kernel"]
    close(logits(variables, SOURCE, INPUTS), x @ head)


@pytest.mark.parametrize(("version", "beams"), [("1.0", 1), ("1.1", K)])
def test_token_by_token_a_beam_gets_the_logits_of_the_whole_of_what_it_wrote(whole, version, beams):
    logits, variables = whole(version)
    decoded = jax.jit(functools.partial(decode, t5(version=version)))
    draw = np.random.default_rng(0)
    tokens, parents = (draw.integers(low, high, (T, B, beams)) for low, high in ((1, V), (0, beams)))
    steps = np.asarray(decoded(variables, tokens, parents))
    written = np.zeros((B, beams, T), int)
    for t in range(T):
        written = np.take_along_axis(written, parents[t, :, :, None], axis=1)
        written[:, :, t] = tokens[t]
        for beam in range(beams):
            close(steps[t, :, beam], logits(variables, SOURCE, written[:, beam])[:, t])


def decode(model, variables, tokens, parents):
    """Logits of every step (T, B, K, V), with room for more steps than there are."""
    apply = functools.partial(model.apply, variables)

    def step(cache, now):
        logits, cache = apply(*now, cache, method="step")
        return cache, logits

    cache = apply(SOURCE, beams=tokens.shape[-1], length=T + 2, method="start")
    return jax.lax.scan(step, cache, (tokens, parents))[1]


def test_in_blocks_and_computed_again_it_has_the_same_loss_and_gradients(monkeypatch, whole):
    monkeypatch.setattr(kernels, "BLOCK", 4)
    weight = np.random.default_rng(3).normal(size=(B, T, V)).astype(np.float32)

    def gradients(**arguments):
        def loss(variables):
            return jnp.sum(weight * t5(**arguments).apply(variables, SOURCE, INPUTS, train=True))

        return jax.jit(jax.value_and_grad(loss))(whole("1.0")[1])

    found, expected = gradients(remat="full", kernel="blockwise"), gradients()
    close(found, expected)
    for stack in ("encoder", "decoder"):
        assert np.abs(expected[1]["params"][f"{stack}_relative"]["embedding"]).max() > 0.01


def test_in_bfloat16_parameters_and_logits_are_float32_and_the_cache_is_not():
    model = t5(version="1.1", dtype="bfloat16")
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), SOURCE, INPUTS, train=False))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    start = jax.eval_shape(lambda v: model.apply(v, SOURCE, beams=K, length=2, method="start"), variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(start["layers"])} == {jnp.dtype("bfloat16")}


def test_sentences_in_one_row_get_the_logits_that_each_gets_alone(whole):
    run, variables = whole("1.0")
    alone = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 5, 0, 0, 0, 0, 0]]), np.array([[1, 2, 0, 0, 0], [3, 4, 0, 0, 0]])
    packed = np.array([[1, 2, 3, 4, 5, 0, 0], [4, 5, 1, 2, 3, 0, 0]]), np.array([[1, 2, 3, 4, 0], [3, 4, 1, 2, 0]])
    segments = np.array([[1, 1, 1, 2, 2, 0, 0], [1, 1, 2, 2, 2, 0, 0]]), np.array([[1, 1, 2, 2, 0]] * 2)
    first, second = run(variables, *alone)[:, :2]
    close(run(variables, *packed, *segments)[:, :4], np.stack([[*first, *second], [*second, *first]]))


def test_matrices_begin_with_mesh_tensorflows_deviations():
    size = dict(width=64, mlp_dim=96, heads=4, head_dim=8, depth=1, decoder_depth=1, buckets=32, max_distance=128)
    model = models.build("t5", 300, version="1.1", **size)
    variables = jax.jit(lambda key: model.init(key, *ONE, train=False))(jax.random.key(0, impl="rbg"))
    params = variables["params"]
    expected = {
        "query": (64 * 8) ** -0.5,
        "key": 64**-0.5,
        "value": 64**-0.5,
        "out": (4 * 8) ** -0.5,
        "expand": 64**-0.5,
        "gate": 64**-0.5,
        "contract": 96**-0.5,
        "head": 64**-0.5,
    }
    for path, leaf in jax.tree.leaves_with_path(params):
        name = path[-2].key
        if name in expected:
            assert float(leaf.std()) == pytest.approx(expected[name], rel=0.1), path
    assert float(params["embedding"]["embedding"].std()) == pytest.approx(1, rel=0.05)
    for stack in ("encoder", "decoder"):
        assert float(params[f"{stack}_relative"]["embedding"].std()) == pytest.approx(1 / 8, rel=0.25)
        assert (params[stack]["norm"]["scale"] == 1).all()


def test_one_dropout_stands_at_all_of_the_papers_places(monkeypatch):
    drawn, bernoulli = [], jax.random.bernoulli

    def noted(key, p, shape):
        drawn.append((p, tuple(shape)))
        return bernoulli(key, p, shape)

    monkeypatch.setattr(jax.random, "bernoulli", noted)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    jax.eval_shape(lambda: t5(dropout=0.25).init(rngs, SOURCE, INPUTS, train=True))
    tokens = {(B, S, D): 2 + 2, (B, T, D): 2 + 2 * 3}  # embeddings and the stack's output, branches
    weights = {(B, H, S, S): 1, (B, H, T, T): 2, (B, H, T, S): 2}
    assert Counter(drawn) == {(0.75, k): n for k, n in {**tokens, **weights, (B, S, F): 1, (B, T, F): 2}.items()}
    drawn.clear()
    jax.eval_shape(lambda: t5(dropout=0.25).init(rngs, SOURCE, INPUTS, train=False))
    assert not drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "XL"}, "variant='XL' does not exist: There is: 3B, base, large, small"),
        ({"version": "1.1", "variant": "3B"}, "variant='3B' does not exist: There is: XL, base, large, small"),
        ({"version": "1.2"}, "config.model.version='1.2'"),
        ({"depth": None}, "depth is not set.*config.model.variant"),
        ({"heads": 3, "head_dim": None}, "width=8 does not divide by heads=3: set config.model.head_dim"),
        ({"source_vocabulary": 9}, "one vocabulary for both sides: set --config.data.joint=true"),
        ({"buckets": 6}, "buckets=6 must divide by 4"),
        ({"max_distance": 4}, "half of them must be less than max_distance=4"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: t5(**arguments).init(jax.random.key(0), *ONE, train=False))


def test_a_size_that_is_given_replaces_the_variants():
    size = models.build("t5", V, version="1.1", variant="XL", width=640, head_dim=None).size
    assert vars(size) == dict(width=640, depth=24, mlp_dim=5120, heads=32, head_dim=64)
    assert models.build("t5", V, width=64, depth=1, mlp_dim=9, heads=4).size.head_dim == 16
