"""What bad steps do to a run, and which batches a run reads that was rolled back."""

import itertools

import pytest

from errors import UserError
from training.mishaps import PATIENCE, Mishaps, RollBack, batch_of, batches


def mishaps(policy: str, said: list[str], latest: int | None = 40) -> Mishaps:
    return Mishaps(policy, 3.0, lambda: latest, said.append)


def test_stop_names_the_steps_what_was_bad_and_what_is_saved():
    with pytest.raises(UserError) as raised:
        mishaps("stop", []).judge({43: "spike", 45: "nonfinite", 47: "nonfinite"})
    message = str(raised.value)
    assert (
        "the loss or its gradient was not finite at step 45, 47; the loss was more than 3 times the usual one"
        in message
    )
    assert "at step 43. The newest checkpoint is step 40." in message
    with pytest.raises(UserError, match="Nothing was saved yet"):
        mishaps("stop", [], latest=None).judge({1: "nonfinite"})


@pytest.mark.parametrize("policy", ["stop", "skip", "rollback"])
def test_without_a_bad_step_nothing_is_done(policy):
    said: list[str] = []
    mishaps(policy, said).judge({})
    assert not said


def test_a_rollback_is_to_before_the_first_bad_step():
    with pytest.raises(RollBack, match="more than 3 times the usual one at step 43") as raised:
        mishaps("rollback", []).judge({45: "nonfinite", 43: "spike"})
    assert raised.value.step == 43


def test_skip_goes_on_unless_every_step_is_bad():
    said: list[str] = []
    judge = mishaps("skip", said).judge
    judge(dict.fromkeys(range(1, PATIENCE + 1), "nonfinite"))
    judge({PATIENCE + 2: "spike"})  # the one between was good
    judge(dict.fromkeys(range(PATIENCE + 3, 2 * PATIENCE + 2), "spike"))
    assert said[0] == "The loss or its gradient was not finite at step 1, 2, 3, 4, 5 ...: skipped."
    assert said[1] == f"The loss was more than 3 times the usual one at step {PATIENCE + 2}: skipped."
    with pytest.raises(UserError, match=f"at step {2 * PATIENCE + 2}, the last of {PATIENCE + 1} bad ones in a row"):
        judge({2 * PATIENCE + 2: "spike"})


@pytest.mark.parametrize("left_out", [[], [[1, 1]], [[3, 5]], [[3, 5], [3, 8]], [[6, 7], [2, 3], [9, 9], [3, 6]]])
def test_a_step_reads_the_next_batch_that_is_not_left_out(left_out):
    kept = [n for n in range(1, 60) if not any(first <= n <= last for first, last in left_out)]
    assert [batch_of(step, left_out) for step in range(1, 31)] == kept[:30]
    assert batch_of(0, left_out) == 0
    for start in range(8):
        read = batches(lambda index: itertools.count(index + 1), start, left_out)
        assert list(itertools.islice(read, 20)) == kept[start : start + 20]
