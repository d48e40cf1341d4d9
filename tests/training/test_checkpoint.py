import math
import re
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from training import checkpoint, manifest

STATE = {"step": jnp.zeros((), jnp.int32), "params": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "ema": {}}
ABSTRACT = jax.eval_shape(lambda: STATE)


def save(folder: Path, scores: dict[int, float | None], **settings) -> None:
    with checkpoint.Checkpoints(folder, **settings) as checkpoints:
        for step, score in scores.items():
            state = STATE | {"step": jnp.asarray(step, jnp.int32)}
            checkpoints.save(step, state, {"seed": step})
            if score is not None:
                checkpoints.rate(step, {"test/accuracy": score})


def laid_out(tree):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def test_the_last_and_the_best_stay(tmp_path):
    scores = {0: math.nan, 1: 0.5, 2: 0.9, 3: 0.7, 4: None, 5: 0.6, 6: 0.8}
    save(tmp_path / "max", scores, keep_last=2, keep_best="test/accuracy")
    save(tmp_path / "min", scores, keep_last=2, keep_best="test/accuracy", keep_best_mode="min")
    highest = checkpoint.Checkpoints(tmp_path / "max", keep_last=2, keep_best="test/accuracy")
    lowest = checkpoint.Checkpoints(tmp_path / "min", keep_last=2, keep_best="test/accuracy", keep_best_mode="min")
    assert (highest.steps(), highest.best(), highest.latest()) == ([2, 5, 6], 2, 6)
    assert (lowest.steps(), lowest.best(), lowest.latest()) == ([1, 5, 6], 1, 6)
    assert (highest.kept(), lowest.kept()) == ((2, 0.9), (1, 0.5))


def test_a_state_comes_back_as_it_was_with_its_record(tmp_path):
    save(tmp_path, {7: None})
    checkpoints = checkpoint.Checkpoints(tmp_path)
    restored = checkpoints.restore(7, laid_out(ABSTRACT))
    jax.tree.map(np.testing.assert_array_equal, restored, STATE | {"step": np.int32(7)})
    assert restored["ema"] == {}
    assert checkpoints.record(7) == {"seed": 7}


def test_a_state_of_before_there_were_collections_still_fits(tmp_path):
    """What has no leaves is no part of a state: neither `ema` nor `collections` need to have been saved."""
    save(tmp_path, {1: None})
    wanted = STATE | {"collections": {}}
    restored = checkpoint.Checkpoints(tmp_path).restore(1, laid_out(wanted))
    assert restored["collections"] == {}
    jax.tree.map(np.testing.assert_array_equal, restored, wanted | {"step": np.int32(1)})


def test_what_an_older_version_did_not_save_is_what_the_caller_says(tmp_path):
    save(tmp_path, {1: None})
    wanted = laid_out(STATE | {"usual": jnp.zeros(2)})
    restored = checkpoint.Checkpoints(tmp_path).restore(1, wanted, {"usual": jnp.ones(2)})
    np.testing.assert_array_equal(restored["usual"], jnp.ones(2))
    assert restored.keys() == wanted.keys()
    with pytest.raises(UserError, match="usual is absent there"):
        checkpoint.Checkpoints(tmp_path).restore(1, wanted)


def test_a_step_that_is_not_there_lists_those_that_are(tmp_path):
    save(tmp_path, {10: None, 20: None})
    with pytest.raises(UserError, match=r"no checkpoint of step 30.*There is: 10, 20"):
        checkpoint.Checkpoints(tmp_path).restore(30, laid_out(ABSTRACT))


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
        checkpoint.Checkpoints(tmp_path).restore(1, laid_out(STATE | {"params": params}))


def test_no_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path / "begun", {1: None, 2: None})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 40})())
    with pytest.raises(UserError, match=r"no space left for checkpoints in .*2 would take 0 MB"):
        save(tmp_path / "new", {1: None})
    assert checkpoint.Checkpoints(tmp_path / "new").latest() is None
    save(tmp_path / "begun", {3: None})  # whose 28 bytes there is room for
    assert checkpoint.Checkpoints(tmp_path / "begun").latest() == 3


