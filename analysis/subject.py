"""What figures look at: a trained run, and the images or sentences it is shown."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from analysis import attention
from analysis.links import Gold
from errors import UserError
from experiment import Run
from models import paths
from tasks.translate import Writes
from training import step
from training.trees import PyTree, Variables, by_name
from weights import transplant

LONGEST = 256  # tokens of a text that figures look at: attention of all layers and heads has their square


class ImagePipeline(Protocol):
    """What figures ask of a pipeline of images, beyond what every pipeline offers.

    Attributes:
      mean, std: of each channel, by which pixels in [0, 1] were normalised.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Tokenizer(Protocol):
    """What figures ask of a tokenizer."""

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """The ids int32 (S,) of each text, with the end-of-sentence id last."""


class TextPipeline(Protocol):
    """What figures ask of a pipeline of texts or sentence pairs, beyond what every pipeline offers.

    Attributes:
      max_length: the most tokens of a sentence.
      source_tokenizer, target_tokenizer: of pairs.
    """

    max_length: int

    @property
    def source_tokenizer(self) -> Tokenizer:
        """Of the language that is translated."""

    @property
    def target_tokenizer(self) -> Tokenizer:
        """Of the language that is translated into."""

    def opened(self, split: str) -> list[tuple[str, str]]:
        """The texts of a split of pairs, (source, target)."""


@runtime_checkable
class Translations(Protocol):
    """A pipeline of texts that a model is to write."""

    def texts(self, split: str) -> list[str]:
        """The texts of a split."""


def apply(model: nn.Module, variables: Variables, **options: bool) -> step.Apply:
    """A model with its variables on one device, as a task calls it. options: of every call, such as train=False."""
    return step.Apply(model, variables, lambda x: x, **options)


