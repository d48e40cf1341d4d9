"""What is learned and how it is judged: one file a task. `build("classify", ...)` is `tasks/classify.py`'s `Task(...)`.

A task is a frozen dataclass derived from `Task` below, whose fields are its config keys. Only `inputs`, `unit` and
`sums` have no default. Commands, scoring and analysis ask the task and never what kind of task it is.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import MinLen
from jaxtyping import Array, Bool, Float, Int, PyTree

import lookup
from errors import UserError
from lookup import Distinct

Inputs = Annotated[tuple[str, ...], MinLen(1), Distinct]  # of a model, by the names of a batch's entries
Batch = Mapping[str, jax.Array]
Sums = dict[str, tuple[jax.Array, jax.Array]]  # name -> (weighted sum, weight)
Totals = Mapping[str, tuple[np.ndarray, np.ndarray]]  # the same of a whole split, float64 on the host
Rows = dict[str, jax.Array]  # one row an example
Row = Mapping[str, np.ndarray]  # one of them, on the host
Method = Callable[..., PyTree]  # of a model, with its variables: see Apply


class Apply(Protocol):
    """A model with its variables."""

    def __call__(self, *inputs: jax.Array | None, **options: object) -> PyTree:
        """`model.apply` with these inputs. options: of the method that is called, such as method="start"."""

    def gather(self, x: jax.Array) -> jax.Array:
        """The rows (b, ...) of all devices that share the step, (B, ...), for a loss across the whole batch."""

    def averaged(self, *inputs: jax.Array | None, **options: object) -> PyTree:
        """The same with the weights' moving average, through which no gradient goes back: for a teacher that is one."""

    @property
    def step(self) -> jax.Array | int:
        """Gradient steps that were taken before, int32; 0 outside of training."""


class Data(Protocol):
    """What tasks ask of a run's pipeline. Each task says what it needs; a pipeline has what its kind of data has."""

    classes: tuple[str, ...]  # names of the labels 0 ... C - 1
    numbers: tuple[int, ...]  # what the data set's files call these labels
    asked: tuple[str, ...]  # names of the classes that a user's example is compared with
    moments: tuple[float, float]  # mean and deviation of the training split's numbers
    train_split: str
    max_length: int  # the most tokens of a sentence of training

    def eval_batches(self, split: str) -> Iterator[Mapping[str, np.ndarray]]:
        """Every example of a split once, with a `mask` of 0 for rows that fill up the last batch."""

    def decode(self, ids: np.ndarray) -> str:
        """Token ids as text."""

    def pieces(self, entry: str, ids: np.ndarray) -> list[str]:
        """How the tokenizer of an entry of a batch spells each id."""

    def texts(self, split: str) -> Sequence[str]:
        """The texts that a model should write for each example of a split, in the order of `index`."""

    def picture(self, image: np.ndarray) -> np.ndarray:
        """A normalised image (height, width, channels) as it looks, in [0, 1]."""

    def bytes_of(self, split: str) -> int:
        """The length of a split's text in UTF-8."""


class Metrics(Protocol):
    """Metrics of predicted rows that are computed on the host: BLEU, AP. Every host sees every row."""

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes rows that `predict` returned, with the `index` of each one's example in the split."""

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """Metrics by name, and lines that say how they were computed."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one example, for a person.

    Attributes:
      text: lines to print.
      data: the same as JSON.
      picture: (height, width, 3) in [0, 1], where a picture says more than text.
      choice: the class that is chosen, where one is.
      file: the name of what was asked about -> the JSON that is written beside the picture; None for `data`.
    """

    text: str
    data: dict[str, object] = field(default_factory=dict)
    picture: np.ndarray | None = field(default=None, repr=False)
    choice: str = ""
    file: Callable[[str], dict[str, object]] | None = None


@dataclass(frozen=True)
class Verdict:
    """What a model said of one example of an evaluation split beside what is right, for a person.

    Attributes:
      right: whether they are the same.
      said, truth: both as text.
      probability: of what it said; None where it has none.
    """

    right: bool
    said: str
    truth: str
    probability: float | None = None


