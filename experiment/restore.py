"""A trained run, loaded: its parts and its weights, from one checkpoint, several, or several runs."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from logging import getLogger
from pathlib import Path

import jax
from ml_collections import ConfigDict

import lookup
import storage
import weights
from errors import UserError, command, nearest
from experiment import record
from experiment.build import build
from experiment.config import check, complete, sections
from experiment.run import Run
from experiment.settings import Experiment
from models import prepared
from training import checkpoint, hosts, parallel, step
from training.trees import Variables
from weights import transplant


def parts(config: ConfigDict, workdir: Path) -> Run:
    """A trained run's parts without its weights. config: see `load`."""
    saved = record.read(workdir)
    if not {"known", "total_steps"} <= saved.keys():
        raise UserError(f"{workdir} was trained by an older version, which kept less of its data: train it again.")
    config.steps = saved["total_steps"]  # so that the data set need not be there to count epochs
    return build(config, workdir, saved["known"])


def load(
    workdir: Path | str,
    config: ConfigDict | None = None,
    which: str = "last",
    from_data: bool = False,
    average: int = 1,
    soup: Sequence[str] = (),
    form: prepared.Weights = "float32",
    run: Run | None = None,
) -> tuple[Run, step.State, int]:
    """A trained run: its parts, its state, and the step of that state.

    Args:
      workdir: of the run.
      config: the run's own (`saved_config`), with what the user changed; None for the run's own.
      which: "last", "best" or a step.
      from_data: whether the data set is needed, and must fit the model.
      average: the weights are the mean of so many checkpoints, up to that one (1706.03762, section 6.1).
      soup: workdirs of other runs of the same model; the weights are the mean of all these runs' (2203.05482).
      form: of the matrices that decoding multiplies by: see models/prepared.py.
      run: what `parts` made of `config`, so that it is not built twice.

    Raises:
      UserError: there is no such run or checkpoint, or something does not fit.
    """
    workdir = storage.path(workdir)
    config = saved_config(workdir) if config is None else config
    trained = record.read(workdir)
    if differ := record.differences(hosts.shared("trained", trained), trained, free=()):
        raise UserError(
            f"--workdir={workdir} of this host holds another run than that of host 0, which differs in "
            f"{'; '.join(differ)}. Give all hosts the same folder."
        )
    size = {key: trained["data"][key] for key in ("image_size", "image_width") if key in trained.get("data", {})}
    if any(config.data[key] != value for key, value in size.items()):
        trained_config = config.copy_and_resolve_references()
        trained_config.data.update(size)
        return _resized(*load(workdir, trained_config, which, from_data, average, soup, form), config)
    run = run or parts(config, workdir)
    if form != run.weights:
        run = replace(run, weights=form)
        prepared.wanted(run.model, form)
    if from_data:
        run.pipeline.check()
    if which not in ("last", "best") and not which.isdigit():
        raise UserError(f"--step={which!r} should be last, best or a number.")
    choose = {"last": run.checkpoints.latest, "best": run.checkpoints.best}.get(which, lambda: int(which))
    number = hosts.shared("step", choose())
    if number is None:
        raise UserError(f"{workdir} holds no checkpoint: train it first, with {_again(trained)}")
    state = run.restore(number)
    if average > 1:
        steps = hosts.shared("steps", sorted(islice(run.checkpoints.good(up_to=number), average)))
        if len(steps) < average:
            raise UserError(
                f"--average={average} needs as many checkpoints, and {workdir} has kept {len(steps)} up to step "
                f"{number}: keep more with --config.checkpoint.keep_last."
            )
        state = step.averaged(run.restore(s) for s in steps)
    if soup:
        state = step.averaged(
            [step.evaluated(state), *(_ingredient(run, state, storage.path(w), which, average) for w in soup)]
        )
    return run, state, number


def _again(trained: record.Record) -> str:
    """The command that a run began with."""
    try:
        _, *arguments = shlex.split(trained.get("command") or "train.py")
    except ValueError:  # of an older version, which did not quote
        arguments = []
    return command("train.py", *arguments)


def latest(workdir: Path) -> tuple[Run, Variables]:
    """A trained run, and the variables that it is evaluated with at its last step."""
    run, state, _ = load(workdir)
    return run, state.eval_variables


def _resized(run: Run, state: step.State, number: int, config: ConfigDict) -> tuple[Run, step.State, int]:
    """The same for images of another size, that of the config: learned positions are resized."""
    state = jax.device_get(run.devices.get_state(step.evaluated(state)))
    config.steps = run.steps
    resized = replace(build(config, run.workdir, run.pipeline.known), weights=run.weights)
    saved = transplant.written_out(weights.flat(state.params))
    taken, _ = transplant.fit(saved, resized.shapes(), (run.position_grid, resized.position_grid), str(run.workdir))
    params = jax.tree.unflatten(jax.tree.structure(resized.abstract_state.params), list(taken.values()))
    return resized, resized.devices.put_state(replace(state, params=params)), number


def _ingredient(run: Run, state: step.State, workdir: Path, which: str, average: int) -> step.State:
    """Another run of the same model, on the same devices."""
    config = saved_config(workdir)
    config.parallel.update(run.config["parallel"])
    other = step.evaluated(load(workdir, config, which, False, average)[1])
    if differs := checkpoint.difference(other.params, state.eval_params):
        raise UserError(f"--soup: {workdir} is of another model: {differs}.")
    return other


def saved_config(workdir: Path | str) -> ConfigDict:
    """The config of the run in a workdir, except the devices that it ran on, which this machine need not have. Keys
    that are newer than the run have their defaults.

    Raises:
      UserError: there is no record, or it has a key or a value that this version does not have.
    """
    keys, workdir = lookup.keys(Experiment), storage.path(workdir)
    written = record.read(workdir)
    saved = {key: _tuples(value) for key, value in written.items() if key in keys}
    here = {name: key.default for name, key in lookup.keys(parallel.make, ("devices",)).items()}
    try:
        config = complete(ConfigDict(saved | {"parallel": here}))
        for section, known in sections(config):
            for key in set(saved.get(section, ())) - set(known):
                raise UserError(
                    f"it has {section}.{key}, which this version does not have: {nearest(key, known)} Use the code of "
                    f"commit {written.get('commit')!r}."
                )
        check(config)
    except UserError as error:
        raise UserError(f"{workdir / record.FILE} holds a config that cannot be used: {error}") from None
    return config


def _tuples(value: lookup.Value) -> lookup.Value:
    """JSON's lists as tuples."""
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


@contextmanager
def quiet() -> Iterator[None]:
    """Without Orbax's notices."""
    logger = getLogger("absl")
    level = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)
