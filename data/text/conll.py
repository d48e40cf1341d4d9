"""Words with a label each, in the columns of the CoNLL shared tasks: a word a line, its label in the last column, an
empty line after each sentence.
"""

import storage
from data.slices import cut, stem
from data.text.files import find, lines
from errors import UserError

DOCUMENT = "-DOCSTART-"  # CoNLL-2003's line between two documents


def tagged(name: str, split: str, data_dir: str) -> list[tuple[list[str], list[str]]]:
    """The sentences of the folder's train.conll, train.txt, train.iob2 or train.tsv: words, and as many labels."""
    folder, whole = storage.here(data_dir, name), stem(split)
    path = find(folder, whole, "{}.conll", "{}.txt", "{}.iob2", "{}.tsv")
    found: list[tuple[list[str], list[str]]] = []
    words: list[str] = []
    labels: list[str] = []
    for number, line in enumerate([*lines(path), ""], 1):
        cells = line.split("\t") if "\t" in line.strip() else line.split()
        if not line.strip() or cells[0] == DOCUMENT:
            if words:
                found.append((words, labels))
            words, labels = [], []
            continue
        if len(cells) < 2 or not (word := cells[0].strip()) or not (label := cells[-1].strip()):
            raise UserError(f"{path}, line {number}: {line[:60]!r} is not a word and, in the last column, its label.")
        words.append(word)
        labels.append(label)
    if not found:
        raise UserError(f"{path} holds no sentences.")
    return cut(found, split, str(path))
