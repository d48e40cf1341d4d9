"""Translation through the commands: a run of pairs, resumed, scored, used; and what users get wrong."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import experiment
from errors import UserError
from experiment import config as configs
from experiment import restore, resume
from tests.commandline import command
from train import train
from training import log


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """Sentences of two and three numbers and the same backwards."""
    folder, chance = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 20)):
        rows = [[str(n) for n in chance.integers(0, 9, chance.integers(2, 4))] for _ in range(count)]
        (folder / f"{split}.x").write_text("".join(" ".join(row) + "\n" for row in rows))
        (folder / f"{split}.y").write_text("".join(" ".join(reversed(row)) + "\n" for row in rows))
    return folder


def tiny(texts: Path, **changes: object) -> ConfigDict:
    own = {
        "steps": 6,
        "model.depth": 1,
        "model.dropout": 0.1,
        "task.beams": 1,
        "task.extra_length": 2,
        "data.source": "files",
        "data.name": str(texts),
        "data.languages": ("x", "y"),
        "data.eval_splits": ("test",),
        "data.batch_tokens": 128,
        "data.max_length": 8,
        "data.buckets": 2,
        "evaluation.every_steps": 0,
        "evaluation.page": False,  # which takes longer than the training
        "log.peak_teraflops": 1.0,
        "parallel.mode": "mesh",
    }
    return configs.load("configs/transformer_reverse.py:debug", own | changes)


@pytest.fixture(scope="module")
def whole(texts, tmp_path_factory) -> Path:
    """Six uninterrupted steps."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    train(tiny(texts), workdir)
    return workdir


def figures(workdir: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if "/" in k} for row in log.read(workdir)]


def test_a_run_logs_tokens_and_is_scored_by_what_it_writes(whole):
    rows = log.read(whole)
    assert {"train/loss", "train/sentence_accuracy"} <= rows[0].keys()
    assert "target_tokens_per_second" in rows[1]
    assert {"test/perplexity", "test/bleu", "test/chrf", "test/exact_match"} <= rows[-1].keys()
    assert rows[-1]["test/perplexity"] == pytest.approx(np.exp(rows[-1]["test/nll"]), rel=1e-5)
    assert json.loads((whole / "config.json").read_text())["known"]["tokenizers"].keys() == {"tokenizer.model"}
    assert (whole / "tokenizer.model").stat().st_size > 0


def test_n_steps_and_n_more_are_2n_bit_for_bit(whole, texts, workdir):
    config = tiny(texts)
    run = experiment.build(config, workdir)
    resume.start(run)
    state = run.initialise()
    for _, batch in zip(range(2), run.pipeline.train_batches(0), strict=False):
        state, _ = run.train_step(state, run.devices.put(batch))
    with run.checkpoints:
        run.checkpoints.save(2, run.devices.get_state(state), run.record)
    train(tiny(texts), workdir)
    one, other = (restore.load(w, which="6")[1] for w in (whole, workdir))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


