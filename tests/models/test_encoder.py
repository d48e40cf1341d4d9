"""The encoder against NumPy, and its two forms (scan, remat) against the plain one."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.attention import Options
from models.encoder import Block, Encoder, Mlp

B, N, D, H, F, L = 2, 3, 8, 2, 12, 2

X = jnp.asarray(np.random.default_rng(1).normal(size=(B, N, D)), jnp.float32)


def encoder(**arguments) -> Encoder:
    return Encoder(**dict(depth=L, heads=H, mlp_dim=F) | arguments)


def compiled(model: Encoder):
    """run(variables, x, seed, train) -> (output, probes)."""

    def run(variables, x, seed=0, train=False):
        rngs = {"dropout": jax.random.key(seed, impl="rbg")}  # threefry takes three times as long to compile
        out, seen = model.apply(variables, x, train=train, rngs=rngs, mutable="probe")
        return out, seen["probe"]

    return jax.jit(run, static_argnames="train")


def stacked(variables: dict) -> dict:
    """What a scan's variables are when the unrolled layers have these."""
    blocks = [variables["params"][f"block_{layer:02}"] for layer in range(L)]
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)
    return {"params": {"blocks": together, "norm": variables["params"]["norm"]}}


def close(left, right, atol: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol), left, right)


@pytest.fixture(scope="module")
def unrolled(filled):
    return filled(encoder(), X)


@pytest.fixture(scope="module")
def plain():
    return compiled(encoder(dropout=0.5, attention_dropout=0.5))


