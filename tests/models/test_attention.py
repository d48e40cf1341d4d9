"""Attention against NumPy loops in float64, and what a mask promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from models import kernels
from models.attention import MultiHeadAttention
from models.kernels import attention_weights, plain
from models.masks import causal_mask, padding_mask, segment_mask

B, T, S, H, K = 2, 4, 5, 2, 3
D = 8

many = settings(max_examples=25, deadline=None, derandomize=True, database=None)
masks = arrays(bool, (B, H, T, S))
attend = jax.jit(plain)
weigh = jax.jit(attention_weights)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def inputs(source: int = S, target: int = T) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return normal(0, B, target, H, K), normal(1, B, source, H, K), normal(2, B, source, H, K)


def naive(query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Equation 1 of 1706.03762, one query at a time, in float64."""
    query, key, value = (x.astype(np.float64) for x in (query, key, value))
    out = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, t, h in np.ndindex(*query.shape[:3]):
        seen = [s for s in range(key.shape[1]) if mask is None or mask[b, h, t, s]]
        if seen:
            scores = [np.exp(query[b, t, h] @ key[b, s, h] / np.sqrt(query.shape[-1])) for s in seen]
            out[b, t, h] = sum(score * value[b, s, h] for score, s in zip(scores, seen, strict=True)) / sum(scores)
    return out


@pytest.mark.parametrize("source", [T, S])
def test_attention_equals_a_naive_loop(source):
    query, key, value = inputs(source)
    np.testing.assert_allclose(attend(query, key, value), naive(query, key, value), rtol=1e-5, atol=1e-6)


@many
@given(masks)
def test_attention_equals_a_naive_loop_under_any_mask(mask):
    np.testing.assert_allclose(attend(*inputs(), mask), naive(*inputs(), mask), rtol=1e-5, atol=1e-6)


@many
@given(masks)
def test_weights_sum_to_one_over_what_is_allowed_and_are_zero_elsewhere(mask):
    query, key, _ = inputs()
    weights = np.asarray(weigh(query, key, mask))
    assert not weights[~mask].any()
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), atol=1e-6)


@many
@given(masks, st.permutations(range(S)))
def test_the_order_of_the_keys_does_not_matter(mask, order):
    query, key, value = inputs()
    shuffled = attend(query, key[:, order], value[:, order], mask[..., order])
    np.testing.assert_allclose(shuffled, attend(query, key, value, mask), rtol=1e-5, atol=1e-6)


@many
@given(arrays(bool, (B, S)))
def test_changing_a_padded_key_or_its_value_changes_nothing(valid):
    query, key, value = inputs()
    mask = padding_mask(jnp.asarray(valid))
    junk = np.where(valid[..., None, None], np.float32(0), np.float32(1e6))
    np.testing.assert_array_equal(attend(query, key + junk, value + junk, mask), attend(query, key, value, mask))


@many
@given(st.integers(1, T - 1))
def test_a_later_token_cannot_change_an_earlier_output(changed):
    query, key, value = inputs(T)
    mask = causal_mask().array(T, T)
    before = attend(query, key, value, mask)
    later = (np.arange(T) >= changed).astype(np.float32)[:, None, None]
    after = attend(query + later, key + later, value + later, mask)
    np.testing.assert_array_equal(after[:, :changed], before[:, :changed])
    assert np.all(np.abs(after[:, changed:] - before[:, changed:]).max(axis=(0, 2, 3)) > 1e-3)


def test_a_causal_mask_allows_a_token_itself_and_what_came_before():
    mask = np.asarray(causal_mask().array(T, T))
    assert mask.shape == (T, T)
    assert mask.dtype == bool
    assert all(mask[t, s] == (s <= t) for t, s in np.ndindex(T, T))


def test_a_padding_mask_accepts_integers_and_broadcasts_over_heads_and_queries():
    mask = padding_mask(jnp.array([[1, 1, 0], [1, 0, 0]]))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.array([[[[1, 1, 0]]], [[[1, 0, 0]]]], bool))


