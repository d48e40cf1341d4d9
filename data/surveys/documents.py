"""A person's texts, for a language model."""

from data import text
from data.surveys import Survey, scored, splits
from errors import UserError
from lookup import Section, Value

LARGE = 5_000_000  # characters: of longer texts subwords are learned


def survey(section: Section) -> Survey:
    """See data/surveys. Of a file, a folder or a glob; a folder may have train.txt and validation.txt."""
    name, data_dir, source = section["name"], section.get("data_dir", ""), section.get("source", "files")
    train = text.documents(source, name, section.get("train_split", "train"), data_dir)
    size = sum(map(len, train))
    keys: dict[str, Value] = {}
    lines: tuple[str, ...] = ()
    if not section.get("train_split"):
        there = {"train": "train"}
        for split in ("validation", "test"):
            try:
                text.documents(source, name, split, data_dir)
            except UserError:  # there is none
                continue
            there[split] = split
        keys, lines = scored(splits(there), "train", size)
        if "[" in keys["train_split"]:
            size = size * 9 // 10
    kind: dict[str, Value] = {"tokenizer": "bpe" if size > LARGE else "char"}
    words = f"{size:,} characters in {len(train):,} {'text' if len(train) == 1 else 'texts'}"
    return Survey(keys | kind, size, None, words, notes=lines)
