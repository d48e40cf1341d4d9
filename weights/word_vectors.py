"""Word vectors in the two formats of word2vec: text (.txt, .vec; GloVe's too, which has no first line) and .bin.

n words, D width. A text has "n D" in its first line and then a line "word x_1 ... x_D" for each word; the binary format
has the same first line, and for each word its UTF-8 bytes, a space and D float32 (little-endian), then perhaps a line
feed.

gensim 4.4 reads these too, and tests/parity compares. It is not used as it keeps every vector of a file (3.6 GB for
GoogleNews's; a run wants those of its vocabulary), makes room for as many as the first line claims, and stops at the
words with spaces of GloVe's 840B.
"""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from errors import UserError

SUFFIXES = (".txt", ".vec", ".bin")
LONGEST = 1 << 16  # bytes of a word: where there are more, this is no such file
WIDEST = 1 << 14  # numbers of a vector
LINE = 1 << 20  # bytes of a line

Vectors = dict[str, np.ndarray]  # word -> float32 (D,)


def read(path: Path, wanted: Container[str]) -> Vectors:
    """The vectors of those words of a file that are wanted; of a word that comes twice the first.

    Raises:
      UserError: there is no such file, it is not what its name says, or none of its words is wanted.
    """
    try:
        with path.open("rb") as file:
            found = _binary(file, path, wanted) if path.suffix == ".bin" else _text(file, path, wanted)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    if not found:
        raise UserError(f"{path} has no vector for any token of this run's vocabulary: is it of another language?")
    return found


def write(path: Path, vectors: Mapping[str, Float[np.ndarray, " D"]]) -> None:
    """Writes the text format.

    Raises:
      UserError: a word with white space in it, or a file that cannot be written.
    """
    width = len(next(iter(vectors.values())))
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write(f"{len(vectors)} {width}\n")
            for word, vector in vectors.items():
                if not word or word.split() != [word]:
                    raise UserError(f"{word!r} has white space in it, which word2vec's text format has no place for.")
                file.write(" ".join([word, *(f"{x:.6g}" for x in vector.tolist())]) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from None


def _text(file: IO[bytes], path: Path, wanted: Container[str]) -> Vectors:
    found: Vectors = {}
    width = 0
    for number, line in enumerate(iter(lambda: file.readline(LINE), b""), 1):
        parts = line.rstrip(b"\r\n").rstrip(b" ").split(b" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            width = int(parts[1])
            continue
        width = width or len(parts) - 1
        word = b" ".join(parts[:-width]).decode(errors="replace")  # some of GloVe's have spaces
        if len(parts) <= width or not 0 < width <= WIDEST:
            raise UserError(f"{path}: line {number} has {len(parts) - 1} numbers after its word and not {width}.")
        if word in wanted and word not in found:
            try:
                found[word] = np.array(parts[-width:], dtype=np.float32)
            except ValueError:
                raise UserError(f"{path}: line {number} is not a word and {width} numbers.") from None
    return found


def _binary(file: IO[bytes], path: Path, wanted: Container[str]) -> Vectors:
    parts = file.readline(LONGEST).split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not 0 < int(parts[1]) <= WIDEST:
        raise UserError(f'{path} is not in word2vec\'s binary format, which begins with a line "WORDS WIDTH".')
    count, width = map(int, parts)
    found: Vectors = {}
    for number in range(count):
        letters = bytearray()
        while (letter := file.read(1)) not in (b" ", b"") and len(letters) < LONGEST:
            letters += letter
        vector = file.read(4 * width)
        if letter != b" " or len(vector) < 4 * width:
            raise UserError(f"{path} ends within word {number + 1:,} of {count:,}: fetch it again.")
        word = letters.lstrip(b"\n").decode(errors="replace")
        if word in wanted and word not in found:
            found[word] = np.frombuffer(vector, "<f4").astype(np.float32)
    return found
