"""Every way of computing attention against equation 1 as it is written: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import kernels
from models.kernels import Dropout, attention_weights, blockwise, plain, weighted_values
from models.library_kernels import cudnn, splash
from models.masks import Mask, causal_mask, padding_mask, segment_mask

B, H, K, V = 2, 2, 8, 4
RNG = np.random.default_rng(0)
LENGTHS = [(70, 70), (33, 50)]  # which blocks of 16 do not divide; the first has parts for a causal mask


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of a size that tests can fill."""
    monkeypatch.setattr(kernels, "BLOCK", 16)


def inputs(queries: int, keys: int, dtype=jnp.float32) -> list[jax.Array]:
    shapes = [(B, queries, H, K), (B, keys, H, K), (B, keys, H, V)]
    return [jnp.asarray(RNG.normal(size=shape), dtype) for shape in shapes]


def segments(length: int) -> np.ndarray:
    """Numbers that grow along each row, and 0 at its end."""
    numbers = np.sort(RNG.integers(1, 5, (B, length)), axis=1)
    numbers[:, -length // 5 :] = 0
    return numbers


def masks(queries: int, keys: int) -> dict[str, Mask]:
    """Masks of all kinds, with queries that may look nowhere."""
    found = {"nothing": Mask(), "causal": causal_mask()}
    found["padding"] = Mask() & padding_mask(RNG.random((B, keys)) < 0.7)
    found["segments"] = segment_mask(segments(queries), segments(keys))
    found["window"] = causal_mask(9)
    found["all"] = causal_mask(20) & found["padding"] & found["segments"]
    for shape in [(1, 1, queries, keys), (B, 1, queries, keys), (1, H, queries, keys), (B, H, queries, keys)]:
        found[str(shape)] = Mask(allowed=RNG.random(shape) < 2 / keys)
    found["no axis of examples"] = Mask(allowed=RNG.random((queries, keys)) < 0.5)
    return found


def with_gradients(function, *arrays):
    """A function's value and the gradients of all arrays."""

    @jax.jit
    def both(*arrays):
        out, back = jax.vjp(function, *arrays)
        return out, back(jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape).astype(out.dtype))

    return jax.tree.leaves(both(*arrays))


def assert_equal(found, expected, tolerance=2e-6):
    for one, other in zip(found, expected, strict=True):
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        assert np.abs(one - other).max() <= tolerance * max(1, np.abs(other).max())


def as_written(query, key, value, mask=None, bias=None):
    """Equation 1, whose gradient jax derives."""
    return weighted_values(attention_weights(query, key, mask, bias), value)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_plain_equals_the_equation_under_every_mask(queries, keys):
    arrays = [*inputs(queries, keys), jnp.asarray(RNG.normal(size=(B, H, queries, keys)), jnp.float32)]
    for mask in masks(queries, keys).values():
        whole = mask.array(queries, keys)
        found, expected = (
            with_gradients(lambda q, k, v, bias, way=way, mask=whole: way(q, k, v, mask, bias), *arrays)
            for way in (plain, as_written)
        )
        assert_equal(found, expected)


def test_plain_in_bfloat16_is_about_a_rounding_off():
    rounded = [x.astype(jnp.bfloat16) for x in inputs(70, 70)]
    exact = with_gradients(as_written, *[x.astype(jnp.float32) for x in rounded])
    for one, best in zip(with_gradients(plain, *rounded), exact, strict=True):
        error = np.abs(np.asarray(one, np.float32) - np.asarray(best)).mean()
        assert error < 1.5 * 2**-8 * np.abs(np.asarray(best)).mean()


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_blockwise_equals_plain_under_every_mask(queries, keys):
    arrays = inputs(queries, keys)
    for name, mask in masks(queries, keys).items():
        found = with_gradients(lambda q, k, v, mask=mask: blockwise(q, k, v, mask), *arrays)
        whole = mask.array(queries, keys)
        assert_equal(found, with_gradients(lambda q, k, v, mask=whole: plain(q, k, v, mask), *arrays))
        assert name == "nothing" or not np.all(whole)


