"""Sources of texts, by name: `pairs("files", ...)` is `data/text/files.py`'s `pairs(...)`, and so for `labelled`.

A module defines some of these:

    def pairs(name, split, data_dir, languages) -> list[tuple[str, str]]
    def labelled(name, split, data_dir, field, label) -> tuple[list[str], list[int], tuple[str, ...]]
    def column(name, split, data_dir, field) -> list[str | float]
    def documents(name, split, data_dir) -> list[str]
    def tagged(name, split, data_dir) -> list[tuple[list[str], list[str]]]

Texts come as they stand in the source, in its order, none dropped: empty ones too, which the caller may count.
"""

import lookup


def pairs(source: str, name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs (source text, target text) of one split, for translation.

    Args:
      source: a module of data/text. name: the set's name there, or a path. split: its name, or a part of it as TFDS
        writes one: "train[:90%]", "train[1000:]". data_dir: the folder that `name` lies in.
      languages: the source's and the target's, as the set spells them: ("de", "en").

    Raises:
      UserError: what does not exist, cannot be read, is not aligned, or is empty.
    """
    return lookup.find("data.text", "pairs", source)(name, split, data_dir, languages)


def labelled(
    source: str, name: str, split: str, data_dir: str, field: str = "", label: str = "label"
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """The texts of one split, as many labels in 0 ... C - 1, and the names of the C classes. See `pairs`.

    Two splits' labels mean the same only where their classes are equal.

    Args:
      field: what the set calls the text; "" for `sentence` or `text`, whichever it has.
      label: what it calls the label.
    """
    return lookup.find("data.text", "labelled", source)(name, split, data_dir, field, label)


def column(source: str, name: str, split: str, data_dir: str, field: str = "") -> list[str | float]:
    """One field of every example of a split, in the order of `labelled`: texts, or numbers where the set has such."""
    return lookup.find("data.text", "column", source)(name, split, data_dir, field)


def tagged(source: str, name: str, split: str, data_dir: str) -> list[tuple[list[str], list[str]]]:
    """The words of each sentence of one split, and as many labels. See `pairs`."""
    return lookup.find("data.text", "tagged", source)(name, split, data_dir)


def documents(source: str, name: str, split: str, data_dir: str) -> list[str]:
    """The texts of one split, for language models: whole files or articles. See `pairs`."""
    return lookup.find("data.text", "documents", source)(name, split, data_dir)
