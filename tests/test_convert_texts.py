"""convert.py on models of texts: a folder as it is downloaded, with its tokenizer, becomes a run that answers."""

import json
from pathlib import Path

import numpy as np
import pytest

import convert
import data.published
import experiment
import weights
from errors import UserError
from experiment import config as configs
from experiment import init_from, open_keys
from tests import commandline
from tests.data.test_published import (
    TEXTS,
    bytes_bpe,
    sentencepiece_model,
    write_bpe,
    write_marian,
    write_wordpiece,
)
from tests.test_convert import command, contents, load
from tests.test_own_data import texts
from tests.weights.conftest import drawn  # noqa: F401


@pytest.fixture(scope="module")
def opus(drawn, tmp_path_factory) -> Path:  # noqa: F811
    """A tiny Marian's folder as it is downloaded."""
    folder, tokenizer = tmp_path_factory.mktemp("opus") / "opus-mt-de-en", tmp_path_factory.mktemp("tokenizer")
    vocabulary = write_marian(tokenizer)
    params, model = drawn(name="transformer", outputs=len(vocabulary))
    ids = {"pad_token_id": len(vocabulary) - 1, "eos_token_id": 0, "decoder_start_token_id": len(vocabulary) - 1}
    files = {path.name: path.read_bytes() for path in tokenizer.iterdir()}
    files["generation_config.json"] = json.dumps(ids | {"num_beams": 3, "bad_words_ids": [[1]]}).encode()
    weights.write_folder(folder, params, model | {"special": ids}, others=files)
    return folder


@pytest.fixture(scope="module")
def translator(opus) -> Path:
    """The run that convert.py makes of it, without any data set."""
    workdir, found = opus.parent / "run", weights.read(opus)
    config = configs.load(convert.default([str(opus)]))
    config = convert.config_of(found, config, False, opus)
    says, penalty, unread = convert.written_as(config, opus)
    assert says.endswith("generation_config.json says: config.task.beams=3, config.task.alpha=1.0")
    assert "length_penalty=1 divides by n^1 there" in penalty
    assert "generation_config.json: bad_words_ids=[[1]]: not read" in unread
    convert.make_run(found, config, None, opus, workdir)
    return workdir


def test_a_folder_becomes_a_run_that_translates(opus, translator):
    done = commandline.command(
        "predict.py", f"--workdir={translator}", "--config.task.beams=1", "--config.task.extra_length=4", *TEXTS[::2]
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 2), done.stderr
    run, state, _ = load(translator)
    theirs, _ = weights.files.read(opus / "model.safetensors")
    order = run.token_order
    np.testing.assert_array_equal(state.params["embedding"]["embedding"], theirs["model.shared.weight"][order])
    np.testing.assert_array_equal(state.params["logits_bias"], theirs["final_logits_bias"][0, order])
    assert (run.task.start, run.config["init_from"], run.config["data"]["languages"]) == ("pad", "", ("de", "en"))
    assert {path.name for path in translator.iterdir()} == {
        *("checkpoints", "config.json", "tokenizer.de.model", "tokenizer.en.model")
    }


def test_the_run_becomes_the_folder_again(opus, translator, tmp_path):
    params, model, run = convert.of_run(translator, "last", 1)
    convert.export(params, model, run, tmp_path / "again", None)
    assert contents(tmp_path / "again" / "model.safetensors") == contents(opus / "model.safetensors")
    for name in ("source.spm", "target.spm"):
        assert (tmp_path / "again" / name).read_bytes() == (opus / name).read_bytes()
    there, again = (json.loads((folder / "config.json").read_text()) for folder in (opus, tmp_path / "again"))
    assert there.items() <= again.items()
    said = json.loads((tmp_path / "again" / "generation_config.json").read_text())
    assert (said["num_beams"], said["decoder_start_token_id"], said["bad_words_ids"]) == (
        3,
        there["pad_token_id"],
        [[there["pad_token_id"]]],
    )
    vocabularies = [json.loads((folder / "vocab.json").read_text()) for folder in (opus, tmp_path / "again")]
    assert vocabularies[0] == vocabularies[1]
    with pytest.raises(UserError, match=r"should end in .npz or .safetensors: a folder has the names of huggingface"):
        convert.export(params, model, run, tmp_path / "other", "timm")


