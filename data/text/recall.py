"""First-token recall: the label of a sentence is its first symbol, and the others must be ignored. Nothing to
download. How long a model can keep what it has seen is then one number, the sentence's length.
"""

import re

import numpy as np

from errors import UserError, nearest

EXAMPLES = 20_000
MOST = 2**28  # symbols in memory
SPLITS = {"train": None, "validation": 1_000, "test": 2_000}  # None: as many as `name` says


def labelled(
    name: str, split: str, data_dir: str, field: str, label: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """`name` is SYMBOLS,LENGTH or SYMBOLS,LENGTH,EXAMPLES: sentences of exactly LENGTH numbers, drawn uniformly from
    those below SYMBOLS, and how many of them the training split has ("" is "8,32,20000"); `data_dir`, `field` and
    `label` are not used.

    The classes are the symbols. Each split is drawn by itself, so short sentences may stand in several of them.
    """
    if split not in SPLITS:
        raise UserError(f"first-token recall has no split {split!r}: {nearest(split, SPLITS)}")
    match = re.fullmatch(r"(\d{1,6}),(\d{1,6})(?:,(\d{1,8}))?", name or "8,32")
    if not match:
        raise UserError(
            f"config.data.name={name!r}: write the number of symbols and the length, as in 8,32, and after them, if it "
            f"is not {EXAMPLES:,}, the number of training sentences, as in 8,32,{EXAMPLES}."
        )
    symbols, length, examples = int(match[1]), int(match[2]), int(match[3] or EXAMPLES)
    if symbols < 2 or length < 1 or examples < symbols or examples * length > MOST:
        raise UserError(
            f"config.data.name={name!r}: it needs 2 symbols, a length of 1 and a sentence for each symbol at least, as "
            f"in 8,32, and {MOST:,} symbols in all sentences at most."
        )
    rng = np.random.default_rng(list(SPLITS).index(split))
    drawn = rng.integers(symbols, size=(SPLITS[split] or examples, length))
    words = np.array([str(symbol) for symbol in range(symbols)])
    return [" ".join(row) for row in words[drawn].tolist()], drawn[:, 0].tolist(), tuple(words.tolist())
