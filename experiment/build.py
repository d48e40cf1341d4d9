"""From a config to the checked parts of a run. Every command begins here or in experiment/restore.py.

Each section of a config goes whole to one function or dataclass, whose arguments are its keys. A section that does not
fit is a UserError before any device is touched. A ConfigDict travels no further than this file.
"""

import inspect
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
from flax.errors import FlaxError
from ml_collections import ConfigDict

import input_pipeline
import lookup
import storage
import tasks
from errors import NoDevice, UserError
from experiment.config import MOST_STEPS, check, plain
from experiment.record import Record
from experiment.run import Run, abstract
from experiment.settings import Experiment
from input_pipeline import Feed, Pipeline
from lookup import Section
from training import backend, bucket_checkpoints, checkpoint, optim, parallel, step

Builder = Callable[[Section, Feed], Pipeline]
TEXTS = ("vocabulary", "source_vocabulary")  # by which models of texts are sized


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
    task = tasks.build(**whole.task)
    try:
        here = lookup.call("config.parallel", parallel.make, whole.parallel, devices=devices)
    except NoDevice:
        _check_without(config, workdir, known, pipeline_of)
        raise
    host, hosts = here.feed
    feed = Feed(whole.seed, host, hosts, here.divisor, whole.step.accumulate, known, workdir)
    try:
        pipeline = pipeline_of(whole.data, feed)
    except KeyError as error:
        if known is None:
            raise
        raise UserError(f"{workdir}'s record of its data lacks {error}: put back a copy of its config.json.") from None
    model_class = lookup.find("models", "Model", whole.model.pop("name"))
    _check_sizes(model_class, plain_config, pipeline.sizes)
    model = lookup.call("config.model", model_class, whole.model, **pipeline.sizes)
    task.check(pipeline.sizes.get("outputs"))
    if task.averages and not whole.step.ema_decay:
        raise UserError(
            "config.step.ema_decay=0: this task learns from the moving average of its own weights: set it to 0.996."
        )
    for reader in pipeline.readers:
        task.check_vocabulary(reader.lacks)
    steps = whole.steps or round(whole.epochs * pipeline.steps_per_epoch)
    if not 1 <= steps < MOST_STEPS:
        count = f"{steps:,}, too many" if steps else "no"
        raise UserError(f"the run has {count} steps: set --config.steps or --config.epochs.")
    order = cache(lambda: step.order(model, task, abstract(pipeline.spec)))
    optimiser, schedule = optim.make(**whole.optim, total_steps=steps, frozen=whole.step.frozen, order=order)
    checkpoints = lookup.call(
        "config.checkpoint",
        bucket_checkpoints.BucketCheckpoints if isinstance(workdir, storage.Bucket) else checkpoint.Checkpoints,
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
        probed=_probed(whole, pipeline, lambda changes: pipeline_of(whole.data | changes, _of_others(feed))),
    )
    if unknown := next((name for name in task.inputs if name not in pipeline.spec), None):
        raise _lacks(run, unknown)
    with _fitting(run):
        _ = run.abstract_state
    return run


def _check_sizes(model: lookup.Reader, config: Section, sizes: Collection[str]) -> None:
    """That a model is sized by what the data have: one of texts by their vocabulary, and others not.

    Raises:
      UserError: it is a model for data of another kind.
    """
    keys = lookup.keys(model)
    needed = [key for key, found in keys.items() if found.default is inspect.Parameter.empty]
    wrong = [f"its class has no field `{size}`" for size in sizes if size not in keys]
    wrong += [f"such data have no {size}" for size in TEXTS if size in needed and size not in sizes]
    if wrong:
        weights = f", and config.init_from={source} has such weights" if (source := config.get("init_from")) else ""
        raise UserError(
            f"config.model.name={config['model']['name']!r} is no model for config.data.kind="
            f"{config['data']['kind']!r}{weights}: take one for such data ({wrong[0]})."
        )


def _check_without(config: ConfigDict, workdir: Path, known: Record | None, pipeline_of: Builder) -> None:
    """Builds the run on the CPU, where there is no device: a mistake in the config is told first.

    Raises:
      UserError: there is one.
    """
    if jax.distributed.is_initialized():  # the other hosts have theirs
        return
    with backend.cpu_instead() as devices:
        elsewhere = ConfigDict(config.to_dict() | {"parallel": {}})
        run = build(elsewhere, workdir, known, devices=devices, pipeline_of=pipeline_of)
        if known is None:
            run.pipeline.check()


def check_training(run: Run) -> None:
    """Traces the model as its task calls it in training, where it may return something else.

    Raises:
      UserError: data, model and task do not fit one another.
    """
    with _fitting(run):
        _ = run.attention


def _lacks(run: Run, entry: str) -> UserError:
    """The error of a task that needs an entry which the data do not have."""
    return UserError(
        f"config.task.name={run.config['task']['name']!r} needs {entry!r} of every example, and config.data.kind="
        f"{run.config['data']['kind']!r} has: {', '.join(run.pipeline.spec)}."
    )


@contextmanager
def _fitting(run: Run) -> Iterator[None]:
    """An error while a model is traced says that data, model and task do not fit one another, and where."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError, FlaxError) as error:
        if isinstance(error, KeyError) and _place(error).startswith(" (tasks/"):
            raise _lacks(run, error.args[0]) from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"config.model, config.task and config.data do not fit one another: {reason}{_place(error)}"
        ) from error


def _place(error: Exception) -> str:
    """The innermost line of a model or a task that an error passed: " (models/vit.py:103)"; "" where it passed none."""
    root = Path(__file__).parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).parent in (root / "models", root / "tasks"):
            return f" ({Path(frame.filename).relative_to(root)}:{frame.lineno})"
    return ""


def _of_others(feed: Feed) -> Feed:
    """The same, for data whose classes may differ from the run's."""
    return replace(feed, known=feed.known | {"classes": []}) if feed.known and "classes" in feed.known else feed


def _probed(whole: Experiment, pipeline: Pipeline, other: Callable[[dict[str, object]], Pipeline]) -> Pipeline | None:
    """The pipeline of config.evaluation.fewshot, if it asks for anything."""
    fewshot = whole.evaluation.fewshot
    if not (fewshot.shots or fewshot.neighbours or fewshot.linear):
        return None
    of_example = {name for name, (shape, _) in pipeline.spec.items() if len(shape) == 1}
    if not {"label", "mask"} <= of_example:
        raise UserError(
            "config.evaluation.fewshot is for models that tell classes apart: set its shots and neighbours to (), and "
            "linear to False."
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
