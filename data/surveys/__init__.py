"""What a person's data are, found before a run is built: `of("images", section)` is `data/surveys/images.py`'s
`survey(section)`.

    def survey(section: Section) -> Survey

Only what config.data leaves open is looked for: a key that is set stays as it is.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import lookup
import storage
from data.slices import SAME
from errors import UserError, flag, shown
from lookup import Section, Value

T = TypeVar("T")
FEW = 500  # examples: of fewer, a larger share is held out
SHARES = (20, 10)  # per cent that are held out of few examples, and of many
WORDS, SUBWORDS = 1000, 8000  # so many different words or more take subwords, at most SUBWORDS of them
OF_FOLDERS = ("images", "sentences")  # kinds that may have a folder for each class
MOST = 64  # examples that are looked at


@dataclass(frozen=True)
class Survey:
    """What there is.

    Attributes:
      keys: of config.data, which follow from the files: source, splits, channels.
      examples: of the training split; of text its characters.
      classes: how many there are; None where the examples have none.
      size: the median height and width of images.
      length: of texts, below which nearly all are, in words; of images, the most boxes of one.
      words: the data for a person, "38 images of 3 classes".
      notes: further lines for a person.
    """

    keys: dict[str, Value]
    examples: int
    classes: int | None
    words: str
    size: tuple[int, int] = (0, 0)
    length: int = 0
    notes: tuple[str, ...] = field(default=())


def of(kind: str, section: Section) -> Survey:
    """The survey of a kind of data.

    Args:
      section: config.data, without the keys that are open.

    Raises:
      UserError: the data are not named, not there, or not as such data are expected.
    """
    if not (name := section.get("name")):
        raise UserError("config.data.name is not set: --config.data.name=FOLDER says where your data are.")
    if "://" in name and not storage.is_address(name):
        raise UserError(f"config.data.name={name} is not on this machine: download it, and give the folder or file.")
    return lookup.find("data.surveys", "survey", kind)(section)


def place(section: Section, beside: bool = False, folder: bool = False) -> Path:
    """The file or folder that config.data names.

    Args:
      beside: whether a file in a bucket comes with what is in its folder.
      folder: whether a file will not do.

    Raises:
      UserError: there is none, or it is a file.
    """
    path = storage.here(section.get("data_dir", ""), section["name"], beside)
    if not path.exists():
        near = sorted(shown(one.name) for one in path.parent.iterdir())[:8] if path.parent.is_dir() else []
        there = f" {path.parent} holds: {', '.join(near)}." if near else ""
        raise UserError(f"config.data.name={section['name']}: there is no such file or folder.{there}")
    if folder and path.is_file():
        around = path.parent.parent if path.parent.name == "annotations" else path.parent  # of COCO's JSON
        raise UserError(f"config.data.name={section['name']} is a file: name its folder, {named(around)}")
    return path


def named(*paths: object) -> str:
    """The flag for other data, as it can be pasted."""
    return flag("config.data.name", ",".join(map(str, paths)))


def check_apart(section: Section, workdir: Path) -> None:
    """That a run is not among its data, where its folders would be taken for classes.

    Raises:
      UserError: it is.
    """
    name = section.get("name")
    if not isinstance(name, str) or not name or "://" in name or "," in name or storage.is_address(str(workdir)):
        return
    data_dir = section.get("data_dir") or ""
    root, here = storage.path(storage.joined(str(data_dir), name)), workdir.resolve()
    if "\0" in str(root) or storage.is_address(str(root)) or not root.is_dir():
        return
    root = root.resolve()
    of_folders = section.get("kind") in OF_FOLDERS and "train" not in splits([one.name for one in root.iterdir()])
    if here == root or (of_folders and root in here.parents):
        raise UserError(f"--workdir={workdir} is among the data: choose a folder outside of {name}.")


def in_use(labels: Collection[int], classes: Sequence[str], path: Path, expected: str) -> tuple[str, ...]:
    """A line on classes that no training example has; none if each has some.

    Raises:
      UserError: fewer than two have.
    """
    used = {int(label) for label in labels}
    if len(used) < 2:
        one = classes[next(iter(used))]
        raise UserError(f"{path} has one class ({one}): there is nothing to tell apart. Expected is {expected}.")
    if not (unused := [name for place, name in enumerate(classes) if place not in used]):
        return ()
    count = " (whole numbers count the classes from 0 on)" if classes[0] == "0" else ""
    return (f"{len(unused):,} of {len(classes):,} classes have no training example, such as {unused[0]!r}{count}.",)


def splits(there: Collection[str]) -> dict[str, str]:
    """The names that stand for "train", "validation" and "test", in any case: {"train": "Training", "test": "TEST"}."""
    lower = {name.lower(): name for name in there}
    found = {group[0]: [lower[name] for name in group if name in lower] for group in SAME}
    return {split: names[0] for split, names in found.items() if names}


def scored(found: dict[str, str], whole: str, examples: int) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Which split is trained on and which evaluated, as keys of config.data; and lines for a person.

    Args:
      found: see `splits`; without "train" everything is one split.
      whole: what that one split is called.
      examples: of the training split, or of the one split.
    """
    train = found.get("train", whole)
    if "validation" in found:
        test = found.get("test")
        score = flag("split", test)
        later = (
            (f"The split {test!r} is not used: to score it, end the evaluate.py command with {score}.",) if test else ()
        )
        return {"train_split": train, "eval_splits": (found["validation"],)}, later
    if "test" in found:
        return {"train_split": train, "eval_splits": (found["test"],)}, ()
    share = 100 - SHARES[examples >= FEW]
    if round(examples * share / 100) in (0, examples):
        raise UserError(f"{examples:,} examples are too few to hold some of them out: add more, or a validation split.")
    line = f"No validation split: {100 - share} % are held out of {train!r}."
    return {"train_split": f"{train}[:{share}%]", "eval_splits": (f"{train}[{share}%:]",)}, (line,)


