"""A trained run as a library: `run = experiment.load("runs/vit_digits")`.

B examples, C classes, D width.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from ml_collections import ConfigDict

import lookup
import storage
import tasks
from errors import UserError
from experiment import config as configs
from experiment import items as of_user
from experiment import probes, restore
from experiment.items import Item, Items
from experiment.probes import Attention
from experiment.run import Run
from input_pipeline import Batch
from lookup import Section, Value
from models import prepared
from models.tokens import PAD
from tasks.translate import Writes, shift_right
from training.trees import PyTree, Variables, by_name

APART, MOST = 1_000_003, 2**30  # so that the examples of two seeds have different numbers


@dataclass(frozen=True, repr=False)
class Trained:
    """A trained model, ready to be used. Nothing is printed, and no environment is changed. A text that goes on beyond
    what the model was trained on is a warning of Python's.

    Images are given as files, folders of files, PIL images, or arrays uint8, or float from 0 to 1, of shape (height,
    width), (height, width, channels) or (B, height, width, channels); they are resized and normalised as in an
    evaluation. Clips are files, folders of frames or of videos, or arrays (frames, height, width, channels). Texts
    are str. A single one counts as a list of one.

    Attributes:
      run: the parts of the run.
      variables: of its model: "params" and what else it carries.
      step: that the weights are of.
    """

    run: Run
    variables: Variables
    step: int
    _with: dict[str, Run] = field(default_factory=dict)  # other settings of the task, by their text

    def __repr__(self) -> str:
        name, count = self.config["model"]["name"], self.run.parameters()
        return f"<{name} with {count:,} parameters, step {self.step:,} of {self.run.workdir}>"

    @property
    def model(self) -> nn.Module:
        """The network: model.apply(run.variables, image, train=False)."""
        return self.run.model

    @property
    def params(self) -> PyTree:
        """The weights that the run is evaluated with: nested dicts of jax arrays."""
        return self.variables["params"]

    @property
    def config(self) -> dict[str, Value]:
        """The whole config as nested dicts."""
        return self.run.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 0 ... C - 1; none where the data have none."""
        return tuple(self.run.pipeline.known.get("classes", ()))

    def read(self, items: Items) -> tuple[Batch, list[str]]:
        """Examples as the model is called with them, {"image": float32 (B, height, width, channels)} of images and
        token ids int32 (B, T) of texts, and notes on what was done to them (inverted, made grey, cut)."""
        with of_user.readable(self.run.pipeline, items) as texts:
            return self._read(texts)

    def predict(self, items: Items) -> dict[str, np.ndarray]:
        """What the model says of each example, as its task does: a row an example, by name.

        Returns:
          of classes "probability" float32 (B, C); of translations and continuations "tokens" int32 (B, T); of what
          other tasks say, see `predict` in tasks/. `answers` says the same in words.
        """
        return self._rows(self.run, items)

    def answers(self, items: Items, most: int = 5) -> list[tasks.Answer]:
        """The same for a person: `.text`, `.data` as JSON has it, and `.picture` (height, width, 3) in [0, 1] or None.

        Args:
          most: how many alternatives are named.
        """
        return self._answers(self.run, self._rows(self.run, items), most)

    def generate(self, texts: str | Sequence[str], seed: int = 0, **settings: Value) -> str | list[str]:
        """Translations of sentences, or prompts with their continuations: a text for a text, a list for a list.

        Args:
          seed: of sampling, beside the run's own: another one draws other texts.
          settings: keys of config.task, such as beams=1, temperature=0.8 or length=100.

        Raises:
          UserError: a model that writes no texts, or a setting that its task does not have.
        """
        run = self._run_with(settings)
        if type(run.task).stream is tasks.Task.stream:
            raise UserError(
                f"config.task.name={self.config['task']['name']!r} writes no texts token by token: use predict or "
                "answers."
            )
        found = [answer.text for answer in self._answers(run, self._rows(run, texts, seed * APART % MOST))]
        return found[0] if isinstance(texts, str) else found

    def features(self, items: Items) -> Float32[np.ndarray, "B D"]:
        """The representation before the head; of a model that has none for a whole text, the mean over its tokens of
        what the last layer of its encoder (of its decoder, if it has no encoder) returns.

        Raises:
          UserError: a model that has neither.
        """
        with of_user.readable(self.run.pipeline, items) as texts:
            return np.concatenate([self._features(batch)[:size] for batch, size in self._batches(texts)])

    def attention(self, item: Item) -> Attention:
        """How the model attends to one example: see Attention. A translation is written first and then looked at.

        Raises:
          UserError: a model without attention, or whose attention has windows.
        """
        with of_user.readable(self.run.pipeline, item) as texts:
            if len(texts) != 1:
                raise UserError(f"attention is of one example, and {len(texts)} are given.")
            batch, _ = self.run.pipeline.view(texts)
        shown, written = self._taught(batch)
        if not (maps := probes.attention(self._probed(self.variables, *self._inputs(shown)))):
            name = self.config["model"]["name"]
            raise UserError(f"a {name} has no attention from every token to every other: see visualize.py.")
        return self._named(maps, shown, written)

    # How it is done.

    def _read(self, texts: Sequence[str]) -> tuple[Batch, list[str]]:
        if not texts:
            raise UserError(f"there is nothing to read: give {self.run.pipeline.item}.")
        return self.run.pipeline.read(texts)

    def _batches(self, texts: Sequence[str], done: int = 0) -> Iterator[tuple[Batch, int]]:
        """Batches of few shapes, and how many rows of each are examples. Texts are padded to one length.

        Args:
          done: the number of the first example, with which draws change.
        """
        most = of_user.ROWS[-1] if self.run.pipeline.rank else len(texts)
        for some in of_user.few(texts, most):
            batch, _ = self._read(some)
            for start in range(0, len(some), of_user.ROWS[-1]):
                part = {name: x[start : start + of_user.ROWS[-1]] for name, x in batch.items()}
                size = min(of_user.ROWS[-1], len(some) - start)
                yield of_user.padded(part, done), size
                done += size

    def _rows(self, run: Run, items: Items, first: int = 0) -> dict[str, np.ndarray]:
        parts = []
        told: dict[str, None] = {}
        with of_user.readable(run.pipeline, items) as texts:
            for batch, size in self._batches(texts, first):
                told |= dict.fromkeys(run.task.notes(run.model, {name: x[:size] for name, x in batch.items()}))
                rows = jax.device_get(run.predict_few(self._ready, batch))
                parts.append({name: x[:size] for name, x in rows.items() if name != "index"})
                told |= dict.fromkeys(run.task.remarks(parts[-1], run.data))
        for line in told:
            warnings.warn(line, stacklevel=3)  # where `predict`, `answers` or `generate` is called
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _answers(self, run: Run, rows: Mapping[str, np.ndarray], most: int = 5) -> list[tasks.Answer]:
        (count,) = {len(x) for x in rows.values()}
        return [run.task.answer({name: x[i] for name, x in rows.items()}, run.data, most) for i in range(count)]

    @cached_property
    def _ready(self) -> Variables:
        return self.run.prepared(self.variables)

    def _run_with(self, settings: Section) -> Run:
        """The run with other settings of its task."""
        if not settings:
            return self.run
        if (key := repr(sorted(settings.items()))) not in self._with:
            section = {name: value for name, value in self.config["task"].items() if name != "name"} | dict(settings)
            task = lookup.call("config.task", type(self.run.task), section)
            task.check(self.run.pipeline.sizes.get("outputs"))
            self._with[key] = replace(self.run, task=task)
        return self._with[key]

    def _inputs(self, batch: Mapping[str, np.ndarray | jax.Array]) -> list[np.ndarray | jax.Array]:
        """The model's inputs in a batch that `read` made, or that `_taught` did."""
        return [batch[name] for name in self.run.task.inputs if name in batch]

    @property
    def _is_pair(self) -> bool:
        return {"source", "target"} <= set(self.run.task.inputs)

    def _taught(self, batch: Batch) -> tuple[dict[str, np.ndarray | jax.Array], np.ndarray | None]:
        """A batch with what a decoder is to read beside its source, and the ids (T,) that it then wrote."""
        if not self._is_pair:
            return {name: np.maximum(x, 0) if x.dtype.kind == "i" else x for name, x in batch.items()}, None
        rows = self.run.predict_few(self._ready, of_user.padded(batch, 0))
        written = np.asarray(rows["tokens"])[0]
        written = written[: max(int((written != PAD).sum()), 1)]
        target = jnp.asarray(written[None])
        read = shift_right(target, jnp.ones_like(target), cast(Writes, self.run.task).first)
        return batch | {"target": read}, written

    def _named(
        self, maps: dict[str, np.ndarray], batch: Mapping[str, np.ndarray | jax.Array], written: np.ndarray | None
    ) -> Attention:
        """Attention without padding, with the tokens that it is of."""
        pipeline, tokens = self.run.pipeline, {}
        if pipeline.rank:
            return Attention(maps, grid=self.run.grid)
        entries = {"encoder": "source", "decoder": "target"} if self._is_pair else dict.fromkeys(maps, "tokens")
        extra = {}
        for name, entry in entries.items():
            ids = np.asarray(batch[entry])[0]
            size = len(ids) if name == "decoder" and written is not None else max(int((ids != PAD).sum()), 1)
            longest = maps[name].shape[-1] if name in maps else len(ids)
            extra[name] = longest - len(ids)
            tokens[name] = [probes.CLASS] * extra[name] + pipeline.pieces(entry, ids[:size])
        if written is not None:
            tokens["written"] = pipeline.pieces("target", written)
        sizes = {name: len(found) for name, found in tokens.items()}
        for name, weights in maps.items():
            queries, keys = ("decoder", "encoder") if name == "cross" else (name, name)
            maps[name] = weights[..., : sizes.get(queries), : sizes.get(keys)]
        return Attention(maps, tokens)

    @cached_property
    def _probed(self) -> Callable[..., dict[str, jax.Array]]:
        """Compiled (variables, *inputs) -> what the model sows, by path."""

        @jax.jit
        def probed(variables: Variables, *inputs: jax.Array) -> dict[str, jax.Array]:
            _, sown = self.model.apply(variables, *inputs, train=False, mutable="probe")
            return by_name(sown.get("probe", {}))

        def checked(variables: Variables, *inputs: jax.Array) -> dict[str, jax.Array]:
            try:
                return probed(variables, *inputs)
            except TypeError:  # of a model that its task calls with something else
                name = self.config["model"]["name"]
                raise UserError(f"a {name} is not called with {self.run.pipeline.item} alone.") from None

        return checked

    @cached_property
    def _represented(self) -> Callable[..., jax.Array]:
        """Compiled (variables, *inputs) -> what the model returns without its head."""
        model = self.model.clone(outputs=0)
        return jax.jit(functools.partial(model.apply, train=False))

    def _features(self, batch: Batch) -> Float32[np.ndarray, "B D"]:
        inputs = self._inputs(batch)
        if self._is_pair:
            inputs = [*inputs, np.full((len(inputs[0]), 1), cast(Writes, self.run.task).first, np.int32)]
        elif self._is_matrix(inputs):
            return np.asarray(self._represented(self.variables, *inputs), np.float32)
        of_tokens = probes.outputs(self._probed(self.variables, *inputs))
        if of_tokens is None or inputs[0].ndim != 2:
            raise UserError(f"a {self.config['model']['name']} has no representation of a whole example.")
        real = (np.asarray(inputs[0]) > PAD)[..., None].astype(np.float32)
        total = (np.asarray(of_tokens, np.float32) * real).sum(1)
        return total / np.maximum(real.sum(1), 1)

    def _is_matrix(self, inputs: Sequence[np.ndarray | jax.Array]) -> bool:
        """Whether the model without its head returns one row an example."""
        try:
            return getattr(jax.eval_shape(self._represented, self.variables, *inputs), "ndim", 0) == 2
        except Exception:  # of a model that cannot be without its outputs, of whatever kind
            return False


