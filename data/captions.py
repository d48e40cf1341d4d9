"""Captions: where a source has them, how they become rows of ids, and what a class is called by.

n captions, T tokens of a row.
"""

import string
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Int32

from data.order import Tensor, tensorflow
from data.sources import Example, Feature, Features, Source
from data.tokenizer import Reader
from errors import UserError, nearest
from models.tokens import BOS, EOS

Simplify: TypeAlias = Literal["none", "lower", "words"]
NAMES = ("captions", "caption", "text")  # what sets call theirs
PLACE = "{}"  # of a class's name in a template
AT_ONCE = 1000  # examples whose captions are read together
PUNCTUATION = str.maketrans("", "", string.punctuation)


@runtime_checkable
class Captioned(Protocol):
    """A source that knows the captions of its examples without reading them."""

    def captions(self) -> list[list[str]]:
        """Those of every example."""


def feature(features: Features, asked: str, what: str) -> str:
    """Which feature has the captions, "captions/text" where it is nested; "" where none has.

    Args:
      asked: config.data.caption.

    Raises:
      UserError: there is none that is asked for.
    """
    flat: dict[str, object] = {}
    for name, entry in features.items():
        flat |= {f"{name}/{key}": x for key, x in entry.items()} if isinstance(entry, Mapping) else {name: entry}
    texts = [path for path, entry in flat.items() if isinstance(entry, Feature) and entry.kind == "text"]
    if asked:
        if asked not in texts:
            raise UserError(f"config.data.caption={asked!r} is no text of {what}: {nearest(asked, texts)}")
        return asked
    return next((path for name in NAMES for path in texts if path.split("/")[0] == name), "")


def of_example(example: Example, path: str) -> Tensor:
    """The captions of an example, strings (n,), without white space at their ends and without empty ones."""
    tf = tensorflow()
    found: Tensor = example
    for part in path.split("/"):
        found = found[part]
    found = tf.strings.strip(tf.reshape(found, [-1]))
    return tf.boolean_mask(found, tf.strings.length(found) > 0)


def of_source(source: Source, path: str) -> list[list[str]]:
    """The captions of every example of a source that has nothing else, in its order."""
    if isinstance(source, Captioned):
        return source.captions()
    tf = tensorflow()
    found: list[list[str]] = []

    def take(raw: Example) -> None:
        texts = of_example(source.parse(raw), path).numpy()
        found.append([text.decode("utf-8", "replace") for text in texts])

    if not source.random_access:
        for raw, _ in source.in_order(0, 1):
            take(raw)
        return found
    for start in range(0, source.size, AT_ONCE):
        rows = source.read(tf.range(start, min(start + AT_ONCE, source.size), dtype=tf.int64))
        for row in range(min(AT_ONCE, source.size - start)):
            take(tf.nest.map_structure(lambda x, row=row: x[row], rows))
    return found


def simple(text: str, how: Simplify) -> str:
    """A caption as the tokenizer sees it: "lower" in small letters, "words" also without punctuation."""
    text = text if how == "none" else text.lower()
    return " ".join((text.translate(PUNCTUATION) if how == "words" else text).split())


def rows(
    reader: Reader, texts: Sequence[str], how: Simplify, begin: bool, length: int
) -> tuple[Int32[np.ndarray, "n T"], int, int]:
    """Captions as rows of ids that end in EOS, which fills what is left of a row.

    Args:
      begin: whether a row begins with BOS.
      length: T. A longer caption is cut; its last id stays EOS.

    Returns:
      the rows; how many captions were cut, and how many of their ids are unknown.
    """
    out = np.full((len(texts), length), EOS, np.int32)
    cut = unknown = 0
    for row, ids in zip(out, reader.encode([simple(text, how) for text in texts]), strict=True):
        unknown += reader.unknown(ids)
        ids = np.concatenate([[BOS], ids[:-1]]) if begin else ids[:-1]
        cut += len(ids) >= length
        ids = ids[: length - 1]
        row[: len(ids)] = ids
    return out, cut, unknown


def prompts(templates: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """What each class is called by, in every template.

    Raises:
      UserError: a class without a name, or two that no template tells apart.
    """
    for place, name in enumerate(names):
        if not name.strip():
            raise UserError(f"class {place + 1} of {len(names)} has no name: every class needs some text.")
    made = [[template.replace(PLACE, name.strip()) for template in templates] for name in names]
    different(made, names, "with these templates" if all(PLACE not in one for one in templates) else "")
    return made


def different(made: Sequence[object], names: Sequence[str], why: str) -> None:
    """That there are as many prompts as classes.

    Args:
      made: of each class, its prompts in any form.
      why: two could be the same, for the error line.

    Raises:
      UserError: two classes have the same.
    """
    seen: dict[str, str] = {}
    for one, name in zip(made, names, strict=True):
        if (key := repr(one)) in seen:
            raise UserError(
                f"{len(names)} classes are asked for and they have fewer prompts: {seen[key]!r} and {name!r} are the "
                f"same to the model{f' {why}' if why else ''}. Name each class once, and put {PLACE} for the name into "
                "config.data.templates."
            )
        seen[key] = name