@pytest.mark.parametrize("mask", [Mask(), causal_mask()])
@pytest.mark.parametrize("batch", [1, B])
def test_blockwise_and_plain_equal_the_equation_with_a_bias_and_its_gradient(mask, batch):
    arrays = [*inputs(70, 70), jnp.asarray(RNG.normal(size=(batch, H, 70, 70)), jnp.float32)]
    whole = mask.array(70, 70)
    expected = with_gradients(lambda q, k, v, bias: as_written(q, k, v, whole, bias), *arrays)
    assert_equal(with_gradients(lambda q, k, v, bias: blockwise(q, k, v, mask, bias), *arrays), expected)
    assert_equal(with_gradients(lambda q, k, v, bias: plain(q, k, v, whole, bias), *arrays), expected)


def products(program) -> list[tuple]:
    """The dtypes that each matrix product of a program multiplies, with those of its parts."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            found.append(tuple(x.aval.dtype.name for x in equation.invars))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            found += products(getattr(inner, "jaxpr", inner)) if hasattr(inner, "eqns") else []
    return found


@pytest.mark.parametrize("way", ["blockwise", "plain"])
def test_gradients_in_bfloat16_multiply_nothing_in_float32(way):
    arrays = [x.astype(jnp.bfloat16) for x in inputs(70, 70)]
    drop = Dropout(0.1, jax.random.key(0))

    def loss(q, k, v):
        out = blockwise(q, k, v, causal_mask()) if way == "blockwise" else plain(q, k, v, None, None, drop)
        return out.astype(jnp.float32).sum()

    found = products(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1, 2)))(*arrays).jaxpr)
    assert len(found) >= 6
    assert set(found) == {("bfloat16", "bfloat16")}


def test_a_product_has_the_gradients_of_the_einsum():
    x, y, _ = inputs(33, 50)
    forms = [lambda x, y: kernels.product("bthk,bshk->bhts", x, y), lambda x, y: jnp.einsum("bthk,bshk->bhts", x, y)]
    found, expected = (with_gradients(form, x, y) for form in forms)
    assert_equal(found, expected)


@pytest.mark.parametrize("bias", [False, True])
def test_blockwise_equals_plain_with_capped_scores(bias):
    arrays = [*inputs(70, 70), jnp.asarray(RNG.normal(size=(B, H, 70, 70)), jnp.float32)]
    mask = causal_mask(20)

    def way(q, k, v, b, blocks):
        b = b if bias else None
        return blockwise(q, k, v, mask, b, None, 0.7) if blocks else plain(q, k, v, mask.array(70, 70), b, None, 0.7)

    found, expected = (with_gradients(partial(way, blocks=blocks), *arrays) for blocks in (True, False))
    assert_equal(found, expected)


def test_blockwise_in_bfloat16_is_as_near_as_plain():
    arrays = inputs(70, 70)
    exact = with_gradients(plain, *arrays)
    small = [x.astype(jnp.bfloat16) for x in arrays]
    found = with_gradients(lambda q, k, v: blockwise(q, k, v, Mask()), *small)
    assert found[0].dtype == jnp.bfloat16
    assert_equal(found, exact, 3e-2)


@pytest.mark.parametrize("mask", [Mask(), causal_mask()])
def test_blockwise_drops_weights_at_the_rate_and_keeps_their_mean(mask):
    """Values of 1: a query's output is the sum of the weights that it kept."""
    query, key, _ = inputs(512, 512)
    ones = jnp.ones((B, 512, H, V))

    def total(key_of_dropout):
        return blockwise(query * 0, key, ones, mask, None, Dropout(0.25, key_of_dropout))[..., 0]

    out = np.asarray(jax.jit(total)(jax.random.key(1)))
    assert out.mean() == pytest.approx(1, abs=0.01)
    last = out[:, -1]  # which sees 512 keys, each kept in three of four cases
    assert np.all(last != 1)
    rows = out[:, 256:]
    assert rows.std() == pytest.approx((0.25 / 0.75 / (384 if mask.causal else 512)) ** 0.5, rel=0.1)
    assert len(np.unique(out[0, :, 0])) > 20  # blocks draw anew
    np.testing.assert_array_equal(out, jax.jit(total)(jax.random.key(1)))


