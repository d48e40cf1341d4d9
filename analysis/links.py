"""Word alignment of sentence pairs: links by hand, links by attention, and the alignment error rate.

S source tokens, T target tokens. Words are separated by white space and counted from 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from errors import UserError

Links = set[tuple[int, int]]  # (source word, target word)
LINK = re.compile(r"(\d+)([-?p])(\d+)")


@dataclass(frozen=True)
class Gold:
    """Sentence pairs whose words were linked by hand.

    Attributes:
      source, target: the words of each sentence.
      sure: the links of each pair that are certain.
      possible: the sure links and those that are only possible.
    """

    source: list[list[str]]
    target: list[list[str]]
    sure: list[Links]
    possible: list[Links]


def read(gold: Path, source: Path, target: Path) -> Gold:
    """Reads sentence pairs and their links, a pair a line.

    Args:
      gold: links "i-j", or "i?j" and "ipj" if only possible (Pharaoh's format).
      source, target: the sentences.

    Raises:
      UserError: files of different lengths, text that is not a link, or a link to a word that is not there.
    """
    lines = {path: _lines(path) for path in (gold, source, target)}
    for path in (source, target):
        if len(lines[path]) != len(lines[gold]):
            raise UserError(
                f"--gold={gold} has {len(lines[gold])} lines and {path} has {len(lines[path])}: line n of one belongs "
                "to line n of the other."
            )
    source_words, target_words = ([line.split() for line in lines[path]] for path in (source, target))
    for path, words in ((source, source_words), (target, target_words)):
        if [] in words:
            raise UserError(f"line {words.index([]) + 1} of {path} is empty: each side of a pair needs words.")
    pairs = [
        _links(line, f"line {number} of {gold}", len(words), len(translated))
        for number, (line, words, translated) in enumerate(zip(lines[gold], source_words, target_words, strict=True), 1)
    ]
    return Gold(source_words, target_words, [sure for sure, _ in pairs], [possible for _, possible in pairs])


def _lines(path: Path) -> list[str]:
    """The lines of a text file."""
    try:
        return path.read_bytes().decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start + 1}).") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None


def _links(line: str, where: str, source: int, target: int) -> tuple[Links, Links]:
    """The sure and the possible links of a line. source, target: how many words the sentences have."""
    sure, possible = set(), set()
    for text in line.split():
        if not (link := LINK.fullmatch(text)):
            raise UserError(f"{where}: {text!r} is not a link: write 0-2 for a sure one and 0?2 for a possible one.")
        i, j = int(link[1]), int(link[3])
        if i >= source or j >= target:
            raise UserError(
                f"{where}: {text!r} links a word that is not there: the sentences have {source} source and {target} "
                "target words, counted from 0."
            )
        possible.add((i, j))
        if link[2] == "-":
            sure.add((i, j))
    return sure, possible


def word_weights(
    weights: Float[np.ndarray, "T S"], source_word: Int[np.ndarray, " S"], target_word: Int[np.ndarray, " T"]
) -> Float[np.ndarray, "target_words source_words"]:
    """Attention between words: the sum over a source word's tokens, the mean over a target word's.

    Args:
      weights: of each source token for each target token.
      source_word, target_word: the number of each token's word; −1 for none.

    Returns:
      The weight of each source word for each target word; 0 if a word has no token.
    """
    source, target = (np.arange(word.max(initial=-1) + 1) == word[:, None] for word in (source_word, target_word))
    return target.T @ weights @ source / np.maximum(target.sum(0), 1)[:, None]


def strongest(weights: Float[np.ndarray, "target_words source_words"]) -> Links:
    """Links each target word to the source word with the largest weight; words without any weight to none."""
    return {(int(row.argmax()), j) for j, row in enumerate(weights) if row.any()}


def error_rate(predicted: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> float:
    """Alignment error rate, AER = 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|), over all sentences together (Och & Ney 2003).

    A are the predicted links, S the sure ones and P ⊇ S the possible ones. 0 is the best.
    """
    right = sum(len(a & s) + len(a & (p | s)) for a, s, p in zip(predicted, sure, possible, strict=True))
    total = sum(len(a) + len(s) for a, s in zip(predicted, sure, strict=True))
    return 1 - right / total if total else 0.0
