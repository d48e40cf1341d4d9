"""A trained run, loaded: its parts and its weights, from one checkpoint, several, or several runs."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from errors import UserError
from experiment import Run, build, record
from experiment.settings import Experiment
from training import hosts, parallel, paths, step
from training.difference import difference
from weights import transplant


def parts(config: ConfigDict, workdir: Path) -> Run:
    """A trained run's parts without its weights. config: as `load` has it."""
    trained = record.read(workdir)
    if "known" not in trained:
        raise UserError(f"{workdir} was trained by an older version, which kept less of its data: train it again.")
    config.steps = trained["total_steps"]  # so that the data set need not be there to count epochs
    return build(config, workdir, trained["known"])


def load(
    config: ConfigDict,
    workdir: Path,
    which: str,
    from_data: bool,
    average: int = 1,
    soup: Sequence[str] = (),
) -> tuple[Run, step.State, int]:
    """A trained run: its parts, its state and the step of it.

    Args:
      config: the run's own (saved_config), with what the user changed.
      which: "last", "best" or a step. from_data: whether the data set is needed, and must fit the model.
      average: of how many checkpoints, up to that one, the weights are the mean (1706.03762, section 6.1).
      soup: workdirs of other runs of the same model; the weights are the mean of all these runs' (2203.05482).
    """
    trained = record.read(workdir)
    size = {key: trained["data"][key] for key in ("image_size", "image_width") if key in trained.get("data", {})}
    if any(config.data[key] != value for key, value in size.items()):
        return _resized(config, size, workdir, which, from_data, average, soup)
    run = parts(config, workdir)
    if from_data:
        run.pipeline.check()
    if which not in ("last", "best") and not which.isdigit():
        raise UserError(f"--step={which!r} should be last, best or a number.")
    choose = {"last": run.checkpoints.latest, "best": run.checkpoints.best}.get(which, lambda: int(which))
    number = hosts.shared("step", choose())
    if number is None:
        raise UserError(f"{workdir} holds no checkpoint: train it first with python train.py --workdir={workdir}.")
    state = run.restore(number)
    if average > 1:
        steps = hosts.shared("steps", sorted(islice(run.checkpoints.good(up_to=number), average)))
        if len(steps) < average:
            raise UserError(
                f"--average={average} needs as many checkpoints, and {workdir} has kept {len(steps)} up to step {number}: "
                "keep more with --config.checkpoint.keep_last."
            )
        state = step.averaged(run.restore(s) for s in steps)
    if soup:
        state = step.averaged([_evaluated(state), *(_ingredient(run, state, Path(w), which, average) for w in soup)])
    return run, state, number


def _resized(config: ConfigDict, size: dict[str, int], workdir: Path, *arguments: Any) -> tuple[Run, step.State, int]:
    """`load` for images of another size than the model was trained on, `size`: positions are resized, where learned."""
    trained = config.copy_and_resolve_references()
    trained.data.update(size)
    run, state, number = load(trained, workdir, *arguments)
    state = jax.device_get(run.devices.get_state(_evaluated(state)))
    config.steps = trained.steps
    resized = build(config, workdir, run.pipeline.known)
    found = transplant.written_out(paths.table(state.params))
    taken, _ = transplant.fit(found, resized.shapes(), resized.proportion, str(workdir))
    params = jax.tree.unflatten(jax.tree.structure(resized.abstract_state.params), list(taken.values()))
    return resized, resized.devices.put_state(replace(state, params=params, opt_state={})), number


def _evaluated(state: step.State) -> step.State:
    """The state whose weights are those that are evaluated."""
    return replace(state, params=state.eval_params, ema={})


def _ingredient(run: Run, state: step.State, workdir: Path, which: str, average: int) -> step.State:
    """Another run of the same model, on the same devices."""
    config = saved_config(workdir)
    config.parallel.update(run.config["parallel"])
    other = _evaluated(load(config, workdir, which, False, average)[1])
    if differs := difference(other.params, state.eval_params):
        raise UserError(f"--soup: {workdir} is of another model: {differs}.")
    return other


def saved_config(workdir: Path) -> ConfigDict:
    """The config of the run in a workdir; but for the devices that it ran on, which this machine need not have."""
    keys = Experiment.__dataclass_fields__
    saved = {key: _tuples(value) for key, value in record.read(workdir).items() if key in keys}
    here = inspect.signature(parallel.make).parameters.values()
    return ConfigDict(saved | {"parallel": {p.name: p.default for p in here if p.name != "devices"}})


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
