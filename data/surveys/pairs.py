"""A person's parallel text: two files, line by line, or a table of two columns."""

import re
from functools import partial
from pathlib import Path

from data import listing, text
from data.surveys import Survey, among, named, place, splits, tokenizer, training
from data.text import table
from errors import UserError
from lookup import Section

LONG = 0.98  # of the pairs are no longer
MOST_WORDS = 120
EXPECTED = (
    "two files with commas between, SOURCE,TARGET; a table FILE.tsv or FILE.csv of two columns; or a folder with "
    "train.de, train.en, val.de ..., or with train.tsv"
)


def survey(section: Section) -> Survey:
    """See data/surveys."""
    name = section["name"]
    found: dict[str, str] = {}
    whole, source = "train", "files"
    languages: tuple[str, ...]
    if "," in name:
        languages = _suffixes([Path(one.strip()) for one in name.split(",")])
    else:
        found, whole, source, languages = _kind(place(section))
    source, languages = section.get("source", source), tuple(section.get("languages", languages))
    opened = partial(text.pairs, source, name, data_dir=section.get("data_dir", ""), languages=languages)
    train, keys, lines = training(section, found, whole, opened, len)
    keys |= {"source": source, "languages": languages}
    length = min(MOST_WORDS, among([max(len(one.split()) for one in pair) for pair in train], LONG))
    words = f"{len(train):,} pairs {'-'.join(languages)}, nearly all of at most {length:,} words"
    keys |= tokenizer([one for pair in train for one in pair])
    mean = sum(min(len(one.split()), length) for _, one in train) // len(train)  # longer ones are left out
    return Survey(keys, len(train), None, words, size=(mean, mean), length=length, notes=lines)


def _kind(path: Path) -> tuple[dict[str, str], str, str, tuple[str, ...]]:
    """The splits that there are, the name of the only one if there are none, the source and the languages."""
    if path.is_file():
        if path.suffix not in table.SUFFIXES:
            raise UserError(f"config.data.name={path} is one file, {path.suffix}: expected is {EXPECTED}.")
        return {}, "train", "table", _columns(path)
    files = [one for one in sorted(path.iterdir()) if one.is_file() and not listing.hidden(one.name)]
    tables = [one for one in files if one.suffix in table.SUFFIXES]
    if "train" in (found := splits([one.stem for one in tables])):
        return found, "train", "table", _columns(next(one for one in tables if one.stem == found["train"]))
    names = [one.name.removesuffix(".gz") for one in files]
    moses = [re.fullmatch(r"(\w+)\.(\w+)", one) for one in names]
    tfds = [re.fullmatch(r"(?P<language>\w+)\.(?P<split>\w+)\.txt", one) for one in names]
    by = {match[1]: [other[2] for other in moses if other and other[1] == match[1]] for match in moses if match}
    by |= {m["split"]: [o["language"] for o in tfds if o and o["split"] == m["split"]] for m in tfds if m}
    two = {split: tuple(languages) for split, languages in by.items() if len(languages) == 2}
    if "train" in (found := splits(two)):
        return found, "train", "files", two[found["train"]]
    if len(files) == 2:
        raise UserError(f"{path} has two files, of no split: name them, {named(*files)}")
    raise UserError(f"{path} has no parallel text for training. Expected is {EXPECTED}.")


def _columns(path: Path) -> tuple[str, ...]:
    """What the first line of a table calls its columns, where these are names of languages."""
    head = [cell.strip().lower() for cell in table.rows_of(path)[0]]
    named = len(head) >= 2 and all(re.fullmatch(r"[a-z]{2,3}([-_][a-z]+)?|source|target", one) for one in head)
    return tuple(head[:2]) if named else ("source", "target")


def _suffixes(paths: list[Path]) -> tuple[str, ...]:
    """The languages of two files: their suffixes, or else their names."""
    if len(paths) != 2:
        raise UserError(f"config.data.name names {len(paths)} files with commas between: expected is {EXPECTED}.")
    if paths[0] == paths[1]:
        raise UserError(f"config.data.name names {paths[0]} twice: the second file should be its translation.")
    ends = tuple(path.suffix[1:] for path in paths)
    return ends if len(set(ends)) == 2 else tuple(path.stem for path in paths)