def load(
    workdir: Path | str,
    changes: Mapping[str, Value] | None = None,
    step: str | int = "last",
    average: int = 1,
    soup: Sequence[str] = (),
    weights: prepared.Weights = "float32",
) -> Trained:
    """A trained run, to be used from a notebook or another program. Its data set need not be there.

    Args:
      workdir: of the run, or a run made by convert.py.
      changes: keys of the config with other values: {"task.beams": 1, "data.image_size": 384}.
      step: "last", "best" or a step.
      average: the weights are the mean of so many checkpoints, up to that one.
      soup: workdirs of other runs of the same model; the weights are the mean of all these runs'.
      weights: "int8" decodes with rounded matrices, which is quicker on a CPU.

    Raises:
      UserError: there is no such run, checkpoint or key, or something does not fit.
    """
    workdir = storage.path(workdir)
    config = changed(restore.saved_config(workdir), changes or {})
    config.parallel.mode = "mesh"
    with restore.quiet():
        run, state, number = restore.load(workdir, config, str(step), average=average, soup=soup, form=weights)
    return Trained(run, state.eval_variables, number)


def changed(config: ConfigDict, changes: Mapping[str, Value]) -> ConfigDict:
    """A config with other values, by dotted keys.

    Raises:
      UserError: a key that it does not have, or a value of the wrong type or out of range.
    """
    for key, value in changes.items():
        configs.check_key(config, key)
        with config.ignore_type():  # types are checked below
            config.update_from_flattened_dict({key: value})
    configs.check(config)
    return config