def training(
    section: Section, found: dict[str, str], whole: str, opened: Callable[[str], T], size: Callable[[T], int]
) -> tuple[T, dict[str, Value], tuple[str, ...]]:
    """The training split; which splits there are, as keys of config.data where that leaves them open; and lines for a
    person.

    Args:
      found, whole: see `scored`.
      opened: the split of a name.
      size: how many examples a split has.
    """
    if split := section.get("train_split"):
        beside: dict[str, Value] = {} if section.get("eval_splits") else {"eval_splits": (_beside(split, found),)}
        return opened(split), beside, ()
    keys, lines = scored(found, whole, size(opened(found.get("train", whole))))
    return opened(keys["train_split"]), keys, lines


def _beside(split: str, found: dict[str, str]) -> str:
    """What is evaluated beside a training split that a person names: the validation or test split, or the other part.

    Raises:
      UserError: there is none.
    """
    part = re.fullmatch(r"(.+)\[:(\d+%?)\]", split)
    if there := found.get("validation") or found.get("test") or (part and f"{part[1]}[{part[2]}:]"):
        return there
    raise UserError(
        f"config.data.train_split={split!r} is set, and there is no split to score: set --config.data.eval_splits."
    )


def sample(examples: int) -> list[int]:
    """Places of some examples, spread evenly."""
    return sorted({round(i * (examples - 1) / max(MOST - 1, 1)) for i in range(MOST)})


def among(values: Sequence[int], share: float = 0.5) -> int:
    """The value below which so many are."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0


def tokenizer(texts: Sequence[str]) -> dict[str, Value]:
    """Keys of config.data for a tokenizer that these texts can teach: subwords where there are words enough."""
    words, characters = {word for text in texts for word in text.split()}, set().union(*texts)
    if len(words) >= WORDS:
        size = min(SUBWORDS, max(len(characters) + WORDS // 2, len(words) // 2))
        return {"tokenizer": "bpe", "vocabulary_size": max(size, len(characters) + 100)}
    spaced = sum(map(len, texts)) < 20 * max(1, sum(len(text.split()) for text in texts))
    return {"tokenizer": "word" if spaced else "char", "vocabulary_size": SUBWORDS}
