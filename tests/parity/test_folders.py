"""Runs as folders that transformers opens by itself: model, tokenizer and image processor, and the same logits."""

from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image

import experiment
from tests.commandline import command
from tests.untrained import saved

TOLERANCE = 1e-4
MARIAN = {
    "model.norm": "post",
    "model.norm_epsilon": 1e-5,
    "model.positions": "sinusoid_halves",
    "model.activation": "swish",
}
BPE = {"data.tokenizer": "bpe", "data.vocabulary_size": 280}
CASES = {  # what differs of a family of tests/families.py, and the class that opens it
    "vit": ({"data.mean": (0.5, 0.4, 0.3), "data.std": (0.2, 0.3, 0.4)}, "AutoModelForImageClassification"),
    "swin": (
        {"model.window": 4, "data.mean": (0.5, 0.4, 0.3), "data.std": (0.2, 0.3, 0.4)},
        "AutoModelForImageClassification",
    ),
    "gpt": (BPE, "AutoModelForCausalLM"),
    "bert": ({}, "AutoModelForMaskedLM"),
    "t5": ({"model.version": "1.0", "data.tokenizer": "bpe", "data.vocabulary_size": 280}, "AutoModelForSeq2SeqLM"),
    "transformer": (MARIAN, "AutoModelForSeq2SeqLM"),
}


@pytest.fixture
def opened(torch, tmp_path):
    import transformers

    transformers.logging.disable_progress_bar()

    def opened(family: str):
        changes, kind = CASES[family]
        workdir, folder = saved(family, tmp_path / family, **changes), tmp_path / "folder"
        ended = command("convert.py", workdir, folder)
        assert ended.returncode == 0, ended.stderr
        model, told = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
        assert not any(told.values()), told
        return experiment.load(workdir), model.eval(), folder

    return opened


def applied(run: experiment.Trained, *inputs: np.ndarray) -> np.ndarray:
    return jax.jit(partial(run.model.apply, train=False))(run.variables, *inputs)


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert float(theirs.std()) > 0.05, "outputs so small that any error would pass"
    assert float(np.abs(np.asarray(ours) - theirs).max()) < TOLERANCE


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_images(torch, opened, family):
    """Their processor makes about the same pixels of a photo; of these the logits are the same."""
    import transformers

    run, model, folder = opened(family)
    photo = Image.fromarray((np.random.default_rng(0).random((20, 24, 3)) * 255).astype(np.uint8))
    ours, _ = run.read(photo)
    theirs = transformers.AutoImageProcessor.from_pretrained(folder)(photo, return_tensors="pt")["pixel_values"]
    assert np.abs(ours["image"].transpose(0, 3, 1, 2) - theirs.numpy()).max() < 0.05
    with torch.no_grad():
        logits = model(pixel_values=torch.from_numpy(ours["image"].transpose(0, 3, 1, 2).copy())).logits.numpy()
    close(applied(run, ours["image"]), logits)
    assert tuple(model.config.id2label.values()) == run.classes


@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_texts(torch, opened, family):
    run, model, _ = opened(family)
    tokens = np.random.default_rng(0).integers(3, run.run.pipeline.readers[0].size, (2, 12)).astype(np.int32)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(tokens).long()).logits.numpy()
    close(applied(run, tokens), logits)


@pytest.mark.parametrize("family", ["t5", "transformer"])
def test_pairs(torch, opened, family):
    run, model, _ = opened(family)
    size = run.run.pipeline.readers[-1].size
    source, target = np.random.default_rng(0).integers(3, size, (2, 2, 7)).astype(np.int32)
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(source).long(),
            attention_mask=torch.ones(2, 7),
            decoder_input_ids=torch.from_numpy(target).long(),
        ).logits.numpy()
    close(applied(run, source, target), logits)