def test_the_gradient_of_dropout_is_that_of_the_weights_that_were_kept():
    """Linear in the values: the derivative by them, applied to them, is the output."""
    query, key, value = inputs(70, 70)

    def of_value(value):
        return blockwise(query, key, value, Mask(), None, Dropout(0.5, jax.random.key(1)))

    out, back = jax.jit(lambda v: (of_value(v), jax.vjp(of_value, v)[1](jnp.ones((B, 70, H, V)))[0]))(value)
    np.testing.assert_allclose((back * value).sum(), out.sum(), rtol=1e-4)


def test_memory_of_blockwise_grows_with_the_length_and_not_its_square():
    def temporaries(length):
        arrays = inputs(length, length)
        step = jax.jit(jax.grad(lambda q, k, v: blockwise(q, k, v, causal_mask()).sum(), argnums=(0, 1, 2)))
        return step.lower(*arrays).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(1024) < 2.5 * temporaries(512)


@pytest.mark.parametrize(
    ("name", "cap"),
    [("nothing", 0), ("causal", 0), ("padding", 0), ("segments", 0), ("window", 0), ("all", 0), ("causal", 0.7)],
)
def test_splash_equals_plain(name, cap):
    arrays, mask = inputs(200, 200), masks(200, 200)[name]
    found = with_gradients(lambda q, k, v: splash(q, k, v, mask, cap, interpret=True), *arrays)
    whole = mask.array(200, 200)
    assert_equal(found, with_gradients(lambda q, k, v: plain(q, k, v, whole, cap=cap), *arrays), 1e-5)


def test_queries_whose_window_is_all_padding_look_nowhere_in_splash_too():
    arrays, hidden = inputs(128, 128), np.arange(128)
    mask = causal_mask(9) & padding_mask(np.broadcast_to((hidden < 40) | (hidden > 60), (B, 128)))
    found = with_gradients(lambda q, k, v: splash(q, k, v, mask, interpret=True), *arrays)
    assert not np.asarray(found[0])[:, 48:61].any()
    whole = mask.array(128, 128)
    assert_equal(found, with_gradients(lambda q, k, v: plain(q, k, v, whole), *arrays), 1e-5)


@pytest.mark.parametrize("length", [20, 19])
def test_cudnn_gets_even_lengths_and_a_mask_for_each_head_or_a_causal_flag(monkeypatch, length):
    of_jax, asked = jax.nn.dot_product_attention, []

    def on_any_device(*arrays, implementation, **options):
        assert implementation == "cudnn"
        assert {x.shape[1] for x in arrays} == {20}, "jax refuses odd lengths where there are gradients"
        assert {x.dtype for x in arrays} == {options["bias"].dtype}
        lengths = options["key_value_seq_lengths"]
        asked.append(
            (
                options["is_causal"],
                None if options["mask"] is None else options["mask"].shape,
                None if lengths is None else lengths.shape,
            )
        )
        return of_jax(*arrays, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", on_any_device)
    query, key, _ = inputs(length, length)
    bias = jnp.asarray(RNG.normal(size=(B, H, length, length)), jnp.float32)
    own = (B,) if length % 2 else None
    whole = (False, (B, H, 20, 20), own)
    expected = {"nothing": (False, None, own), "causal": (True, None, None)}
    expected |= dict.fromkeys(("padding", "window", "all", "no axis of examples"), whole)
    for name, arguments in expected.items():
        mask = masks(length, length)[name]
        found = with_gradients(lambda q, k, b, mask=mask: cudnn(q, k, k, mask, b), query, key, bias)
        visible = mask.array(length, length)
        plainly = with_gradients(lambda q, k, b, mask=visible: plain(q, k, k, mask, b), query, key, bias)
        assert_equal(found, plainly, 1e-5)
        assert set(asked) == {arguments}
        asked.clear()
    jax.eval_shape(lambda q, b: cudnn(q, q, q, Mask(), b), query.astype(jnp.bfloat16), bias)
