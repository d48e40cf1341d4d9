"""Images with a text about each, and a class that may need both.

b this host's share of a batch, S the most tokens of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval

from data.order import Tensor, tensorflow
from data.pipelines import images, ragged
from data.pipelines.base import Batch, Known, Section, Spec, Split
from data.sources import Example, Feature
from errors import UserError, shown
from models.tokens import PAD, UNKNOWN

FIRST = UNKNOWN + 1  # the id of the first word


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return images.debug(section)


@dataclass(kw_only=True)
class Pipeline(images.Pipeline):
    """Batches: those of data/pipelines/images.py, and tokens int32 (b, S): the words of the text, 0 after the last.

    The words are those that the source says its texts have; any other is unknown.

    Attributes:
      max_length: S. Longer texts are cut.
    """

    max_length: Annotated[int, Interval(ge=1, le=512)] = 16

    item: ClassVar[str] = "an image file, a tab and a text"
    lost: ClassVar[str] = "text"

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words, whose ids follow on those of padding and of unknown words.

        Raises:
          UserError: the source does not say them.
        """
        if self.feed.known:
            return tuple(self.feed.known["words"])
        text = self.train_source.features["text"]
        if not isinstance(text, Feature) or not text.names:
            raise UserError(
                f"config.data.source={self.source}: its texts have no list of words, which kind=image_texts needs: "
                "take questions, or kind=captions for texts of any words."
            )
        return text.names

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of classes; vocabulary."""
        return super().sizes | {"vocabulary": FIRST + len(self.words)}

    @property
    def known(self) -> Known:
        """The words too."""
        return super().known | {"words": list(self.words)}

    @property
    def spec(self) -> Spec:
        """image, tokens, label and mask."""
        spec = super().spec
        return {"image": spec["image"], "tokens": ((1, self.max_length), "int32")} | spec

    @property
    def wanted(self) -> tuple[str, ...]:
        """image, text and label."""
        return "image", "text", "label"

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Images and tokens."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        found = super().finish(batch, split, train)
        tokens = self._tokens(tf.ensure_shape(batch["text"], (rows,)))
        return found | {"tokens": tf.where(batch["real"][:, None], tokens, PAD)}

    def _tokens(self, text: Tensor) -> Tensor:
        """Texts (b,) as int32 (b, S)."""
        tf = tensorflow()
        words = tf.strings.split(tf.strings.lower(text))[:, : self.max_length]
        words = words.to_tensor("", shape=(None, self.max_length))
        same = words[..., None] == tf.constant(self.words)
        ids = tf.where(tf.reduce_any(same, -1), FIRST + tf.argmax(tf.cast(same, tf.int32), -1, tf.int32), UNKNOWN)
        return tf.where(words == "", PAD, ids)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files, each with a tab and a text: {"image": float32 (n, height, width, channels), "tokens": int32
        (n, S)}.

        Raises:
          UserError: an item without a tab.
        """
        for item in items:
            if item.count("\t") != 1:
                raise UserError(f"'{shown(item)[:60]}' is no image with a text: write FILE, one tab, and the text.")
        paths, texts = zip(*(item.split("\t") for item in ragged.typed(items)), strict=True)
        batch, notes = super().read(paths)
        for text in texts:
            if odd := [word for word in text.lower().split() if word not in self.words]:
                notes.append(f"{odd[0]!r} is a word that the model does not know, in: {text[:60]!r}")
            if len(text.split()) > self.max_length:
                notes.append(f"cut to max_length={self.max_length} words: {text[:60]!r} ...")
        tokens = self._tokens(tensorflow().constant(list(texts))).numpy()
        return batch | {"tokens": tokens.astype(np.int32)}, notes
