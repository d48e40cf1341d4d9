"""A folder a class, a text a file: NAME/SPLIT/CLASS/x.txt, or NAME/CLASS/x.txt for the split "all"."""

from pathlib import Path

from data import listing
from data.slices import cut_mixed, named, stem
from data.text.files import whole
from errors import UserError, nearest, shown


def labelled(
    name: str, split: str, data_dir: str, field: str, label: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Classes are the sorted names of the folders. A part of a split has about the same share of every class."""
    del field, label
    root = listing.root(data_dir, name)
    there, _ = listing.folders(root)
    called = named(stem(split), there)
    folder = root if called == "all" and "all" not in there else root / called
    if not folder.is_dir():
        raise UserError(f"{root} has no folder {called!r} for that split: {nearest(called, [*there, 'all'])}")
    classes, _ = listing.folders(folder)
    files = [(path, i) for i, one in enumerate(classes) for path in listing.walk(folder / one, (".txt",))[0]]
    if not files:
        raise UserError(f"{folder} holds no texts: one folder a class is expected, with .txt files.")
    files = cut_mixed(files, split, str(root), lambda file: Path(file[0]).name, lambda file: file[1])
    texts = [" ".join(whole(Path(path)).split()) for path, _ in files]
    return texts, [i for _, i in files], tuple(map(shown, classes))