def test_pmap_trains_scores_and_writes_as_jit_does(texts, tmp_path):
    changes = {"model.dropout": 0.0, "optim.name": "sgd", "data.buckets": 1}
    for mode in ("pmap", "mesh"):
        train(tiny(texts, **changes | {"parallel.mode": mode}), tmp_path / mode)
    for a, b in zip(figures(tmp_path / "pmap"), figures(tmp_path / "mesh"), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_packed_rows_train_too(texts, workdir):
    scores = train(tiny(texts, **{"data.packing": True}), workdir)
    assert scores["test/loss"] > 0


def test_the_mean_of_checkpoints_is_their_weights_mean(whole):
    def load(step: str, average: int = 1):
        config = restore.saved_config(whole)
        return restore.load(whole, config, which=step, average=average)[1].params

    mean = jax.tree.map(lambda a, b: (a + b) / 2, load("4"), load("6"))
    jax.tree.map(np.testing.assert_allclose, load("last", 2), mean)
    with pytest.raises(UserError, match=r"--average=9 needs as many checkpoints, and .* has kept \d"):
        load("last", 9)


def test_predict_translates_standard_input_line_by_line(whole, texts):
    sentences = (texts / "test.x").read_text().splitlines()[:3]
    done = command("predict.py", f"--workdir={whole}", "--json", stdin="\n".join([*sentences, "", "☃"]).encode())
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == [*sentences, "", "☃"]
    assert rows[3]["translation"] == ""
    assert "1 tokens that are not in the vocabulary in: '☃'" in done.stderr
    streamed = command("predict.py", f"--workdir={whole}", "--json", "--stream", *sentences, "")
    found = [json.loads(line) for line in streamed.stdout.splitlines()]
    assert [row for row in found if "piece" not in row] == rows[:4]
    for row in rows[:3]:
        pieces = [one["piece"] for one in found if "piece" in one and one["input"] == row["input"]]
        assert "".join(pieces) == row["translation"], pieces
    run, state, _ = restore.load(whole, from_data=True)
    written = {}
    for batch in run.predict(state.eval_variables, run.pipeline.eval_batches("test")):
        written |= {
            i: run.pipeline.decode(ids) for i, ids in zip(batch["index"].tolist(), batch["tokens"], strict=True)
        }
    assert [row["translation"] for row in rows[:3]] == [written[i] for i in range(3)]


def test_predict_draws_the_alignment_map(whole, tmp_path):
    done = command("predict.py", f"--workdir={whole}", f"--alignment={tmp_path / 'map.png'}", "1 2 3")
    assert done.returncode == 0, done.stderr
    saved = np.load(tmp_path / "map.npz")
    assert saved["weights"].shape == (1, saved["target"].shape[1], saved["source"].shape[1])
    assert list(saved["source"][0]) == ["▁1", "▁2", "▁3", "</s>"]
    np.testing.assert_allclose(saved["weights"].sum(-1), 1, atol=1e-5)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_prints_the_signature_and_takes_other_ways_to_search(whole):
    done = command("evaluate.py", f"--workdir={whole}", "--average=2", "--weights=int8", "--config.task.beams=3")
    assert done.returncode == 0, done.stderr
    assert "int8 weights, the mean of 2 checkpoints up to step 6" in done.stdout
    assert "BLEU nrefs:1|case:mixed|eff:no|tok:13a" in done.stdout


@pytest.mark.parametrize(
    ("flags", "given", "message"),
    [
        ((), b"", "there is nothing to predict"),
        ((), b"1 2\n\xff\xfe\n", "line 2 of standard input is not UTF-8"),
        (("--file=nowhere.txt",), b"", "cannot read nowhere.txt: No such file"),
        (("--alignment=map.png", "1 2", "3 4"), b"", "--alignment draws one sentence"),
        (("--alignment=map.jpg", "1 2"), b"", "--alignment=map.jpg should be the name of a picture, and end in .png"),
        (("--alignment=", "1 2"), b"", "--alignment= names nothing"),
        (("--csv=", "1 2"), b"", "--csv= names nothing"),
    ],
)
def test_what_predict_cannot_do_is_one_line(whole, flags, given, message):
    done = command("predict.py", f"--workdir={whole}", *flags, stdin=given)
    assert done.returncode == 2
    assert not done.stdout or given  # nothing is answered before
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tokenizer_that_is_not_the_runs_own_is_refused(whole, texts, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(whole, other)
    (other / "tokenizer.model").unlink()
    with pytest.raises(UserError, match=r"has lost its tokenizer.model"):
        restore.load(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.kind": "pair"}, r"there is no 'pair' in data/pipelines/: did you mean 'pairs'"),
        ({"data.source": "file"}, r"there is no 'file' in data/text/: did you mean 'files'"),
        ({"data.languages": ("x",)}, r"should be the source's and the target's"),
        ({"data.languages": ("x", "z")}, r"z"),
        ({"data.batch_tokens": 4}, r"holds not one sentence of max_length=8"),
        ({"model.norm": "last"}, r"config.model.norm='last' should be of type 'post' | 'pre'"),
        ({"data.joint": False}, r"tie='all' needs one vocabulary"),
        ({"task.bleu_tokenize": "14a"}, r"14a"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(texts, changes, message, workdir):
    with pytest.raises(UserError, match=message):
        train(tiny(texts, **changes), workdir)
    assert not workdir.exists()
