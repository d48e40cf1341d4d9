"""Splits by name and by part: "train[:80%]", and "validation" where a set calls it "val"."""

import hashlib
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from errors import UserError, nearest

T = TypeVar("T")

BOUND = r"(-?\d{1,9}(?:\.\d{1,9})?%|-?\d{1,18})?"
SPLIT = re.compile(rf"[^\[\]]+(?:\[{BOUND}:{BOUND}\])?")
# What sets call one and the same split.
SAME = (("train", "training"), ("validation", "valid", "val", "dev"), ("test", "testing"))


def names(split: str) -> tuple[str, ...]:
    """The names that a split can have: its own first."""
    return tuple(dict.fromkeys([split, *next((group for group in SAME if split in group), ())]))


def named(split: str, there: Collection[str]) -> str:
    """The name in `there` that a split goes by: its own, or the one that means the same; its own if there is none, or
    several."""
    found = [name for name in names(split) if name in there]
    return found[0] if split in there or len(found) == 1 else split


def stem(split: str) -> str:
    """ "train" of "train[:80%]"."""
    return split.split("[")[0]


def cut(examples: list[T], split: str, what: str) -> list[T]:
    """The part of `examples` that "train[10%:90%]" names, rounded as TFDS does; `what` is their name in errors."""
    start, stop = bounds(split, len(examples), what)
    if start >= stop:
        raise UserError(f"{what}: {split!r} is empty, of {len(examples)} examples.")
    return examples[start:stop]


def cut_mixed(
    examples: list[T], split: str, what: str, name: Callable[[T], str], group: Callable[[T], object] = lambda one: 0
) -> list[T]:
    """The same part of an order that a hash of the examples' names decides, so that a file may be in any order.

    Args:
      name: of an example. Examples of one name stand together.
      group: of an example: every part has about the same share of each group.
    """
    if "[" not in split:
        return examples
    seen: dict[object, list[int]] = {}
    for place in sorted(range(len(examples)), key=lambda i: hashlib.sha256(name(examples[i]).encode()).digest()):
        seen.setdefault(group(examples[place]), []).append(place)
    share = {place: (i + 0.5) / len(group) for group in seen.values() for i, place in enumerate(group)}
    order = sorted(range(len(examples)), key=lambda place: share[place])
    return [examples[place] for place in sorted(cut(order, split, what))]


def made(split: str, sizes: Mapping[str, int], what: str) -> range:
    """The numbers of a split's examples, where each is made from its number alone.

    Args:
      sizes: examples of each whole split. what: the set's name in errors.

    Raises:
      UserError: a split that there is not, or an empty part of one.
    """
    if (whole := stem(split)) not in sizes:
        raise UserError(f"{what} has no split {whole!r}: {nearest(whole, sizes)}")
    start, stop = bounds(split, sizes[whole], what) if "[" in split else (0, sizes[whole])
    if start >= stop:
        raise UserError(f"{what}: {split!r} is empty, of {sizes[whole]:,} examples.")
    return range(start, stop)


def cut_text(documents: list[str], split: str, what: str) -> list[str]:
    """The part of all characters that "train[10%:90%]" names, a percentage rounded down; `what` is their name in
    errors.
    """
    size = sum(map(len, documents))
    start, stop = bounds(split, size, what, math.floor, "characters")
    found, before = [], 0
    for document in documents:
        if piece := document[max(0, start - before) : max(0, stop - before)]:
            found.append(piece)
        before += len(document)
    if not found:
        raise UserError(f"{what}: {split!r} is empty, of {size:,} characters.")
    return found


def bounds(
    split: str, size: int, what: str, rounded: Callable[[float], int] = round, of: str = "examples"
) -> tuple[int, int]:
    """First and last + 1 of the part of `size` that a split names.

    Raises:
      UserError: it is no part, or reaches beyond the end.
    """
    match = SPLIT.fullmatch(split)
    if not match:
        raise UserError(
            f"{split!r} is no part of a split: write it as 'train[:90%]', 'train[1000:]' or 'train[-10%:]'."
        )
    places = [_place(bound, size, rounded) for bound in match.groups()]
    if any(abs(place or 0) > size for place in places):
        raise UserError(f"{what}: {split!r} reaches beyond its {size} {of}.")
    start, stop, _ = slice(*places).indices(size)
    return start, stop


def _place(bound: str | None, size: int, rounded: Callable[[float], int]) -> int | None:
    if bound is None:
        return None
    return rounded(float(bound[:-1]) * size / 100) if bound.endswith("%") else int(bound)
