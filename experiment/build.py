"""From a config, or from a workdir, to the checked parts of a run. Every command begins here.

Each section of a config goes whole to one function, whose arguments are its keys; what does not fit is a UserError
before any device is touched. A ConfigDict travels no further than this file.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

import input_pipeline
import lookup
import models
import tasks
from errors import UserError
from experiment import record
from experiment.fewshot import Fewshot
from experiment.settings import EvaluationSettings, Experiment, LogSettings, ProfileSettings, StepSettings
from training import checkpoint, flops, hosts, mishaps, optim, parallel, paths, step


@dataclass(frozen=True)
class Run:
    """The parts of a run."""

    config: dict[str, Any]
    workdir: Path
    steps: int
    seed: int
    pipeline: Any
    model: nn.Module
    task: Any
    optimiser: optax.GradientTransformation
    schedule: optim.Schedule
    settings: StepSettings
    evaluation: EvaluationSettings
    log: LogSettings
    profile: ProfileSettings
    devices: parallel.Devices
    checkpoints: checkpoint.Checkpoints
    probed: Any  # the pipeline whose examples few-shot scores look at; None where there are none
    left_out: mishaps.LeftOut = field(default_factory=list)  # batches, by the rollbacks so far
    given: dict[str, np.ndarray] = field(default_factory=dict)  # weights that it begins with, by path: see transfer.py

    @property
    def record(self) -> dict[str, Any]:
        """What is written beside metrics and weights: the config, what it came to, and with what it ran."""
        return self._begun | {"left_out": self.left_out}

    @cached_property
    def _begun(self) -> dict[str, Any]:
        devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        return self.config | {
            "known": self.pipeline.known,
            "total_steps": self.steps,
            "parameters": self.parameters(),
            "step_flops": self.mean_step_flops(),
            "commit": record.commit(),
            "versions": record.versions(),
            "devices": devices,
            "command": " ".join(sys.argv),
        }

    @property
    def _initialise(self) -> Any:
        return partial(
            step.initialise,
            model=self.model,
            task=self.task,
            optimiser=self.optimiser,
            batch=_shapes(self.pipeline.example),
            seed=self.seed,
            ema=self.settings.ema_decay > 0,
        )

    @cached_property
    def abstract_state(self) -> step.State:
        """Shapes, dtypes and shardings of the state, without computing it."""
        return self.devices.lay_out(jax.eval_shape(self._initialise))

    def initialise(self) -> step.State:
        """The state before the first step, on the devices."""
        state = self.devices.initialise(self._initialise)
        if not self.given:
            return state
        state = self.devices.get_state(state)
        params = jax.tree_util.tree_map_with_path(lambda p, x: self.given.get(paths.name(p), x), state.params)
        return self.devices.put_state(replace(state, params=params, ema=params if state.ema else {}))

    def restore(self, number: int) -> step.State:
        """The saved state of a step, on the devices."""
        wanted = dict(vars(self.abstract_state))
        if not self.checkpoints.holds(number, "usual"):  # older versions had none
            del wanted["usual"]
        saved = {"usual": step.nothing_usual()} | self.checkpoints.restore(number, wanted)
        return self.devices.put_state(step.State(**saved))

    def batches(self, start: int) -> Iterator[input_pipeline.Batch]:
        """Training batches of the steps after `start`, without those left out."""
        return mishaps.batches(self.pipeline.train_batches, start, self.left_out)

    @cached_property
    def train_step(self) -> Any:
        """Compiled (state, batch) -> (state, sums); the state given to it is consumed."""
        function = partial(
            step.train_step,
            model=self.model,
            task=self.task,
            optimiser=self.optimiser,
            seed=self.seed,
            accumulate=self.settings.accumulate,
            ema_decay=self.settings.ema_decay,
            spike=self.settings.spike,
            frozen=self.settings.frozen,
        )
        return self.devices.compile_train(function, self.abstract_state)

    @cached_property
    def _generate(self) -> Any:
        """Compiled (params, batch) -> the tokens that the model writes for each row, and the rows' index."""

        def generate(params: Any, batch: Any, axis: parallel.Axis) -> tuple[jax.Array, jax.Array]:
            key = axis.fold(jax.random.fold_in(jax.random.key(self.seed), batch["index"].max()))
            return self.task.generate(partial(self.model.apply, {"params": params}), batch, key), batch["index"]

        return self.devices.compile_rows(generate)

    def generate(self, params: Any, batches: Iterable[dict[str, np.ndarray]], rows: int) -> list[str]:
        """What the model writes for each of `rows` rows, in the order of the batches' `index`."""
        written = [""] * rows
        for batch in batches:
            tokens, indices = self.devices.fetch_rows(self._generate(params, self.devices.put(batch)))
            for index, row in zip(indices, tokens, strict=True):
                if index >= 0:
                    written[index] = self.pipeline.target_tokenizer.decode(row)
        return written

    @cached_property
    def eval_step(self) -> Any:
        """Compiled (params, batch) -> sums."""
        return self.devices.compile(partial(step.eval_step, model=self.model, task=self.task))

    @cached_property
    def represent(self) -> Any:
        """Compiled (params, batch) -> each row's representation before the head, its label and its mask."""
        model = self.model.clone(outputs=0)

        def represent(params: Any, batch: Any, axis: parallel.Axis) -> tuple[Any, ...]:
            del axis
            inputs = [batch[name] for name in self.task.inputs]
            return model.apply({"params": params}, *inputs, train=False), batch["label"], batch["mask"]

        return self.devices.compile_rows(represent)

    @cached_property
    def step_flops(self) -> flops.ByShape:
        """batch -> FLOPs of the model for that global batch, forward and backward: three times the forward pass."""
        forward = partial(step.eval_step, axis=parallel.WHOLE, model=self.model, task=self.task)
        return flops.ByShape(lambda batch: 3 * flops.forward(forward, self.abstract_state.params, batch))

    def mean_step_flops(self) -> float:
        """Over an epoch."""
        return sum(share * self.step_flops(_shapes(batch)) for share, batch in self.pipeline.shapes)

    def peak_flops(self) -> tuple[float, str]:
        """FLOP/s of all devices together, and where the figure comes from."""
        if self.log.peak_teraflops:
            each, source = self.log.peak_teraflops * 1e12, "config.log.peak_teraflops"
        else:
            each, source = flops.peak(jax.devices()[0])
        # Virtual CPU devices share the one machine that was measured.
        count = 1 if jax.default_backend() == "cpu" else jax.device_count()
        return each * count, source

    def parameters(self) -> int:
        return sum(x.size for x in jax.tree.leaves(self.abstract_state.params))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters, by path."""
        return {name: tuple(x.shape) for name, x in paths.table(self.abstract_state.params).items()}

    @property
    def proportion(self) -> float:
        """Height / width of the images, where there are some."""
        image = self.pipeline.example.get("image", ((1, 1, 1, 1), ""))[0]
        return image[1] / image[2]


def build(
    config: ConfigDict,
    workdir: Path,
    known: dict[str, Any] | None = None,
    *,
    devices: Sequence[jax.Device] | None = None,
    pipeline_of: Callable[..., Any] = input_pipeline.build,
) -> Run:
    """The parts of the run that a config describes, checked against one another.

    Args:
      known: of a trained run, what it knows of its data, which then need not be there; None for a new run.
      devices: others than those there are, and
      pipeline_of: what makes the pipeline of config.data; both for a run that is planned and not begun.

    Raises:
      UserError: anything in the config that cannot be.
    """
    plain = _plain(config)
    whole = lookup.call("config", Experiment, plain)
    task = tasks.build(**whole.task) if "name" in whole.task else _unnamed("task")
    settings = lookup.call("config.step", StepSettings, whole.step)
    fewshot = lookup.call("config.evaluation.fewshot", Fewshot, whole.evaluation.get("fewshot", {}))
    others = {key: value for key, value in whole.evaluation.items() if key != "fewshot"}
    evaluation = lookup.call("config.evaluation", EvaluationSettings, others, fewshot=fewshot)
    log = lookup.call("config.log", LogSettings, whole.log)
    if log.every_steps < 1:
        raise UserError("config.log.every_steps must be at least 1.")
    profile = lookup.call("config.profile", ProfileSettings, whole.profile)
    folder = workdir / "checkpoints"
    checkpoints = lookup.call(
        "config.checkpoint", checkpoint.make, whole.checkpoint, folder=folder, primary=hosts.primary()
    )
    laid_out = lookup.call("config.parallel", parallel.make, whole.parallel, devices=devices)
    reader, readers = laid_out.feed
    given: dict[str, Any] = dict(
        seed=whole.seed,
        host=reader,
        hosts=readers,
        divisor=laid_out.divisor,
        accumulate=settings.accumulate,
        known=known,
        folder=workdir,
    )
    pipeline = pipeline_of(**whole.data, **given) if "kind" in whole.data else _unnamed("data", "kind")
    model = models.build(**pipeline.sizes, **whole.model) if "name" in whole.model else _unnamed("model")
    steps = whole.steps or round(whole.epochs * pipeline.steps_per_epoch)
    if steps < 1:
        raise UserError("the run has no steps: set --config.steps or --config.epochs.")
    optimiser, schedule = lookup.call(
        "config.optim", optim.make, whole.optim, total_steps=steps, frozen=tuple(settings.frozen)
    )
    run = Run(
        config=plain,
        workdir=workdir,
        steps=steps,
        seed=whole.seed,
        pipeline=pipeline,
        model=model,
        task=task,
        optimiser=optimiser,
        schedule=schedule,
        settings=settings,
        evaluation=evaluation,
        log=log,
        profile=profile,
        devices=laid_out,
        checkpoints=checkpoints,
        probed=_probed(
            evaluation.fewshot, task, pipeline, lambda changes: pipeline_of(**whole.data | changes, **given)
        ),
    )
    # The model, the task and the optimiser fit one another, or say here that they do not.
    _ = run.abstract_state
    return run


def _probed(fewshot: Any, task: Any, pipeline: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    """The pipeline of config.evaluation.fewshot, if it asks for anything."""
    if not fewshot:
        return None
    if not hasattr(task, "inputs"):
        raise UserError(
            "config.evaluation.fewshot is for models that tell classes apart: set its shots and neighbours to ()."
        )
    changes = {"name": fewshot.name, "data_dir": fewshot.data_dir, "train_split": fewshot.train_split}
    changes |= {"eval_splits": (fewshot.test_split,) if fewshot.test_split else ()}
    if not (changes := {key: value for key, value in changes.items() if value}):
        return pipeline
    return other(changes)


def _plain(config: ConfigDict) -> dict[str, Any]:
    """A config as plain dicts; a key of value None is one that is left to its default."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(v) for key, v in value.items() if v is not None}
        return value

    return strip(config.to_dict())


def _shapes(batch: input_pipeline.Shapes) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in batch.items()}


def _unnamed(section: str, key: str = "name") -> Any:
    raise UserError(f"config.{section}.name is not set: it chooses what config.{section} describes.")
