"""GPT-2 by the names of transformers."""

import json

import numpy as np
import pytest

import weights
from errors import UserError
from models.sizes import GPT
from weights import changes, our_gpt
from weights.files import read as arrays_of
from weights.files import write as write_arrays

V = 11


@pytest.fixture
def published(drawn, tmp_path):
    """published(change of the arrays) -> a file of a tiny GPT, with its parameters and config.model."""

    def write(change=dict, **settings):
        params, model = drawn(name="gpt", outputs=V, **settings)
        number = len(list(tmp_path.iterdir()))
        own, path = (tmp_path / f"{name}{number}.safetensors" for name in ("own", "model"))
        weights.write(own, params, "huggingface", model)
        write_arrays(path, change(arrays_of(own)[0]), {})  # without the notes within
        return path, params, model

    return write


def bare(arrays):
    """As the hub has GPT-2: without the first word, and with each block's causal mask."""
    masks = {f"h.{block}.attn.bias": np.tril(np.ones((1, 1, 9, 9), np.float32)) for block in range(3)}
    masks["h.0.attn.masked_bias"] = np.float32(-1e4)
    return {name.removeprefix("transformer."): array for name, array in arrays.items()} | masks


def test_there_and_back_is_the_same_bit_for_bit(published, tmp_path):
    path, params, model = published()
    found = weights.read(path, heads=2)
    assert {key: model[key] for key in found.model} == found.model
    assert (found.classes, found.channels, found.image_size, found.grid) == (0, 0, 0, None)
    assert not weights.mismatch(found, params)
    for name, array in weights.flat(found.params).items():
        assert array.tobytes() == params[name].tobytes(), name
    moves, notes = weights.write(tmp_path / "again.safetensors", found.params, "huggingface", found.model)
    before, after = arrays_of(path)[0], arrays_of(tmp_path / "again.safetensors")[0]
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert (moves, notes) == (found.moves, [])
    assert before["transformer.h.0.attn.c_attn.weight"].shape == (16, 48)
    assert before["transformer.h.2.mlp.c_fc.weight"].shape == (16, 24)


def test_the_file_of_the_hub_is_the_same_model_without_its_masks(published):
    path, params, _ = published(bare)
    found = weights.read(path, heads=2)
    assert {name: array.tobytes() for name, array in weights.flat(found.params).items()} == {
        name: array.tobytes() for name, array in params.items()
    }
    assert set(found.left_out) == {*(f"h.{block}.attn.bias" for block in range(3)), "h.0.attn.masked_bias"}
    assert set(found.left_out.values()) == {"the causal mask, which is computed"}


def test_a_copy_of_the_embedding_is_left_out_and_a_matrix_of_its_own_is_refused(published):
    path, _, _ = published(lambda a: a | {"lm_head.weight": a["transformer.wte.weight"]})
    assert weights.read(path, heads=2).left_out == {"lm_head.weight": "the same as transformer.wte.weight"}
    path, _, _ = published(lambda a: a | {"lm_head.weight": 2 * a["transformer.wte.weight"]})
    with pytest.raises(UserError, match=r"lm_head.weight is not transformer.wte.weight, and a GPT has one array"):
        weights.read(path, heads=2)


def test_a_folder_has_the_config_that_transformers_opens(drawn, tmp_path):
    params, model = drawn(name="gpt", outputs=V, activation="gelu", norm_epsilon=1e-4)
    weights.write_folder(tmp_path / "gpt", params, model | {"special": {"eos_token_id": 3}})
    config = json.loads((tmp_path / "gpt" / "config.json").read_text())
    there = ("n_positions", "n_embd", "n_layer", "n_head", "n_inner", "vocab_size", "activation_function")
    assert [config[key] for key in there] == [9, 16, 3, 2, 24, V, "gelu"]
    assert (config["model_type"], config["layer_norm_epsilon"], config["eos_token_id"]) == ("gpt2", 1e-4, 3)
    found = weights.read(tmp_path / "gpt")
    assert {key: model[key] for key in found.model} == found.model
    assert found.vocabulary == {"embedding/embedding": 0}
    (tmp_path / "gpt" / "config.json").write_text(json.dumps(config | {"scale_attn_by_inverse_layer_idx": True}))
    with pytest.raises(UserError, match="scale_attn_by_inverse_layer_idx=True, and only False can be read"):
        weights.read(tmp_path / "gpt")


def test_what_config_json_lacks_is_as_transformers_takes_it(drawn, tmp_path):
    params, model = drawn(name="gpt", outputs=V)
    weights.write_folder(tmp_path / "gpt", params, model)
    config = json.loads((tmp_path / "gpt" / "config.json").read_text())
    del config["activation_function"], config["layer_norm_epsilon"]
    (tmp_path / "gpt" / "config.json").write_text(json.dumps(config))
    found = weights.read(tmp_path / "gpt").model
    assert (found["activation"], found["norm_epsilon"]) == ("gelu_tanh", 1e-5)


def test_heads_that_nothing_says_are_asked_for(published):
    path, _, _ = published()
    with pytest.raises(UserError, match="does not show how many heads its model has"):
        weights.read(path)
    with pytest.raises(UserError, match="with 5 heads: give --heads"):
        weights.read(path, heads=5)
    assert weights.read(path.with_name("own0.safetensors")).model["heads"] == 2
    assert {our_gpt.heads_of(row["width"]) == row["heads"] for row in GPT.values()} == {True}


def test_a_published_size_is_known_by_its_name():
    sizes = {"D": 1600, "F": 6400, "H": 25, "N": 1024, "V": 50257}
    blocks = {(("block", i),) for i in range(48)}
    described = our_gpt.describe(sizes, blocks, set())
    assert described.settings == {"name": "gpt", "variant": "XL", "max_length": 1024}
    assert not our_gpt.describe(sizes | {"F": 6000}, blocks, set()).variant


def test_conv1d_is_our_projections():
    """Its y = x W + b, the outputs cut into query, key and value and each into heads."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 6)), rng.normal(size=(6, 18))
    whole = (x @ w).reshape(4, 3, 2, 3)
    for part, kernel in enumerate(changes.COLUMNS_QKV.ours(w, 2)):
        np.testing.assert_allclose(np.einsum("td,dhk->thk", x, kernel), whole[:, part])
    heads, out = whole[:, 2], rng.normal(size=(6, 5))
    (kernel,) = changes.COLUMNS_OUT.ours(out, 2)
    np.testing.assert_allclose(np.einsum("thk,hkd->td", heads, kernel), heads.reshape(4, 6) @ out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 4}, "config.model.window=4 has no place in a GPT by huggingface, which has 0 always"),
        ({"kv_heads": 2}, "config.model.kv_heads=2 has no place"),
        ({"positions": "rotary"}, "config.model.positions='rotary' has no place"),
        ({"use_bias": False}, "config.model.use_bias=False has no place"),
        ({"activation": "swiglu"}, "'decoder/block_00/mlp/gate/bias' and 5 more of this model has no place"),
        ({"qk_norm": True}, "_norm/scale' and 5 more of this model has no place"),
    ],
)
def test_parts_that_gpt_2_lacks_are_not_written(drawn, tmp_path, settings, message):
    params, model = drawn(name="gpt", outputs=V, **settings)
    with pytest.raises(UserError, match=message):
        weights.write(tmp_path / "a.safetensors", params, "huggingface", model)
    assert not list(tmp_path.iterdir())
