"""A run that begins with another's weights."""

from pathlib import Path

import jax
import numpy as np
import pytest

import experiment
from errors import UserError
from experiment import config as configs
from experiment import init_from, restore, resume, scoring, teacher
from tests.conftest import tiny
from tests.families import COMMON, FAMILIES
from train import train
from training.trees import by_name
from weights import transplant

POSITIONS = "positions/embedding"


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A run of four steps, with a moving average and a class token."""
    workdir = tmp_path_factory.mktemp("transfer") / "first"
    train(tiny(**{"steps": 4, "model.head": "token", "model.positions": "learned", "step.ema_decay": 0.5}), workdir)
    return workdir


def flat(tree) -> dict[str, np.ndarray]:
    return {name: np.asarray(x) for name, x in by_name(jax.device_get(tree)).items()}


def begun(first: Path, workdir: Path, **changes) -> tuple[experiment.Run, dict[str, np.ndarray]]:
    config = tiny(**{"init_from": str(first), "model.head": "token", "model.positions": "learned"} | changes)
    run = experiment.build(config, workdir)
    assert resume.start(run) == 0
    return run, flat(run.devices.get_state(run.initialise()).params)


@pytest.fixture(scope="module")
def saved(first) -> dict[str, np.ndarray]:
    """The weights that are taken over: the moving average."""
    run, state, _ = restore.load(first)
    return flat(run.devices.get_state(state).ema)


def made(config, workdir: Path) -> None:
    """A run with the weights that it begins with as its last checkpoint."""
    run = experiment.build(config, workdir)
    resume.start(run)
    with run.checkpoints as checkpoints:
        checkpoints.save(run.steps, run.devices.get_state(run.initialise()), run.record)


def fitted(saved: dict[str, np.ndarray], workdir: Path, **changes) -> dict[str, np.ndarray]:
    """The same for another config, without a run."""
    config = tiny(**{"model.head": "token", "model.positions": "learned"} | changes)
    run = experiment.build(config, workdir)
    return transplant.fit(saved, run.shapes(), (None, run.grid), "there", tuple(config.init_fresh))[0]


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_all_but_the_head_is_the_other_runs_average(first, saved, workdir, mode, capsys):
    free = {"optim.name": "schedule_free_sgd", "optim.schedule": "constant", "step.ema_decay": 0.9}
    run, params = begun(first, workdir, **free, **{"parallel.mode": mode})
    leaves = jax.tree.leaves(state := run.initialise())
    # The first step is given all of it to write to, and so no array twice.
    assert len({x.addressable_data(0).unsafe_buffer_pointer() for x in leaves}) == len(leaves)
    state = run.devices.get_state(state)
    optimisers = {name.partition("/z/")[2]: x for name, x in flat(state.opt_state).items() if "/z/" in name}
    for copy in (optimisers, flat(state.ema)):
        jax.tree.map(np.testing.assert_array_equal, copy, params)
    assert saved["head/kernel"].any()
    assert not params.pop("head/kernel").any()
    assert not params.pop("head/bias").any()
    for name, value in params.items():
        np.testing.assert_array_equal(value, saved[name], err_msg=name)
    assert f"parameters from {first}; begin anew: head/bias, head/kernel." in capsys.readouterr().out


def test_stacked_layers_and_layers_written_out_are_the_same(first, saved, workdir):
    run, params = begun(first, workdir, **{"model.scan": True})
    for name, value in params.items():
        if "/blocks/" in name:
            for layer, x in enumerate(value):
                np.testing.assert_array_equal(x, saved[name.replace("blocks", f"block_{layer:02}")])
    run.checkpoints.save(3, run.devices.get_state(run.initialise()), run.record)
    run.checkpoints.close()
    again, _ = init_from.read(str(workdir))
    assert {name for name in again if name not in saved} == set()
    np.testing.assert_array_equal(
        again["encoder/block_01/mlp/expand/kernel"], saved["encoder/block_01/mlp/expand/kernel"]
    )


@pytest.mark.parametrize(("height", "width", "patch"), [(16, 0, 4), (8, 0, 4), (16, 8, 4), (8, 24, 4)])
def test_positions_are_resized_between_the_corners(saved, workdir, height, width, patch):
    changes = {"data.image_size": height, "data.image_width": width, "model.patch": patch}
    old, new = saved[POSITIONS][0], fitted(saved, workdir, **changes)[POSITIONS][0]
    np.testing.assert_array_equal(new[0], old[0])  # the class token's
    side = int((len(old) - 1) ** 0.5)
    rows, columns = height // patch, (width or height) // patch
    np.testing.assert_allclose(new[1:], bilinear(old[1:].reshape(side, side, -1), rows, columns), atol=1e-5)


def bilinear(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Each point of the new grid between the four that are nearest in the old one; corners on corners."""
    out = []
    for y in np.linspace(0, grid.shape[0] - 1, rows):
        for x in np.linspace(0, grid.shape[1] - 1, columns):
            i, j = min(int(y), grid.shape[0] - 2), min(int(x), grid.shape[1] - 2)
            top = (1 - x + j) * grid[i, j] + (x - j) * grid[i, j + 1]
            bottom = (1 - x + j) * grid[i + 1, j] + (x - j) * grid[i + 1, j + 1]
            out.append((1 - y + i) * top + (y - i) * bottom)
    return np.array(out)