def test_a_run_begins_with_a_folder_and_its_tokenizer(opus, tmp_path):
    size = {
        "steps": 5,
        "optim.warmup_steps": 0,
        "model.variant": "",
        "model.width": 16,
        "model.depth": 2,
        "model.mlp_dim": 24,
        "model.heads": 2,
    }
    path = "configs/transformer_opus.py"
    config = configs.load(path, {"init_from": str(opus), **size})
    assert config.data.tokenizer == str(opus)
    run = experiment.build(config, tmp_path / "run", {"tokenizers": {}})
    taken, line = init_from.weights(run)
    assert line == f"86 of 86 parameters from {opus}."
    theirs, _ = weights.files.read(opus / "model.safetensors")
    np.testing.assert_array_equal(taken["embedding/embedding"], theirs["model.shared.weight"][run.token_order])
    init_from.check(str(opus))
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model())
    config = configs.load(path, {"init_from": str(opus), **size})
    config = type(config)(config.to_dict())
    config.data.tokenizer = str(tmp_path / "spiece.model")
    with pytest.raises(
        UserError, match=r"has a vocabulary of \d+ tokens, and config.data.tokenizer=.* one of \d+: take"
    ):
        init_from.weights(experiment.build(config, tmp_path / "run", {"tokenizers": {}}))
    vocabulary = {str(i): number for i, number in enumerate(json.loads((opus / "vocab.json").read_text()).values())}
    for name in ("source.spm", "target.spm", "config.json"):
        (tmp_path / name).write_bytes((opus / name).read_bytes())
    (tmp_path / "vocab.json").write_text(json.dumps({**vocabulary, "</s>": 0, "<pad>": len(vocabulary) - 1}))
    config.data.tokenizer = str(tmp_path / "source.spm")
    with pytest.raises(
        UserError, match=r"opus-mt-de-en has another tokenizer than config.data.tokenizer=.*source.spm: "
    ):
        init_from.weights(experiment.build(config, tmp_path / "run", {"tokenizers": {}}))
    config.task.start = "bos"
    with pytest.raises(UserError, match=r"no id for config.task.start='bos': set --config.task.start=pad"):
        experiment.build(config, tmp_path / "run", {"tokenizers": {}})


def test_a_model_that_writes_begins_with_the_output_layer_too(drawn, tmp_path):  # noqa: F811
    (tmp_path / "tokenizer").mkdir()
    t5(tmp_path / "tokenizer")
    (reader,) = data.published.read(tmp_path / "tokenizer")
    params, model = drawn(name="t5", version="1.1", outputs=reader.size)
    others = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    weights.write_folder(tmp_path / "t5", params, model, others=others)
    size = {f"model.{key}": value for key, value in weights.read(tmp_path / "t5").model.items()}
    size |= {"init_from": str(tmp_path / "t5"), "steps": 5, "optim.warmup_steps": 0}

    def taken(**changes):
        config = configs.load("configs/transformer_opus.py", size | changes)
        return init_from.weights(experiment.build(config, tmp_path / "run", {"tokenizers": {}}))[0]

    np.testing.assert_array_equal(taken()["head/kernel"], params["head/kernel"][:, reader.order])
    assert "head/kernel" not in taken(init_fresh=("head/.*",))


def test_windows_are_as_long_as_a_published_model_has_positions(drawn, tmp_path):  # noqa: F811
    params, model = drawn(name="gpt", outputs=40)
    weights.write_folder(tmp_path / "gpt2", params, model)
    found = weights.read(tmp_path / "gpt2")
    config = convert.config_of(found, configs.load(convert.default([str(tmp_path / "gpt2")])), False, tmp_path / "gpt2")
    assert config.data.length == found.model["max_length"] < 1024


WRITES = {  # little, and for the tests' 8 devices
    "gpt": ["--config.task.length=4", "--config.data.batch_size=8"],
    "t5": ["--config.task.beams=1", "--config.task.extra_length=4"],
}


def gpt_2(folder):
    write_bpe(folder)


def bert(folder):
    write_wordpiece(folder)


def roberta(folder):
    tokenizer = bytes_bpe()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))


def t5(folder):
    (folder / "spiece.model").write_bytes(sentencepiece_model())


@pytest.mark.parametrize(
    ("files", "settings", "text"),
    [
        (gpt_2, {"name": "gpt"}, "A small"),
        (bert, {"name": "bert", "head": "words", "max_length": 32}, "A small [MASK] runs."),
        (bert, {"name": "bert", "outputs": 3, "max_length": 32}, "A small dog runs."),
        (roberta, {"name": "bert", "head": "words", "max_length": 32, "first_position": 2}, "A small [MASK] runs."),
        (t5, {"name": "t5"}, "A small dog runs."),
    ],
    ids=["gpt-2", "bert", "bert-classes", "roberta", "t5"],
)
def test_a_folder_becomes_a_run_that_answers(drawn, tmp_path, files, settings, text):  # noqa: F811
    (tmp_path / "tokenizer").mkdir()
    files(tmp_path / "tokenizer")
    (reader,) = data.published.read(tmp_path / "tokenizer")
    sizes = {"outputs": reader.size} | ({"vocabulary": reader.size} if settings["name"] == "bert" else {})
    params, model = drawn(**{"depth": 1} | sizes | settings)
    others = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    classes = ("bad", "fair", "good") if settings.get("outputs") else ()
    weights.write_folder(tmp_path / "folder", params, model, classes, others=others)
    done = command(tmp_path / "folder", tmp_path / "run", *WRITES.get(settings["name"], []))
    assert done.returncode == 0, done.stderr
    run, state, _ = load(tmp_path / "run")
    embedding = params["embedding/embedding"][run.token_order]
    np.testing.assert_array_equal(state.params["embedding"]["embedding"], embedding)
    done = commandline.command("predict.py", f"--workdir={tmp_path / 'run'}", text)
    assert (done.returncode, done.stdout.strip() != "") == (0, True), done.stderr
    assert all(name in done.stdout for name in classes)


