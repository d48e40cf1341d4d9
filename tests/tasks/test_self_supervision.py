import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from tasks import classify, distill, mean_color, reconstruct

CHANCE = np.random.default_rng(0)
IMAGE = jnp.asarray(CHANCE.normal(size=(3, 8, 4, 2)), jnp.float32)  # 4 x 2 patches of 2 x 2
HIDDEN = np.zeros((3, 8), bool)
HIDDEN[:, [1, 6]] = True
MASK = jnp.array([1.0, 1.0, 0.0])


def cut(image: np.ndarray) -> np.ndarray:
    """Patches of 2 x 2, row by row."""
    return np.stack(
        [image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(3, -1) for i in range(4) for j in range(2)], 1
    )


def test_patches_are_cut_row_by_row():
    np.testing.assert_array_equal(reconstruct.patches(IMAGE, (8, 8)), cut(np.asarray(IMAGE)))


@pytest.mark.parametrize("normalised", [True, False])
def test_the_error_is_that_of_hidden_patches_of_real_images(normalised):
    drawn = CHANCE.normal(size=(3, 8, 8)).astype(np.float32)
    target = cut(np.asarray(IMAGE))
    if normalised:
        target = (target - target.mean(-1, keepdims=True)) / np.sqrt(target.var(-1, keepdims=True) + 1e-6)
    batch = {"image": IMAGE, "mask": MASK}
    total, weight = reconstruct.Task(normalised).sums(lambda _, index: (drawn, HIDDEN), batch, True)["loss"]
    expected = np.square(drawn - target)[:2][:, [1, 6]].mean()
    assert float(total / weight) == pytest.approx(expected, rel=1e-5)


def test_a_mean_colour_is_of_the_pixels_before_they_were_normalised():
    mean, std = (0.4, 0.6), (0.5, 0.25)
    pixels = np.clip(CHANCE.uniform(size=(3, 8, 4, 2)), 0, 1)
    image = jnp.asarray((pixels - mean) / std, jnp.float32)
    task = mean_color.Task(mean, std)
    level = np.floor(8 * np.stack([cut(pixels[..., [c]]).mean(-1) for c in range(2)], -1)).clip(0, 7)
    label = task.labels(image, 8)
    np.testing.assert_array_equal(label, level[..., 0] + 8 * level[..., 1])
    logits = 3 * jax.nn.one_hot(label, 64)
    sums = task.sums(lambda _, index: (logits, jnp.asarray(HIDDEN)), {"image": image, "mask": MASK}, False)
    assert float(sums["accuracy"][0] / sums["accuracy"][1]) == 1
    assert float(sums["loss"][0] / 2) == pytest.approx(np.log(63 + np.exp(3)) - 3, rel=1e-5)


LOGITS = jnp.asarray(CHANCE.normal(size=(3, 2, 4)), jnp.float32)
BATCH = {
    "image": IMAGE,
    "label": jnp.array([0, 1, 2]),
    "mask": MASK,
    "teacher": jnp.asarray(CHANCE.normal(size=(3, 4))),
}


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_half_the_loss_is_the_labels_and_half_the_teachers(kind):
    sums = distill.Task(teacher="t", kind=kind, temperature=2.0).sums(lambda _: LOGITS, BATCH, True)
    own = classify.Task().sums(lambda _: LOGITS[:, 0], BATCH, True)["loss"][0]
    if kind == "hard":
        rows = jnp.arange(2)
        theirs = -jax.nn.log_softmax(LOGITS[:2, 1])[rows, BATCH["teacher"][:2].argmax(-1)].sum()
    else:
        p, q = jax.nn.softmax(BATCH["teacher"][:2] / 2), jax.nn.softmax(LOGITS[:2, 1] / 2)
        theirs = 4 * jnp.sum(p * jnp.log(p / q))
    assert float(sums["loss"][0]) == pytest.approx(float(own + theirs) / 2, rel=1e-5)
    assert float(sums["loss"][1]) == 2


def test_distillation_needs_a_teacher_and_two_heads():
    with pytest.raises(UserError, match=r"config.task.teacher is not set"):
        distill.Task()
    with pytest.raises(UserError, match=r"set --config.model.head=distilled"):
        distill.Task(teacher="t").sums(lambda _: LOGITS[:, 0], BATCH, True)
