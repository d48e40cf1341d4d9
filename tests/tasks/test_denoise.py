"""Paths between images and noise, and how drawn images are judged."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from tasks import noise
from tasks.denoise import Task
from tasks.sample_quality import Metrics, frechet

RNG = np.random.default_rng(0)
MEAN, DEVIATION = 0.7, 0.3  # of images whose pixels are independent: what a perfect model says of them is known


def perfect(path):
    """(noisy, time) -> what the best possible model of these images returns."""

    def flow(x, time):
        s = noise.along(time / noise.TIMES, x)
        variance = ((1 - s) * DEVIATION) ** 2 + s**2
        of_noise = s / variance * (x - (1 - s) * MEAN)
        of_image = MEAN + (1 - s) * DEVIATION**2 / variance * (x - (1 - s) * MEAN)
        return of_noise - of_image

    def diffusion(x, time):
        left = noise.along(jnp.asarray(path.left)[time.astype(int)], x)
        return jnp.sqrt(1 - left) / (left * DEVIATION**2 + 1 - left) * (x - jnp.sqrt(left) * MEAN)

    return flow if isinstance(path, noise.Flow) else diffusion


@pytest.mark.parametrize("path", [noise.Flow(), noise.Diffusion("linear")])
def test_a_perfect_model_leads_noise_back_to_the_images(path):
    start = jnp.asarray(RNG.normal(size=(64, 8, 8, 1)), jnp.float32)
    found = path.sample(perfect(path), start, 200)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(found.std()) == pytest.approx(DEVIATION, abs=0.02)


def test_a_small_error_does_not_grow_where_nothing_is_left_of_the_image():
    path, wrong = noise.Diffusion("cosine", clip=2.0), jnp.asarray(0.01 * RNG.normal(size=(64, 8, 8, 1)), jnp.float32)
    start = jnp.asarray(RNG.normal(size=(64, 8, 8, 1)), jnp.float32)
    found = path.sample(lambda x, time: perfect(path)(x, time) + wrong, start, 50)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.05)
    assert float(found.std()) == pytest.approx(DEVIATION, abs=0.05)
    with pytest.raises(UserError, match="schedule=cosine needs"):
        Task(path="diffusion", schedule="cosine").check(None)
    Task(path="diffusion", schedule="cosine", clip=1.0).check(None)


@pytest.mark.parametrize("path", [noise.Flow(), noise.Diffusion("cosine")])
def test_the_loss_is_the_squared_error_of_what_is_to_be_learned(path):
    image, drawn = (jnp.asarray(RNG.normal(size=(3, 2, 2, 1)), jnp.float32) for _ in range(2))
    level = jnp.array([0.0, 0.4, 0.999])
    right = drawn - image if isinstance(path, noise.Flow) else drawn
    np.testing.assert_allclose(path.loss(lambda x, t: right, image, drawn, level)["loss"], 0, atol=1e-6)
    np.testing.assert_allclose(path.loss(lambda x, t: right + 2, image, drawn, level)["loss"], 4, rtol=1e-5)


def test_schedules_end_in_noise():
    for schedule in ("linear", "cosine"):
        left = noise.Diffusion(schedule).left
        assert (np.diff(left) < 0).all()
        assert left[0] > 0.999
        assert left[-1] < 1e-4


def test_the_bound_is_least_at_the_true_variance_and_teaches_the_variance_alone():
    """With the true noise, a step back is the posterior itself: its variance has a divergence of 0 (but not at time 0,
    where pixels are discrete)."""
    image, drawn = (jnp.asarray(RNG.uniform(-0.9, 0.9, size=(2, 2, 2, 1)), jnp.float32) for _ in range(2))
    level, path = jnp.array([0.0, 0.5]), noise.Diffusion("linear")

    def losses(fraction, wrong=0.0):
        return path.loss(lambda x, t: jnp.concatenate([drawn + wrong, fraction], -1), image, drawn, level)

    least = losses(-jnp.ones_like(image))["bound"]
    assert float(least[1]) == pytest.approx(0, abs=1e-4)
    assert (losses(jnp.zeros_like(image))["bound"][1] > least[1]).all()
    assert np.isfinite(least[0])
    of_noise = jax.grad(lambda wrong: losses(jnp.zeros_like(image), wrong)["bound"].sum())(0.0)
    assert of_noise == 0


def applied(noisy, time, label, *, train):
    del time, train
    return jnp.zeros_like(noisy) + (jnp.zeros(len(noisy)) if label is None else label)[:, None, None, None]


def test_guidance_goes_beyond_the_class():
    batch = {"image": jnp.zeros((2, 2, 2, 1)), "label": jnp.array([1.0, 2.0])}
    keys = jax.random.split(jax.random.key(0), 2)
    start = jnp.stack([jax.random.normal(key, (2, 2, 1)) for key in keys])
    for guidance in (1.0, 3.0):
        rows = Task(guidance=guidance, sampling_steps=1).predict(applied, batch, keys)
        expected = start - guidance * batch["label"][:, None, None, None]
        np.testing.assert_allclose(rows["sample"], expected, rtol=1e-5)
        assert "image" not in rows


def test_what_does_not_fit_is_one_line():
    with pytest.raises(UserError, match="a diffusion has 1000 times"):
        Task(path="diffusion", sampling_steps=1001).check(None)
    batch = {"image": jnp.zeros((2, 2, 2, 1)), "label": jnp.zeros(2, int)}
    with pytest.raises(UserError, match=r"learned_variance needs config\.task\.path=diffusion"):
        Task().predict(lambda x, *_, **__: jnp.concatenate([x, x], -1), batch, jax.random.split(jax.random.key(0), 2))


def test_the_frechet_distance_is_that_of_two_normal_distributions():
    a = RNG.normal(size=(20_000, 2)) * [1.0, 2.0] + [1.0, 0.0]
    b = RNG.normal(size=(20_000, 2)) * [3.0, 2.0]
    assert frechet(a, b) == pytest.approx(1 + (3 - 1) ** 2, rel=0.05)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_images_as_asked_are_recognised_and_others_are_not():
    label = np.arange(200) % 2
    real = RNG.normal(size=(200, 2, 2, 1)) * 0.1 + label[:, None, None, None]
    batch = {"image": real, "label": label, "mask": np.ones(200)}
    data = SimpleNamespace(train_split="train", eval_batches=lambda split: [batch][: split == "train"])
    for drawn, least, most in ((real[::-1][:, ::-1], -1, 0.1), (real + 0.01, 0.9, 1)):
        metrics = Metrics(data)
        metrics.update({"sample": drawn, "image": real, "label": label})
        found, (note,) = metrics.compute()
        assert least <= found["recognised"] <= most
        assert found["recognised_real"] > 0.9
        assert found["frechet_real"] == pytest.approx(0, abs=1e-6)
        assert "MLPClassifier" in note
    few = Metrics(data)
    few.update({"sample": real[:10], "image": real[:10], "label": label[:10]})
    assert few.compute()[0] == {}
    broken = Metrics(data)
    broken.update({"sample": np.where(real > 1, np.nan, real), "image": real, "label": label})
    found, (note,) = broken.compute()
    assert not found
    assert " of 200 samples are not finite" in note
