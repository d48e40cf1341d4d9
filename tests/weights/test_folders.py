"""Folders as they are downloaded: weights, or an index and parts, with config.json."""

import json

import jax
import numpy as np
import pytest

import models
import weights
from errors import UserError
from weights import files, swin_names

SPECIAL = {"pad_token_id": 39, "eos_token_id": 0, "decoder_start_token_id": 39}


@pytest.fixture
def marian(drawn, tmp_path):
    """A tiny Marian's folder, and its parameters by our names."""
    params, model = drawn(name="transformer", outputs=40)
    weights.write_folder(tmp_path / "opus", params, model | {"special": SPECIAL})
    return tmp_path / "opus", params


def split(folder, parts=3) -> dict[str, str]:
    """The folder's weights in parts, with an index."""
    arrays, _ = files.read(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    places = {name: f"model-{i % parts + 1:05}-of-{parts:05}.safetensors" for i, name in enumerate(names)}
    for part in set(places.values()):
        files.write(folder / part, {name: arrays[name] for name in names if places[name] == part}, {})
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return places


def said(folder, **changes):
    """config.json with other values; None removes one."""
    config = json.loads((folder / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder, message):
    with pytest.raises(UserError, match=message) as raised:
        weights.read(folder)
    assert "\n" not in str(raised.value)


def test_opus_mt_has_as_many_parameters_as_published():
    """transformers keeps the bias of the output layer, V numbers, as fixed."""
    tokens = np.ones((1, 2), np.int32)
    model = models.build("transformer", 58_101, variant="base", source_vocabulary=None, output_bias=True)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), tokens, tokens, train=False))["params"]
    assert shapes.pop("logits_bias").size == 58_101
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 73_886_208


@pytest.mark.parametrize("parts", [0, 3])
def test_a_folder_is_its_weights_and_what_config_json_says(marian, parts):
    folder, params = marian
    if parts:
        split(folder, parts)
    assert weights.is_published(folder)
    found = weights.read(folder)
    ours = weights.flat(found.params)
    assert ours.keys() == params.keys()
    assert all(ours[name].tobytes() == params[name].tobytes() for name in params)
    assert found.model == {
        "name": "transformer",
        **dict(width=16, depth=2, mlp_dim=24, heads=2, tie="all", output_bias=True),
        **dict(norm="post", norm_epsilon=1e-5, positions="sinusoid_halves", activation="swish"),
        **dict(residual=True, scale=True, causal=True, scale_embeddings=True),
    }
    assert found.vocabulary == {"embedding/embedding": 0, "logits_bias": 0}