@dataclass(frozen=True)
class Subject:
    """A run and the inputs it is shown. Weights and data are read when they are first needed.

    Attributes:
      run: the parts of the run, without weights.
      restore: returns the variables of `run`'s model, State.eval_variables.
      load: workdir -> the parts of another run and its variables.
      image_files, sentences: the user's own inputs; without any, the run's evaluation split is read.
      word: the word of a sentence whose attention is shown; "" for the last.
      gold: the user's sentence pairs with links between their words.
      beside: workdirs of other runs to compare with.
    """

    run: Run
    restore: Callable[[], Variables]
    load: Callable[[Path], tuple[Run, Variables]]
    image_files: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    word: str = ""
    gold: Gold | None = None
    beside: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The model's name in the config, such as "vit"."""
        return self.run.config["model"]["name"]

    @property
    def reads_images(self) -> bool:
        """Whether the model is called with images."""
        return "image" in self.run.task.inputs

    @property
    def reads_clips(self) -> bool:
        """Whether the model is called with clips."""
        return "clip" in self.run.task.inputs

    @property
    def reads_tokens(self) -> bool:
        """Whether the model is called with token ids and nothing else."""
        spec = self.run.pipeline.spec
        kinds = [np.dtype(spec[name][1]) for name in self.run.task.inputs if name in spec]
        return bool(kinds) and all(np.issubdtype(kind, np.integer) for kind in kinds)

    @property
    def reads_pairs(self) -> bool:
        """Whether a batch has a source and a target sentence."""
        return {"source", "target"} <= self.run.pipeline.spec.keys()

    @property
    def translates(self) -> bool:
        """Whether the model writes what stands beside a source, and not what was hidden of it."""
        return self.reads_pairs and isinstance(self.run.pipeline, Translations)

    @property
    def first(self) -> int:
        """The id that a decoder of pairs begins with."""
        return cast(Writes, self.run.task).first

    @property
    def pipeline_of_images(self) -> ImagePipeline:
        """The run's pipeline, which reads images."""
        return cast(ImagePipeline, self.run.pipeline)

    @property
    def pipeline_of_texts(self) -> TextPipeline:
        """The run's pipeline, which reads sentences."""
        return cast(TextPipeline, self.run.pipeline)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images the model is called with."""
        height, width, channels = self.run.pipeline.spec["image"][0][-3:]
        return height, width, channels

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by path, with the layers as the model has them, stacked or written out."""
        return self.run.shapes()

    def has(self, pattern: str) -> bool:
        """Whether a parameter's whole path matches a regular expression."""
        return any(re.fullmatch(pattern, path) for path in self.shapes)

    @cached_property
    def variables(self) -> Variables:
        """The weights and the other collections of the run's model, on the devices."""
        return self.restore()

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The parameters by path, with the layers written out."""
        return transplant.written_out(by_name(jax.device_get(self.variables["params"])))

    def runs(self) -> list[tuple[Run, Variables]]:
        """This run and those beside it, with their variables."""
        return [(self.run, self.variables), *map(self.load, self.beside)]

    @property
    def lacks_patch_attention(self) -> str:
        """Why a figure of attention between patches cannot be drawn; "" if it can."""
        if not self.reads_images:
            return "the model reads no images"
        if len(self.run.task.inputs) > 1:
            return "the model reads more than an image"
        layers = (paths.layer(path) for path in self.shapes)
        if any(layer and layer.before == "encoder" and layer.after.startswith("attention/") for layer in layers):
            return ""
        return f"a {self.name} has no attention"

    @property
    def lacks_self_attention(self) -> str:
        """Why a figure of attention between tokens cannot be drawn; "" if it can."""
        if not self.reads_tokens:
            return "the model reads no sentences"
        if self.has("text/.*"):
            return "its texts have a tower of their own"
        layers = (paths.layer(path) for path in self.shapes)
        if any(layer and layer.after.startswith(attention.SELF) for layer in layers):
            return ""
        return f"a {self.name} has no self-attention"

    @property
    def model(self) -> nn.Module:
        """The run's model without its head. A model that hides patches while it trains then sees the whole image."""
        return self.run.model.clone(outputs=0)

    @property
    def extra(self) -> int:
        """The number of tokens that are not patches."""
        return self.run.model.extra

    @property
    def query(self) -> str:
        """Name of the queries whose attention the head reads, as `Seen.reading` weights them."""
        names = {"token": "class token", "distilled": "class and distillation token", "map": "the pooling's query"}
        return names.get(self.run.model.head, "mean over the tokens")

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of a model that attends to them."""
        image = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        variables = self.run.abstract_state.variables
        seen = jax.eval_shape(lambda variables, image: attention.see(self.model, variables, image), variables, image)
        patches = seen.attention.shape[-1] - self.extra
        assert self.run.grid
        assert self.run.grid[0] * self.run.grid[1] == patches
        return self.run.grid

    def images(self, most: int) -> Float[np.ndarray, "B height width channels"]:
        """The user's images, or the first `most` of the evaluation split, as the model takes them: of images that are
        larger in an evaluation than in training, the upper left part.

        Raises:
          UserError: an image that cannot be read, or an evaluation split that is not there.
        """
        height, width, _ = self.image_shape
        if self.image_files:
            return self._user_images[: most if most == 1 else None, :height, :width]
        images: list[np.ndarray] = []
        with _suggesting("--images=a.png,b.png"):
            for batch in self.run.pipeline.eval_batches(self.split):
                images.extend(batch["image"][_real(batch)])
                if len(images) >= most:
                    break
        return np.stack(images[:most])[:, :height, :width]

    def pictures(
        self, images: Float[np.ndarray, "B height width channels"]
    ) -> Float[np.ndarray, "B height width channels"]:
        """Images as the model takes them, as pixels in [0, 1]."""
        return np.clip(images * self.pipeline_of_images.std + self.pipeline_of_images.mean, 0, 1)

    def look(self, most: int) -> tuple[Float[np.ndarray, "B height width channels"], attention.Seen]:
        """Pixels in [0, 1] of images, and the model's attention in them."""
        images = self.images(most)
        return self.pictures(images), attention.all_at_once(self.model, self.variables, images)

    def texts(self, most: int) -> tuple[str, ...]:
        """The user's sentences, or the sources of the first `most` pairs of the evaluation split."""
        if self.sentences:
            return self.sentences
        with _suggesting("--sentence='...'"):
            pairs = self.pipeline_of_texts.opened(self.split)
        return tuple(source for source, _ in pairs[:most])

    def rows(self, most: int) -> list[Mapping[str, np.ndarray]]:
        """Token ids (N,) by entry of a batch: of the user's sentences, with the translations that the model writes; or
        of the first `most` examples of the evaluation split, with their references. As the pipeline pads them, but of
        texts that are longer the first LONGEST tokens."""
        run = self.run
        entries = (*run.task.inputs, *run.task.optional)
        if self.sentences:
            batch, notes = run.pipeline.view(self.sentences)
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
            if self.reads_pairs:
                index = {"index": np.arange(len(self.sentences), dtype=np.int32)}
                batch = batch | {"target": np.asarray(run.predict_few(self.variables, batch | index)["tokens"])}
            return [_row(batch, entries, row) for row in range(len(self.sentences))]
        found: list[Mapping[str, np.ndarray]] = []
        with _suggesting("--sentence='...'"):
            for batch in run.pipeline.eval_batches(self.split):
                rows = np.flatnonzero(batch["index"] >= 0).tolist()
                found += [_row(batch, entries, row) for row in rows]
                if len(found) >= most:
                    break
        return found[:most]

    @cached_property
    def probed(self) -> Callable[..., tuple[Array, dict[str, Array]]]:
        """Compiled (*inputs, **optional) -> what the model returns, not in training, and its probes by path."""
        forward: Callable[..., PyTree] = self.run.model.apply

        @jax.jit
        def probed(variables: Variables, *inputs: jax.Array, **optional: jax.Array) -> tuple[Array, dict[str, Array]]:
            output, sown = forward(variables, *inputs, **optional, train=False, mutable="probe")
            return output, by_name(sown["probe"])

        return partial(probed, self.variables)

    @property
    def split(self) -> str:
        """The first evaluation split."""
        if not self.run.pipeline.eval_splits:
            raise UserError("the run has no evaluation split (config.data.eval_splits).")
        return self.run.pipeline.eval_splits[0]

    def answers(self) -> Iterator[dict[str, np.ndarray]]:
        """What the task predicts of every example of that split, batch by batch."""
        return self.run.predict(self.variables, self.run.pipeline.eval_batches(self.split))

    @cached_property
    def _user_images(self) -> Float[np.ndarray, "B height width channels"]:
        """The images of `image_files` as the model takes them."""
        return self.run.pipeline.read(list(self.image_files))[0]["image"]


def _row(batch: Mapping[str, np.ndarray], entries: tuple[str, ...], row: int) -> dict[str, np.ndarray]:
    """The first LONGEST of one example's ids, by those of the entries that the batch has."""
    return {name: batch[name][row][:LONGEST] for name in entries if name in batch}


def _real(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows, bool (B,), hold an example that could be read, and do not only fill up the last batch."""
    rows = np.ones(len(batch["image"]), bool)
    if "index" in batch:
        rows &= batch["index"] >= 0
    if "mask" in batch and batch["mask"].ndim == 1:  # a weight for each example
        rows &= batch["mask"] > 0
    return rows


@contextmanager
def _suggesting(flag: str) -> Iterator[None]:
    """Adds to an error about data that is missing: the user can give inputs of their own by this flag."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error} Or give your own: {flag}.") from None