@many
@given(arrays(np.int32, (B, T), elements=st.integers(0, 2)), arrays(np.int32, (B, S), elements=st.integers(0, 2)))
def test_a_segment_mask_allows_the_same_sentence_and_no_padding(query, key):
    mask = np.asarray(segment_mask(query, key).array(T, S))
    assert mask.shape == (B, 1, T, S)
    assert mask.dtype == bool
    for b, t, s in np.ndindex(B, T, S):
        assert mask[b, 0, t, s] == (query[b, t] == key[b, s] != 0)


def test_a_query_that_may_look_nowhere_gives_zeros_and_finite_gradients():
    mask = np.ones((B, H, T, S), bool)
    mask[:, :, 1] = False
    out = attend(*inputs(), mask)
    assert not np.asarray(out[:, 1]).any()
    assert np.asarray(out[:, 0]).all()
    loss = jax.jit(jax.grad(lambda q, k, v: plain(q, k, v, mask).sum(), argnums=(0, 1, 2)))
    assert all(np.isfinite(gradient).all() for gradient in loss(*inputs()))


@many
@given(masks)
def test_plain_attention_equals_that_of_jax(mask):
    mask[..., 0] = True
    expected = jax.nn.dot_product_attention(*inputs(), mask=mask, implementation="xla")
    np.testing.assert_allclose(attend(*inputs(), mask), expected, rtol=1e-5, atol=1e-6)


def test_scores_in_bfloat16_are_normalised_in_float32():
    query, key = (jnp.asarray(normal(seed, 1, 1 if seed == 0 else 512, 1, K), jnp.bfloat16) for seed in (0, 1))
    weights = weigh(query, key)
    assert weights.dtype == jnp.bfloat16
    exact = np.asarray(query, np.float64)[0, :, 0] * K**-0.5 @ np.asarray(key, np.float64)[0, :, 0].T
    exact = np.exp(exact) / np.exp(exact).sum()
    np.testing.assert_allclose(np.asarray(weights, np.float64)[0, 0], exact, rtol=2e-2)


@pytest.fixture(scope="module")
def attention(filled):
    """A layer with dropout as one compiled function, its parameters, x and memory."""
    x, memory = normal(3, B, T, D), normal(4, B, S, D)
    model = MultiHeadAttention(D, H, dropout=0.5)

    def run(variables, x, memory=None, mask=None, seed=0, train=False, probe=False):
        rngs = {"dropout": jax.random.key(seed, impl="rbg")}  # compiles in a third of the time
        out = model.apply(variables, x, memory, mask, train=train, rngs=rngs, mutable="probe" if probe else False)
        return (out[0], out[1]["probe"]["attention"][0]) if probe else out

    return jax.jit(run, static_argnames=("train", "probe")), filled(model, x, memory), x, memory


@pytest.mark.parametrize("cross", [False, True])
def test_queries_come_from_x_and_keys_and_values_from_memory(attention, cross):
    run, variables, x, memory = attention
    params = jax.tree.map(np.float64, variables["params"])
    source = memory if cross else x

    def heads(name: str, tokens: np.ndarray) -> np.ndarray:
        return np.einsum("bnd,dhk->bnhk", tokens, params[name]["kernel"]) + params[name]["bias"]

    attended = naive(heads("query", x), heads("key", source), heads("value", source))
    expected = np.einsum("bthk,hkd->btd", attended, params["out"]["kernel"]) + params["out"]["bias"]
    np.testing.assert_allclose(run(variables, x, source), expected, rtol=1e-5, atol=1e-5)


