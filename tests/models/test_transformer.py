"""The Transformer against NumPy and Table 3; token by token against all at once; what a sentence may not see."""

import functools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models.sinusoids import sinusoid_1d

B, S, T, K, V, D, H, F, LONGEST = 2, 6, 5, 3, 11, 8, 2, 12, 8
TINY = dict(
    width=D, depth=1, decoder_depth=2, mlp_dim=F, heads=H, head_dim=3, value_dim=5, max_length=LONGEST, dropout=0.0
)
UNSEEN = V - 1  # a token of no sentence here

ROTARY, RELATIVE = dict(positions="rotary", head_dim=4), dict(positions="relative")

SOURCE = np.random.default_rng(1).integers(1, UNSEEN, (B, S))
SOURCE[1, 4:] = 0
REAL = SOURCE != 0
INPUTS = np.random.default_rng(2).integers(1, UNSEEN, (B, T))
WEIGHT = np.random.default_rng(3).normal(size=(B, T, V)).astype(np.float32)


def transformer(**arguments):
    """A tiny one; where the source has a vocabulary of its own, that is of another size."""
    own = arguments.get("tie", "all") != "all"
    return models.build("transformer", V, **TINY | dict(source_vocabulary=V + 2 if own else None) | arguments)


def close(left, right) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


@pytest.fixture(scope="module")
def whole(filled):
    """whole(**arguments) -> the compiled logits(variables, source, inputs[, segments]), and variables."""

    @functools.cache
    def build(**arguments):
        model = transformer(**arguments)
        logits = jax.jit(lambda variables, *tokens: model.apply(variables, *tokens, train=False))
        return logits, filled(model, SOURCE, INPUTS)

    return build


@pytest.fixture(scope="module")
def probed(whole):
    """What the probes of the post-LN model with sinusoids see."""
    model = transformer()
    run = jax.jit(lambda variables: model.apply(variables, SOURCE, INPUTS, train=False, mutable="probe"))
    logits, seen = run(whole()[1])
    return logits, seen["probe"]


def test_the_model_is_figure_1(whole, probed):
    params = jax.tree.map(np.float64, whole()[1]["params"])
    table = params["embedding"]["embedding"]

    def embedded(tokens):
        return table[tokens] * math.sqrt(D) + sinusoid_1d(tokens.shape[1], D)

    def norm(x, p):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]

    def attention(x, memory, p, mask):
        def heads(name, tokens):
            return np.einsum("bnd,dhk->bhnk", tokens, p[name]["kernel"]) + p[name]["bias"][:, None]

        query, key, value = heads("query", x), heads("key", memory), heads("value", memory)
        weights = np.exp(query @ key.swapaxes(2, 3) / math.sqrt(query.shape[-1])) * mask
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bhnk,hkd->bnd", weights @ value, p["out"]["kernel"]) + p["out"]["bias"], weights

    def mlp(x, p):
        hidden = np.maximum(x @ p["expand"]["kernel"] + p["expand"]["bias"], 0)
        return hidden @ p["contract"]["kernel"] + p["contract"]["bias"]

    logits, seen = probed
    padding, causal = REAL[:, None, None], np.tril(np.ones((T, T)))

    memory, p = embedded(SOURCE), params["encoder"]["block_00"]
    memory = norm(memory + attention(memory, memory, p["attention"], padding)[0], p["attention_norm"])
    memory = norm(memory + mlp(memory, p["mlp"]), p["mlp_norm"])
    close(seen["encoder"]["block_00"]["output"][0], memory)

    x = embedded(INPUTS)
    for layer in ("block_00", "block_01"):
        p, probe = params["decoder"][layer], seen["decoder"][layer]
        x = norm(x + attention(x, x, p["self_attention"], causal)[0], p["self_norm"])
        y, weights = attention(x, memory, p["cross_attention"], padding)
        x = norm(x + y, p["cross_norm"])
        x = norm(x + mlp(x, p["mlp"]), p["mlp_norm"])
        close(probe["cross_attention"]["attention"][0], weights)
        close(probe["output"][0], x)
    close(logits, x @ table.T)