def test_written_again_the_folder_is_the_same(drawn, marian):
    folder, _ = marian
    found = weights.read(folder)
    _, model = drawn(name="transformer", outputs=40)
    weights.write_folder(folder.with_name("again"), found.params, model | {"special": SPECIAL})
    for name in ("model.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (folder.with_name("again") / name).read_bytes()


def test_tokens_go_where_the_order_says_and_back(drawn, tmp_path):
    params, model = drawn(name="transformer", outputs=40)
    order = np.random.default_rng(0).permutation(40)
    weights.write(tmp_path / "a.safetensors", params, "huggingface", model, order)
    theirs, _ = files.read(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(theirs["model.shared.weight"][order], params["embedding/embedding"])
    found = weights.read(tmp_path / "a.safetensors")
    ours = weights.numbered(found.params, found.vocabulary, order)
    assert all(ours[name].tobytes() == params[name].tobytes() for name in params)


def test_duplicates_and_sinusoids_are_left_out(marian):
    folder, params = marian
    arrays, notes = files.read(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    arrays["model.encoder.embed_tokens.weight"] = arrays["lm_head.weight"] = arrays["model.shared.weight"]
    arrays["model.decoder.embed_positions.weight"] = np.zeros((512, 16), np.float32)
    files.write(folder / "model.safetensors", arrays, notes)
    found = weights.read(folder)
    assert weights.flat(found.params).keys() == params.keys()
    assert found.left_out["model.decoder.embed_positions.weight"] == "sinusoids, which are computed"
    assert found.left_out["lm_head.weight"] == "the same as model.shared.weight"


@pytest.mark.parametrize("name", ["lm_head.weight", "model.decoder.embed_tokens.weight"])
def test_a_matrix_that_is_not_tied_is_refused(marian, name):
    folder, _ = marian
    arrays, notes = files.read(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files.write(folder / "model.safetensors", arrays | {name: 2 * arrays["model.shared.weight"]}, notes)
    refused(folder, f"{name} is not model.shared.weight, and a Transformer has one array for both")


def test_what_is_missing_is_one_line(marian, tmp_path):
    folder, _ = marian
    config = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    refused(folder, "opus lacks config.json, which says how many heads")
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert weights.is_published(folder)
    refused(folder, r"holds pytorch_model.bin, a pickle.*python -c \"import torch.*weights_only=True")
    (folder / "pytorch_model.bin").unlink()
    assert weights.is_published(folder)
    refused(folder, "holds no weights: model.safetensors, or model.safetensors.index.json with its parts")
    (folder / "a.safetensors").touch()
    (folder / "b.safetensors").touch()
    refused(folder, "holds several files of weights, a.safetensors, b.safetensors: name one of them")
    assert not weights.is_published(tmp_path / "none")
    (tmp_path / "opus" / "checkpoints").mkdir()
    assert not weights.is_published(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "marain"}, "model_type='marain', which is not known here: did you mean 'marian'"),
        ({"model_type": "vit"}, "is of a model_type='vit', and the weights beside it have the names of a Transformer"),
        ({"d_model": 32}, "says d_model=32, and the weights beside it have 16"),
        ({"vocab_size": 41}, "says vocab_size=41, and the weights beside it have 40"),
        ({"decoder_layers": 6}, "says decoder_layers=6, and the weights beside it have 2"),
        ({"scale_embedding": None}, "says scale_embedding=False, and only True can be read"),
        ({"decoder_attention_heads": 4}, "has 2 heads in the encoder and others in the decoder"),
        ({"encoder_attention_heads": None}, r"cannot be used \(KeyError\('encoder_attention_heads'\)\): move it away"),
        ({"encoder_attention_heads": 3, "decoder_attention_heads": 3}, "with 3 heads"),
        ({"activation_function": "quick"}, r"cannot be used \(KeyError\('quick'\)\)"),
    ],
)
def test_a_config_json_that_does_not_fit_is_one_line(marian, changes, message):
    folder, _ = marian
    said(folder, **changes)
    refused(folder, message)


def test_a_model_type_that_is_not_known_comes_before_its_names(marian):
    folder, _ = marian
    said(folder, model_type="bloom")
    (folder / "model.safetensors").unlink()
    files.write(folder / "model.safetensors", {"h.0.weight": np.zeros(3, np.float32)}, {})
    refused(folder, "model_type='bloom', which is not known here.*There is: ")


def test_damaged_parts_are_named(marian):
    folder, _ = marian
    places = split(folder)
    index, first = folder / "model.safetensors.index.json", folder / "model-00001-of-00003.safetensors"
    whole = first.read_bytes()
    first.write_bytes(whole[:-10])
    refused(folder, "00001-of-00003.safetensors is no .safetensors file of plain arrays, or a damaged one")
    first.unlink()
    refused(folder, "index.json names model-00001-of-00003.safetensors, which is not there: fetch all of its 3 parts")
    first.write_bytes((folder / "model-00002-of-00003.safetensors").read_bytes())
    refused(folder, "00001-of-00003.safetensors lacks|has besides")
    first.write_bytes(whole)
    index.write_text(json.dumps({"weight_map": places | {"x": "../other.safetensors"}}))
    refused(folder, r"is unsafe: it names '../other.safetensors'")
    for content in ("{}", "[]", '{"weight_map": 3}', "\xff"):
        index.write_text(content)
        refused(folder, "is no index of parts, or a damaged one")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": "sinusoid_1d"}, "positions='sinusoid_1d' has no place in a Transformer by huggingface"),
        ({"norm_epsilon": 1e-6}, "norm_epsilon=1e-06 has no place in a Transformer by huggingface"),
        ({"tie": "none"}, "of this model has no place in a Transformer by huggingface"),
    ],
)
def test_a_model_that_marian_cannot_be_is_not_written(drawn, tmp_path, settings, message):
    params, model = drawn(name="transformer", outputs=40, **settings)
    with pytest.raises(UserError, match=message):
        weights.write_folder(tmp_path / "a", params, model | {"special": SPECIAL})
    assert not list(tmp_path.iterdir())


def test_a_swin_v2_of_two_windows_is_one_line():
    assert swin_names.SWIN_V2.read({"window_size": 16, "pretrained_window_sizes": [0] * 4}).settings == {"window": 16}
    with pytest.raises(UserError, match=r"pretrained_window_sizes=\[12, 12, 12, 6\]: .* only a Swin V2 of one window"):
        swin_names.SWIN_V2.read({"window_size": 16, "pretrained_window_sizes": [12, 12, 12, 6]})
