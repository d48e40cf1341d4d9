"""Models that run without this code."""

import json
import zipfile

import numpy as np
import pytest
from jax import export

import experiment
from errors import UserError
from experiment import exported
from tests.commandline import command


@pytest.fixture(scope="module")
def digits(untrained) -> experiment.Trained:
    return experiment.load(untrained("vit"))


@pytest.fixture(scope="module")
def file(digits, tmp_path_factory):
    """As the command writes it, for platforms that are not here."""
    path = tmp_path_factory.mktemp("exported") / "digits.stablehlo"
    ended = command("convert.py", digits.run.workdir, path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "for cpu, cuda, tpu, called with image float32 (B, 8, 8, 1)" in ended.stdout
    return path


def test_an_exported_model_says_what_the_run_says(digits, file):
    model = experiment.load_exported(file)
    pixels = (np.random.default_rng(0).random((5, 8, 8)) * 255).astype(np.uint8)
    batch, _ = digits.read(pixels)
    for rows in (5, 2):  # of any number of examples
        found = model(image=batch["image"][:rows])["probability"]
        np.testing.assert_allclose(found, digits.predict(pixels[:rows])["probability"], atol=1e-6)
    about = model.metadata
    assert about["inputs"] == {"image": {"shape": ["B", 8, 8, 1], "dtype": "float32"}}
    assert about["outputs"] == {"probability": {"shape": ["B", 10], "dtype": "float32"}}
    assert about["examples"]["mean"] == [0.5]
    assert tuple(about["classes"]) == digits.classes
    assert about["platforms"] == ["cpu", "cuda", "tpu"]


def test_it_is_read_without_this_code(digits, file):
    with zipfile.ZipFile(file) as archive:
        program = export.deserialize(bytearray(archive.read("program")))
        about = json.loads(archive.read("metadata.json"))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert "stablehlo" in program.mlir_module()
    image = np.zeros((3, *about["inputs"]["image"]["shape"][1:]), np.float32)
    expected = digits.run.predict_few(digits.variables, {"image": image, "index": np.arange(3, dtype=np.int32)})
    np.testing.assert_allclose(program.call({"image": image})["probability"], expected["probability"], atol=1e-6)


def test_texts_are_written_by_an_exported_model(untrained, tmp_path):
    """By beam search; with the tokenizer in the file."""
    run = experiment.load(untrained("transformer"))
    exported.write(run, tmp_path / "model.stablehlo", platforms=("cpu",))
    model = experiment.load_exported(tmp_path / "model.stablehlo")
    ((name, wanted),) = model.metadata["inputs"].items()
    tokens = np.random.default_rng(0).integers(3, 6, (2, *wanted["shape"][1:])).astype(wanted["dtype"])
    expected = run.run.predict_few(run.variables, {name: tokens, "index": np.arange(2, dtype=np.int32)})["tokens"]
    np.testing.assert_array_equal(model(**{name: tokens})["tokens"], expected)
    assert model.files == run.run.pipeline.files
    with pytest.raises(
        UserError, match=rf"^{name} has the id {wanted['largest'] + 1}: the largest of the vocabulary is"
    ):
        model(**{name: np.full_like(tokens, wanted["largest"] + 1)})
    assert wanted["largest"] == run.run.pipeline.sizes["outputs"] - 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "is called with image, not with nothing"),
        ({"pixels": np.zeros((1, 8, 8, 1), np.float32)}, "is called with image, not with pixels"),
        (
            {"image": np.zeros((1, 8, 9, 1), np.float32)},
            r"image should be float32 \(B, 8, 8, 1\), not float32 \(1, 8, 9",
        ),
        ({"image": np.zeros((1, 8, 8, 1), np.uint8)}, r"image should be float32 \(B, 8, 8, 1\), not uint8"),
    ],
)
def test_other_inputs_are_refused_in_one_line(file, inputs, message):
    with pytest.raises(UserError, match=message):
        experiment.load_exported(file)(**inputs)


def test_a_mistake_is_one_line(digits, file, tmp_path):
    (tmp_path / "damaged.stablehlo").write_bytes(file.read_bytes()[:5000])
    for path, message in ((tmp_path / "damaged.stablehlo", "is no exported model"), (tmp_path / "a", "cannot read")):
        with pytest.raises(UserError, match=message):
            experiment.load_exported(path)
    workdir = digits.run.workdir
    for arguments, message in (
        ((workdir, file), "exists: choose another name"),
        ((workdir, tmp_path / "b.stablehlo", "--platforms=gpu"), "--platforms=gpu"),
        ((tmp_path, tmp_path / "c.stablehlo"), "holds neither a run"),
    ):
        ended = command("convert.py", *arguments)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
        assert message in ended.stderr
    assert not list(tmp_path.glob("*b.stablehlo*"))
