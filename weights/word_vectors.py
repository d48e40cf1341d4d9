"""Word vectors in word2vec's formats, read and written by gensim: text (.txt, .vec; GloVe's too) and binary (.bin).

n words, D width. A text has "n D" in its first line, which GloVe's lack, and then a line "word x_1 ... x_D" for each
word. gensim keeps every vector of a file while it reads (3.6 GB for GoogleNews's).
"""

import shlex
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from errors import UserError

SUFFIXES = (".txt", ".vec", ".bin")
FIRST = 1 << 16  # bytes that a first line may have: of more, it is none with two numbers

Vectors = dict[str, np.ndarray]  # word -> float32 (D,)


def read(path: Path, wanted: Container[str]) -> Vectors:
    """The vectors of those words of a file that are wanted; of a word that comes twice the first.

    Raises:
      UserError: there is no such file, it is not what its name says, or none of its words is wanted.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(FIRST).split()
        header = len(first) == 2 and all(part.isdigit() for part in first)
        if not first or (path.suffix == ".bin" and not header):
            raise ValueError('it does not begin with a line "WORDS WIDTH"' if first else "it is empty")
        keyed = _gensim().load_word2vec_format(
            str(path), binary=path.suffix == ".bin", no_header=not header, unicode_errors="replace"
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, EOFError, MemoryError) as error:
        problem = str(error) or "too little memory for what its first line claims"
        way = ""
        if "could not convert string to float" in problem:  # some words of GloVe's 840B have spaces
            here, clean = (shlex.quote(str(one)) for one in (path, path.with_suffix(".clean.txt")))
            way = f" Leave out lines whose word has a space: awk 'NF <= {len(first)}' {here} > {clean}"
        kind = "binary" if path.suffix == ".bin" else "text"
        raise UserError(
            f"{path} is not in word2vec's {kind} format, or was not fetched whole: {problem}.{way}"
        ) from None
    found = {word: np.array(keyed[word]) for word in keyed.index_to_key if word in wanted}
    if not found:
        raise UserError(f"{path} has no vector for any token of this run's vocabulary: is it of another language?")
    return found


def write(path: Path, vectors: Mapping[str, Float[np.ndarray, " D"]]) -> None:
    """Writes the text format.

    Raises:
      UserError: a word with white space in it, or a file that cannot be written.
    """
    for word in vectors:
        if word.split() != [word]:
            raise UserError(f"{word!r} has white space in it, which word2vec's text format has no place for.")
    keyed = _gensim()(len(next(iter(vectors.values()))))
    keyed.add_vectors(list(vectors), np.stack(list(vectors.values())))
    try:
        keyed.save_word2vec_format(str(path))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from None


def _gensim() -> type[Any]:  # Any: gensim has no types
    from gensim.models import KeyedVectors  # a second to import, for the runs that begin with such a file alone

    return KeyedVectors
