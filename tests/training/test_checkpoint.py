from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from training import checkpoint

STATE = {"step": jnp.zeros((), jnp.int32), "params": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "ema": {}}
ABSTRACT = jax.eval_shape(lambda: STATE)


def save(folder: Path, scores: dict[int, float | None], **settings) -> None:
    with checkpoint.make(folder, **settings) as checkpoints:
        for step, score in scores.items():
            state = STATE | {"step": jnp.asarray(step, jnp.int32)}
            checkpoints.save(step, state, {"seed": step}, None if score is None else {"test/accuracy": score})


def laid_out(tree):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def test_the_last_and_the_best_stay(tmp_path):
    scores = {1: 0.5, 2: 0.9, 3: 0.7, 4: None, 5: 0.6, 6: 0.8}
    save(tmp_path / "max", scores, keep_last=2, keep_best="test/accuracy")
    save(tmp_path / "min", scores, keep_last=2, keep_best="test/accuracy", keep_best_mode="min")
    highest = checkpoint.make(tmp_path / "max", keep_last=2, keep_best="test/accuracy")
    lowest = checkpoint.make(tmp_path / "min", keep_last=2, keep_best="test/accuracy", keep_best_mode="min")
    assert (highest.steps(), highest.best(), highest.latest()) == ([2, 5, 6], 2, 6)
    assert (lowest.steps(), lowest.best(), lowest.latest()) == ([1, 5, 6], 1, 6)


def test_a_state_comes_back_as_it_was_with_its_record(tmp_path):
    save(tmp_path, {7: None})
    checkpoints = checkpoint.make(tmp_path)
    restored = checkpoints.restore(7, laid_out(ABSTRACT))
    jax.tree.map(np.testing.assert_array_equal, restored, STATE | {"step": np.int32(7)})
    assert restored["ema"] == {}
    assert checkpoints.record(7) == {"seed": 7}


def test_a_step_that_is_not_there_lists_those_that_are(tmp_path):
    save(tmp_path, {10: None, 20: None})
    with pytest.raises(UserError, match=r"no checkpoint of step 30.*There is: 10, 20"):
        checkpoint.make(tmp_path).restore(30, laid_out(ABSTRACT))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kernel": jnp.zeros((2, 4))}, r"params/kernel is float32\[2, 3\] there and float32\[2, 4\] here"),
        ({"kernel": jnp.zeros((2, 3), jnp.int32)}, r"and int32\[2, 3\] here"),
        ({"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}, r"params/bias is absent there"),
        ({}, r"params/kernel is .* there and absent here"),
    ],
)
def test_another_models_state_is_refused_and_never_cast(tmp_path, params, message):
    save(tmp_path, {1: None})
    with pytest.raises(UserError, match=message):
        checkpoint.make(tmp_path).restore(1, laid_out(STATE | {"params": params}))


def test_no_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 40})())
    with pytest.raises(UserError, match=r"no space left for checkpoints in .*two take 0 MB"):
        save(tmp_path / "new", {1: None})
    assert checkpoint.make(tmp_path / "new").latest() is None


def test_a_disk_that_fills_while_saving_says_what_is_safe(tmp_path):
    save(tmp_path, {1: None})
    checkpoints = checkpoint.make(tmp_path)
    full = OSError(28, "No space left on device")
    assert "step 1 is safe. Free some and run the same command again" in str(checkpoints._explained(full))
    other = OSError(5, "Input/output error")
    assert checkpoints._explained(other) is other


def test_a_save_returns_before_donated_buffers_change(tmp_path):
    """The next step overwrites the state's memory while it is being written."""
    bump = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = {"w": jnp.zeros((512, 512))}
    with checkpoint.make(tmp_path, keep_last=9) as checkpoints:
        for step in range(1, 5):
            state = bump(state)
            checkpoints.save(step, state, {}, None)
            for _ in range(3):
                state = bump(state)
    for number, step in enumerate(range(1, 5)):
        saved = checkpoint.make(tmp_path, keep_last=9).restore(step, laid_out(jax.eval_shape(lambda: state)))
        np.testing.assert_array_equal(saved["w"], np.full((512, 512), 4 * number + 1))