def test_a_probe_sees_how_each_layer_attends_to_the_source_and_changes_no_logit(whole, probed):
    logits, seen = probed
    for layer in ("block_00", "block_01"):
        weights = np.asarray(seen["decoder"][layer]["cross_attention"]["attention"][0])
        assert weights.shape == (B, H, T, S)
        padding = np.broadcast_to(~REAL[:, None, None], weights.shape)
        assert not weights[padding].any()
        np.testing.assert_allclose(weights.sum(-1), np.ones((B, H, T)), atol=1e-6)
    run, variables = whole()
    close(logits, run(variables, SOURCE, INPUTS))


@pytest.mark.parametrize(
    ("beams", "arguments"),
    [
        (1, dict()),
        (1, dict(norm="pre", positions="learned", tie="none")),
        (K, dict(positions="learned", tie="target")),
        (K, dict(norm="pre")),
        (K, ROTARY),
        (K, RELATIVE),
    ],
    ids=str,
)
def test_token_by_token_a_beam_gets_the_logits_of_the_whole_of_what_it_wrote(whole, beams, arguments):
    logits, variables = whole(**arguments)
    decoded = jax.jit(functools.partial(decode, transformer(**arguments)))
    for seed in range(3):
        draw = np.random.default_rng(seed)
        tokens, parents = (draw.integers(low, high, (T, B, beams)) for low, high in ((1, UNSEEN), (0, beams)))
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


def test_a_later_token_changes_no_earlier_logits(whole):
    run, variables = whole()
    before = run(variables, SOURCE, INPUTS)
    for t in range(T):
        after = run(variables, SOURCE, np.where(np.arange(T) >= t, (INPUTS + 3) % V, INPUTS))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t] - before[:, t]).max(-1).min() > 1e-2


def test_without_the_causal_mask_a_token_is_told_of_those_after_it(whole):
    run, variables = whole(causal=False)
    before = run(variables, SOURCE, INPUTS)
    after = run(variables, SOURCE, np.where(np.arange(T) == T - 1, (INPUTS + 3) % UNSEEN + 1, INPUTS))
    assert np.abs(after[:, 0] - before[:, 0]).max(-1).min() > 1e-3


def test_without_positions_the_order_of_the_source_means_nothing(whole):
    run, variables = whole(positions="none")
    turned = np.where(REAL, np.stack([np.concatenate([row[row != 0][::-1], row[row == 0]]) for row in SOURCE]), 0)
    close(run(variables, turned, INPUTS), run(variables, SOURCE, INPUTS))
    for arguments in ({}, ROTARY, RELATIVE):
        run, variables = whole(**arguments)
        assert np.abs(run(variables, turned, INPUTS) - run(variables, SOURCE, INPUTS)).max() > 1e-2, arguments


def test_without_the_scale_scores_are_those_of_queries_that_are_larger_by_its_inverse(whole):
    run, variables = whole(scale=False)
    larger = jax.tree_util.tree_map_with_path(
        lambda path, x: x * TINY["head_dim"] ** 0.5 if "query" in jax.tree_util.keystr(path) else x, variables
    )
    close(run(variables, SOURCE, INPUTS), whole()[0](larger, SOURCE, INPUTS))


def test_a_model_without_residuals_and_norms_still_is_one_and_its_output_is_its_last_branch(whole):
    run, variables = whole(residual=False, norm="none")
    assert not [path for path in jax.tree_util.tree_leaves_with_path(variables) if "norm" in str(path[0])]
    silent = jax.tree_util.tree_map_with_path(
        lambda path, x: 0 * x if "block_01" in str(path) and "contract" in str(path) else x, variables
    )
    np.testing.assert_array_equal(run(silent, SOURCE, INPUTS), 0)
    assert np.isfinite(run(variables, SOURCE, INPUTS)).all()