class Task:
    """The base of all tasks.

    Attributes:
      inputs: entries of a batch that the model is called with.
      optional: those that it is called with by their names where a batch has them, such as the segments of documents.
      pictured: entries of a batch that `answer` draws and that the rows of an evaluation split do not have, because
        they are large.
      unit: what the loss is a mean of, and so what a rate counts: "images", "target tokens".
      teacher: the workdir of a model whose outputs a training batch has as `teacher`; "" for none.
      chooses: whether a row of `predict` has `probability` (C,), of each class, and of an evaluation split `label`, the
        true class or −1.
      spells: whether the model's output is logits of the vocabulary at tokens of a text.
      averages: whether it learns from the weights' moving average.
    """

    inputs: Inputs = ()
    optional: ClassVar[tuple[str, ...]] = ()
    pictured: ClassVar[tuple[str, ...]] = ()
    unit: str = ""
    teacher: str = ""
    chooses: ClassVar[bool] = False
    spells: ClassVar[bool] = False
    averages: bool = False

    def check(self, outputs: int | None) -> None:
        """What can be wrong with the task's own keys once its data are known.

        Args:
          outputs: classes, or ids of the vocabulary; None where the data have none.

        Raises:
          UserError: a key that does not fit these data.
        """
        del outputs

    def check_vocabulary(self, lacks: Collection[str]) -> None:
        """That the task can do with a vocabulary from elsewhere.

        Args:
          lacks: those of "pad", "unknown", "bos" and "eos" for which there is no id.

        Raises:
          UserError: it needs one of them.
        """
        del lacks

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss, as "loss", and metrics of one batch, on the devices.

        Sums are added over devices, micro-batches and hosts and divided once, so that padding, accumulation and any
        number of devices give the same metrics. Both parts of a pair may be arrays, such as a confusion matrix: these
        are added as well, and `summaries` makes numbers of them.

        Args:
          apply: apply(*inputs) -> the model's output, in training or not as `train` says.
        """
        raise NotImplementedError

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """Further metrics that follow from the totals of a whole split, on the host: perplexity, mean IoU.

        Args:
          data: the run's pipeline.
        """
        del totals, data, split
        return {}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """What the model says of each example, on the devices: probabilities, tokens, boxes, an image.

        Args:
          apply: apply(*inputs, train=False), or a method of the model: apply(..., method="step").
          batch: only `inputs` for a user's examples; all of it in evaluation.
          key: (B,), for tasks that draw: each row's own, so that no row depends on the others.

        Raises:
          UserError: the task does not say what a model predicts.
        """
        raise self._lacks("predict")

    def notes(self, model: nn.Module, batch: Mapping[str, np.ndarray]) -> Sequence[str]:
        """Lines for a person on what the model cannot do as it was trained to, before it predicts.

        Args:
          model: without its weights.
          batch: as for `predict`.
        """
        del model, batch
        return ()

    def remarks(self, rows: Mapping[str, np.ndarray], data: Data) -> Sequence[str]:
        """Lines for a person on rows of `predict` that are not as the model was trained to write.

        Args:
          data: the run's pipeline.
        """
        del rows, data
        return ()

    def stream(self, apply: Method, batch: Batch, key: jax.Array) -> Iterator[Row] | None:
        """One example's row of `predict`, again and again as it grows, at last whole; None if it is made at once.

        Args:
          apply: as for `predict`, every method compiled.
        """
        del apply, batch, key
        return None

    def metrics(self, data: Data, split: str) -> Metrics | None:
        """Metrics of what `predict` returns for a split; None if there are none. data: the run's pipeline."""
        del data, split
        return None

    def error(self, row: Row) -> float | None:
        """How wrong one row of `predict` is, by a truth that it holds: 0 where nothing is; None if it cannot be said.

        Args:
          row: of an evaluation split's example.
        """
        del row
        return None

    def mistake(self, row: Row, data: Data) -> str:
        """What is wrong about a row that `error` judges, in a line; "" where its picture says it.

        Args:
          data: the run's pipeline.
        """
        del row, data
        return ""

    def verdict(self, row: Row, example: Row, data: Data) -> Verdict | None:
        """Whether one row of `predict` is right; None where an answer is not simply right or wrong.

        Args:
          example: that row of the evaluation batch, with its truth.
          data: the run's pipeline.
        """
        del row, example, data
        return None

    def answer(self, row: Row, data: Data, most: int = 5) -> Answer:
        """One row of `predict` for a person.

        Args:
          data: the run's pipeline, which knows the names of classes, the tokenizer and how images were normalised.
          most: how many alternatives are named.

        Raises:
          UserError: the task does not say how a row is read.
        """
        raise self._lacks("answer")

    def _lacks(self, method: str) -> UserError:
        return UserError(f"{type(self).__module__.replace('.', '/')}.py has no `{method}`, which is needed to answer.")


