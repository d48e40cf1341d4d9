"""A person's sentences with classes: a table, or a folder a class."""

import re
from functools import partial
from pathlib import Path

from data import listing, text
from data.surveys import Survey, among, in_use, named, place, splits, tokenizer, training
from data.text.table import SUFFIXES
from errors import UserError
from lookup import Section

LONG = 0.98  # of the texts are no longer
AS_NUMBERS = "--config.data.numbers=True --config.task.name=regress"
EXPECTED = (
    "a table FILE.csv or FILE.tsv with columns text and label; a folder with train.csv, val.csv ...; or a folder for "
    "each class, FOLDER/CLASS/x.txt or FOLDER/train/CLASS/x.txt"
)


def survey(section: Section) -> Survey:
    """See data/surveys."""
    path = place(section)
    found, whole, source = _kind(path)
    source = section.get("source", source)
    train, keys, lines = training(section, found, whole, partial(_opened, section, source), lambda train: len(train[0]))
    keys["source"] = source
    texts, labels, classes = train
    numbers = section.get("numbers", False)
    about = "with numbers" if numbers else f"of {len(classes)} classes"
    if not numbers:
        lines += in_use(labels, classes, path, EXPECTED)
    if not numbers and _are_numbers(classes):
        lines += (f"The labels are numbers, taken as names of classes. To learn them as numbers: {AS_NUMBERS}",)
    if empty := sum(not one.strip() for one in texts):
        lines += (f"{empty:,} of {len(texts):,} texts are empty.",)
    length = among([len(one.split()) for one in texts], LONG)
    words = f"{len(texts):,} texts {about}, nearly all of at most {length:,} words"
    keys |= tokenizer(texts)
    return Survey(keys, len(texts), None if numbers else len(classes), words, length=length, notes=lines)


def _kind(path: Path) -> tuple[dict[str, str], str, str]:
    """The splits that there are, the name of the only one if there are none, and the source."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UserError(f"config.data.name={path} is one file, {path.suffix}: expected is {EXPECTED}.")
        return {}, "train", "table"
    tables = sorted(one.name for one in path.iterdir() if one.suffix in SUFFIXES and not listing.hidden(one.name))
    if "train" in (found := splits([Path(one).stem for one in tables])):
        return found, "train", "table"
    folders, _ = listing.folders(path)
    if "train" in (found := splits(folders)):
        return found, "all", "class_folders"
    if tables:
        raise UserError(f"{path} has no train.csv: name a table of it, {named(path / tables[0])}")
    if not folders:
        raise UserError(f"{path} has neither tables nor folders. Expected is {EXPECTED}.")
    return {}, "all", "class_folders"


def _opened(section: Section, source: str, split: str) -> tuple[list[str], list[int], tuple[str, ...]]:
    fields = section.get("fields") or ("",)
    where = (source, section["name"], split, section.get("data_dir", ""))
    if section.get("numbers"):
        return [str(one) for one in text.column(*where, fields[0])], [], ()
    return text.labelled(*where, fields[0], section.get("label", "label"))


def _are_numbers(classes: tuple[str, ...]) -> bool:
    """Whether all classes are named as numbers, and not all as whole ones: "2", "2.5"."""
    return all(re.fullmatch(r"[+-]?\d*\.?\d+", name) for name in classes) and any("." in name for name in classes)