def test_more_padding_changes_nothing(whole):
    run, variables = whole()
    longer = run(variables, np.pad(SOURCE, ((0, 0), (0, 2))), np.pad(INPUTS, ((0, 0), (0, 1))))
    close(longer[:, :T], run(variables, SOURCE, INPUTS))


# Two sentences of 3 and 2 source tokens and 2 inputs each; alone, and in rows that hold both and some padding.
ALONE = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 0, 0, 0, 0]]), np.array([[1, 2, 0, 0, 0], [3, 4, 0, 0, 0]])
PACKED = np.array([[1, 2, 3, 4, 5, 0], [4, 5, 1, 2, 3, 0]]), np.array([[1, 2, 3, 4, 0], [3, 4, 1, 2, 0]])
SEGMENTS = np.array([[1, 1, 1, 2, 2, 0], [1, 1, 2, 2, 2, 0]]), np.array([[1, 1, 2, 2, 0]] * 2)
SEPARATE = dict(norm="pre", positions="learned", tie="none")


def test_sentences_in_one_row_get_the_logits_that_each_gets_alone(whole):
    run, variables = whole(**SEPARATE)
    first, second = run(variables, *ALONE)[:, :2]
    packed = run(variables, *PACKED, *SEGMENTS)
    close(packed[:, :4], np.stack([[*first, *second], [*second, *first]]))


def test_without_their_scale_embeddings_are_those_of_a_table_that_is_larger_by_it(whole):
    run, variables = whole(**SEPARATE, scale_embeddings=False)
    larger = jax.tree_util.tree_map_with_path(
        lambda path, x: x * D**0.5 if path[1].key in ("embedding", "source_embedding") else x,
        variables,
    )
    close(run(larger, SOURCE, INPUTS), whole(**SEPARATE)[0](variables, SOURCE, INPUTS))


def test_a_sentence_changes_nothing_of_another_in_its_row_and_junk_in_the_padding_nothing_at_all(whole):
    run, variables = whole(**SEPARATE)
    before = run(variables, *PACKED, *SEGMENTS)
    for sentence, own, other in ((1, slice(2), slice(2, 4)), (2, slice(2, 4), slice(2))):
        changed = [np.where(segment == sentence, tokens, 7) for tokens, segment in zip(PACKED, SEGMENTS, strict=True)]
        after = run(variables, *changed, *SEGMENTS)
        np.testing.assert_array_equal(after[:, own], before[:, own])
        assert np.abs(after[:, other] - before[:, other]).max(-1).min() > 1e-2
    junk = [np.where(segment == 0, 7, tokens) for tokens, segment in zip(PACKED, SEGMENTS, strict=True)]
    np.testing.assert_array_equal(run(variables, *junk, *SEGMENTS)[:, :4], before[:, :4])


def test_a_sentence_gives_no_gradient_to_another_in_its_row(whole):
    _, variables = whole(**SEPARATE)
    model = transformer(**SEPARATE)

    def loss(variables, weight):
        return jnp.sum(weight * model.apply(variables, *PACKED, *SEGMENTS, train=False))

    gradient = jax.jit(jax.grad(loss))
    for own, places in (((1, 2, 3), [0, 1]), ((4, 5), [2, 3])):
        weight = np.zeros_like(WEIGHT)
        weight[0, places] = WEIGHT[0, places]
        found = gradient(variables, weight)["params"]
        assert set(np.flatnonzero(found["source_embedding"]["embedding"].any(-1))) == set(own)
        assert set(np.flatnonzero(found["embedding"]["embedding"].any(-1))) == set(PACKED[1][0, places])


