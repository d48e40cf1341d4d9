"""Config sections that are not the arguments of one function: what each key means."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from errors import UserError
from experiment.fewshot import Fewshot
from lookup import Distinct, Pattern, Rate, Seed, Steps, Value

Keys = dict[str, Value]  # they depend on the section's name: experiment/config.py lists them


@dataclass(frozen=True)
class StepSettings:
    """config.step.

    Attributes:
      accumulate: micro-batches of a step.
      ema_decay: decay of the weights' moving average, which is then what is evaluated; 0 for none.
      ema_warmup: lowers that decay to (1 + step) / (10 + step) where this is less, so that the average is of about the
        last tenth of a short run and not of its first weights.
      ema_rises: whether that decay rises by a cosine, to 1 at the last step, as that of a teacher does (2006.07733).
      frozen: patterns over parameter paths that are not trained: ("(?!head/).*",) trains only the head.
      nonfinite: policy for a bad step (non-finite loss or gradient, or a loss spike). Its update is always discarded.
        Then the run stops ("stop"), continues ("skip"), or returns to the newest checkpoint before the bad step and
        continues without the batches from there to the bad one ("rollback").
      spike: a loss of more than this many times its moving average over about the last hundred steps is a spike; 0
        turns spike detection off.
      rollbacks: how many rollbacks a run may have before it stops.
      timeout_seconds: a step that takes longer ends the process with exit status 3 and the stack of every thread.
        Compilation, an evaluation batch and a save may take an hour more. 0 for no limit.
    """

    accumulate: PositiveInt = 1
    ema_decay: Rate = 0.0
    ema_warmup: bool = True
    ema_rises: bool = False
    frozen: tuple[Pattern, ...] = ()
    nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    spike: NonNegativeFloat = 0.0
    rollbacks: NonNegativeInt = 3
    timeout_seconds: NonNegativeFloat = 1800.0

    def __post_init__(self) -> None:
        if 0 < self.spike <= 1:
            raise UserError(f"config.step.spike={self.spike} should be 0, which turns it off, or greater than 1.")

    def describe(self) -> list[str]:
        """A line for a person on which weights are evaluated, if they are not the last ones."""
        warmup = ", or (1 + step) / (10 + step) where that is less" if self.ema_warmup else ""
        rises = " at first, rising to 1" if self.ema_rises else ""
        line = f"Evaluated is a moving average of the weights: decay {self.ema_decay:g}{rises}{warmup}."
        return [line] if self.ema_decay else []


@dataclass(frozen=True)
class EvaluationSettings:
    """config.evaluation.

    Attributes:
      every_steps: steps between evaluations; 0 evaluates at the end only.
      generate: when the slow metrics are computed, those of what a model predicts (BLEU) and few-shot: at every
        evaluation ("always"), at the last one ("last"), or "never".
      figures: what visualize.py draws, drawn after every evaluation: ("samples",).
      page: whether the end of a run writes WORKDIR/page.html, as `visualize.py page` does. Several hosts write none.
      fewshot: see experiment/fewshot.py.
    """

    every_steps: Steps = 0
    generate: Literal["always", "last", "never"] = "last"
    figures: Annotated[tuple[str, ...], Distinct] = ()
    page: bool = True
    fewshot: Fewshot = field(default_factory=Fewshot)

    def slow(self, last: bool) -> bool:
        """Whether an evaluation, the last one or not, has the slow metrics."""
        return self.generate == "always" or (last and self.generate == "last")


@dataclass(frozen=True)
class LogSettings:
    """config.log.

    Attributes:
      every_steps: steps between log lines.
      peak_teraflops: of one device, for the model FLOP utilisation (MFU); 0 takes it from the data sheet, or times a
        matrix product.
    """

    every_steps: PositiveInt = 50
    peak_teraflops: NonNegativeFloat = 0.0


@dataclass(frozen=True)
class ProfileSettings:
    """config.profile: a trace for TensorBoard or Perfetto, in WORKDIR/profile.

    Attributes:
      first_step: the first step that is traced.
      steps: how many steps are traced; 0 for none.
    """

    first_step: PositiveInt = 10
    steps: Steps = 0


@dataclass(frozen=True)
class Experiment:
    """A whole config.

    Attributes:
      recipe: what chooses the keys that the config leaves open (None), from the data and the machine: a file of
        experiment/recipes; "" for none.
      seed: of initialisation, data order, augmentation, dropout and sampling.
      steps: gradient steps; 0 takes `epochs`. A run that goes on may have more or fewer: from there on its learning
        rate is that of a schedule for the new number.
      epochs: passes over the training split, where `steps` is 0.
      init_from: weights that the run begins with: a workdir, WORKDIR:STEP, a .npz or .safetensors file, or a folder of
        published weights as it is downloaded; or word vectors for its token embedding, a .txt, .vec or .bin file of
        word2vec or GloVe.
      init_fresh: patterns over parameter paths that are not taken over: they begin anew, or only the other model has
        them. The default is for heads of classes and of pixels; with it, a model that writes tokens keeps its own.
      model: its `name` is a file of models/.
      task: its `name` is a file of tasks/.
      data: its `kind` is a file of data/pipelines/.
      optim: its `name` is an optimiser of optax; see training/optim.py.
      parallel: see `make` in training/parallel.py.
      checkpoint: see training/checkpoint.py.
      hooks: who else hears of metrics and figures: "wandb", "mlflow", "trackio", which are files of training/hooks/, or
        a file of your own, "my_hook.py", which is executed.
    """

    recipe: str = ""
    seed: Seed = 0
    steps: Steps = 0
    epochs: NonNegativeFloat = 0.0
    init_from: str = ""
    init_fresh: tuple[Pattern, ...] = ("head/.*", "pre_logits/.*", "reconstruction/.*", "prediction.*")
    model: Keys = field(default_factory=dict)
    task: Keys = field(default_factory=dict)
    data: Keys = field(default_factory=dict)
    optim: Keys = field(default_factory=dict)
    step: StepSettings = StepSettings()
    parallel: Keys = field(default_factory=dict)
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: Keys = field(default_factory=dict)
    log: LogSettings = LogSettings()
    profile: ProfileSettings = ProfileSettings()
    hooks: Annotated[tuple[str, ...], Distinct] = ()
