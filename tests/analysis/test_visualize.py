"""visualize.py on the command line: all figures of a ViT and of a Transformer, and figures that cannot be drawn."""

from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import experiment
import visualize
from analysis import drawing, links
from analysis.figures import distance, rollout
from analysis.subject import Subject
from errors import UserError
from experiment import config as configs
from experiment import restore, resume
from tests.commandline import Done
from tests.commandline import command as typed
from tests.conftest import tiny
from training.log import Log

OF_CLASSES = {"calibration", "confusion", "mistakes"}
OF_IMAGES = OF_CLASSES | {"curves", "distance", "filters", "heads", "positions", "rollout", "segments", "token_layers"}


def command(*arguments: object) -> Done:
    return typed("visualize.py", *arguments)


def subject(workdir: Path, **changes: object) -> Subject:
    """As the command builds it."""
    fields = {name: changes.pop(name) for name in ("image_files", "sentences", "beside", "gold") if name in changes}
    config = restore.saved_config(workdir)
    config.parallel.mode = "mesh"
    config.update_from_flattened_dict(changes)
    weights = lambda: restore.load(workdir, config)[1].eval_variables  # noqa: E731
    return Subject(run=restore.parts(config, workdir), restore=weights, load=restore.latest, **fields)


def begun(config: ConfigDict, workdir: Path) -> Path:
    """A run with the weights that it begins with as its only checkpoint: figures need no more."""
    run = experiment.build(config, workdir)
    resume.start(run)
    with run.checkpoints:
        run.checkpoints.save(1, run.devices.get_state(run.initialise()), run.record)
    with Log(workdir, 0) as log:
        log.write(1, {"train/loss": 2.0, "train/accuracy": 0.1})
    return workdir


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    config = tiny(**{"model.head": "token", "model.positions": "learned"})
    return begun(config, tmp_path_factory.mktemp("vit") / "run")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    folder, chance = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 20)):
        rows = [[str(n) for n in chance.integers(0, 99, 3)] for _ in range(count)]
        (folder / f"{split}.x").write_text("".join(" ".join(row) + "\n" for row in rows))
        (folder / f"{split}.y").write_text("".join(" ".join(reversed(row)) + "\n" for row in rows))
    (folder / "gold").write_text("0-2 1-1 2?0\n" * 20)
    return folder


@pytest.fixture(scope="module")
def transformer(texts, tmp_path_factory) -> Path:
    config = configs.load("configs/transformer_reverse.py:debug")
    config.model.depth = 1
    config.task.update(beams=1, extra_length=2)
    config.data.update(source="files", name=str(texts), languages=("x", "y"), eval_splits=("test",))
    config.data.update(batch_tokens=128, max_length=16, buckets=1)
    config.parallel.mode = "mesh"
    return begun(config, tmp_path_factory.mktemp("transformer") / "run")


def test_all_figures_of_a_vit(vit, tmp_path):
    done = command(f"--workdir={vit}", f"--with={vit}")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == OF_IMAGES
    for name in OF_IMAGES:
        assert f"{vit}/figures/{name}.png and .npz" in done.stdout
        assert (vit / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    saved = {name: np.load(vit / "figures" / f"{name}.npz") for name in OF_IMAGES}
    assert saved["distance"]["distance"].shape == (2, 2)
    assert saved["distance"]["images"] == 128
    assert saved["heads"]["attention"].shape == (2, 2, 2, 2)
    assert saved["token_layers"]["attention"].shape == (2, 4, 2, 2)
    assert saved["rollout"]["image"].shape == (4, 8, 8, 1)
    assert saved["positions"]["similarity"].shape == (2, 2, 2, 2)


def test_all_figures_of_a_transformer_with_its_error_rate(transformer, texts, tmp_path):
    pairs = (f"--gold={texts / 'gold'}", f"--source={texts / 'test.x'}", f"--target={texts / 'test.y'}")
    done = command(f"--workdir={transformer}", f"--out={tmp_path}", *pairs)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {
        *("alignment", "bleu_by_length", "curves", "gradients", "sinusoids"),
        *("attended_words", "head_roles", "logit_lens", "sentence_heads", "sentence_rollout"),
    }
    saved = np.load(tmp_path / "alignment.npz")
    assert f"alignment error rate: {saved['alignment_error_rate']:.4f}  pairs: 20" in done.stdout
    assert saved["weights"].shape == saved["sure"].shape == (3, 3, 3)
    assert saved["possible"][0].tolist() == [[False, False, True], [False, True, False], [True, False, False]]
    assert (saved["weights"].sum(-1) <= 1 + 1e-5).all()


def test_maps_of_sentences_are_of_what_the_model_writes(transformer):
    from analysis.figures import alignment

    arrays = alignment.arrays(subject(transformer, sentences=("1 2", "1 2 3")))
    assert arrays["source"][1][-1] == "</s>"
    assert "" in arrays["source"][0].tolist()
    assert arrays["weights"].shape == (2, arrays["target"].shape[1], arrays["source"].shape[1])


def test_images_of_other_sizes_and_models_for_them(vit, tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).save(tmp_path / "a.png")
    larger = subject(vit, image_files=(str(tmp_path / "a.png"),), **{"data.image_size": 16})
    assert larger.grid == (4, 4)
    assert rollout.arrays(larger)["rollout"].shape == (1, 4, 4)
    assert distance.arrays(larger)["distance"].max() < 16 * 2**0.5
    wide = subject(vit, image_files=(str(tmp_path / "a.png"),), **{"data.image_width": 16})
    assert wide.grid == (2, 4)
    assert rollout.arrays(wide)["rollout"].shape == (1, 2, 4)


def test_an_image_that_is_made_smaller_is_said(vit, tmp_path, capsys):
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "a.png")
    visualize.check(subject(vit, image_files=(str(tmp_path / "a.png"),)))
    assert "a.png, 6x8, is seen as 8x8." in capsys.readouterr().err
    (tmp_path / "b.png").write_text("no image")
    for name in ("b.png", "c.png"):
        with pytest.raises(UserError, match=f"cannot read .*{name}"):
            visualize.check(subject(vit, image_files=(str(tmp_path / name),)))