def test_a_disk_that_fills_while_saving_says_what_is_safe(tmp_path):
    save(tmp_path, {1: None})
    checkpoints = checkpoint.Checkpoints(tmp_path)
    full = OSError(28, "No space left on device")
    assert "step 1 is safe. Free some and run the same command again" in str(checkpoints.explained(full))
    other = OSError(5, "Input/output error")
    assert checkpoints.explained(other) is other


def test_a_full_disk_is_known_before_the_next_save(tmp_path, monkeypatch):
    """Orbax says so in a thread, while the steps after the save go on."""

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.check()
    checkpoints.save(1, STATE, {})
    while not (tmp_path / "1").exists():
        checkpoints.check()
    monkeypatch.setattr(manifest, "write", full)
    checkpoints.save(2, STATE, {})

    def later_steps() -> None:
        for _ in range(6000):
            checkpoints.check()
            time.sleep(0.01)

    with pytest.raises(UserError, match=r"no space left in .*: step 1 is safe"):
        later_steps()
    checkpoints.close()
    assert checkpoint.Checkpoints(tmp_path).latest() == 1


def test_a_save_returns_before_donated_buffers_change(tmp_path):
    """The next step overwrites the state's memory while it is being written."""
    bump = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = {"w": jnp.zeros((512, 512))}
    with checkpoint.Checkpoints(tmp_path, keep_last=9) as checkpoints:
        for step in range(1, 5):
            state = bump(state)
            checkpoints.save(step, state, {})
            for _ in range(3):
                state = bump(state)
    for number, step in enumerate(range(1, 5)):
        saved = checkpoint.Checkpoints(tmp_path, keep_last=9).restore(step, laid_out(jax.eval_shape(lambda: state)))
        np.testing.assert_array_equal(saved["w"], np.full((512, 512), 4 * number + 1))


