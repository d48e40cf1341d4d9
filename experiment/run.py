"""The parts of a run, and its programs, each compiled once.

B batch, D width.
"""

import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int32, Key

import tasks
from errors import UserError
from experiment import record
from experiment.settings import EvaluationSettings, LogSettings, ProfileSettings, StepSettings
from input_pipeline import Batch, Pipeline, Spec
from models import prepared
from models.arrays import AnyArray
from models.kernel_choice import UNCOMPILED, compiled_for
from training import checkpoint, evaluate, flops, mishaps, optim, parallel, step
from training.trees import PyTree, Sums, Variables, by_name

_Record = record.Record  # `record` is a property of Run


@dataclass(frozen=True)
class Run:
    """The parts of a run.

    Attributes:
      config: the whole config, as plain dicts.
      workdir: where everything is written.
      steps: gradient steps.
      seed: see config.seed.
      pipeline: the input.
      model: the network.
      task: what is learned and how it is judged.
      optimiser: from optax.
      schedule: step -> learning rate.
      settings: config.step.
      evaluation: config.evaluation.
      log: config.log.
      profile: config.profile.
      devices: how a step runs on them.
      checkpoints: what is saved of the run.
      probed: the pipeline whose examples few-shot metrics use; None where there are none.
      skipped_batches: ranges of batches that rollbacks have skipped.
      init_params: weights that the run begins with, by parameter path; see experiment/init_from.py.
      weights: the form of the matrices that `predict` multiplies by; see models/prepared.py.
    """

    config: _Record
    workdir: Path
    steps: int
    seed: int
    pipeline: Pipeline
    model: nn.Module
    task: tasks.Task
    optimiser: optax.GradientTransformation
    schedule: optim.Schedule
    settings: StepSettings
    evaluation: EvaluationSettings
    log: LogSettings
    profile: ProfileSettings
    devices: parallel.Devices
    checkpoints: checkpoint.Checkpoints
    probed: Pipeline | None = None
    skipped_batches: mishaps.SkippedBatches = field(default_factory=list)
    init_params: dict[str, np.ndarray] = field(default_factory=dict)
    weights: prepared.Weights = "float32"

    # What a run is.

    @property
    def record(self) -> _Record:
        """What is written beside metrics and weights: the config, what it came to, and with what it ran."""
        return self._begun | {"skipped_batches": self.skipped_batches}

    @cached_property
    def _begun(self) -> _Record:
        return self.described | {"step_flops": self.mean_step_flops()}

    @cached_property
    def described(self) -> _Record:
        """The record without what only the training data tell."""
        return self.config | {
            "format": record.FORMAT,
            "known": self.pipeline.known,
            "total_steps": self.steps,
            "parameters": self.parameters(),
            **record.provenance(),
            "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            "command": shlex.join(sys.argv),
        }

    def parameters(self) -> int:
        """How many parameters the model has."""
        return sum(x.size for x in jax.tree.leaves(self.abstract_state.params))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters, by path."""
        return {name: tuple(x.shape) for name, x in by_name(self.abstract_state.params).items()}

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of an image's patches, where the model has patches."""
        shape, grid = self.pipeline.spec.get("image", ((), ""))[0], getattr(self.model, "grid", None)
        return grid(np.broadcast_to(np.float32(0), shape)) if shape and grid else None

    @property
    def position_grid(self) -> tuple[int, int] | None:
        """The same of the grid that the model's positions are for, which may be another; of clips a frame's."""
        own, of_frame = (getattr(self.model, name, None) for name in ("position_grid", "frame_grid"))
        if of_frame and "clip" in self.pipeline.spec:
            return of_frame(*self.pipeline.spec["clip"][0][2:4])
        return tuple(own) if own else self.grid

    @property
    def token_order(self) -> np.ndarray | None:
        """The id that each token has where its tokenizer was published, int32 (V,); None where that is the same."""
        return next((reader.order for reader in self.pipeline.readers), None)

    @property
    def data(self) -> tasks.Data:
        """The pipeline, as tasks see it: with what its kind of data has."""
        return cast(tasks.Data, self.pipeline)

    # Its state.

    @cached_property
    def _initialise(self) -> Callable[..., step.State]:
        function = partial(
            step.initialise,
            model=self.model,
            task=self.task,
            optimiser=self.optimiser,
            batch=abstract(self.pipeline.spec),
            seed=self.seed,
            ema=self.settings.ema_decay > 0,
        )
        return compiled_for(UNCOMPILED)(function)  # what the model computes is not used

    @cached_property
    def abstract_state(self) -> step.State:
        """Shapes, dtypes and shardings of the state, without computing it."""
        return self.devices.lay_out(jax.eval_shape(self._initialise))

    def initialise(self) -> step.State:
        """The state before the first step, on the devices."""
        return self.devices.initialise(self._initialise, self.init_params)

    def restore(self, number: int) -> step.State:
        """The saved state of a step, on the devices."""
        saved = self.checkpoints.restore(number, vars(self.abstract_state), {"usual": step.nothing_usual()})
        return self.devices.put_state(step.State(**saved))

    # Its calendar.

    def logs(self, step: int) -> bool:
        """Whether a step ends in a log line."""
        return self._due(step, self.log.every_steps)

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation follows a step."""
        return self._due(step, self.evaluation.every_steps)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint follows a step."""
        return self._due(step, self.checkpoints.every_steps)

    def unkept(self) -> list[str]:
        """A line for a person where checkpoint.keep_best cannot look at all evaluations, as not all are of saved
        steps."""
        every, saved = self.evaluation.every_steps, self.checkpoints.every_steps
        both = math.lcm(every, saved)  # 0 if one of them is only at the end
        if not self.checkpoints.keep_best or not every or both == every:
            return []
        which = f"those of every {both:,} steps and the last" if 0 < both < self.steps else "the last"
        return [
            f"Of the evaluations, config.checkpoint.keep_best sees only {which}, whose steps are saved; all by "
            f"--config.checkpoint.every_steps={every}"
        ]

    def _due(self, step: int, every: int) -> bool:
        """Whether what is done every so many steps and at the end is done now. every: 0 for only at the end."""
        return step == self.steps or (every > 0 and step % every == 0)

    # Its programs.

    def _compiled(self, counted: bool = False) -> compiled_for:
        devices = self.devices.devices
        return compiled_for(devices[0].platform, 1 if self.devices.mode == "pmap" else len(devices), counted)

    @cached_property
    def _counted(self) -> compiled_for:
        return self._compiled(counted=True)

    @property
    def attention(self) -> list[str]:
        """How attention is computed in training, a line for each way.

        Raises:
          UserError: not by the kernel of the config.
        """
        self.mean_step_flops()  # traces the model as its task calls it in training
        return self._counted.describe()

    def batches(self, start: int) -> Iterator[Batch]:
        """Training batches of the steps after `start`, without those that rollbacks skip."""
        if not self.skipped_batches:
            return self.pipeline.train_batches(start)
        return mishaps.batches(self.pipeline.train_batches, start, self.skipped_batches)

    @cached_property
    def train_step(self) -> jax.stages.Wrapped:
        """Compiled (state, batch) -> (state, sums). The state given to it is consumed."""
        function = partial(
            step.train_step,
            model=self.model,
            task=self.task,
            optimiser=self.optimiser,
            seed=self.seed,
            accumulate=self.settings.accumulate,
            ema_decay=self.settings.ema_decay,
            ema_warmup=self.settings.ema_warmup,
            ema_rises=self.steps if self.settings.ema_rises else 0,
            spike=self.settings.spike,
            frozen=self.settings.frozen,
        )
        return self.devices.compile_train(self._compiled()(function), self.abstract_state)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Compiles the training step in a thread, beside what is done within.

        Batches of several shapes, and those to which a teacher adds, are left to the first step, and so is a step that
        several hosts or pmap compile.
        """
        (_, spec), *others = self.pipeline.shapes
        if others or self.task.teacher or jax.process_count() > 1 or not isinstance(self.devices, parallel.Mesh):
            yield
            return
        # jax finds the program again, as shapes and shardings are the same. It is traced here: only compiling leaves
        # Python to others.
        traced = self.train_step.lower(self.abstract_state, self.devices.lay_out_batch(abstract(spec)))
        with ThreadPoolExecutor(1, "compile") as thread:
            thread.submit(traced.compile)  # the first step meets with what it raises
            yield

    @cached_property
    def eval_step(self) -> Callable[[Variables, parallel.Batch], Sums]:
        """Compiled (variables, batch) -> sums."""
        function = self._compiled()(partial(step.eval_step, model=self.model, task=self.task))
        if self.weights == "float32":
            return self.devices.compile(function)

        def evaluate(variables: Variables, batch: parallel.Batch, axis: parallel.Axis) -> Sums:
            with prepared.use():
                return function(variables, batch, axis)

        return self.devices.compile(evaluate)

    def _rows(self, variables: Variables, batch: Mapping[str, jax.Array], axis: parallel.Axis) -> tasks.Rows:
        """What the task says of each row of a batch, with the row's `index`: -1 for what fills up, and for examples
        that could not be read."""
        key = row_keys(self.seed, batch["index"])
        apply = step.Apply(self.model, variables, axis.gather)
        mask, index = batch.get("mask"), batch["index"]
        if mask is not None and mask.shape == index.shape:
            index = jnp.where(mask > 0, index, -1)
        with prepared.use():
            return self.task.predict(apply, batch, key) | {"index": index}

    def check_evaluation(self, spec: Spec) -> None:
        """Raises what an evaluation would of a global batch, without computing it.

        Raises:
          UserError: the model cannot be called with it.
        """
        function = partial(step.eval_step, model=self.model, task=self.task, axis=parallel.WHOLE)
        try:
            jax.eval_shape(function, self.abstract_state.eval_variables, abstract(spec))
        except UserError as error:
            if "image" not in spec:
                raise
            raise UserError(f"in an evaluation (config.data.eval_size): {error}") from None
        except (TypeError, ValueError, LookupError, flax.errors.FlaxError) as error:
            if "image" not in spec:
                raise UserError(
                    f"the model cannot see several views of a video ({' '.join(str(error).split())[:80]} ...): set "
                    "config.data.eval_clips and eval_crops to 1."
                ) from None
            size, usual = ("x".join(map(str, of["image"][0][1:3])) for of in (spec, self.pipeline.spec))
            raise UserError(
                f"the model cannot see the images of an evaluation, {size} pixels ({' '.join(str(error).split())[:80]} "
                f"...): make them {usual}, as those of training, or see them by windows of that size, "
                "config.task.window."
            ) from None

    def check_rows(self, spec: Spec) -> None:
        """Raises what `predict` would for a global batch, without computing it."""
        batch = abstract(spec | {"index": (next(iter(spec.values()))[0][:1], "int32")})
        jax.eval_shape(partial(self._rows, axis=parallel.WHOLE), self.abstract_state.variables, batch)

    @cached_property
    def _prepare(self) -> Callable[[Variables, parallel.Batch], PyTree]:
        def prepare(variables: Variables, batch: parallel.Batch, axis: parallel.Axis) -> PyTree:
            del batch, axis
            return prepared.prepare(self.model, variables, self.weights)

        return self.devices.compile(prepare)

    def prepared(self, variables: Variables) -> Variables:
        """The variables, with what `predict` would otherwise compute at every step of decoding."""
        if not prepared.wanted(self.model, self.weights):
            return variables
        return {**variables, prepared.COLLECTION: self._prepare(variables, {})}

    @cached_property
    def _predict(self) -> Callable[[Variables, parallel.Batch], tasks.Rows]:
        return self.devices.compile_rows(self._compiled()(self._rows))

    def predict(self, variables: Variables, batches: Iterable[Batch]) -> Iterator[dict[str, np.ndarray]]:
        """What the task says of each example of the batches, batch by batch; rows that only fill up, and examples that
        could not be read, are left out."""
        for said in evaluate.ahead(self._predict(variables, self.devices.put(batch)) for batch in batches):
            rows = self.devices.fetch_rows(said)
            if (kept := rows["index"] >= 0).any():
                yield {name: x[kept] for name, x in rows.items()}

    @cached_property
    def predict_few(self) -> Callable[[Variables, Batch], tasks.Rows]:
        """The same of one batch of a user's examples, too few to be split over devices."""
        return jax.jit(partial(self._rows, axis=parallel.WHOLE))

    def stream(self, variables: Variables, batch: Batch) -> Iterator[tasks.Row] | None:
        """The same of one example again and again as it grows; None if its task answers at once."""
        key = row_keys(self.seed, batch["index"])
        return self.task.stream(partial(self._apply, variables), jax.tree.map(jnp.asarray, batch), key)

    @cached_property
    def _apply(self) -> Callable[..., PyTree]:
        """The model's `apply`, each method compiled."""

        def apply(*inputs: PyTree, **options: PyTree) -> PyTree:
            with prepared.use():
                return self.model.apply(*inputs, **options)

        return jax.jit(apply, static_argnames=("method", "train", "beams", "length"))

    @cached_property
    def represent(self) -> Callable[[Variables, parallel.Batch], tuple[jax.Array, jax.Array, jax.Array]]:
        """Compiled (variables, batch) -> the representation before the head (B, D), label (B,) and mask (B,)."""

        def represent(variables: Variables, batch: Mapping[str, jax.Array], axis: parallel.Axis) -> PyTree:
            del axis
            return self._represented(variables, batch), batch["label"], batch["mask"]

        return self.devices.compile_rows(self._compiled()(represent))

    def _represented(self, variables: Variables, batch: Mapping[str, jax.Array]) -> PyTree:
        model = self.model.clone(outputs=0)
        return model.apply(variables, *(batch[name] for name in self.task.inputs), train=False)

    def check_representation(self) -> None:
        """Raises what few-shot would of a model without a representation, without computing it.

        Raises:
          UserError: the model has none.
        """
        try:
            found = jax.eval_shape(self._represented, self.abstract_state.eval_variables, abstract(self.pipeline.spec))
        except (TypeError, ValueError, LookupError, flax.errors.FlaxError):
            found = None
        if len(getattr(found, "shape", ())) != 2:
            raise UserError(
                f"a {self.config['model']['name']} has no representation of a whole example, which "
                "config.evaluation.fewshot needs: set its shots and neighbours to (), and linear to False."
            )

    # What it costs.

    @cached_property
    def step_flops(self) -> flops.ByShape:
        """batch -> FLOPs of the model for that global batch, forward and backward: three times the forward pass."""

        def forward(variables: Variables, batch: parallel.Batch) -> Sums:
            rngs, gather = {"dropout": jax.random.key(0)}, parallel.WHOLE.gather
            apply = step.Apply(self.model, variables, gather, mutable=True, train=True, rngs=rngs)
            return self.task.sums(apply, batch, train=True)

        count = self._counted(partial(flops.forward, forward, self.abstract_state.variables))
        return flops.ByShape(lambda batch: 3 * count(batch))

    def mean_step_flops(self) -> float:
        """FLOPs of a step, averaged over an epoch."""
        return sum(share * self.step_flops(abstract(spec)) for share, spec in self.pipeline.shapes)

    def peak_flops(self) -> tuple[float, str]:
        """FLOP/s of all devices together, and where the number comes from."""
        if self.log.peak_teraflops:
            each, source = self.log.peak_teraflops * 1e12, "config.log.peak_teraflops"
        else:
            each, source = flops.peak(jax.devices()[0])
        # Virtual CPU devices share the one machine that was measured.
        count = 1 if jax.default_backend() == "cpu" else jax.device_count()
        return each * count, source


def row_keys(seed: int, index: Int32[AnyArray, " B"]) -> Key[Array, " B"]:
    """The key of each example by its `index`, whatever batch and device it is on."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(index)


def abstract(spec: Spec) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch's shapes and dtypes, as jax has them."""
    return {name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for name, (shape, dtype) in spec.items()}