def test_what_a_model_lacks_is_said_with_what_it_can_have(vit, transformer, tmp_path):
    with pytest.raises(
        UserError, match=r"cannot have 'alignment': the model does not translate\. It can have: calibration, "
    ):
        drawing.chosen(subject(vit), ["alignment"])
    with pytest.raises(UserError, match="cannot have 'rollout': the model reads no images"):
        drawing.chosen(subject(transformer), ["curves", "rollout"])
    with pytest.raises(UserError, match="cannot have 'sinusoids': its positions are learned"):
        drawing.chosen(subject(vit), ["sinusoids"])
    gap = subject(vit, **{"model.head": "gap"})
    with pytest.raises(UserError, match=r"cannot have 'token_layers': it has no class token \(config.model.head=gap\)"):
        drawing.chosen(gap, ["token_layers"])


def test_a_resnet_has_no_attention(vit):
    config = restore.saved_config(vit)
    config.model = configs.load("configs/resnet_fashion_mnist.py:debug").model
    resnet = Subject(run=restore.parts(config, vit), restore=dict, load=restore.latest)
    assert drawing.chosen(resnet, []) == ["calibration", "confusion", "curves", "mistakes"]
    for name, reason in (("heads", "a resnet has no attention"), ("filters", "a resnet has no patches")):
        with pytest.raises(UserError, match=reason):
            drawing.chosen(resnet, [name])


def test_a_mistake_is_one_line_and_exit_status_2(vit):
    done = command(f"--workdir={vit}", "rolout")
    assert done.returncode == 2, done.stderr
    assert "there is no 'rolout' in analysis/figures/: did you mean 'rollout'?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_given_must_fit_the_model_and_be_there(vit, transformer):
    with pytest.raises(UserError, match="--sentence and --word are for models of text: this one reads an image"):
        visualize.check(subject(vit, sentences=("x",)))
    with pytest.raises(UserError, match="--gold is for models that translate: this one reads an image"):
        visualize.check(subject(vit, gold=links.Gold([], [], [], [])))
    with pytest.raises(UserError, match="--images is for models of images: this one reads a sentence"):
        visualize.check(subject(transformer, image_files=("x.png",)))
    with pytest.raises(UserError, match="--sentence= is empty: write what is to be read"):
        visualize.check(subject(transformer, sentences=("x", " ")))
    with pytest.raises(UserError, match="--gold=FILE, --source=FILE and --target=FILE go together: give all three"):
        visualize.gold("x", None, None)
    with pytest.raises(UserError, match="nowhere holds no run"):
        visualize.check(subject(vit, beside=(Path("nowhere"),)))


def test_images_that_are_nowhere_can_be_given(vit):
    lost = subject(vit, **{"data.name": "no_such_set"})
    with pytest.raises(UserError, match=r"Or give your own: --images=a.png,b.png\.$"):
        lost.images(1)