def norm(x, p):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def attention(x, p, mask=1.0):
    q, k, v = (np.einsum("bnd,dhk->bhnk", x, p[n]["kernel"]) + p[n]["bias"][:, None] for n in ("query", "key", "value"))
    weights = np.exp(q @ k.swapaxes(2, 3) / math.sqrt(D // H)) * mask
    heads = weights / weights.sum(-1, keepdims=True) @ v
    return np.einsum("bhnk,hkd->bnd", heads, p["out"]["kernel"]) + p["out"]["bias"]


def mlp(x, p):
    x = erf_gelu(x @ p["expand"]["kernel"] + p["expand"]["bias"])
    return x @ p["contract"]["kernel"] + p["contract"]["bias"]


def test_a_block_is_equations_2_and_3_with_the_exact_gelu(plain, unrolled):
    params, x = jax.tree.map(np.float64, unrolled["params"]), np.float64(X)
    out, seen = plain(unrolled, X)
    for layer in range(L):
        p = params[f"block_{layer:02}"]
        x = x + attention(norm(x, p["attention_norm"]), p["attention"])
        x = x + mlp(norm(x, p["mlp_norm"]), p["mlp"])
        close(seen[f"block_{layer:02}"]["output"][0], x)
    close(out, norm(x, params["norm"]))


def test_a_post_ln_block_normalises_each_sum_and_sees_what_the_mask_allows(filled):
    model = encoder(norm="post")
    variables = filled(model, X)
    assert "norm" not in variables["params"]
    mask = np.array([[True, True, False], [True, False, False]])[:, None, None]
    out = jax.jit(lambda variables: model.apply(variables, X, mask, train=False))(variables)
    params, x = jax.tree.map(np.float64, variables["params"]), np.float64(X)
    for layer in range(L):
        p = params[f"block_{layer:02}"]
        x = norm(x + attention(x, p["attention"], mask), p["attention_norm"])
        x = norm(x + mlp(x, p["mlp"]), p["mlp_norm"])
    close(out, x)


@pytest.mark.parametrize(
    ("activation", "at_minus_one"), [("gelu", -0.15865525), ("gelu_tanh", -0.15880801), ("relu", 0.0)]
)
def test_the_mlp_has_the_activation_that_it_is_asked_for(activation, at_minus_one):
    one = {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    mlp = Mlp(mlp_dim=1, activation=activation)
    out = mlp.apply({"params": {"expand": one, "contract": one}}, -jnp.ones((1, 1, 1)), train=False)
    assert float(out[0, 0, 0]) == pytest.approx(at_minus_one, abs=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf_gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def tanh_gelu(x):
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("activation", "gate"), [("geglu", erf_gelu), ("geglu_tanh", tanh_gelu), ("swiglu", lambda x: x * sigmoid(x))]
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_gated_mlp_is_the_product_of_two_layers_one_of_them_activated(filled, activation, gate, use_bias):
    model = Mlp(mlp_dim=F, activation=activation, use_bias=use_bias)
    variables = filled(model, X)
    out = model.apply(variables, X, train=False)
    x, p = np.float64(X), jax.tree.map(np.float64, variables["params"])
    assert ("bias" in p["gate"], p["gate"]["kernel"].shape) == (use_bias, (D, F))
    bias = {name: layer.get("bias", 0.0) for name, layer in p.items()}
    y = gate(x @ p["gate"]["kernel"] + bias["gate"]) * (x @ p["expand"]["kernel"] + bias["expand"])
    close(out, y @ p["contract"]["kernel"] + bias["contract"])


def test_blocks_of_rms_norm_without_biases_have_no_mean_and_no_bias(filled):
    model = encoder(norm_kind="rms", norm_epsilon=0.5, use_bias=False, depth=1)
    variables = filled(model, X)
    params, x = jax.tree.map(np.float64, variables["params"]), np.float64(X)
    assert not [path for path, _ in jax.tree.leaves_with_path(params) if path[-1].key == "bias"]

    def rms(x, p):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.5) * p["scale"]

    p = jax.tree.map(np.float64, params["block_00"])
    biasless = {name: layer | {"bias": np.zeros((1, 1))} for name, layer in p["attention"].items()}
    biasless["out"]["bias"] = 0.0
    x = x + attention(rms(x, p["attention_norm"]), biasless)
    x = x + mlp(rms(x, p["mlp_norm"]), {name: layer | {"bias": 0.0} for name, layer in p["mlp"].items()})
    close(jax.jit(lambda v: model.apply(v, X, train=False))(variables), rms(x, params["norm"]))


@pytest.fixture(scope="module")
def gradients(unrolled):
    """(loss, gradients) of an encoder in training, each worked out once."""
    weight = np.random.default_rng(2).normal(size=X.shape).astype(np.float32)

    @functools.cache
    def run(**arguments):
        model = encoder(**arguments)

        def loss(variables, rngs):
            return jnp.mean(weight * model.apply(variables, X, train=True, rngs=rngs))

        rngs = {"dropout": jax.random.key(0, impl="rbg")}
        return jax.jit(jax.value_and_grad(loss))(stacked(unrolled) if model.scan else unrolled, rngs)

    return run


def test_a_scan_gives_the_outputs_and_probes_of_the_unrolled_layers(plain, unrolled):
    out, seen = plain(unrolled, X)
    scanned_out, scanned = compiled(encoder(scan=True))(stacked(unrolled), X)
    close(scanned_out, out)
    blocks = [seen[f"block_{layer:02}"] for layer in range(L)]
    assert scanned["blocks"]["attention"]["attention"][0].shape == (L, B, H, N, N)
    assert scanned["blocks"]["output"][0].shape == (L, B, N, D)
    close(scanned["blocks"], jax.tree.map(lambda *leaves: np.stack(leaves), *blocks))


def test_a_scan_has_the_parameters_of_the_unrolled_layers_stacked(filled, unrolled):
    scanned = filled(encoder(scan=True), X)
    assert jax.tree.map(np.shape, scanned) == jax.tree.map(np.shape, stacked(unrolled))


def test_a_bias_is_added_to_the_scores_of_every_layer_scanned_or_not(unrolled):
    forbidden = np.array([[0, 0, -np.inf], [0, 0, 0], [-np.inf, 0, 0]], np.float32)
    bias = np.broadcast_to(np.maximum(forbidden, -1e9), (1, H, N, N))
    out = jax.jit(lambda v: encoder().apply(v, X, forbidden[None, None] == 0, train=False))(unrolled)
    for model, variables in ((encoder(), unrolled), (encoder(scan=True), stacked(unrolled))):
        close(jax.jit(lambda v, model=model: model.apply(v, X, bias=bias, train=False))(variables), out)


def test_each_layer_of_a_scan_starts_differently():
    init = jax.jit(
        lambda key: encoder(scan=True).init(key, X, train=False)["params"]["blocks"]["mlp"]["expand"]["kernel"]
    )
    first, second = init(jax.random.key(0, impl="rbg"))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_a_scan_gives_the_loss_and_gradients_of_the_unrolled_layers(gradients, remat):
    loss, gradient = gradients()
    close(gradients(scan=True, remat=remat), (loss, stacked(gradient)))


def test_rotary_positions_reach_every_layer_of_either_form(filled):
    """Outputs depend on distances, which are the same from any first position on, and not on the order alone."""
    options = Options(distances="rotary", qk_norm=True, kv_heads=1)
    variables = filled(encoder(options=options), X)

    @functools.partial(jax.jit, static_argnames="scan")
    def run(variables, position, scan=False):
        return encoder(options=options, scan=scan).apply(variables, X, None, position, train=False)

    order = np.arange(N)[None]
    out = run(variables, order)
    close(run(stacked(variables), order, scan=True), out)
    close(run(variables, order + 7), out, atol=1e-4)
    assert np.abs(run(variables, 3 * order) - out).max() > 1e-2


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_computing_activations_again_changes_no_loss_and_no_gradient(gradients, remat):
    close(gradients(remat=remat, attention_dropout=0.2), gradients(attention_dropout=0.2))


def test_dropout_follows_the_key_in_training_only(plain, unrolled):
    first, again, other = (plain(unrolled, X, seed=seed, train=True)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2
    without = plain(unrolled, X, seed=0)[0]
    np.testing.assert_array_equal(without, plain(unrolled, X, seed=1)[0])
    assert np.abs(first - without).max() > 1e-2


@pytest.fixture(scope="module", params=[False, True], ids=["unrolled", "scan"])
def outputs_by_layer(request, unrolled):
    """Outputs of each layer, in training and not, with a last layer that is almost surely dropped."""
    model = encoder(scan=request.param, stochastic_depth=1 - 1e-7)
    run, variables = compiled(model), stacked(unrolled) if request.param else unrolled

    def layers(train: bool) -> np.ndarray:
        seen = run(variables, X, train=train)[1]
        if request.param:
            return np.asarray(seen["blocks"]["output"][0])
        return np.stack([seen[f"block_{layer:02}"]["output"][0] for layer in range(L)])

    return layers(train=True), layers(train=False)


def test_stochastic_depth_spares_the_first_layer_and_drops_the_last_the_most(outputs_by_layer):
    trained, evaluated = outputs_by_layer
    close(trained[0], evaluated[0])
    np.testing.assert_array_equal(trained[-1], trained[-2])


def test_stochastic_depth_changes_nothing_out_of_training(outputs_by_layer, plain, unrolled):
    seen = plain(unrolled, X)[1]
    close(outputs_by_layer[1], np.stack([seen[f"block_{layer:02}"]["output"][0] for layer in range(L)]))


def test_an_image_keeps_a_branch_with_probability_one_minus_the_rate_and_scaled_by_its_inverse(filled):
    images, rate = 2000, np.float32(0.25)
    model = Block(H, F, stochastic_depth=True)
    variables = filled(model, X, rate, None)
    mlp = variables["params"]["mlp"]
    mlp["contract"] = jax.tree.map(np.zeros_like, mlp["contract"])
    x = np.tile(X[:1], (images, 1, 1))
    run = jax.jit(model.apply, static_argnums=4)
    branch = run(variables, X[:1], rate, None, False)[0] - X[:1]
    added = run(variables, x, rate, None, True, rngs={"dropout": jax.random.key(0, impl="rbg")})[0] - x
    kept = np.abs(added).max(axis=(1, 2)) > 0
    close(added[kept], np.tile(branch / (1 - rate), (kept.sum(), 1, 1)))
    assert abs(kept.mean() - (1 - rate)) < 4 * math.sqrt(rate * (1 - rate) / images)
