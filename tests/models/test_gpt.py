"""GPT against NumPy and published parameter counts; token by token after prompts of any length against all at once."""

import functools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import decoding, sizes

B, T, K, V, D, H, F, LONGEST = 3, 6, 2, 11, 8, 2, 12, 10
TINY = dict(width=D, depth=2, mlp_dim=F, heads=H, max_length=LONGEST, dropout=0.0)
# All that later models change, as far as it goes together.
FORMS = {
    "GPT-2": {},
    "rotary": dict(positions="rotary", kv_heads=1, qk_norm=True, window=3, attention_cap=2.0, output_cap=3.0)
    | dict(norm_kind="rms", activation="swiglu", use_bias=False),
    "ALiBi": dict(positions="alibi", kv_heads=1, norm="post"),
    "no positions": dict(positions="none", window=2),
}
TOKENS = np.random.default_rng(0).integers(0, V, (B, T))


def gpt(**arguments):
    return models.build("gpt", V, **TINY | arguments)


def close(left, right) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


@pytest.fixture(scope="module")
def whole(filled):
    """whole(**arguments) -> the compiled logits(variables, tokens[, segment]), and variables."""

    @functools.cache
    def build(**arguments):
        model = gpt(**arguments)
        logits = jax.jit(lambda variables, *tokens: model.apply(variables, *tokens, train=False))
        return logits, filled(model, TOKENS)

    return build


@pytest.mark.parametrize("bias", [True, False])
def test_the_model_is_gpt_2(whole, bias):
    arguments = {} if bias else {"use_bias": False, "activation": "gelu"}
    run, variables = whole(**arguments)
    params = jax.tree.map(np.float64, variables["params"])
    assert bias == ("bias" in params["decoder"]["norm"])

    def norm(x, p):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p.get("bias", 0)

    def attention(x, p):
        def heads(name):
            return np.einsum("btd,dhk->bhtk", x, p[name]["kernel"]) + np.expand_dims(
                p[name].get("bias", np.zeros((H, 4))), 1
            )

        weights = np.exp(heads("query") @ heads("key").swapaxes(2, 3) / math.sqrt(D / H)) * np.tril(np.ones((T, T)))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bhtk,hkd->btd", weights @ heads("value"), p["out"]["kernel"]) + p["out"].get("bias", 0)

    def gelu(x):
        if bias:
            return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def mlp(x, p):
        hidden = gelu(x @ p["expand"]["kernel"] + p["expand"].get("bias", 0))
        return hidden @ p["contract"]["kernel"] + p["contract"].get("bias", 0)

    x = params["embedding"]["embedding"][TOKENS] + params["positions"]["embedding"][:T]
    for layer in ("block_00", "block_01"):
        p = params["decoder"][layer]
        x = x + attention(norm(x, p["self_norm"]), p["self_attention"])
        x = x + mlp(norm(x, p["mlp_norm"]), p["mlp"])
    logits = run(variables, TOKENS)
    assert logits.dtype == jnp.float32
    close(logits, norm(x, params["decoder"]["norm"]) @ params["embedding"]["embedding"].T)


def parameters(model):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), TOKENS[:1], train=False))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


NANO = dict(max_length=256, use_bias=False)
COUNTS = {  # as transformers and karpathy/nanoGPT have them; biases and 1,024 positions where nothing else is said
    "small": (124_439_808, 50_257, {}),
    "medium": (354_823_168, 50_257, {}),
    "large": (774_030_080, 50_257, {}),
    "XL": (1_557_611_200, 50_257, {}),
    "GPT-1": (116_534_784, 40_478, dict(variant="small", max_length=512, norm="post")),
    "DistilGPT-2": (81_912_576, 50_257, dict(variant="small", depth=6)),
    "nanoGPT's Shakespeare": (10_745_088, 65, NANO | dict(depth=6, width=384, heads=6)),
    "nanoGPT's on a CPU": (804_096, 65, NANO | dict(max_length=64, depth=4, width=128, heads=4)),
}


def test_no_variant_lacks_its_count():
    assert sizes.GPT.keys() <= COUNTS.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_a_model_has_the_published_parameters(name):
    count, vocabulary, arguments = COUNTS[name]
    arguments = ({"variant": name} if name in sizes.GPT else {}) | arguments
    depth = models.build("gpt", vocabulary, **arguments).size.depth
    one, two = (parameters(models.build("gpt", vocabulary, **arguments | {"depth": n})) for n in (1, 2))
    assert one + (depth - 1) * (two - one) == count  # tracing 48 layers takes its time


