"""What later models change in attention, each against a naive NumPy form, by every way that computes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import kernels
from models.attention import MultiHeadAttention, Options
from models.distances import alibi_slopes, rotated
from models.masks import Mask, causal_mask

B, T, D, H, K = 2, 9, 12, 4, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype(np.float32)
POSITION = np.array([[*range(5), *range(4)], [*range(2), *range(7)]])  # two documents in each row
SEGMENT = np.array([[1] * 5 + [2] * 4, [1] * 2 + [2] * 7])
OPTIONS = {
    "grouped queries": Options(kv_heads=2),
    "multi-query": Options(kv_heads=1),
    "rotary": Options(distances="rotary", rotary_base=100.0),
    "alibi": Options(distances="alibi"),
    "normalised": Options(qk_norm=True),
    "capped": Options(cap=0.5),
    "all": Options(kv_heads=2, distances="rotary", qk_norm=True, cap=2.0),
}


def turned(x: np.ndarray, position: np.ndarray, base: float) -> np.ndarray:
    """Each pair (x_i, x_(i + K/2)) as a complex number, times e^(i · position · base^(-2i / K))."""
    half = x.shape[-1] // 2
    pairs = x[..., :half] + 1j * x[..., half:]
    angle = position[..., None, None] * np.array([base ** (-2 * i / (2 * half)) for i in range(half)])
    pairs = pairs * np.exp(1j * angle)
    return np.concatenate([pairs.real, pairs.imag], axis=-1)


def naive(params, x, options: Options, window: int = 0) -> np.ndarray:
    """Attention of two documents in each row, one query at a time, in float64."""
    x = x.astype(np.float64)
    query, key, value = (
        np.einsum("bnd,dhk->bnhk", x, params[name]["kernel"]) + params[name]["bias"]
        for name in ("query", "key", "value")
    )
    if options.qk_norm:
        query, key = (
            y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * params[name]["scale"]
            for y, name in ((query, "query_norm"), (key, "key_norm"))
        )
    if options.distances == "rotary":
        query, key = (turned(y, POSITION, options.rotary_base) for y in (query, key))
    heads = np.zeros((B, T, H, K))
    for b, t, h in np.ndindex(B, T, H):
        g = h // (H // key.shape[2])
        seen = [s for s in range(t + 1) if SEGMENT[b, s] == SEGMENT[b, t] and not (window and t - s >= window)]
        scores = np.array([query[b, t, h] @ key[b, s, g] / np.sqrt(K) for s in seen])
        if options.cap:
            scores = options.cap * np.tanh(scores / options.cap)
        if options.distances == "alibi":
            scores = scores - alibi_slopes(H)[h] * np.array([t - s for s in seen])
        weights = np.exp(scores) / np.exp(scores).sum()
        heads[b, t, h] = sum(w * value[b, s, g] for w, s in zip(weights, seen, strict=True))
    return np.einsum("bthk,hkd->btd", heads, params["out"]["kernel"]) + params["out"]["bias"]


def layer(options: Options, **arguments) -> MultiHeadAttention:
    return MultiHeadAttention(D, H, head_dim=K, options=options, **arguments)


def results(model: MultiHeadAttention, variables, mask: Mask):
    """The output, and the gradients of the parameters."""

    @jax.jit
    def both(variables):
        out, back = jax.vjp(lambda v: model.apply(v, X, mask=mask, position=POSITION, train=False), variables)
        return out, back(jnp.cos(jnp.arange(out.size)).reshape(out.shape))

    return both(variables)


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_its_equation_by_both_ways_that_run_anywhere(name, filled, monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", 2)
    options, mask = OPTIONS[name], causal_mask() & Mask(segments=(SEGMENT, SEGMENT))
    variables = filled(layer(options), X)
    plain = results(layer(options, kernel="plain"), variables, mask)
    np.testing.assert_allclose(plain[0], naive(jax.tree.map(np.float64, variables["params"]), X, options), atol=2e-5)
    blockwise = results(layer(options, kernel="blockwise"), variables, mask)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), plain, blockwise)


def test_the_gradient_of_all_options_is_that_of_small_differences(filled):
    options, mask = OPTIONS["all"], causal_mask() & Mask(segments=(SEGMENT, SEGMENT))
    variables = filled(layer(options), X)
    _, (gradients,) = results(layer(options), variables, mask)
    params, weight = jax.tree.map(np.float64, variables["params"]), np.cos(np.arange(B * T * D)).reshape(B, T, D)
    for name, part in [("query", "kernel"), ("key", "kernel"), ("value", "kernel"), ("key_norm", "scale")]:
        step = RNG.normal(size=params[name][part].shape)
        up, down = (
            naive(params | {name: params[name] | {part: params[name][part] + e * step}}, X, options)
            for e in (1e-4, -1e-4)
        )
        expected = ((up - down) * weight).sum() / 2e-4
        assert (gradients["params"][name][part] * step).sum() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kernel", ["plain", "blockwise"])
def test_a_window_hides_all_but_the_last_tokens(kernel, filled, monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", 2)
    mask = causal_mask(3) & Mask(segments=(SEGMENT, SEGMENT))
    variables = filled(layer(Options()), X)
    found, _ = results(layer(Options(), kernel=kernel), variables, mask)
    expected = naive(jax.tree.map(np.float64, variables["params"]), X, Options(), window=3)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("name", ["grouped queries", "alibi", "all"])
def test_kept_keys_and_values_have_the_groups_heads_and_give_the_same(name, filled):
    options = OPTIONS[name]
    model, mask = layer(options), np.tril(np.ones((T, T), bool))[None, None]
    variables = filled(model, X)

    @jax.jit
    def both(variables):
        key, value = model.apply(variables, X, method="kept")
        late = model.apply(variables, X, key, value, mask, position=np.arange(T)[None], method="attend_to_kept")
        return key, value, late, model.apply(variables, X, mask=causal_mask(), train=False)

    key, value, late, whole = both(variables)
    groups = options.kv_heads or H
    assert value.shape == (B, groups, T, K)
    assert key.shape == (B, groups, K + 2 * (options.distances == "alibi"), T)
    np.testing.assert_allclose(late, whole, atol=2e-5)


def test_a_probe_sees_the_weights_of_all_options(filled):
    model, options = layer(OPTIONS["all"]), OPTIONS["all"]
    variables = filled(model, X)
    mask = causal_mask() & Mask(segments=(SEGMENT, SEGMENT))
    apply = jax.jit(lambda v: model.apply(v, X, mask=mask, position=POSITION, train=False, mutable="probe"))
    out, seen = apply(variables)
    assert seen["probe"]["attention"][0].shape == (B, H, T, T)
    np.testing.assert_allclose(out, naive(jax.tree.map(np.float64, variables["params"]), X, options), atol=2e-5)


def test_rotary_products_depend_on_distances_alone():
    query, key = RNG.normal(size=(2, 1, 1, 1, 64)).astype(np.float32)

    @jax.jit
    def product(t, s):
        return jnp.sum(rotated(query, t[None, None], 1e4) * rotated(key, s[None, None], 1e4))

    at = {pair: float(product(*map(np.int32, pair))) for pair in ((7, 3), (1004, 1000), (7, 4), (5, 5))}
    assert at[7, 3] == pytest.approx(at[1004, 1000], abs=1e-3)
    assert abs(at[7, 3] - at[7, 4]) > 1e-2
    assert at[5, 5] == pytest.approx(float((query * key).sum()), abs=1e-5)


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (16, [n / 2 for n in range(1, 17)]),
        (1, [8]),
        (12, [*range(1, 9), 0.5, 1.5, 2.5, 3.5]),
        (6, [2, 4, 6, 8, 1, 3]),
    ],
)
def test_alibi_has_the_papers_slopes(heads, exponents):
    np.testing.assert_allclose(alibi_slopes(heads), [2.0**-e for e in exponents], rtol=1e-12)


def test_alibi_in_bfloat16_knows_distances_among_thousands_of_tokens(filled):
    """Equal queries and keys: the weights are those of the slopes alone."""
    model = MultiHeadAttention(4, 1, options=Options(distances="alibi"), dtype=jnp.bfloat16)
    x = jnp.zeros((1, 8, 4))
    variables, position = filled(model, x), np.arange(5000, 5008)[None]

    @jax.jit
    def weights(variables):
        _, seen = model.apply(variables, x, mask=causal_mask(), position=position, train=False, mutable="probe")
        return seen["probe"]["attention"][0][0, 0, -1]

    expected = np.exp(-(2.0**-8) * np.arange(7, -1, -1))
    np.testing.assert_allclose(weights(variables), expected / expected.sum(), rtol=1e-2)


@pytest.mark.parametrize(
    ("options", "head_dim", "message"),
    [
        (Options(kv_heads=3), K, "kv_heads=3 does not divide 4 heads"),
        (Options(distances="alibi", cap=1.0), K, "a soft cap of scores would cap ALiBi's distances too"),
        (Options(distances="rotary"), 3, "heads have an odd size, 3"),
    ],
)
def test_what_cannot_go_together_is_one_line(options, head_dim, message):
    model = MultiHeadAttention(D, H, head_dim=head_dim, options=options)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: model.init(jax.random.key(0), X, train=False))