@pytest.fixture(scope="module")
def gradients(filled):
    """gradients(**arguments) -> (loss, gradients) in training, where all embeddings and the output layer are equal."""
    small = dict(decoder_depth=1, attention_dropout=0.2)
    variables = filled(transformer(**small), SOURCE, INPUTS)["params"]
    table = variables["embedding"]["embedding"]
    untied = {"target": {"source_embedding": {"embedding": table}}}
    untied["none"] = untied["target"] | {"head": {"kernel": table.T}}

    @functools.cache
    def run(**arguments):
        own = V if arguments.get("tie", "all") != "all" else None
        model = transformer(**small, source_vocabulary=own, **arguments)

        def loss(params):
            rngs = {"dropout": jax.random.key(0, impl="rbg")}  # compiles in a third of the time
            return jnp.sum(WEIGHT * model.apply({"params": params}, SOURCE, INPUTS, train=True, rngs=rngs))

        return jax.jit(jax.value_and_grad(loss))(variables | untied.get(model.tie, {}))

    return run


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_computing_activations_again_changes_no_loss_and_no_gradient(gradients, remat):
    close(gradients(remat=remat), gradients())


def test_one_matrix_gets_the_gradients_of_source_target_and_output(gradients):
    loss, gradient = gradients()
    loss_of_two, two = gradients(tie="target")
    loss_of_three, three = gradients(tie="none")
    close((loss_of_two, loss_of_three), (loss, loss))
    source, inputs = three["source_embedding"]["embedding"], three["embedding"]["embedding"]
    output = three["head"]["kernel"].T
    assert all(np.abs(part).max() > 0.1 for part in (source, inputs, output))
    close(two["embedding"]["embedding"], inputs + output)
    close(gradient["embedding"]["embedding"], source + inputs + output)


def test_a_row_of_the_embedding_makes_the_logit_of_its_token(whole):
    run, variables = whole()
    table = variables["params"]["embedding"]["embedding"].copy()
    table[UNSEEN] *= 2
    before = run(variables, SOURCE, INPUTS)
    after = run({"params": variables["params"] | {"embedding": {"embedding": table}}}, SOURCE, INPUTS)
    np.testing.assert_array_equal(after, before * np.where(np.arange(V) == UNSEEN, 2, 1))


def test_embeddings_times_the_root_of_the_width_start_with_a_deviation_of_one():
    model = models.build("transformer", 500, **TINY | dict(width=64, tie="target", source_vocabulary=500))

    @jax.jit
    def init(key):
        params = model.init(key, SOURCE, INPUTS, train=False)["params"]
        return [params[name]["embedding"] for name in ("embedding", "source_embedding")]

    for table in init(jax.random.key(0, impl="rbg")):
        assert float(table.std()) * 64**0.5 == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # sums of embeddings and positions, and what each sub-layer adds
        ({"dropout": 0.25}, {(0.75, (B, S, D)): 1 + 2, (0.75, (B, T, D)): 1 + 2 * 3}),
        ({"attention_dropout": 0.25}, {(0.75, (B, H, S, S)): 1, (0.75, (B, H, T, T)): 2, (0.75, (B, H, T, S)): 2}),
        ({"mlp_dropout": 0.25}, {(0.75, (B, S, F)): 1, (0.75, (B, T, F)): 2}),
        ({}, {}),
    ],
)
def test_dropout_draws_where_it_is_asked_to_and_in_training_only(monkeypatch, arguments, expected):
    model, drawn, bernoulli = transformer(**arguments), [], jax.random.bernoulli

    def noted(key, p, shape):
        drawn.append((p, tuple(shape)))
        return bernoulli(key, p, shape)

    monkeypatch.setattr(jax.random, "bernoulli", noted)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    jax.eval_shape(lambda: model.init(rngs, SOURCE, INPUTS, train=True))
    assert Counter(drawn) == expected
    drawn.clear()
    jax.eval_shape(lambda: model.init(rngs, SOURCE, INPUTS, train=False))
    assert not drawn