def flip(path: Path) -> None:
    """One bit of a file's middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """Steps 1 to 3; 2 has the best metric."""
    folder = tmp_path_factory.mktemp("three") / "checkpoints"
    save(folder, {1: 0.5, 2: 0.9, 3: 0.7}, keep_last=3, keep_best="test/accuracy")
    return folder


@pytest.fixture
def folder(three, tmp_path) -> Path:
    return shutil.copytree(three, tmp_path / "checkpoints")


def test_the_newest_good_step_is_used_and_each_damaged_one_is_said(folder, capsys):
    flip(folder / "3" / "state" / "_METADATA")
    shutil.rmtree(folder / "2")
    (folder / "2").mkdir()
    checkpoints = checkpoint.Checkpoints(folder)
    assert (checkpoints.latest(), checkpoints.latest(), checkpoints.steps()) == (1, 1, [1, 2, 3])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert re.match("warning: the checkpoint of step 3 .* not used: state/_METADATA is not as it was written", said[0])
    assert re.match("warning: the checkpoint of step 2 .* not used: its folder is empty", said[1])
    assert checkpoints.restore(1, laid_out(ABSTRACT))["step"] == 1
    assert checkpoint.Checkpoints(folder, primary=False).latest() == 3  # host 0 looks, and tells the others
    assert capsys.readouterr().err == ""


def test_the_best_is_one_that_is_whole(folder, capsys):
    checkpoints = checkpoint.Checkpoints(folder, keep_best="test/accuracy")
    assert checkpoints.best() == 2
    (folder / "2" / "metrics" / "metrics").write_text('{"test/accuracy": 0.8}')
    assert checkpoint.Checkpoints(folder, keep_best="test/accuracy").best() == 3
    assert "step 2" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no checkpoint in .* was kept as the best"):
        checkpoint.Checkpoints(folder).best()


def test_damage_is_refused_where_that_is_asked_for(folder):
    (folder / "3" / "record" / "metadata").unlink()
    with pytest.raises(UserError, match=r"step 3 in .* record/metadata is missing.*checkpoint.damaged=fall_back"):
        checkpoint.Checkpoints(folder, damaged="refuse").latest()
    shutil.rmtree(folder / "3")
    assert checkpoint.Checkpoints(folder, damaged="refuse").latest() == 2


def test_a_damaged_step_that_is_asked_for_names_the_newest_good_one(folder):
    flip(next((folder / "3" / "state" / "d").iterdir()))
    checkpoints = checkpoint.Checkpoints(folder)
    with pytest.raises(UserError, match=r"step 3 in .* is damaged: state/d/\w+ is not as .*newest good one is step 2"):
        checkpoints.restore(3, laid_out(ABSTRACT))
    assert checkpoints.restore(2, laid_out(ABSTRACT))["step"] == 2


def test_where_all_are_damaged_nothing_begins_anew(folder):
    for step in "123":
        flip(folder / step / manifest.FILE)
    with pytest.raises(
        UserError, match=r"every checkpoint in .* \(step 1: manifest.sha256 is not .*; step 3: .*Put back a copy"
    ):
        checkpoint.Checkpoints(folder).latest()


def test_a_step_without_a_manifest_is_used_and_that_is_said(folder, capsys, monkeypatch):
    (folder / "3" / manifest.FILE).unlink()
    checkpoints = checkpoint.Checkpoints(folder)
    assert checkpoints.latest() == 3
    assert checkpoints.restore(3, laid_out(ABSTRACT))["step"] == 3
    assert re.fullmatch("warning: .*step 3 .* no manifest: it was not verified.\n", capsys.readouterr().err)

    def unreadable(*arguments: object) -> None:
        raise ValueError("NOT_FOUND: Error reading")

    monkeypatch.setattr(checkpoint.ocp.StandardCheckpointer, "restore", unreadable)
    with pytest.raises(UserError, match=r"step 3 in .* cannot be read, and has no manifest .*NOT_FOUND"):
        checkpoint.Checkpoints(folder).restore(3, laid_out(ABSTRACT))


def test_a_run_that_goes_on_saves_a_damaged_step_again_and_loses_nothing(folder, capsys):
    for number in range(2):
        flip(folder / "3" / "state" / "_METADATA")
        damaged = (folder / "3" / "state" / "_METADATA").read_bytes()
        (folder / "2" / "metrics" / "metrics").write_bytes(b"\xff")  # over which Orbax would fail to open
        (folder / "4.orbax-checkpoint-tmp").mkdir()
        (folder / "4.orbax-checkpoint-tmp" / "part").write_text("half")
        checkpoints = checkpoint.Checkpoints(folder, keep_best="test/accuracy")
        assert checkpoints.latest() == 1
        assert (folder / "4.orbax-checkpoint-tmp").exists()  # another process may be saving it
        checkpoints.tidy()
        assert not (folder / "4.orbax-checkpoint-tmp").exists()
        assert (folder / "damaged" / ("3", "3-2")[number] / "state" / "_METADATA").read_bytes() == damaged
        save(folder, {2: 0.9, 3: 0.7}, keep_last=3, keep_best="test/accuracy")
        assert checkpoint.Checkpoints(folder).steps() == [1, 2, 3]
        assert checkpoint.Checkpoints(folder).latest() == 3
    assert "the damaged checkpoint of step 3 is now" in capsys.readouterr().err


def test_older_steps_do_not_stop_a_run_that_goes_on(folder):
    (folder / "1" / "metrics" / "metrics").write_bytes(b"\xff")  # over which Orbax would fail to open
    (folder / "2" / "record" / "metadata").unlink()  # what a kill leaves of a step that was being deleted
    (folder / "2" / manifest.METADATA).unlink()
    checkpoints = checkpoint.Checkpoints(folder, keep_best="test/accuracy")
    assert checkpoints.latest() == 3
    checkpoints.tidy()
    assert (checkpoints.steps(), (folder / "damaged" / "1").is_dir()) == ([2, 3], True)
    save(folder, {4: 0.6, 5: 0.8}, keep_best="test/accuracy")
    assert checkpoint.Checkpoints(folder, keep_best="test/accuracy").steps()[-2:] == [4, 5]


def test_a_best_of_no_metric_is_refused_and_what_was_saved_stays(tmp_path):
    save(tmp_path, {1: None}, keep_best="test/acuracy")
    with pytest.raises(UserError, match=r"keep_best='test/acuracy' is not a metric .*: did you mean 'test/accuracy'"):
        save(tmp_path, {2: 0.5}, keep_best="test/acuracy")
    assert checkpoint.Checkpoints(tmp_path).steps() == [1, 2]