OWN = {  # a text's, and what the model computes with, which is not what my_*.py has from scratch
    "gpt": ("my_text", "book.txt", gpt_2, {"activation": "gelu_tanh"}),
    "bert": ("my_sentences", "table.csv", bert, {"activation": "gelu", "norm_epsilon": 1e-12, "max_length": 32}),
    "t5": ("my_translation", "a.de,a.en", t5, {"version": "1.0"}),
    "transformer": ("my_translation", "a.de,a.en", write_marian, {"norm": "post", "activation": "swish"}),
}


@pytest.mark.parametrize("name", OWN)
def test_a_run_on_own_data_has_the_form_of_the_folder_that_it_begins_with(drawn, tmp_path, name):  # noqa: F811
    config, files, write, form = OWN[name]
    (tmp_path / "tokenizer").mkdir()
    write(tmp_path / "tokenizer")
    size = data.published.read(tmp_path / "tokenizer")[0].size
    params, model = drawn(name=name, outputs=size, **form | ({"vocabulary": size} if name == "bert" else {}))
    others = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    weights.write_folder(tmp_path / "folder", params, model, others=others)
    root = texts(tmp_path / "texts")
    names = ",".join(str(root / one) for one in files.split(","))
    given = {"data.name": names, "init_from": str(tmp_path / "folder"), "parallel.mode": "mesh", "step.accumulate": 1}
    if config == "my_translation":
        given["data.max_length"] = 200  # of tokens that are hardly more than letters
    resolved, _ = open_keys.resolve(configs.load(f"configs/{config}.py", given), tmp_path / "run")
    assert {key: resolved.model[key] for key in form} == form
    run = experiment.build(resolved, tmp_path / "run")
    taken, _ = init_from.weights(run)
    assert set(params) - taken.keys() <= {"pooler/kernel", "pooler/bias", "head/kernel", "head/bias"}
    assert getattr(run.task, "start", "pad") == "pad"


def test_a_bert_that_does_not_say_what_it_is_for_is_told_the_configs_of_berts(drawn, tmp_path):  # noqa: F811
    params, model = drawn(name="bert", outputs=0)
    weights.write_folder(tmp_path / "bert", params, model)
    for architectures in (["BertModel"], None):
        config = json.loads((tmp_path / "bert" / "config.json").read_text()) | {"architectures": architectures}
        (tmp_path / "bert" / "config.json").write_text(json.dumps(config))
        done = command(tmp_path / "bert", tmp_path / "run")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.endswith(
            "which reads text: give a --config for its data, such as configs/bert_pretrain.py, "
            "configs/bert_finetune.py, configs/bert_finetune.py:conll+Tiny.\n"
        )


def test_a_bert_that_says_a_number_goes_there_and_back(drawn, tmp_path):  # noqa: F811
    """Published ones say it as it is; a run's own, which learned it standardised, is written so that it does."""
    (tmp_path / "tokenizer").mkdir()
    bert(tmp_path / "tokenizer")
    (reader,) = data.published.read(tmp_path / "tokenizer")
    params, model = drawn(name="bert", outputs=1, vocabulary=reader.size, max_length=32)
    others = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    weights.write_folder(tmp_path / "folder", params, model, others=others)
    said = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert (said["problem_type"], said["id2label"]) == ("regression", {"0": "LABEL_0"})  # transformers: two by default
    done = command(tmp_path / "folder", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    params, model, run = convert.of_run(tmp_path / "run", "last", 1)
    assert (run.config["task"]["name"], run.pipeline.known["deviation"]) == ("regress", 1.0)
    convert.export(params, model, run, tmp_path / "again", None)
    assert contents(tmp_path / "again" / "model.safetensors") == contents(tmp_path / "folder" / "model.safetensors")
    run.pipeline.moments = (3.0, 2.0)
    head = params["head"]["kernel"], params["head"]["bias"]
    scaled = convert.in_own_unit(params, run)["head"]
    x = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    np.testing.assert_allclose(x @ scaled["kernel"] + scaled["bias"], 2 * (x @ head[0] + head[1]) + 3, rtol=1e-5)


def test_folders_that_lack_something_are_one_line(opus, tmp_path):
    found = weights.read(opus)
    (tmp_path / "part").mkdir()
    for name in ("model.safetensors", "config.json"):
        (tmp_path / "part" / name).write_bytes((opus / name).read_bytes())
    config = convert.config_of(found, configs.load("configs/transformer_opus.py"), False, tmp_path / "part")
    with pytest.raises(UserError, match=r"part: there is no tokenizer here: sentencepiece's \.model"):
        convert.make_run(found, config, None, tmp_path / "part", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="which reads text: give a --config for its data"):
        convert.config_of(found, configs.load(convert.DEFAULT), False, opus)
    (tmp_path / "part" / "model.safetensors").rename(tmp_path / "part" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds pytorch_model.bin, a pickle"):
        init_from.check(str(tmp_path / "part"))
