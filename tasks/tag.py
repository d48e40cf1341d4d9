"""One label for each word: named entities, parts of speech.

B batch, S tokens, C labels.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import tasks
from tasks import Answer, Apply, Batch, Data, Rows, Sums

ENTITY = re.compile(r"O|[BIES]-.+")  # labels of spans: IOB1, IOB2, IOBES
Entity = tuple[int, int, str]  # the first word, the word after the last, and what it is


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy and accuracy of the words' labels; and where they are those of spans, as B-PER, the entities' F1.

    An entity is right if its first word, its last word and its kind are (CoNLL-2003's conlleval).
    """

    inputs = ("tokens",)
    unit = "words"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Loss and accuracy over words.

        Args:
          apply: tokens (B, S) -> logits (B, S, C).
          batch: `tokens` int (B, S); `label` int (B, S), −1 where no word begins.
        """
        del train
        label = batch["label"]
        logits = apply(batch["tokens"])
        tasks.returned(logits, "logits (sentences, tokens, labels)", (*label.shape, None))
        mask = (label >= 0).astype(jnp.float32)
        nll, right = tasks.scored(logits, label)
        weight = mask.sum()
        return {"loss": (jnp.sum(nll * mask), weight), "accuracy": (jnp.sum(right * mask), weight)}

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`predicted` int (B, S) beside `tokens` and `label`.

        Args:
          batch: `tokens` int (B, S); `label` int (B, S), −1 where no word begins.
        """
        del key
        predicted = apply(batch["tokens"], train=False).argmax(-1).astype(jnp.int32)
        return {"tokens": batch["tokens"], "label": batch["label"], "predicted": predicted}

    def metrics(self, data: Data, split: str) -> "Entities | None":
        """Precision, recall and F1 of the entities; None where labels are not those of spans."""
        del split
        return Entities(data.classes) if all(map(ENTITY.fullmatch, data.classes)) else None

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The words with their labels. data: with `classes` and `decode`."""
        del most
        (begins,) = np.nonzero(row["label"] >= 0)
        ids = [row["tokens"][start:end] for start, end in zip(begins, [*begins[1:], None], strict=True)]
        words = [data.decode(part).strip() for part in ids]
        labels = [data.classes[i] for i in row["predicted"][begins]]
        lines = [f"  {label:10} {word}" for word, label in zip(words, labels, strict=True)]
        return Answer("\n".join(lines), {"words": words, "labels": labels})


@dataclass
class Entities:
    """How many of the entities are found, and how many of those found are right."""

    classes: Sequence[str]
    true: int = field(default=0, init=False)
    found: int = field(default=0, init=False)
    right: int = field(default=0, init=False)

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes some rows."""
        for label, predicted in zip(rows["label"], rows["predicted"], strict=True):
            words = label >= 0
            true, found = (entities([self.classes[i] for i in row[words]]) for row in (label, predicted))
            self.true += len(true)
            self.found += len(found)
            self.right += len(true & found)

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """precision, recall and their harmonic mean f1; 0 where there is nothing to divide by."""
        precision, recall = (self.right / max(count, 1) for count in (self.found, self.true))
        return {"precision": precision, "recall": recall, "f1": 2 * self.right / max(self.found + self.true, 1)}, [
            f"{self.true:,} entities, {self.found:,} found, {self.right:,} of them right, whole and of the right kind"
        ]


def entities(labels: Sequence[str]) -> set[Entity]:
    """The spans of a sentence's labels.

    One begins at B, at S, and wherever an I or an E does not go on with the one before: after O, E or S, or of another
    kind.
    """
    found: set[Entity] = set()
    start, kind, before = None, "", "O"
    for i, label in enumerate([*labels, "O"]):
        prefix, _, now = label.partition("-")
        if start is not None and (prefix in ("O", "B", "S") or before in ("E", "S") or now != kind):
            found.add((start, i, kind))
            start = None
        if start is None and prefix != "O":
            start = i
        kind, before = now, prefix
    return found