def test_the_class_tokens_position_goes_with_it(saved, workdir):
    params = fitted(saved, workdir, **{"model.head": "gap", "init_fresh": ("head/.*", "token")})
    np.testing.assert_array_equal(params[POSITIONS][0], saved[POSITIONS][0, 1:])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model.width": 32}, r"is of another model: embedding/bias is \[16\] there and \[32\] here"),
        ({"model.depth": 3}, r"has no encoder/block_02/.*, which this model has"),
        ({"model.depth": 1}, r"has encoder/block_01/.*, which this model has not \(it is one of 16\)"),
        ({"model.head": "gap"}, r"has token, which this model has not"),
        ({"init_from": "nowhere"}, r"config.init_from=nowhere: there is no such folder"),
        ({"init_from": "{first}:77"}, r"has no checkpoint of step 77"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_written(first, workdir, changes, line):
    changes = {k: v.format(first=first) if k == "init_from" else v for k, v in changes.items()}
    with pytest.raises(UserError, match=line):
        begun(first, workdir, **changes)
    assert not workdir.exists()


def test_a_head_alone_learns(first, saved, workdir):
    """A linear probe: nothing else moves, has optimiser state or a gradient; and it learns."""
    changes = {
        "model.head": "token",
        "model.positions": "learned",
        "step.frozen": ("(?!head/).*",),
        "optim.weight_decay": 0.1,
    }
    scores = train(tiny(**{"init_from": str(first)} | changes), workdir)
    assert scores["test/accuracy"] > 0.1
    run, state, _ = restore.load(workdir)
    after = flat(run.devices.get_state(state).params)
    assert {name for name in after if not np.array_equal(saved[name], after[name])} == {"head/kernel", "head/bias"}
    moments = by_name(state.opt_state)
    assert not [name for name in moments if "encoder" in name]
    assert [name for name in moments if name.endswith("mu/head/kernel")]
    assert run.steps == 6


FEWSHOT = {"evaluation.fewshot.shots": (1, 10), "evaluation.fewshot.neighbours": (5,)}


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_frozen_features_are_scored_the_same_way_on_any_devices(first, mode):
    config = restore.saved_config(first)
    config.update_from_flattened_dict({"parallel.mode": mode, "data.eval_splits": ("test[:1]",)} | FEWSHOT)
    config.evaluation.fewshot.update(train_split="train[:300]", test_split="test[:77]", seeds=2)
    run, state, _ = restore.load(first, config, from_data=True)
    scores, notes = scoring.score(run, state, slow=True)
    features, labels = scoring.features(run, state, "test[:77]", lambda: None)
    batches = list(run.probed.eval_batches("test[:77]"))
    image, label, mask = (np.concatenate([b[name] for b in batches]) for name in ("image", "label", "mask"))
    params = jax.device_get(run.devices.get_state(state).ema)
    expected = run.model.clone(outputs=0).apply({"params": params}, image[mask > 0], train=False)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    np.testing.assert_array_equal(labels, label[mask > 0])
    assert len(labels) == 77
    assert 0.1 < scores["digits/10_shot"] <= 1
    assert {"digits/1_shot", "digits/10_shot", "digits/5_nn"} < set(scores)
    assert len(notes) == 3


def test_few_shot_scores_need_classes():
    config = configs.load("configs/transformer_reverse.py:debug")
    config.evaluation.fewshot.shots = (1,)
    with pytest.raises(UserError, match=r"config.evaluation.fewshot is for models that tell classes apart"):
        experiment.build(config, Path("nowhere"))


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_a_student_learns_from_what_its_teacher_says_of_the_same_batch(first, workdir, mode):
    config = tiny(
        **{"parallel.mode": mode, "model.head": "distilled", "task.name": "distill", "task.teacher": str(first)}
    )
    run = experiment.build(config, workdir)
    batch = next(run.batches(0))
    taught = run.devices.fetch_rows(teacher.load(run)(run.devices.put(batch))["teacher"])
    other, state, _ = restore.load(first)
    params = jax.device_get(other.devices.get_state(state).ema)
    np.testing.assert_allclose(taught, other.model.apply({"params": params}, batch["image"], train=False), atol=1e-4)
    if mode == "mesh":
        assert train(config, workdir)["test/accuracy"] > 0.05


def test_a_teacher_of_other_images_is_refused(first, workdir):
    config = tiny(
        **{"data.image_size": 16, "model.head": "distilled", "task.name": "distill", "task.teacher": str(first)}
    )
    with pytest.raises(
        UserError,
        match=r"config.task.teacher=.* learned from other data: .*\(8, 8, 1\)\} there, .*\(16, 16, 1\)\} here",
    ):
        train(config, workdir)
    assert not workdir.exists()


def test_a_soup_is_the_mean_of_runs_of_one_model(first, saved, workdir):
    config = restore.saved_config(first)
    config.seed = 1
    config.step.ema_decay = 0.0
    made(config, workdir)
    _, other, _ = restore.load(workdir)
    run, state, _ = restore.load(first, soup=[str(workdir)])
    params, theirs = flat(run.devices.get_state(state).eval_params), flat(run.devices.get_state(other).params)
    for name, value in params.items():
        np.testing.assert_allclose(value, (saved[name] + theirs[name]) / 2, rtol=1e-6, atol=1e-7)
    config.model.depth = 1
    made(config, workdir / "shallow")
    with pytest.raises(UserError, match=r"--soup: .*shallow is of another model: encoder/block_01/.* is absent there"):
        restore.load(first, soup=[str(workdir / "shallow")])


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_a_model_is_scored_at_another_resolution(first, saved, mode):
    config = restore.saved_config(first)
    config.parallel.mode = mode
    config.data.image_size = 12
    run, state, number = restore.load(first, config, from_data=True)
    assert (run.pipeline.image_shape, number) == ((12, 12, 1), 4)
    params = flat(run.devices.get_state(state).eval_params)
    assert params[POSITIONS].shape[1] == 1 + 9
    np.testing.assert_allclose(
        params[POSITIONS][0, 1:], bilinear(saved[POSITIONS][0, 1:].reshape(2, 2, -1), 3, 3), atol=1e-5
    )
    np.testing.assert_array_equal(params["head/kernel"], saved["head/kernel"])
    scores, _ = scoring.score(run, state, slow=False)
    assert 0 < scores["test/accuracy"] < 1


def test_words_keep_their_embeddings_only_with_their_tokenizer(workdir, untrained, capsys):
    pre = str(untrained("bert"))
    model = {key: value for key, value in FAMILIES["bert"].items() if key.startswith("model.")}
    tuned = COMMON | FAMILIES["classifier"] | {"init_from": pre, "data.begin": True}
    tuned = {key: value for key, value in tuned.items() if not key.startswith("model.")} | model
    tuned |= {"model.head": "sentence", "init_fresh": ("head/.*", "pooler/.*", "words.*")}

    def started(**changes):
        run = experiment.build(configs.load("configs/vit_digits.py", tuned | changes), workdir)
        assert resume.start(run) == 0
        return flat(run.devices.get_state(run.initialise()).params)

    params = started(**{"data.tokenizer": pre})
    saved, _ = init_from.read(pre)
    for name in params.keys() & saved.keys():
        np.testing.assert_array_equal(params[name], saved[name], err_msg=name)
    assert params.keys() - saved.keys() == {f"{part}/{x}" for part in ("head", "pooler") for x in ("kernel", "bias")}
    capsys.readouterr()
    with pytest.raises(UserError, match=r"another tokenizer than config.data.*Take --config.data.tokenizer=.*bert, or"):
        started()