def test_without_memory_x_attends_to_itself(attention):
    run, variables, x, _ = attention
    np.testing.assert_allclose(run(variables, x), run(variables, x, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["itself", "memory"])
def test_a_probe_sees_weights_that_sum_to_one_and_changes_no_output(attention, source):
    run, variables, x, memory = attention
    memory = x if source == "itself" else memory
    out, weights = run(variables, x, memory, probe=True)
    assert weights.shape == (B, H, T, memory.shape[1])
    np.testing.assert_allclose(weights.sum(-1), np.ones((B, H, T)), atol=1e-6)
    np.testing.assert_allclose(out, run(variables, x, memory), rtol=1e-5, atol=1e-6)


def test_a_probe_sees_the_mask(attention):
    run, variables, x, _ = attention
    out, weights = run(variables, x, mask=causal_mask(), probe=True)
    assert not np.triu(weights, 1).any()
    np.testing.assert_allclose(weights.sum(-1), np.ones((B, H, T)), atol=1e-6)
    np.testing.assert_allclose(out, run(variables, x, mask=causal_mask()), rtol=1e-5, atol=1e-6)


def test_dropout_follows_the_key_in_training_only(attention):
    run, variables, x, memory = attention
    first, again, other = (run(variables, x, memory, seed=seed, train=True) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2
    without = run(variables, x, memory, seed=0)
    np.testing.assert_array_equal(without, run(variables, x, memory, seed=1))
    assert np.abs(first - without).max() > 1e-2


def test_a_probe_in_training_sees_the_weights_before_dropout_and_changes_no_output(attention):
    run, variables, x, memory = attention
    out, weights = run(variables, x, memory, train=True, probe=True)
    np.testing.assert_allclose(weights.sum(-1), np.ones((B, H, T)), atol=1e-6)
    np.testing.assert_allclose(out, run(variables, x, memory, train=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("probe", [False, True])
def test_weights_are_kept_apart_only_for_a_probe(attention, monkeypatch, probe):
    _, variables, x, _ = attention
    asked = []
    monkeypatch.setattr(kernels, "blockwise", lambda *inputs: asked.append("blockwise") or inputs[0])
    model = MultiHeadAttention(D, H, kernel="blockwise")
    jax.eval_shape(lambda x: model.apply(variables, x, train=False, mutable="probe" if probe else False), x)
    assert asked == ([] if probe else ["blockwise"])


def test_one_product_of_three_matrices_gathers_none_of_those_split_by_heads(attention):
    """Over "tensor" each device has its heads of query, key and value: their results are added once, at the end."""
    _, variables, x, _ = attention
    mesh = jax.sharding.Mesh(jax.devices()[:2], ("tensor",))
    heads = {"kernel": P(None, "tensor"), "bias": P("tensor")}
    specs = {"query": heads, "key": heads, "value": heads, "out": {"kernel": P("tensor"), "bias": P()}}
    shardings = {"params": jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)}
    run = jax.jit(lambda v, x: MultiHeadAttention(D, H).apply(v, x, train=False), in_shardings=(shardings, None))
    program = run.lower(variables, x).compile().as_text()
    assert "all-gather" not in program
    assert "all-to-all" not in program
    assert "all-reduce" in program


def test_projections_are_drawn_as_matrices_of_all_heads():
    """Golden curves and published initialisations: Xavier's fan-out is H K, not K."""
    drawn = MultiHeadAttention(D, H, use_bias=False).init(jax.random.key(0), jnp.zeros((B, T, D)), train=False)
    bound = (6 / (D + D)) ** 0.5
    for name in ("query", "key", "value"):
        kernel = np.abs(drawn["params"][name]["kernel"])
        assert kernel.shape == (D, H, D // H)
        assert 0.8 * bound < kernel.max() <= bound


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [({}, 4 * D * D + 4 * D), ({"use_bias": False}, 4 * D * D), ({"head_dim": 3}, 4 * D * H * 3 + 3 * H * 3 + D)],
)
def test_four_projections_with_or_without_bias_and_of_any_head_size(arguments, parameters):
    model, x = MultiHeadAttention(D, H, **arguments), jnp.zeros((B, T, D))
    out, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False))
    assert out.shape == x.shape
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == parameters


def test_computing_in_bfloat16_keeps_float32_parameters():
    model, x = MultiHeadAttention(D, H, dtype=jnp.bfloat16), jnp.zeros((B, T, D))
    out, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False))
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
