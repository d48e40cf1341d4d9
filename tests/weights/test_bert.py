"""BERT's and RoBERTa's names: every head both ways, the first published spelling, and what stands beside a file."""

import json

import numpy as np
import pytest

import weights
from errors import UserError

FORMS = {  # what transformers calls the model, the keys of config.model, and names that its file must have
    "BertModel": (0, {}, ["embeddings.LayerNorm.weight", "pooler.dense.bias", "encoder.layer.1.output.dense.weight"]),
    "BertForPreTraining": (
        9,
        {"head": "words", "next_sentence": True},
        ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias", "cls.seq_relationship.weight"],
    ),
    "BertForMaskedLM": (9, {"head": "words"}, ["cls.predictions.transform.LayerNorm.weight"]),
    "BertForSequenceClassification": (3, {}, ["bert.pooler.dense.weight", "classifier.weight"]),
    "BertForTokenClassification": (3, {"head": "tokens"}, ["bert.encoder.layer.0.attention.self.query.weight"]),
    "RobertaForMaskedLM": (9, {"head": "words", "first_position": 2}, ["lm_head.dense.weight", "lm_head.bias"]),
    "RobertaForSequenceClassification": (
        3,
        {"first_position": 2},
        ["classifier.dense.weight", "classifier.out_proj.weight"],
    ),
    "RobertaForTokenClassification": (3, {"head": "tokens", "first_position": 2}, ["classifier.bias"]),
    "RobertaModel": (0, {"first_position": 2}, ["pooler.dense.weight"]),
}


def drawn_as(drawn, form):
    outputs, settings, names = FORMS[form]
    return *drawn(name="bert", outputs=outputs, norm_epsilon=1e-5, scan=False, **settings), names


def same(a, b):
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() and a[name].shape == b[name].shape for name in a)


@pytest.mark.parametrize("form", FORMS)
def test_every_head_goes_there_and_back_bit_for_bit(drawn, tmp_path, form):
    params, model, names = drawn_as(drawn, form)
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    weights.write(path, params, "huggingface", model)
    arrays, _ = weights.files.read(path)
    assert set(names) <= arrays.keys()
    found = weights.read(path)
    same(weights.flat(found.params), params)
    assert {key: model[key] for key in found.model} == found.model
    assert found.classes == (0 if model["head"] == "words" else FORMS[form][0])
    weights.write(again, found.params, "huggingface", found.model)
    same(weights.files.read(again)[0], arrays)
    assert found.vocabulary == {"embedding/embedding": 0} | ({"words_bias": 0} if model["head"] == "words" else {})


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_for_transformers_says_what_it_holds(drawn, tmp_path, form):
    params, model, _ = drawn_as(drawn, form)
    classes = ("a", "b", "c") if model["head"] != "words" and model["outputs"] else ()
    weights.write_folder(tmp_path / "out", params, model, classes)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [form]
    found = weights.read(tmp_path / "out")
    same(weights.flat(found.params), params)
    assert {key: model[key] for key in found.model} == found.model
    assert found.names == classes


def rewritten(drawn, tmp_path, form, change, config=None):
    params, model, _ = drawn_as(drawn, form)
    weights.write(tmp_path / "own.safetensors", params, "huggingface", model)
    arrays, notes = weights.files.read(tmp_path / "own.safetensors")
    path = tmp_path / "model.safetensors"
    weights.files.write(path, change(arrays), {} if config else notes)
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    return params, path


def test_the_first_published_spelling_and_tied_copies_are_read(drawn, tmp_path):
    def old(arrays):
        spelled = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
            for name, array in arrays.items()
        }
        embedding = arrays["bert.embeddings.word_embeddings.weight"]
        return spelled | {
            "cls.predictions.decoder.weight": embedding,
            "bert.embeddings.position_ids": np.arange(6)[None],
        }

    params, path = rewritten(drawn, tmp_path, "BertForPreTraining", old)
    found = weights.read(path)
    same(weights.flat(found.params), params)
    assert list(found.left_out) == ["cls.predictions.decoder.weight"]


@pytest.mark.parametrize(
    ("form", "copy", "original"),
    [
        ("BertForMaskedLM", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("BertForMaskedLM", "cls.predictions.decoder.bias", "cls.predictions.bias"),
        ("RobertaForMaskedLM", "lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
        ("RobertaForMaskedLM", "lm_head.decoder.bias", "lm_head.bias"),
    ],
)
def test_a_tied_head_is_left_out_and_one_of_its_own_is_refused(drawn, tmp_path, form, copy, original):
    (tmp_path / "tied").mkdir()
    _, path = rewritten(drawn, tmp_path / "tied", form, lambda arrays: arrays | {copy: arrays[original]})
    assert weights.read(path).left_out == {copy: f"the same as {original}"}
    _, path = rewritten(drawn, tmp_path, form, lambda arrays: arrays | {copy: 2 * arrays[original]})
    with pytest.raises(UserError, match=f"{copy} is not {original}, and a .* has one array for both"):
        weights.read(path)


@pytest.mark.parametrize("form", ["BertForTokenClassification", "BertForMaskedLM"])
def test_a_pooler_that_no_head_uses_is_left_out(drawn, tmp_path, form):
    """Models that were published before transformers 4 have one: most of those that find named entities."""
    pooler = {"bert.pooler.dense.weight": np.ones((16, 16), np.float32), "bert.pooler.dense.bias": np.ones(16)}
    config = dict(model_type="bert", architectures=[form], num_attention_heads=2, hidden_size=16)
    params, path = rewritten(drawn, tmp_path, form, lambda arrays: arrays | pooler, config)
    found = weights.read(path)
    same(weights.flat(found.params), params)
    assert (found.model["head"], found.left_out.keys()) == (FORMS[form][1]["head"], pooler.keys())


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_what_config_json_lacks_is_as_transformers_takes_it(drawn, tmp_path, kind):
    config = dict(model_type=kind, num_attention_heads=2, hidden_size=16)
    _, path = rewritten(drawn, tmp_path, "RobertaModel", dict, config)
    found = weights.read(path)
    assert (found.model["activation"], found.model["norm_epsilon"]) == ("gelu", 1e-12)


def test_a_bare_file_is_of_the_model_that_config_json_names(drawn, tmp_path):
    sizes = dict(num_attention_heads=4, hidden_act="gelu_new", layer_norm_eps=0.001, hidden_size=16, vocab_size=9)
    for kind, first in (("roberta", 2), ("bert", 0)):
        config = sizes | {"model_type": kind, "id2label": {}}
        _, path = rewritten(drawn, tmp_path, "RobertaModel", lambda arrays: arrays, config)
        found = weights.read(path)
        assert (found.model["first_position"], found.model["max_length"]) == (first, 8 - first)
        assert (found.model["heads"], found.model["activation"], found.model["norm_epsilon"]) == (4, "gelu_tanh", 1e-3)
        (tmp_path / "own.safetensors").unlink()
        path.unlink()


def test_what_no_model_has_is_refused_in_a_line(drawn, tmp_path):
    drop = lambda arrays: {name: a for name, a in arrays.items() if "seq_relationship" not in name}  # noqa: E731
    _, path = rewritten(drawn, tmp_path, "BertForPreTraining", drop)
    with pytest.raises(UserError, match="heads pooler, words, words_bias, words_norm belong to no one model"):
        weights.read(path)
    params, model, _ = drawn_as(drawn, "BertForMaskedLM")
    with pytest.raises(UserError, match=r"config.model.first_position=1 has no place in a BERT by huggingface"):
        weights.write(tmp_path / "b.safetensors", params, "huggingface", model | {"first_position": 1})
