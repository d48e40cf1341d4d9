"""From a config to the checked parts of a run. Every command begins here or in experiment/restore.py.

Each section of a config goes whole to one function or dataclass, whose arguments are its keys. A section that does not
fit is a UserError before any device is touched. A ConfigDict travels no further than this file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

import input_pipeline
import lookup
from errors import NoDevice, UserError
from experiment.config import check, plain
from experiment.record import Record
from experiment.run import Run
from experiment.settings import Experiment
from input_pipeline import Feed, Pipeline
from lookup import Section
from training import backend, checkpoint, optim, parallel

Builder = Callable[[Section, Feed], Pipeline]


def build(
    config: ConfigDict,
    workdir: Path,
    known: Record | None = None,
    *,
    devices: Sequence[jax.Device] | None = None,
    pipeline_of: Builder = input_pipeline.build,
) -> Run:
    """The parts of the run that a config describes, checked against one another.

    Args:
      config: what it leaves out takes its default.
      workdir: where the run is, or will be.
      known: of a trained run, what it knows of its data, which then need not be there; None for a new run.
      devices: other devices than those of this machine, for a run that is planned.
      pipeline_of: what builds the pipeline of config.data, for a run that is planned.

    Raises:
      UserError: a key, a type, a value or a combination of them that cannot be.
    """
    whole = check(config)
    plain_config = plain(config)
    task = lookup.call("config.task", lookup.find("tasks", "Task", whole.task.pop("name")), whole.task)
    try:
        here = lookup.call("config.parallel", parallel.make, whole.parallel, devices=devices)
    except NoDevice:
        _check_without(config, workdir, known, pipeline_of)
        raise
    host, hosts = here.feed
    feed = Feed(whole.seed, host, hosts, here.divisor, whole.step.accumulate, known, workdir)
    pipeline = pipeline_of(whole.data, feed)
    model_class = lookup.find("models", "Model", whole.model.pop("name"))
    model = lookup.call("config.model", model_class, whole.model, **pipeline.sizes)
    steps = whole.steps or round(whole.epochs * pipeline.steps_per_epoch)
    if steps < 1:
        raise UserError("the run has no steps: set --config.steps or --config.epochs.")
    optimiser, schedule = optim.make(**whole.optim, total_steps=steps, frozen=whole.step.frozen)
    checkpoints = lookup.call(
        "config.checkpoint",
        checkpoint.Checkpoints,
        whole.checkpoint,
        folder=workdir / "checkpoints",
        primary=jax.process_index() == 0,
    )
    run = Run(
        config=plain_config,
        workdir=workdir,
        steps=steps,
        seed=whole.seed,
        pipeline=pipeline,
        model=model,
        task=task,
        optimiser=optimiser,
        schedule=schedule,
        settings=whole.step,
        evaluation=whole.evaluation,
        log=whole.log,
        profile=whole.profile,
        devices=here,
        checkpoints=checkpoints,
        probed=_probed(whole, pipeline, lambda changes: pipeline_of(whole.data | changes, feed)),
    )
    _ = run.abstract_state  # the model, the task and the optimiser fit one another, or say here that they do not
    return run


def _check_without(config: ConfigDict, workdir: Path, known: Record | None, pipeline_of: Builder) -> None:
    """Builds the run on the CPU, where there is no device: a mistake in the config is told first.

    Raises:
      UserError: there is one.
    """
    if jax.distributed.is_initialized():  # the other hosts have theirs
        return
    with backend.instead() as devices:
        elsewhere = ConfigDict(config.to_dict() | {"parallel": {}})
        run = build(elsewhere, workdir, known, devices=devices, pipeline_of=pipeline_of)
        if known is None:
            run.pipeline.check()


def _probed(whole: Experiment, pipeline: Pipeline, other: Callable[[dict[str, object]], Pipeline]) -> Pipeline | None:
    """The pipeline of config.evaluation.fewshot, if it asks for anything."""
    fewshot = whole.evaluation.fewshot
    if not fewshot:
        return None
    if not {"label", "mask"} <= pipeline.spec.keys():
        raise UserError(
            "config.evaluation.fewshot is for models that tell classes apart: set its shots and neighbours to ()."
        )
    changes: dict[str, object] = {
        "name": fewshot.name,
        "data_dir": fewshot.data_dir,
        "train_split": fewshot.train_split,
    }
    changes |= {"eval_splits": (fewshot.test_split,) if fewshot.test_split else ()}
    if not (changes := {key: value for key, value in changes.items() if value}):
        return pipeline
    return other(changes)
