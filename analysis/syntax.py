"""Distances between tokens in the syntax tree of a text, and how far in it heads of attention look.

Only Python's texts have a tree, that of the longest run of lines that `ast` can parse. A token is at the
smallest part of the program around it, and two tokens are as far apart as there are edges between their parts.

N tokens, P parts, L layers, H heads, O offsets from one token to another.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from analysis import picture

LEAST = 8  # tokens of a program: a single word, or two with a comma, would be one too
NONE = -1  # the distance from and to a token that is not in the tree
SPECIAL = re.compile(r"</?[\w|]+>|\[[A-Z]+\]")  # tokens that are not text
WHITE = b" \t\n\f"
INDENTED = "if 1:\n"  # before lines that are the body of something


class Run(NamedTuple):
    """Lines of a text that are Python.

    Attributes:
      first: the line where they begin.
      tree: of them.
      before: how many lines were put before them.
    """

    first: int
    tree: ast.Module
    before: int


class Sums(NamedTuple):
    """What adds up over texts, of pairs of different tokens that are in the tree and see one another.

    Attributes:
      weight: of the heads' attention, by offset.
      weighted: the same times the distance, of all offsets.
      pairs: how many there are, by offset.
      distance: theirs, by offset.
    """

    weight: Float[np.ndarray, "L H O"]
    weighted: Float[np.ndarray, "L H"]
    pairs: Float[np.ndarray, " O"]
    distance: Float[np.ndarray, " O"]


def distances(pieces: Sequence[str]) -> Int[np.ndarray, "N N"] | None:
    """Edges between tokens, NONE for those that are not in the tree: comments, strings, white space, special ones, and
    what is outside of the lines that are Python. None if these hold hardly anything.

    Args:
      pieces: the tokens as their tokenizer spells them, N.
    """
    parts = ["\n" if SPECIAL.fullmatch(piece) else picture.text_of(piece) for piece in pieces]
    texts = [part.encode() for part in parts]
    run = longest("".join(parts).split("\n"))
    if run is None:
        return None
    text = b"".join(texts)
    part, apart = parts_of(text, run)
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    first = [start + len(one) - len(one.lstrip(WHITE)) for start, one in zip(starts, texts, strict=True)]
    at = np.append(part, NONE)[first]  # only white space may end where the text does
    at[[not one.strip(WHITE) for one in texts]] = NONE
    if (at >= 0).sum() < LEAST:
        return None
    there = (at >= 0)[:, None] & (at >= 0)
    return np.where(there, apart[at[:, None], at], NONE)


def longest(lines: Sequence[str]) -> Run | None:
    """The longest run of lines that is Python, of equal ones the first; None if there is none."""
    best, length = None, 0
    for first, line in enumerate(lines):
        if not line.strip():
            continue
        before = INDENTED if line[0].isspace() else ""
        for end in range(len(lines), first + length, -1):
            tree = _parsed(before + "\n".join(lines[first:end]))
            if tree and _is_program(tree, bool(before)):
                best, length = Run(first, tree, before.count("\n")), end - first
                break
    return best


def _is_program(tree: ast.Module, indented: bool) -> bool:
    """Whether something is done in it, and not only numbers and words listed, subtracted or compared, as in a date."""
    nodes = list(ast.walk(tree))[2 if indented else 1 :]
    return any(
        isinstance(node, ast.Call) or (isinstance(node, ast.stmt) and not isinstance(node, ast.Expr)) for node in nodes
    )


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parts_of(text: bytes, run: Run) -> tuple[Int[np.ndarray, " bytes"], Int[np.ndarray, "P P"]]:
    """The part of the program that each byte of a text is in, NONE for those of no part, of strings and of comments;
    and the edges between parts."""
    lines = text.split(b"\n")
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    part, string = np.full(len(text), NONE), np.zeros(len(text), bool)
    above: list[list[int]] = []  # of each part, itself and those that it is within
    for node, parent in _nodes(run.tree):
        above.append([*(above[parent] if parent >= 0 else ()), len(above)])
        if not isinstance(node, ast.expr | ast.stmt | ast.excepthandler | ast.arg | ast.keyword | ast.alias):
            continue
        first, last = (line - 1 - run.before + run.first for line in (node.lineno, node.end_lineno or node.lineno))
        if first < run.first:
            continue  # what was put before them
        place = slice(starts[first] + node.col_offset, starts[last] + (node.end_col_offset or 0))
        part[place] = len(above) - 1
        string[place] |= isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
    for line, start in zip(lines, starts, strict=False):
        marks = (start + found.start() for found in re.finditer(b"#", line))
        if (comment := next((mark for mark in marks if not string[mark]), None)) is not None:
            part[comment : start + len(line)] = NONE
    part[string] = NONE
    within = np.zeros((len(above),) * 2, int)
    for number, parts in enumerate(above):
        within[number, parts] = 1
    depth = within.sum(1)
    return part, depth[:, None] + depth - 2 * within @ within.T


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, int]]:
    """The nodes of a program that have a place in its text, parents first, each with its parent's number. Those of an
    f-string are left out."""
    waiting: list[tuple[ast.AST, int]] = [(tree, NONE)]
    number = 0
    for node, parent in waiting:
        placed = node is tree or hasattr(node, "lineno")
        if placed:
            yield node, parent
        if not isinstance(node, ast.JoinedStr):
            waiting += [(child, number if placed else parent) for child in ast.iter_child_nodes(node)]
        number += placed


def measured(attention: Float[np.ndarray, "L H N N"], apart: Int[np.ndarray, "N N"], longest: int) -> Sums:
    """The sums of one text.

    Args:
      apart: see `distances`.
      longest: the most tokens of a text; O is 2 longest - 1.
    """
    n = len(apart)
    pairs = (apart != NONE) & (attention.max((0, 1)) > 0) & ~np.eye(n, dtype=bool)
    weight, distance = attention.astype(np.float64) * pairs, apart * pairs
    near = range(1 - n, n)
    around = [(longest - n, longest - n)]
    return Sums(
        np.pad(np.stack([np.diagonal(weight, o, -2, -1).sum(-1) for o in near], -1), [(0, 0), (0, 0), *around]),
        (weight * distance).sum((-2, -1)),
        *(np.pad([float(np.diagonal(x, o).sum()) for o in near], around) for x in (pairs, distance)),
    )


def of_heads(sums: Sums) -> tuple[Float[np.ndarray, "L H"], Float[np.ndarray, "L H"]]:
    """The mean distance in the tree from a token to what a head attends to, weighted by its attention; and what that
    would be by position alone: of the same weights, each with the mean distance of all pairs with its offset."""
    mean = sums.distance / np.maximum(sums.pairs, 1)
    weight = np.maximum(sums.weight.sum(-1), 1e-9)
    return sums.weighted / weight, sums.weight @ mean / weight