def test_matrices_begin_with_gpt_2s_deviations():
    model = models.build("gpt", 300, width=64, depth=2, heads=2, max_length=64)
    params = jax.jit(lambda: model.init(jax.random.key(0, impl="rbg"), TOKENS, train=False))()["params"]
    block = params["decoder"]["block_00"]
    matrices = {
        0.02: [params["embedding"]["embedding"], params["positions"]["embedding"], block["mlp"]["expand"]["kernel"]]
        + [block["self_attention"][name]["kernel"] for name in ("query", "key", "value")],
        0.01: [block["self_attention"]["out"]["kernel"], block["mlp"]["contract"]["kernel"]],
    }
    for deviation, found in matrices.items():
        for matrix in found:
            assert float(matrix.std()) == pytest.approx(deviation, rel=0.06)
            assert abs(float(matrix.mean())) < 0.1 * deviation
    biases = [x for path, x in jax.tree_util.tree_leaves_with_path(params) if path[-1].key == "bias"]
    assert len(biases) == 2 * 8 + 1
    assert not any(bias.any() for bias in biases)


PROMPT = np.array([[3, 1, 4, 1], [5, 9, -1, -1], [-1, -1, -1, -1]])
LENGTHS = (PROMPT >= 0).sum(1)
BOS, STEPS = 2, 5


def decoded(model, variables, tokens, parents):
    """The logits of every step (L, B, K, V) after PROMPT, given tokens and parents (L, B, K)."""

    @jax.jit
    def run(tokens, parents):
        apply = functools.partial(model.apply, variables)

        def step(cache, now):
            logits, cache = apply(*now, cache, method="step")
            return cache, logits

        cache = apply(PROMPT, beams=tokens.shape[-1], length=STEPS + 1, method="start")
        return jax.lax.scan(step, cache, (tokens, parents))[1]

    return np.asarray(run(tokens, parents))


def alone(run, variables, prompt, written):
    """The logits after a prompt (or BOS) and what was written after it, all at once."""
    tokens = [*(prompt[prompt >= 0] if (prompt >= 0).any() else [BOS]), *written]
    row = np.zeros((1, LONGEST), int)
    row[0, : len(tokens)] = tokens
    return run(variables, row)[0, len(tokens) - 1]


@pytest.mark.parametrize(("form", "beams"), [("GPT-2", 1), *((form, K) for form in FORMS)])
def test_token_by_token_after_a_prompt_is_the_same_as_all_at_once(whole, form, beams):
    run, variables = whole(**FORMS[form])
    draw = np.random.default_rng(beams)
    tokens, parents = (draw.integers(0, high, (STEPS, B, beams)) for high in (V, beams))
    tokens[0] = BOS
    steps = decoded(gpt(**FORMS[form]), variables, tokens, parents)
    written = np.zeros((B, beams, 0), int)
    for t in range(STEPS):
        written = np.take_along_axis(written, parents[t, :, :, None], axis=1)
        if t:  # what the first step is given counts only where there is no prompt
            written = np.concatenate([written, tokens[t, :, :, None]], axis=2)
        for row, beam in np.ndindex(B, beams):
            close(steps[t, row, beam], alone(run, variables, PROMPT[row], written[row, beam]))


def test_sampling_and_a_loop_over_next_token_continue_a_prompt_alike(whole):
    _, variables = whole()
    model, how = gpt(), dict(temperature=0.7, top_k=5, top_p=0.9)
    key, limit = jax.random.split(jax.random.key(3), B), np.full(B, STEPS)

    @jax.jit
    def sample():
        apply = functools.partial(model.apply, variables)
        cache = apply(PROMPT, beams=1, length=STEPS, method="start")
        step = functools.partial(apply, method="step")
        return decoding.run(step, cache, decoding.Sampling(limit, key, length=STEPS, bos=BOS, eos=V, pad=-1, **how))[0]

    step = jax.jit(functools.partial(model.apply, variables, method="step"))
    cache = model.apply(variables, PROMPT, beams=1, length=STEPS, method="start")
    last, parents, found = np.full((B, 1), BOS), np.zeros((B, 1), int), []
    for t in range(STEPS):
        logits, cache = step(last, parents, cache)
        token = decoding.next_token(logits[:, 0], jax.vmap(jax.random.fold_in, (0, None))(key, t), **how)
        assert (token.shape, token.dtype) == ((B,), jnp.int32)
        last = token[:, None]
        found.append(np.asarray(token))
    np.testing.assert_array_equal(np.stack(found, 1), sample())
    likeliest = decoding.next_token(logits[:, 0])
    np.testing.assert_array_equal(likeliest, logits[:, 0].argmax(-1))


def test_a_later_token_changes_no_earlier_logits(whole):
    run, variables = whole()
    before = run(variables, TOKENS)
    for t in range(T):
        after = run(variables, np.where(np.arange(T) >= t, (TOKENS + 3) % V, TOKENS))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t] - before[:, t]).max(-1).min() > 1e-2


