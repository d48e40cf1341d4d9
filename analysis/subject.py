"""What figures look at: a trained run, and the images or sentences that it is shown."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analysis import attention
from analysis.links import Gold
from errors import UserError
from experiment import Run
from models import vit
from training import paths
from weights import transplant


@dataclass(frozen=True)
class Subject:
    """A run and what it is looked at with; all of it is read when it is first asked for.

    Attributes:
      run: its parts, without weights. restore: gives the weights. load: gives parts and weights of another run.
      image_files, sentences: what the user gave; else the run's evaluation split is looked at.
      gold: sentence pairs with the links between their words, where the user gave them.
      beside: workdirs of other runs, to compare.
    """

    run: Run
    restore: Callable[[], Any]
    load: Callable[[Path], tuple[Run, Any]]
    image_files: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    gold: Gold | None = None
    beside: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Of the model: "vit"."""
        return self.run.config["model"]["name"]

    @property
    def reads_images(self) -> bool:
        return self.run.config["data"]["kind"] == "images"

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters, by path; layers as they are, stacked or written out."""
        return self.run.shapes()

    def has(self, pattern: str) -> bool:
        """Whether the path of any parameter matches."""
        return any(re.fullmatch(pattern, path) for path in self.shapes)

    @cached_property
    def params(self) -> Any:
        """The weights, on the devices."""
        return self.restore()

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights by path, with the layers written out."""
        return transplant.written_out(paths.table(jax.device_get(self.params)))

    @property
    def lacks_patch_attention(self) -> str:
        """What is missing for a figure of attention between patches; "" where nothing is."""
        if not self.reads_images:
            return "the model reads no images"
        return "" if self.has("encoder/(blocks|block_00)/attention/.*") else f"a {self.name} has no attention"

    @property
    def model(self) -> Any:
        """The run's; of one that hides patches while it trains, the part that sees the whole image."""
        return self.run.model.clone(outputs=0) if hasattr(self.run.model, "masked") else self.run.model

    @property
    def extra(self) -> int:
        """The number of tokens that are no patches."""
        return len(vit.TOKENS[self.run.model.head])

    @property
    def query(self) -> str:
        """Whose attention counts for what is classified, as Seen.reading weighs it."""
        names = {"token": "class token", "distilled": "class and distillation token", "map": "the pooling's query"}
        return names.get(self.run.model.head, "mean over the tokens")

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of a model that attends to them."""
        image = jax.ShapeDtypeStruct((1, *self.run.pipeline.image_shape), jnp.float32)
        params = self.run.abstract_state.params
        seen = jax.eval_shape(lambda params, image: attention.see(self.model, params, image), params, image)
        patches = seen.attention.shape[-1] - self.extra
        rows = round((patches * self.run.proportion) ** 0.5)
        return rows, patches // rows

    def images(self, most: int) -> np.ndarray:
        """Those that the user gave, or the first `most` of the evaluation split: float32 (B, height, width, channels), as
        the model takes them."""
        if self.image_files:
            return self._given if most > 1 else self._given[:1]
        found: list[np.ndarray] = []
        with _or("--images=a.png,b.png"):
            for batch in self.run.pipeline.eval_batches(self._split):
                found.extend(batch["image"][batch["mask"] > 0])
                if len(found) >= most:
                    break
        return np.stack(found[:most])

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """Such images as they look: values in [0, 1]."""
        return np.clip(images * self.run.pipeline.std + self.run.pipeline.mean, 0, 1)

    def look(self, most: int) -> tuple[np.ndarray, attention.Seen]:
        """Images as they look, and what the model attends to in them."""
        images = self.images(most)
        return self.pictures(images), attention.all_at_once(self.model, self.params, images)

    def texts(self, most: int) -> tuple[str, ...]:
        """Sentences that the user gave, or the sources of the first `most` pairs of the evaluation split."""
        if self.sentences:
            return self.sentences
        with _or("--sentence='...'"):
            pairs = self.run.pipeline.pairs(self._split)
        return tuple(source for source, _ in pairs[:most])

    @property
    def _split(self) -> str:
        if not self.run.pipeline.eval_splits:
            raise UserError("the run has no evaluation split (config.data.eval_splits).")
        return self.run.pipeline.eval_splits[0]

    @cached_property
    def _given(self) -> np.ndarray:
        return self.run.pipeline.load(list(self.image_files))


@contextmanager
def _or(flag: str) -> Iterator[None]:
    """Data that is not there need not be: the user can give something else."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error} Or give your own: {flag}.") from None
