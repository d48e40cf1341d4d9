"""What an evaluation would find at the end of the training is known at its start."""

import numpy as np
import pytest

import experiment
from errors import UserError
from experiment import config as configs
from experiment import scoring
from tests.conftest import tiny
from train import train


@pytest.mark.parametrize(
    ("shots", "neighbours", "message"),
    [
        ((2, 4), (), r"fewshot.shots: class 1 has 3 training examples, not 4"),
        ((), (9,), r"fewshot.neighbours: 9 are more than the 8 examples"),
    ],
)
def test_more_shots_than_examples_are_known_before_the_first_step(shots, neighbours, message, tmp_path):
    labels = np.array([0] * 5 + [1] * 3)
    images = np.zeros((8, 8, 8), np.uint8)
    splits = {f"{split}_{key}": x for split in ("train", "test") for key, x in (("images", images), ("labels", labels))}
    np.savez(tmp_path / "set.npz", **splits)
    changes = {"data.source": "arrays", "data.name": str(tmp_path / "set.npz"), "data.batch_size": 8}
    changes |= {"data.train_split": "train", "data.eval_splits": ("test",)}
    changes |= {"evaluation.fewshot.shots": shots, "evaluation.fewshot.neighbours": neighbours}
    with pytest.raises(UserError, match=message):
        train(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_positions_too_short_to_translate_are_known_before_the_first_step(tmp_path):
    for side in ("de", "en"):
        for split in ("train", "test"):
            (tmp_path / f"{split}.{side}").write_text("".join(f"sentence number {i}\n" for i in range(40)))
    changes = {"data.source": "files", "data.name": str(tmp_path), "data.languages": ("de", "en")}
    changes |= {"data.eval_splits": ("test",), "data.tokenizer": "char", "data.max_length": 24, "task.beams": 1}
    changes |= {"model.positions": "learned", "model.max_length": 24, "parallel.mode": "mesh"}
    config = configs.load("configs/transformer_reverse.py:debug", changes)
    with pytest.raises(UserError, match=r"of 25 tokens has no learned positions beyond 24 .*config.task.extra_length"):
        train(config, tmp_path / "run")
    config.evaluation.generate = "never"
    config.checkpoint.keep_best = ""
    scoring.check(experiment.build(config, tmp_path / "run"))


def test_images_that_a_model_cannot_see_in_evaluation_are_known_before_the_first_step(tmp_path):
    changes = {"model.positions": "learned", "data.eval_size": 48, "parallel.mode": "mesh"}
    with pytest.raises(
        UserError, match=r"cannot see the images of an evaluation, 48x48 pixels .*positions.*make them 32x32"
    ):
        train(configs.load("configs/segmenter_digits.py:debug", changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    config = configs.load("configs/segmenter_digits.py:debug", changes | {"task.window": (32, 32)})
    scoring.check(experiment.build(config, tmp_path / "run"))


def test_examples_that_could_not_be_read_are_not_predicted(tmp_path):
    run = experiment.build(tiny(**{"data.eval_batch_size": 8}), tmp_path / "run")
    whole = next(run.pipeline.eval_batches("test"))
    some = whole | {"index": np.arange(8) - 8 * (np.arange(8) == 7), "mask": np.float32([1, 0, 1, 1, 1, 0, 1, 0])}
    none = whole | {"index": np.arange(8, 16), "mask": np.zeros(8, np.float32)}
    rows = list(run.predict(run.initialise().variables, [some, none]))
    assert [batch["index"].tolist() for batch in rows] == [[0, 2, 3, 4, 6]]
    np.testing.assert_array_equal(rows[0]["label"], whole["label"][[0, 2, 3, 4, 6]])
