"""T5's names: what published files have beside the weights, and what their shapes and config.json say."""

import json

import numpy as np
import pytest

import weights
from errors import UserError
from models.sizes import T5
from weights import our_t5


@pytest.fixture
def folder(drawn, tmp_path):
    """A folder of a tiny T5, as transformers writes it."""

    def write(**settings):
        params, model = drawn(name="t5", outputs=40, **settings)
        weights.write_folder(tmp_path / "t5", params, model)
        return params, tmp_path / "t5"

    return write


def changed(folder, **arrays):
    """The folder's file with further arrays, or without those that are None."""
    there, _ = weights.files.read(folder / "model.safetensors")
    there = {name: array for name, array in (there | arrays).items() if array is not None}
    (folder / "model.safetensors").unlink()
    weights.files.write(folder / "model.safetensors", there, {})


def test_the_names_and_the_layout_are_transformers(folder):
    params, path = folder(version="1.1", decoder_depth=1)
    arrays, _ = weights.files.read(path / "model.safetensors")
    attention = params["decoder/block_00/cross_attention/query/kernel"]
    np.testing.assert_array_equal(
        arrays["decoder.block.0.layer.1.EncDecAttention.q.weight"], attention.reshape(16, 12).T
    )
    np.testing.assert_array_equal(
        arrays["encoder.block.1.layer.1.DenseReluDense.wi_0.weight"], params["encoder/block_01/mlp/gate/kernel"].T
    )
    np.testing.assert_array_equal(arrays["lm_head.weight"], params["head/kernel"].T)
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    np.testing.assert_array_equal(arrays[bias], params["encoder_relative/embedding"])
    config = json.loads((path / "config.json").read_text())
    expected = dict(
        model_type="t5",
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_heads=2,
        num_layers=2,
        num_decoder_layers=1,
        relative_attention_num_buckets=8,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        vocab_size=40,
    )
    assert {key: config[key] for key in expected} == expected


def test_copies_of_the_embedding_and_what_old_files_have_more_of_are_left_out(folder):
    params, path = folder()
    shared = params["embedding/embedding"]
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    cross = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    changed(path, **dict.fromkeys(names, shared), **{cross: np.zeros((8, 2), np.float32)})
    found = weights.read(path)
    assert set(found.left_out) == {*names, cross}
    assert weights.flat(found.params).keys() == params.keys()


def test_an_embedding_that_stands_only_as_its_copy_is_read(folder):
    params, path = folder(version="1.1")
    changed(path, **{"shared.weight": None, "decoder.embed_tokens.weight": params["embedding/embedding"]})
    found = weights.flat(weights.read(path).params)
    np.testing.assert_array_equal(found["embedding/embedding"], params["embedding/embedding"])
    np.testing.assert_array_equal(found["head/kernel"], params["head/kernel"])


@pytest.mark.parametrize("name", ["lm_head.weight", "decoder.embed_tokens.weight"])
def test_a_head_or_a_stack_that_is_not_tied_is_refused(folder, name):
    params, path = folder()
    changed(path, **{name: 2 * params["embedding/embedding"]})
    with pytest.raises(UserError, match=f"{name} is not shared.weight, and a T5 has one array for both"):
        weights.read(path)


def test_heads_are_those_of_the_biases_where_there_is_no_config(folder):
    params, path = folder()
    (path / "config.json").unlink()
    found = weights.read(path / "model.safetensors")
    assert (found.model["heads"], found.model["head_dim"]) == (2, 6)
    np.testing.assert_array_equal(weights.flat(found.params)["embedding/embedding"], params["embedding/embedding"])


def test_settings_that_no_shape_shows_are_config_jsons(folder):
    _, path = folder(max_distance=50, norm_epsilon=1e-3)
    found = weights.read(path)
    assert (found.model["max_distance"], found.model["norm_epsilon"]) == (50, 1e-3)
    config = json.loads((path / "config.json").read_text()) | {"feed_forward_proj": "gated-silu"}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="feed_forward_proj='gated-silu', and only relu and gated-gelu can be read"):
        weights.read(path)


def test_a_file_without_a_part_is_refused(folder):
    _, path = folder(version="1.1")
    changed(path, **{"lm_head.weight": None})
    with pytest.raises(UserError, match=r"lacks 'lm_head.weight' of a T5"):
        weights.read(path)


@pytest.mark.parametrize(("version", "variant"), [(v, name) for v, table in T5.items() for name in table])
def test_a_variant_is_told_from_the_shapes(version, variant):
    size = T5[version][variant]
    sizes = dict(D=size["width"], F=size["mlp_dim"], H=size["heads"], K=size["head_dim"], R=32, V=32_128)
    indices = {((place, n),) for place in ("block", "layer") for n in range(size["depth"])}
    found = our_t5.describe(sizes, indices, {"head"} if version == "1.1" else set())
    assert found.settings == {"name": "t5", "version": version, "variant": variant, "buckets": 32}
    assert found.words.startswith(f"T5 v{version}-{variant} (width {size['width']}")
