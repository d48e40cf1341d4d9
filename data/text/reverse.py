"""The reverse task: "3 17 4" to "4 17 3". A model that learns it can attend to any place; nothing to download."""

import re

import numpy as np

from data.slices import cut, stem
from errors import UserError, nearest

SPLITS = {"test": slice(1_000), "validation": slice(1_000, 2_000), "train": slice(2_000, 52_000)}


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, str]) -> list[tuple[str, str]]:
    """`name` is SYMBOLS,LENGTH: numbers below SYMBOLS, 1 to LENGTH of them ("" is "50,25"); `data_dir` and `languages`
    are not used. No sequence comes twice, so a held-out split asks for sequences that training never saw."""
    if (whole := stem(split)) not in SPLITS:
        raise UserError(f"the reverse task has no split {whole!r}: {nearest(whole, SPLITS)}")
    match = re.fullmatch(r"(\d{1,6}),(\d{1,4})", name or "50,25")
    if not match:
        raise UserError(f"config.data.name={name!r}: write the number of symbols and the greatest length, as in 50,25.")
    symbols, length, needed = int(match[1]), int(match[2]), SPLITS["train"].stop
    # twice what is needed, or drawing would take long to find the last ones; length 17 has them with any symbols
    if symbols < 2 or sum(symbols**n for n in range(1, min(length, 17) + 1)) < 2 * needed:
        raise UserError(
            f"config.data.name={name!r}: too few sequences for {needed:,}: take larger numbers, as in 50,25."
        )
    rng = np.random.default_rng(0)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < needed:
        lengths = rng.integers(1, length + 1, size=needed)
        ends, numbers = np.cumsum(lengths), rng.integers(symbols, size=lengths.sum()).tolist()
        drawn |= dict.fromkeys(tuple(numbers[end - n : end]) for n, end in zip(lengths, ends, strict=True))
    sequences = list(drawn)
    # Drawn in order, the short sequences would all come early: there are few of them.
    order = rng.permutation(len(sequences))[SPLITS[whole]]
    texts = [[str(number) for number in sequences[i]] for i in cut(order.tolist(), split, "the reverse task")]
    return [(" ".join(text), " ".join(reversed(text))) for text in texts]