def test_dropout_takes_from_embeddings_and_from_what_each_branch_adds_and_scales_the_rest(filled):
    model = transformer(norm="pre", depth=2, dropout=0.5)
    variables = filled(model, SOURCE, INPUTS)
    adds = {"attention": 1.0, "self_attention": 1.0, "cross_attention": 4.0, "mlp": 16.0}
    for stack in ("encoder", "decoder"):
        for layer in ("block_00", "block_01"):
            block = variables["params"][stack][layer]
            for name in adds.keys() & block.keys():
                last = block[name]["contract" if name == "mlp" else "out"]
                last["kernel"][:] = 0
                last["bias"][:] = adds[name] if layer == "block_01" else 0
    rngs = {"dropout": jax.random.key(0, impl="rbg")}
    run = jax.jit(lambda variables: model.apply(variables, SOURCE, INPUTS, train=True, rngs=rngs, mutable="probe"))
    seen = run(variables)[1]["probe"]
    table = variables["params"]["embedding"]["embedding"]
    sums = ({0, 2, 32, 34}, {0, 2, 8, 10, 32, 34, 40, 42})
    for stack, tokens, expected in zip(("encoder", "decoder"), (SOURCE, INPUTS), sums, strict=True):
        first, second = (np.asarray(seen[stack][layer]["output"][0]) for layer in ("block_00", "block_01"))
        kept = first != 0
        assert 0.3 < kept.mean() < 0.7
        embedded = table[tokens] * math.sqrt(D) + sinusoid_1d(tokens.shape[1], D)
        close(first, 2 * np.where(kept, embedded, 0))
        added = second - first
        close(added, added.round())
        assert set(added.round().ravel()) == expected


def program(model, train):
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), SOURCE, INPUTS, train=False))
    return str(jax.make_jaxpr(lambda v: model.apply(v, SOURCE, INPUTS, train=train))(variables))


def test_without_dropout_training_is_the_same_program():
    assert program(transformer(), train=True) == program(transformer(), train=False)


@pytest.mark.parametrize(("remat", "layers"), [("none", 0), ("dots", 3), ("full", 3)])
def test_every_layer_of_both_stacks_is_computed_again_where_that_is_asked_for(remat, layers):
    assert program(transformer(remat=remat), train=True).count("remat2[") == layers


def formula(
    vocabulary, d, layers, f, heads, d_k, d_v, decoder_layers=None, source=0, tie="all", norm="post", positions=0
):
    """The parameters, with a bias in every projection and MLP and none in the output layer."""
    attention = 2 * (d * heads * d_k + heads * d_k) + (d * heads * d_v + heads * d_v) + (heads * d_v * d + d)
    mlp, layer_norm = d * f + f + f * d + d, 2 * d
    encoder = layers * (attention + mlp + 2 * layer_norm)
    decoder = (decoder_layers or layers) * (2 * attention + mlp + 3 * layer_norm)
    matrices = {"all": vocabulary, "target": source + vocabulary, "none": source + 2 * vocabulary}[tie] * d
    return matrices + encoder + decoder + 2 * positions * d + (2 * layer_norm if norm == "pre" else 0)


def parameters(model):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), SOURCE[:1], INPUTS[:1], train=False))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