def returned(output: PyTree, what: str, *shapes: tuple[int | None, ...]) -> PyTree:
    """What a model returned, which must be arrays of these shapes; None stands for any size.

    Args:
      what: the task needs, for the error line: "logits (B, C)".

    Raises:
      UserError: the model returns something else.
    """
    arrays = output if isinstance(output, tuple) else (output,)
    found = [tuple(np.shape(x)) for x in arrays]
    if len(found) != len(shapes) or not all(map(_fits, found, shapes)):
        raise UserError(
            f"the task needs {what} of the model, which returns {', '.join(map(str, found))}: choose another "
            "--config.model.name or --config.task.name."
        )
    return output


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, n) for n, w in zip(shape, wanted, strict=True))


def scored(logits: Float[Array, "*B V"], target: Int[Array, "*B"]) -> tuple[Float[Array, "*B"], Bool[Array, "*B"]]:
    """The negative log-likelihood of each target, and whether it is the only likeliest. Of −1 neither has a meaning."""
    here = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1) == target[..., None]
    chosen = jnp.sum(jnp.where(here, logits, 0.0), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen, only_likeliest(logits, chosen)


def only_likeliest(logits: Float[Array, "*B V"], chosen: Float[Array, "*B"]) -> Bool[Array, "*B"]:
    """Whether the chosen one of the logits is the largest and has no equal. The maximum is logsumexp's own, and its
    copies are counted in the pass that adds: argmax, or a maximum of the others, would be one more."""
    highest = jax.lax.stop_gradient(logits.max(-1))
    return (chosen >= highest) & (jnp.sum(logits >= highest[..., None], axis=-1) == 1)


def perplexity(nll: np.ndarray, tokens: np.ndarray) -> dict[str, float]:
    """The perplexity of a token, exp(nll / tokens), by the totals of a split; none without tokens.

    Args:
      nll: negative log-likelihood, in nats.
    """
    return {"perplexity": math.exp(min(float(nll / tokens), 700.0))} if tokens else {}  # exp(710) overflows


def likeliest(probability: Float[np.ndarray, " C"], names: Sequence[str], most: int) -> Answer:
    """The `most` likeliest classes, a line each."""
    found = [(names[i], float(probability[i])) for i in np.argsort(-probability)[:most]]
    lines = "\n".join(f"  {p:7.2%}  {name}" for name, p in found)
    return Answer(lines, {"top": [{"class": name, "probability": p} for name, p in found]})


def coloured(picture: np.ndarray) -> np.ndarray:
    """A picture (height, width, 1 or 3) with three channels."""
    return np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture


def sheet(clip: np.ndarray) -> np.ndarray:
    """Four frames of a clip, from its first to its last, as one picture, two beside each other.

    Args:
      clip: (*V, frames, height, width, channels), of whose views the first is shown.
    """
    frames = clip.reshape(-1, *clip.shape[-4:])[0]
    first, second, third, last = frames[np.linspace(0, len(frames) - 1, 4).round().astype(int)]
    rows = [np.concatenate(row, axis=1) for row in ([first, second], [third, last])]
    return np.concatenate(rows, axis=0)


def build(name: str, **arguments: object) -> Task:
    """The task of config.task."""
    return lookup.call("config.task", lookup.find("tasks", "Task", name), arguments)
