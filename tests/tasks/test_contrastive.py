"""Contrastive losses against loops over pairs, in chunks, over devices; retrieval and zero-shot by loops."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models.clip import Embedded
from tasks.contrastive import Task, named
from tasks.retrieval import Metrics
from training import optim, step
from training.parallel import Mesh, Pmap

RNG = np.random.default_rng(0)
B, E, T = 16, 6, 4
SCALE, BIAS = 7.0, -2.0
MASK = np.array([1] * 11 + [0, 1, 1, 0, 1], np.float32)
LOSSES = ("softmax", "sigmoid")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


IMAGE, TEXT = (unit(RNG.normal(size=(B, E))).astype(np.float32) for _ in range(2))
TOKENS = RNG.integers(4, 50, (B, T)).astype(np.int32)
TOKENS[5] = TOKENS[2]  # the same caption twice


def apply(image, tokens):
    """A model whose images are embeddings, and whose texts are found by place."""
    del tokens
    return Embedded(image, jnp.asarray(TEXT), jnp.asarray(SCALE), jnp.asarray(BIAS))


class Whole:
    """`apply` of one device."""

    def __call__(self, *inputs, **options):
        return apply(*inputs)

    def gather(self, x):
        return x


def batch(image=IMAGE):
    return {"image": jnp.asarray(image), "tokens": jnp.asarray(TOKENS), "mask": jnp.asarray(MASK)}


def by_loops(task):
    """The loss of each pair, summed; and how often a pair is ahead of all wrong ones."""
    real = np.flatnonzero(MASK)
    logits = (SCALE * IMAGE @ TEXT.T + BIAS).astype(np.float64)
    total, ahead = 0.0, [0, 0]
    for i in real:
        others = [j for j in real if j != i and (task.repeats or not (TOKENS[i] == TOKENS[j]).all())]
        if task.loss == "softmax":
            for row in (logits[i], logits[:, i]):
                total += (np.log(np.exp(row[[i, *others]]).sum()) - row[i]) / 2
        else:
            total += np.log1p(np.exp(-logits[i, i])) + sum(np.log1p(np.exp(logits[i, j])) for j in others)
        others = [j for j in real if (TOKENS[i] != TOKENS[j]).any()]
        ahead[0] += all(logits[i, i] > logits[i, j] for j in others)
        ahead[1] += all(logits[i, i] > logits[j, i] for j in others)
    return total, ahead


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("chunk", [0, 5])
def test_the_loss_is_that_of_loops_over_pairs(loss, repeats, chunk):
    task = Task(loss=loss, repeats=repeats, chunk=chunk)
    sums = task.sums(Whole(), batch(), train=True)
    total, (of_image, of_text) = by_loops(task)
    assert float(sums["loss"][0]) == pytest.approx(total, rel=1e-5)
    assert (float(sums["image_accuracy"][0]), float(sums["text_accuracy"][0])) == (of_image, of_text)
    assert {float(weight) for _, weight in sums.values()} == {MASK.sum()}
    assert by_loops(Task(loss=loss))[0] != pytest.approx(by_loops(Task(loss=loss, repeats=False))[0], rel=1e-4)
    # In evaluation an image without a caption weighs as little as padding.
    given = {"tokens": jnp.asarray(TOKENS)[:, None], "given": jnp.asarray(MASK)[:, None], "mask": jnp.ones(B)}
    evaluated = task.sums(Whole(), batch() | given, train=False)
    np.testing.assert_allclose(evaluated["loss"], sums["loss"], rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_in_chunks_the_gradient_is_the_same(loss):
    def total(chunk, image):
        return Task(loss=loss, chunk=chunk).sums(Whole(), batch(image), train=True)["loss"][0]

    whole = jax.grad(partial(total, 0))(jnp.asarray(IMAGE))
    assert np.abs(whole).max() > 0.1
    for chunk in (4, 5, 64):
        np.testing.assert_allclose(jax.grad(partial(total, chunk))(jnp.asarray(IMAGE)), whole, atol=1e-5)
    assert not np.asarray(whole)[MASK == 0].any()


def test_a_pair_alone_has_no_gradient_and_no_nan():
    one = {name: x[:1] for name, x in batch().items()}
    for loss in LOSSES:

        def total(image, loss=loss):
            only = lambda image, tokens: Embedded(image, jnp.asarray(TEXT[:1]), jnp.asarray(1.0), jnp.asarray(0.0))  # noqa: E731
            whole = type("One", (), {"__call__": lambda self, *x: only(*x), "gather": lambda self, x: x})()
            return Task(loss=loss).sums(whole, one | {"image": image}, train=True)["loss"][0]

        assert np.isfinite(jax.grad(total)(one["image"])).all()


class Towers(nn.Module):
    """Two linear towers."""

    @nn.compact
    def __call__(self, image: jax.Array, tokens: jax.Array, *, train: bool) -> Embedded:
        del train
        image = nn.Dense(E, use_bias=False, name="image")(image)
        text = nn.Embed(50, E, name="text")(tokens).mean(1)
        scale = self.param("scale", nn.initializers.constant(1.5), ())
        norm = partial(jnp.linalg.norm, axis=-1, keepdims=True)
        return Embedded(image / norm(image), text / norm(text), jnp.exp(scale), jnp.zeros(()))


def trained(devices, task, batches=3):
    """Sums and parameters after a few steps."""
    optimiser, _ = optim.make(name="sgd", learning_rate=0.1, total_steps=20, schedule="constant")
    parts = dict(model=Towers(), task=task, optimiser=optimiser, seed=0)
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch().items()}
    state = jax.device_get(jax.jit(partial(step.initialise, batch=like, ema=False, **parts))())
    function = devices.compile_train(partial(step.train_step, accumulate=1, ema_decay=0.0, **parts), state)
    state = devices.put_state(state)
    for _ in range(batches):
        state, sums = function(state, devices.put({name: np.asarray(x) for name, x in batch().items()}))
    return jax.device_get(devices.get_state(state)).params, devices.fetch(sums)


@pytest.mark.parametrize("task", [Task(), Task(loss="sigmoid", repeats=False, chunk=6)])
def test_one_device_a_mesh_and_pmap_compute_the_same(task):
    params, sums = trained(Mesh(jax.devices()[:1], 1), task)
    for devices in (Mesh(jax.devices(), 8), Pmap(jax.devices())):
        others, other_sums = trained(devices, task)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), others, params)
        for name, pair in sums.items():
            np.testing.assert_allclose(other_sums[name], pair, rtol=1e-4, atol=1e-5)


def test_texts_have_one_name_each():
    rows = np.unique(RNG.integers(0, 5, (3000, 8)), axis=0)
    names = np.asarray(named(jnp.asarray(rows)))
    assert len(np.unique(names, axis=0)) == len(rows)
    swapped = np.asarray(named(jnp.asarray(rows[:, ::-1])))
    assert (swapped == names).all(1).mean() < 0.1


N, M = 40, 3


def split(labels=False):
    """Rows of a whole split: images with up to three captions, some of them the same, one image without any."""
    image, text = unit(RNG.normal(size=(N, E))), unit(RNG.normal(size=(N, M, E)))
    tokens = RNG.integers(0, 99, (N, M, T))
    tokens[7, 1], text[7, 1] = tokens[3, 0], text[3, 0]
    given = RNG.random((N, M)) < 0.8
    given[:, 0], given[9] = True, False
    given[7, 1] = True
    rows = {"image": image, "text": text, "given": given.astype(np.float32), "index": np.arange(N)}
    rows["name"] = np.asarray(named(jnp.asarray(tokens)))
    if labels:
        rows["label"] = np.arange(N) % 4
        rows["text"] = unit(RNG.normal(size=(4, M, E)))[rows["label"]]
        rows["name"] = np.asarray(named(jnp.asarray(RNG.integers(0, 99, (4, M, T)))))[rows["label"]]
        rows["given"] = np.ones((N, M), np.float32)
    return rows


def test_retrieval_is_that_of_loops_over_pairs_in_any_batches():
    rows = split()
    own = {i: [tuple(rows["name"][i, m]) for m in range(M) if rows["given"][i, m]] for i in range(N)}
    vectors = {tuple(rows["name"][i, m]): rows["text"][i, m] for i in range(N) for m in range(M) if rows["given"][i, m]}
    images = [i for i in range(N) if own[i]]
    first = {1: 0, 5: 0, 10: 0}
    for i in images:
        ordered = sorted(vectors, key=lambda name: -rows["image"][i] @ vectors[name])
        best = min(ordered.index(name) for name in own[i])
        first = {k: n + (best < k) for k, n in first.items()}
    back = {1: [], 5: [], 10: []}
    for i in images:
        for name in own[i]:
            ordered = sorted(images, key=lambda j: -rows["image"][j] @ vectors[name])
            place = min(ordered.index(j) for j in images if name in own[j])
            for k, found in back.items():
                found.append(place < k)
    for size in (N, 7):
        metrics = Metrics()
        for start in range(0, N, size):
            metrics.update({name: x[start : start + size] for name, x in rows.items()})
        found, lines = metrics.compute()
        assert {k: found[f"image_to_text_r{k}"] * len(images) for k in first} == pytest.approx(first)
        assert {k: found[f"text_to_image_r{k}"] for k in back} == pytest.approx(
            {k: np.mean(x) for k, x in back.items()}
        )
        assert "zero_shot_accuracy" not in found
        assert f"among {len(images)} images" in lines[0]
    assert found["image_to_text_chance"] == pytest.approx(np.mean([len(own[i]) for i in images]) / len(vectors))


def test_zero_shot_is_by_the_mean_of_the_prompts_of_a_class():
    rows = split(labels=True)
    metrics = Metrics()
    metrics.update(rows)
    found, lines = metrics.compute()
    classes = unit(np.stack([rows["text"][c].mean(0) for c in range(4)]))
    right = (rows["image"] @ classes.T).argmax(1) == rows["label"]
    assert found["zero_shot_accuracy"] == pytest.approx(right.mean())
    assert found["zero_shot_chance"] == 0.25
    assert "4 classes" in lines[1]


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_collapsed_or_broken_model_finds_nothing(value):
    rows = split(labels=True)
    rows["image"], rows["text"] = np.full_like(rows["image"], value), np.full_like(rows["text"], value)
    metrics = Metrics()
    metrics.update(rows)
    found = metrics.compute()[0]
    assert {found[name] for name in ("image_to_text_r1", "text_to_image_r10", "zero_shot_accuracy")} == {0}


def test_a_model_that_compares_nothing_is_refused():
    class Classifier(Whole):
        def __call__(self, *inputs, **options):
            return jnp.zeros((B, 3))

    with pytest.raises(UserError, match="needs embeddings of images and texts"):
        Task().sums(Classifier(), batch(), train=True)
