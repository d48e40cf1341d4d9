"""A run as a library: experiment.load(workdir)."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import experiment
import tasks
import weights
from errors import UserError
from experiment import items as of_user
from tests.commandline import command

ROOT = Path(__file__).parents[2]
PIXELS = (np.random.default_rng(0).random((35, 8, 8)) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def digits(untrained) -> experiment.Trained:
    return experiment.load(untrained("vit"))


@pytest.fixture(scope="module")
def dates(untrained) -> experiment.Trained:
    return experiment.load(str(untrained("transformer")), {"task.beams": 1})


@pytest.fixture(scope="module")
def gpt(untrained) -> experiment.Trained:
    return experiment.load(untrained("gpt"), {"task.length": 6})


def test_images_are_predicted_however_they_are_given(digits, tmp_path):
    """Arrays of more than one batch, floats, PIL images, files and folders: the same rows, in the same order."""
    expected = digits.predict(PIXELS)["probability"]
    assert (expected.shape, expected.dtype) == ((35, 10), np.float32)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 1e-3  # so that rows can be told apart
    (tmp_path / "b").mkdir()
    files = [tmp_path / "a.png", tmp_path / "b" / "b.png"]
    for file, image in zip(files, PIXELS, strict=False):
        Image.fromarray(image).save(file)
    (tmp_path / "notes.txt").write_text("no image")
    for given, rows in (
        (PIXELS[0], [0]),
        (PIXELS[1:3] / 255, [1, 2]),
        (PIXELS[:2, :, :, None], [0, 1]),
        (np.repeat(PIXELS[:2, :, :, None], 3, axis=-1), [0, 1]),
        (jnp.asarray(PIXELS[:3]), [0, 1, 2]),
        (Image.fromarray(PIXELS[2]), [2]),
        ([Image.fromarray(PIXELS[1]), PIXELS[0], files[1]], [1, 0, 1]),
        (tmp_path, [0, 1]),
        (map(str, files), [0, 1]),
        (PIXELS[32:], [32, 33, 34]),
    ):
        np.testing.assert_allclose(digits.predict(given)["probability"], expected[rows], atol=1e-6)


def test_predictions_are_those_of_the_model(digits):
    batch, notes = digits.read(PIXELS[:3])
    assert (batch["image"].shape, notes) == ((3, 8, 8, 1), [])
    logits = jax.jit(partial(digits.model.apply, train=False))({"params": digits.params}, batch["image"])
    np.testing.assert_allclose(digits.predict(PIXELS[:3])["probability"], jax.nn.softmax(logits), atol=1e-6)
    best = digits.answers(PIXELS[:3], most=1)
    assert [one.data["top"][0]["class"] for one in best] == [digits.classes[i] for i in np.argmax(logits, 1)]
    assert digits.config["model"]["name"] == "vit"
    assert digits.step == 20


def test_what_is_shown_of_an_object_is_a_line(digits, tmp_path):
    seen = digits.attention(PIXELS[0])
    assert repr(seen) == "<attention (layers, heads, queries, keys): encoder (2, 2, 5, 5)>"
    assert "picture" not in repr(tasks.Answer("x", picture=PIXELS[0]))
    weights.write(tmp_path / "vit.safetensors", digits.params, "timm", {**digits.config["model"], "grid": (2, 2)})
    found = weights.read(tmp_path / "vit.safetensors")
    assert repr(found).endswith("heads 2, patch 4) by the names of timm, 10 classes>")


def test_features_and_attention_of_an_image(digits):
    features = digits.features(PIXELS[:3])
    batch, _ = digits.read(PIXELS[:3])
    headless = digits.model.clone(outputs=0)
    expected = jax.jit(partial(headless.apply, train=False))({"params": digits.params}, batch["image"])
    np.testing.assert_allclose(features, expected, atol=1e-5)
    seen = digits.attention(PIXELS[0])
    assert {name: x.shape for name, x in seen.maps.items()} == {"encoder": (2, 2, 5, 5)}
    np.testing.assert_allclose(seen.maps["encoder"].sum(-1), 1, atol=1e-5)
    assert seen.grid == (2, 2)
    np.testing.assert_array_equal(seen.over_patches()[..., 1, 0], seen.maps["encoder"][..., 3])
    with pytest.raises(UserError, match="there is no attention 'cross': there is encoder"):
        seen.over_patches("cross")


def test_sentences_are_translated_and_looked_at(dates):
    one = dates.generate("1 2 3")
    assert dates.generate(["1 2 3", "4"])[0] == one
    assert one == dates.answers("1 2 3")[0].text
    drawn = [dates.generate(["1 2 3"] * 4, temperature=2.0, seed=seed) for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]
    seen = dates.attention("1 2 3")
    source, read, written = (len(seen.tokens[name]) for name in ("encoder", "decoder", "written"))
    assert (source, read) == (4, written)  # with its end
    assert {name: x.shape for name, x in seen.maps.items()} == {
        "encoder": (1, 2, source, source),
        "decoder": (1, 2, read, read),
        "cross": (1, 2, read, source),
    }
    for rows in seen.maps.values():  # nothing goes to padding, which is not shown
        np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(dates.features(["1 2 3", "4"])[0], dates.features("1 2 3")[0], atol=1e-5)


def test_prompts_are_continued(gpt):
    whole = gpt.generate("1 2")
    assert whole.startswith("1 2")
    assert whole == gpt.answers("1 2")[0].text
    assert gpt.predict(["1 2", "3"])["tokens"].shape == (2, 6)
    assert len(gpt.generate("1 2", length=2)) < len(whole)
    np.testing.assert_allclose(gpt.features(["1 2 3 4", "1"])[1], gpt.features("1")[0], atol=1e-5)
    seen = gpt.attention("1 2")
    assert seen.maps["decoder"].shape == (2, 2, *[len(seen.tokens["decoder"])] * 2)


def test_a_command_tells_of_every_batch_that_goes_beyond_the_context(gpt):
    flags = (f"--workdir={gpt.run.workdir}", "--stream", "--json", "--config.task.length=14")
    ended = command("predict.py", *flags, "1", "2 3 4", "2 3 4 5")
    assert ended.returncode == 0
    assert ended.stderr.count("note: the prompt and its continuation are more than the 16 positions") == 2


def test_a_prompt_is_continued_alone_word_by_word_as_beside_others(gpt):
    """Sampled, by its own place among the prompts, and beside one that does not fit into the context."""
    with pytest.warns(UserWarning, match="more than the 16 positions that the model has learned"):
        gpt.generate(["1 2 3 4 5 6", "3"])
    together = gpt.run.predict_few(gpt.variables, of_user.padded(gpt.read(["1 2 3 4 5 6", "3"])[0], 0))
    batch = of_user.padded(gpt.read("3")[0], 1)
    *_, row = gpt.run.stream(gpt.variables, batch)
    np.testing.assert_array_equal(row["tokens"], together["tokens"][1])
    np.testing.assert_array_equal(row["tokens"], gpt.run.predict_few(gpt.variables, batch)["tokens"][0])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda run: run.generate("a"), "config.task.name='classify' writes no texts"),
        (lambda run: run.predict([]), "there is nothing to read: give an image file"),
        (lambda run: run.predict(3), "int is not an image file"),
        (lambda run: run.predict([None]), "None is not an image file"),
        (lambda run: run.predict(PIXELS.astype(int)), "pixels of int64 from 0 to 25. are of no known range"),
        (lambda run: run.predict(PIXELS * 1.0), "pixels of float64 from 0 to 25. are of no known range"),
        (lambda run: run.predict(np.zeros(3)), r"an array of shape \(3,\) is no image"),
        (lambda run: run.predict("nowhere.png"), "cannot read nowhere.png"),
        (lambda run: run.predict(ROOT / "launch"), "launch holds no images"),
        (lambda run: run.attention(PIXELS[:2]), "attention is of one example, and 2 are given"),
        (lambda run: experiment.load(run.run.workdir, step=7), "has no checkpoint of step 7"),
        (lambda run: experiment.load(run.run.workdir, {"task.label": 1}), "config.task.label is not a setting"),
        (lambda run: experiment.load(run.run.workdir, {"data.image_size": "a"}), "should be a valid integer"),
        (lambda run: experiment.load("nowhere"), "nowhere holds no run"),
    ],
)
def test_a_mistake_is_one_line(digits, use, message):
    with pytest.raises(UserError, match=message) as error:
        use(digits)
    assert "\n" not in str(error.value)


def test_settings_of_a_task_are_checked(dates):
    for settings, message in (
        ({"beam": 2}, "config.task.beam is not a setting: did you mean 'beams'"),
        ({"beams": "x"}, "config.task.beams='x'"),
        ({"beams": 1000}, "config.task.beams=1000 are more than"),
    ):
        with pytest.raises(UserError, match=message):
            dates.generate("1 2", **settings)
    with pytest.raises(UserError, match="ndarray is not a sentence"):
        dates.predict(PIXELS)


def test_batches_have_few_shapes():
    batch = {"tokens": np.ones((9, 4), np.int32)}
    filled = of_user.padded(batch, first=5)
    assert filled["tokens"].shape == (32, 4)
    assert filled["tokens"].sum() == 36
    assert filled["index"].tolist() == list(range(5, 37))


def test_nothing_is_printed_and_no_environment_is_changed(digits, tmp_path):
    """From another folder, with every warning an error. jax sets two variables of its own when it finds its devices."""
    workdir = os.path.relpath(digits.run.workdir, tmp_path)
    program = f"""
import os, jax
jax.devices()
before = dict(os.environ)
import numpy as np, experiment
run = experiment.load({workdir!r})
run.predict(np.zeros((2, 8, 8), np.uint8)), run.features(np.zeros((8, 8))), run.attention(np.zeros((8, 8)))
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
"""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("TF_")} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