BASE = dict(d=512, layers=6, f=2048, heads=8, d_k=64, d_v=64)
BIG = dict(d=1024, layers=6, f=4096, heads=16, d_k=64, d_v=64)
# 1706.03762, Table 3: arguments, what they change in the formula, millions of parameters (base's where it has none).
TABLE_3 = {
    "base": ({}, {}, 65),
    **{f"A {h}": ({"heads": h}, {"heads": h, "d_k": 512 // h, "d_v": 512 // h}, 65) for h in (1, 4, 16, 32)},
    "B 16": ({"head_dim": 16, "value_dim": 64}, {"d_k": 16}, 58),
    "B 32": ({"head_dim": 32, "value_dim": 64}, {"d_k": 32}, 60),
    "C 2 layers": ({"depth": 2}, {"layers": 2}, 36),
    "C 4 layers": ({"depth": 4}, {"layers": 4}, 50),
    "C 8 layers": ({"depth": 8}, {"layers": 8}, 80),
    "C width 256": ({"width": 256}, {"d": 256, "d_k": 32, "d_v": 32}, 28),
    "C width 1024": ({"width": 1024}, {"d": 1024, "d_k": 128, "d_v": 128}, 168),
    "C mlp 1024": ({"mlp_dim": 1024}, {"f": 1024}, 53),
    "C mlp 4096": ({"mlp_dim": 4096}, {"f": 4096}, 90),
    "E": ({"positions": "learned", "max_length": 256}, {"positions": 256}, 65),
    "big": ({"variant": "big"}, BIG, 213),
}
COUNTS = {"base": 63_082_496, "big": 214_245_376}  # of its sizes, with biases and three-way tied embeddings


@pytest.mark.parametrize("row", TABLE_3)
def test_the_formula_gives_about_the_published_parameters_of_a_row_of_table_3(row):
    _, changes, millions = TABLE_3[row]
    assert formula(37_000, **BASE | changes) == pytest.approx(millions * 1e6, rel=0.07)


@pytest.mark.parametrize("row", TABLE_3)
def test_a_row_of_table_3_has_the_parameters_of_the_formula(row):
    arguments, changes, _ = TABLE_3[row]
    if "depth" not in arguments and row not in COUNTS:  # tracing six layers takes its time
        arguments, changes = arguments | {"depth": 1}, changes | {"layers": 1}
    size = dict(variant="base", source_vocabulary=None) | arguments
    count = parameters(models.build("transformer", 37_000, **size))
    assert count == formula(37_000, **BASE | changes)
    assert count == COUNTS.get(row, count)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("tie", ["all", "target", "none"])
def test_what_is_not_tied_is_a_matrix_more_and_pre_ln_has_two_norms_more(tie, norm):
    model = transformer(tie=tie, norm=norm)
    size = dict(d=D, layers=1, decoder_layers=2, f=F, heads=H, d_k=3, d_v=5)
    assert parameters(model) == formula(V, **size, source=model.source_vocabulary or V, tie=tie, norm=norm)


def test_in_bfloat16_parameters_and_logits_are_float32_and_what_is_kept_while_decoding_is_not():
    model = transformer(dtype="bfloat16")
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), SOURCE, INPUTS, train=False))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}
    tokens = jnp.zeros((T, B, K), jnp.int32)
    steps = jax.eval_shape(functools.partial(decode, model), variables, tokens, tokens)
    assert (steps.shape, steps.dtype) == ((T, B, K, V), jnp.float32)
    start = jax.eval_shape(lambda v: model.apply(v, SOURCE, beams=K, length=T, method="start"), variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(start["layers"])} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "bigg"}, "variant='bigg' does not exist: did you mean 'big'"),
        ({"mlp_dim": None}, "mlp_dim is not set.*config.model.variant"),
        ({"heads": 0}, "heads=0 should be greater than or equal to 1"),
        ({"heads": 3, "head_dim": None}, "width=8 does not divide by heads=3"),
        ({"width": 7}, "width=7 must be even"),
        ({"source_vocabulary": 12}, "tie='all' needs one vocabulary.*joint=true.*tie=target"),
        ({"positions": "learned", "max_length": S - 1}, f"of {S} tokens .* beyond {S - 1}"),
        ({"tie": "both"}, "config.model.tie='both'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(UserError, match=message):
        parameters(transformer(**arguments))


def test_a_figure_that_is_given_replaces_the_variants():
    model = models.build("transformer", V, source_vocabulary=None, variant="big", depth=2)
    assert vars(model.size) == dict(width=1024, depth=2, mlp_dim=4096, heads=16)