@pytest.mark.parametrize("form", FORMS)
def test_documents_in_one_row_get_the_logits_that_each_gets_alone(whole, form):
    run, variables = whole(**FORMS[form])
    first, second = TOKENS[0, :2], TOKENS[1, :3]
    packed = np.array([[*first, *second, 0], [*second, *first, 0], [0] * T])
    segment = np.array([[1, 1, 2, 2, 2, 0], [1, 1, 1, 2, 2, 0], [0] * T])
    found = run(variables, packed, segment)
    separate = run(variables, np.array([[*first, *[0] * 4], [*second, *[0] * 3], [0] * T]))
    close(found[0, :5], np.concatenate([separate[0, :2], separate[1, :3]]))
    close(found[1, :5], np.concatenate([separate[1, :3], separate[0, :2]]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("form", ["GPT-2", "rotary"])
def test_computing_activations_again_changes_no_loss_and_no_gradient(filled, form):
    arguments = FORMS[form] | {"depth": 1}
    variables, rngs = filled(gpt(**arguments), TOKENS), {"dropout": jax.random.key(0, impl="rbg")}

    def gradients(remat):
        model = gpt(**arguments, dropout=0.2, remat=remat)
        loss = lambda v: jnp.sum(jnp.sin(model.apply(v, TOKENS, train=True, rngs=rngs)))  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(variables)

    close(gradients("full"), gradients("none"))


def test_one_dropout_stands_at_gpt_2s_three_places(monkeypatch):
    drawn, bernoulli = [], jax.random.bernoulli

    def noted(key, p, shape):
        drawn.append((p, tuple(shape)))
        return bernoulli(key, p, shape)

    monkeypatch.setattr(jax.random, "bernoulli", noted)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    jax.eval_shape(lambda: gpt(dropout=0.25).init(rngs, TOKENS, train=True))
    assert Counter(drawn) == {(0.75, (B, T, D)): 1 + 2 * 2, (0.75, (B, H, T, T)): 2}
    drawn.clear()
    jax.eval_shape(lambda: gpt(dropout=0.25).init(rngs, TOKENS, train=False))
    assert not drawn


def test_in_bfloat16_parameters_and_logits_are_float32_and_the_cache_is_not():
    model = gpt(dtype="bfloat16")
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), TOKENS, train=False))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    start = jax.eval_shape(lambda v: model.apply(v, PROMPT, beams=K, length=2, method="start"), variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(start["layers"])} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "smal"}, "variant='smal' does not exist: did you mean 'small'"),
        ({"depth": None}, r"depth is not set.*config.model.variant"),
        ({"heads": 3}, "width=8 does not divide by heads=3"),
        ({"heads": 0}, "config.model.heads=0"),
        ({"kv_heads": 3}, "config.model.kv_heads=3 does not divide 2 heads"),
        ({"positions": "alibi", "attention_cap": 5.0}, "a soft cap of scores would cap ALiBi's distances too"),
        ({"positions": "rotary", "heads": 8}, "heads have an odd size, 1"),
        ({"window": -1}, "config.model.window=-1"),
        ({"dropout": 1.5}, "config.model.dropout=1.5"),
        ({"max_length": T - 1}, rf"a row of {T} tokens .* config.model.max_length={T - 1}"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(UserError, match=message):
        parameters(gpt(**arguments))


def test_a_continuation_ends_where_positions_do():
    start = functools.partial(gpt().init, jax.random.key(0), PROMPT, beams=1, method="start")
    jax.eval_shape(functools.partial(start, length=LONGEST - 4))
    with pytest.raises(UserError, match=r"prompt of 4 tokens and a continuation of 7 .*max_length=10"):
        jax.eval_shape(functools.partial(start, length=LONGEST - 3))


@pytest.mark.parametrize("form", ["rotary", "ALiBi", "no positions"])
def test_only_learned_positions_have_an_end(form):
    model, longer = gpt(**FORMS[form]), np.zeros((1, LONGEST + 5), int)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), longer, train=False))
    assert "positions" not in variables["params"]
    jax.eval_shape(lambda v: model.apply(v, PROMPT, beams=1, length=LONGEST, method="start"), variables)


def test_the_cache_keeps_the_heads_of_keys_and_values_alone():
    model = models.build("gpt", V, **TINY | {"heads": 4, "kv_heads": 2})
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), TOKENS, train=False))
    start = jax.eval_shape(lambda v: model.apply(v, PROMPT, beams=K, length=5, method="start"), variables)
    kept = [cache[name].shape for cache in start["layers"] for name in ("key", "value")]
    assert kept == [(B, 2, 2, 4 + 5 * K), (B, 2, 4 + 5 * K, 2)] * 2


def test_logits_stay_below_their_cap(whole):
    run, variables = whole(output_cap=0.5)
    plain = whole()[0](variables, TOKENS)
    assert np.abs(plain).max() > 0.5
    close(run(variables, TOKENS), 0.5 * np.tanh(plain / 0.5))


def test_a_size_that_is_given_replaces_the_variants():
    size = models.build("gpt", V, variant="large", depth=2, width=640).size
    assert vars(size) == dict(width=640, depth=2, mlp_dim=2560, heads=20)
