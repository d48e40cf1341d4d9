"""BERT against NumPy and published parameter counts; packed rows and padding against each text alone."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import bert as bert_module
from models import sizes

B, T, V, D, H, F, C = 3, 7, 19, 8, 2, 12, 4
TINY = dict(vocabulary=V, width=D, depth=2, mlp_dim=F, heads=H, max_length=T)
DRAW = np.random.default_rng(0)
TOKENS, TYPES = DRAW.integers(1, V, (B, T)), DRAW.integers(0, 2, (B, T))
TOKENS[1, 5:] = 0
ROBERTA = dict(types=1, first_position=2, padding=1, norm_epsilon=1e-5)


def bert(outputs=C, **arguments):
    return models.build("bert", outputs, **TINY | arguments)


def close(left, right) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


def norm(x, p, epsilon=1e-12):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * p["scale"] + p["bias"]


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def encoded(params, tokens, types, epsilon=1e-12, first=0, padding=0):
    """The equations of the paper, in float64."""

    def attention(x, p):
        def heads(name):
            return np.einsum("btd,dhk->bhtk", x, p[name]["kernel"]) + p[name]["bias"][:, None]

        weights = np.exp(heads("query") @ heads("key").swapaxes(2, 3) / math.sqrt(D / H))
        weights = weights * (tokens != padding)[:, None, None]
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bhtk,hkd->btd", weights @ heads("value"), p["out"]["kernel"]) + p["out"]["bias"]

    x = params["embedding"]["embedding"][tokens] + params["types"]["embedding"][types]
    x = norm(x + params["positions"]["embedding"][first : first + tokens.shape[1]], params["embedding_norm"], epsilon)
    for layer in ("block_00", "block_01"):
        p = params["encoder"][layer]
        x = norm(x + attention(x, p["attention"]), p["attention_norm"], epsilon)
        x = norm(x + dense(gelu(dense(x, p["mlp"]["expand"])), p["mlp"]["contract"]), p["mlp_norm"], epsilon)
    return x


def test_the_masked_language_model_and_the_next_sentence_are_bert(filled):
    model = bert(V, head="words", next_sentence=True)
    variables, place = filled(model, TOKENS, TYPES), np.array([[1, 3], [0, 4], [6, 6]])
    run = jax.jit(lambda v, place: model.apply(v, TOKENS, TYPES, place=place, train=False))
    words, following = run(variables, place)
    assert words.dtype == following.dtype == jnp.float32
    params = jax.tree.map(np.float64, variables["params"])
    x = encoded(params, TOKENS, TYPES)
    close(following, dense(np.tanh(dense(x[:, 0], params["pooler"])), params["following"]))
    x = norm(gelu(dense(np.take_along_axis(x, place[..., None], 1), params["words"])), params["words_norm"])
    close(words, x @ params["embedding"]["embedding"].T + params["words_bias"])


def test_the_heads_for_sentences_and_for_tokens_and_robertas_keys(filled):
    model = bert()
    variables = filled(model, TOKENS, TYPES)
    params = jax.tree.map(np.float64, variables["params"])
    pooled = np.tanh(dense(encoded(params, TOKENS, TYPES)[:, 0], params["pooler"]))
    close(jax.jit(lambda v: model.apply(v, TOKENS, TYPES, train=False))(variables), dense(pooled, params["head"]))
    model = bert(head="tokens", **ROBERTA)
    variables = filled(model, TOKENS)
    params = jax.tree.map(np.float64, variables["params"])
    x = encoded(params, TOKENS, np.zeros_like(TOKENS), 1e-5, 2, padding=1)
    close(jax.jit(lambda v: model.apply(v, TOKENS, train=False))(variables), dense(x, params["head"]))


def parameters(model):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), TOKENS[:1], train=False))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


FORMS = {  # outputs and keys of config.model
    "no pooler": (0, dict(head="tokens")),
    "pooler": (0, dict(head="sentence")),
    "2 classes": (2, dict(head="sentence")),
    "words": (1, dict(head="words")),
    "words and next sentence": (1, dict(head="words", next_sentence=True)),
}
UNCASED, CASED = dict(vocabulary=30_522), dict(vocabulary=28_996)
ROBERTAS = dict(vocabulary=50_265, **ROBERTA)
COUNTS = [  # as transformers has them
    ("Tiny", UNCASED, {"pooler": 4_385_920, "words and next sentence": 4_433_468}),
    ("Mini", UNCASED, {"pooler": 11_170_560, "words and next sentence": 11_267_900}),
    ("Small", UNCASED, {"pooler": 28_763_648, "words and next sentence": 29_058_876}),
    ("Medium", UNCASED, {"pooler": 41_373_184, "words and next sentence": 41_668_412}),
    (
        "Base",
        UNCASED,
        {
            "no pooler": 108_891_648,
            "pooler": 109_482_240,
            "2 classes": 109_483_778,
            "words": 109_514_298,
            "words and next sentence": 110_106_428,
        },
    ),
    (
        "Base",
        CASED,
        {
            "no pooler": 107_719_680,
            "pooler": 108_310_272,
            "words": 108_340_804,
            "words and next sentence": 108_932_934,
        },
    ),
    (
        "Large",
        UNCASED,
        {
            "no pooler": 334_092_288,
            "pooler": 335_141_888,
            "2 classes": 335_143_938,
            "words": 335_174_458,
            "words and next sentence": 336_226_108,
        },
    ),
    (
        "Large",
        CASED,
        {
            "no pooler": 332_529_664,
            "pooler": 333_579_264,
            "words": 333_610_308,
            "words and next sentence": 334_661_958,
        },
    ),
    ("Base", ROBERTAS, {"no pooler": 124_055_040, "words": 124_697_433}),
    ("Large", ROBERTAS, {"no pooler": 354_310_144, "words": 355_412_057}),
]


def test_no_variant_lacks_its_count():
    assert sizes.BERT.keys() == {name for name, _, _ in COUNTS}


@pytest.mark.parametrize(("variant", "keys", "counts"), COUNTS)
def test_a_model_has_the_published_parameters(variant, keys, counts):
    def count(form, **more):
        outputs, head = FORMS[form]
        return parameters(models.build("bert", outputs, **{"variant": variant} | keys | head | more))

    depth = models.build("bert", 0, variant=variant, **keys).size.depth
    block = count("no pooler", depth=2) - count("no pooler", depth=1)  # tracing 24 layers takes its time
    assert {form: count(form, depth=1) + (depth - 1) * block for form in counts} == counts


def test_every_matrix_begins_by_the_truncated_normal_and_every_bias_at_zero(monkeypatch):
    drawn = np.asarray(bert_module.NORMAL(jax.random.key(0), (100, 100)))
    assert np.abs(drawn).max() <= 0.04
    assert drawn.std() == pytest.approx(0.02 * 0.8796, rel=0.02)
    monkeypatch.setattr(bert_module, "NORMAL", jax.nn.initializers.constant(7.0))
    model = bert(V, head="words", next_sentence=True)
    params = jax.jit(lambda: model.init(jax.random.key(0), TOKENS, train=False))()["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path)
        assert (leaf == (1 if "scale" in name else 0 if "bias" in name else 7)).all(), name


def test_texts_in_one_row_and_padding_change_no_texts_logits(filled):
    model = bert(V, head="words")
    variables = filled(model, TOKENS)
    run = jax.jit(lambda v, tokens, segment: model.apply(v, tokens, segment=segment, train=False))
    first, second = TOKENS[0, :3], TOKENS[2, :2]
    packed = run(variables, np.array([[*first, *second, 0, 0]]), np.array([[1, 1, 1, 2, 2, 0, 0]]))[0]
    padded = jax.jit(lambda v, tokens: model.apply(v, tokens, train=False))
    alone = padded(variables, np.array([[*first, 0, 0, 0, 0], [*second, 0, 0, 0, 0, 0]]))
    close(packed[:5], np.concatenate([alone[0, :3], alone[1, :2]]))
    assert np.isfinite(packed).all()
    later = padded(variables, np.array([[*first, 0, 0, 0, 0], [*second, 5, 0, 0, 0, 0]]))
    assert np.abs(later[1, :2] - alone[1, :2]).max() > 1e-3  # what comes after is seen


def test_in_bfloat16_parameters_and_logits_are_float32():
    model = bert(dtype="bfloat16", scan=True)
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), TOKENS, train=False))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}


def test_dropout_stands_at_berts_places(monkeypatch):
    drawn, bernoulli = [], jax.random.bernoulli

    def noted(key, p, shape):
        drawn.append((p, tuple(shape)))
        return bernoulli(key, p, shape)

    monkeypatch.setattr(jax.random, "bernoulli", noted)
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    jax.eval_shape(lambda: bert(dropout=0.25, attention_dropout=0.5).init(rngs, TOKENS, train=True))
    assert sorted(drawn) == sorted([(0.75, (B, T, D))] * 5 + [(0.5, (B, H, T, T))] * 2 + [(0.75, (B, D))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "base"}, "variant='base' does not exist: did you mean 'Base'"),
        ({"depth": None}, r"depth is not set.*config.model.variant"),
        ({"heads": 3}, "width=8 does not divide by heads=3"),
        ({"head": "word"}, "config.model.head='word' .*did you mean 'words'"),
        ({"next_sentence": True}, "next_sentence is for config.model.head=words, not 'sentence'"),
        ({"max_length": T - 1}, rf"a row of {T} tokens .* config.model.max_length={T - 1}"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(UserError, match=message):
        parameters(bert(**arguments))
