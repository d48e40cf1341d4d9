"""Which words of a sentence pair belong together: links by hand, links by attention, and their alignment error rate.

S source tokens, T target tokens; words are what white space separates, counted from 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import UserError

Links = set[tuple[int, int]]  # (source word, target word)
LINK = re.compile(r"(\d+)([-?p])(\d+)")


@dataclass(frozen=True)
class Gold:
    """Sentence pairs as words, and for each pair the sure links between them and the possible ones, sure ones included."""

    source: list[list[str]]
    target: list[list[str]]
    sure: list[Links]
    possible: list[Links]


def read(gold: Path, source: Path, target: Path) -> Gold:
    """Three files, line by line: links "i-j", or "i?j" and "ipj" where only possible (Pharaoh's format), and the pairs.

    Raises:
      UserError: files of different lengths; what is no link, or links a word that is not there.
    """
    lines = {path: _lines(path) for path in (gold, source, target)}
    for path in (source, target):
        if len(lines[path]) != len(lines[gold]):
            raise UserError(
                f"--gold={gold} has {len(lines[gold])} lines and {path} has {len(lines[path])}: line by line they must "
                "belong together."
            )
    of_source, of_target = ([line.split() for line in lines[path]] for path in (source, target))
    found = [
        _links(line, f"line {number} of {gold}", len(words), len(translated))
        for number, (line, words, translated) in enumerate(zip(lines[gold], of_source, of_target, strict=True), 1)
    ]
    return Gold(of_source, of_target, [sure for sure, _ in found], [possible for _, possible in found])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start + 1}).") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None


def _links(line: str, where: str, source: int, target: int) -> tuple[Links, Links]:
    """The sure and the possible links of a line, of sentences of so many words."""
    sure, possible = set(), set()
    for text in line.split():
        if not (link := LINK.fullmatch(text)):
            raise UserError(f"{where}: {text!r} is no link: write 0-2 for a sure one and 0?2 for a possible one.")
        i, j = int(link[1]), int(link[3])
        if i >= source or j >= target:
            raise UserError(
                f"{where}: {text!r} links a word that is not there, of {source} source and {target} target words counted "
                "from 0."
            )
        possible.add((i, j))
        if link[2] == "-":
            sure.add((i, j))
    return sure, possible


def word_weights(weights: np.ndarray, source_word: np.ndarray, target_word: np.ndarray) -> np.ndarray:
    """Attention between words: the sum over a source word's tokens, the mean over a target word's.

    Args:
      weights: (T, S), how much each target token looks at each source token.
      source_word, target_word: int (S,) and (T,), which word each token is of; -1 for none.

    Returns:
      (target words, source words); zeros where a word has no token.
    """
    source, target = (np.arange(word.max(initial=-1) + 1) == word[:, None] for word in (source_word, target_word))
    return target.T @ weights @ source / np.maximum(target.sum(0), 1)[:, None]


def strongest(weights: np.ndarray) -> Links:
    """Each target word linked to the source word it looks at most: weights (target words, source words)."""
    return {(int(row.argmax()), j) for j, row in enumerate(weights) if row.any()}


def error_rate(found: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> float:
    """AER = 1 - (|A & S| + |A & P|) / (|A| + |S|), over all sentences together (Och & Ney 2003).

    A are the links found, S the sure ones, and P the possible ones, of which S are a part. 0 is the best.
    """
    right = sum(len(a & s) + len(a & (p | s)) for a, s, p in zip(found, sure, possible, strict=True))
    total = sum(len(a) + len(s) for a, s in zip(found, sure, strict=True))
    return 1 - right / total if total else 0.0
