"""A folder of images with a list of their captions: Flickr8k as it is published, tables, JSON lines."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data import caption_files, fingerprint, listing
from data.image_file import SUFFIXES
from data.order import Tensor, tensorflow
from data.slices import cut, names, stem
from data.sources import Example, Feature, Features, Indexed, chosen
from errors import UserError, shown

FOLDERS = ("", "images", "Images", "Flickr8k_Dataset", "Flicker8k_Dataset", "flickr30k-images")  # of a set's images


class Source(Indexed):
    """Examples have `image`, the bytes of a file, and `captions`, all of the image's, UTF-8.

    The list is NAME/SPLIT.tsv, .csv or .jsonl, or one of all images (NAME/*.token.txt, NAME/captions.txt) with a list
    of each split's images. Images are in NAME, NAME/SPLIT or NAME/images. Images without a caption, captions without an
    image, and empty captions are left out and counted: see data/caption_files.py.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        self._root = listing.root(data_dir, name)
        listed = caption_files.read(self._root, stem(split))
        paths, notes = _found(self._root, stem(split), listed)
        kept = cut([(paths[image], listed.captions[image]) for image in paths], split, str(listed.file))
        self._paths = [path for path, _ in kept]
        self._captions = [captions for _, captions in kept]
        self.size, self.notes = len(kept), tuple(notes)
        self.features: Features = chosen(
            {"image": Feature("image", (None,) * 3, encoded=True), "captions": Feature("text", (None,))},
            wanted,
            str(listed.file),
        )
        self._tensors: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def captions(self) -> list[list[str]]:
        """Those of every example."""
        return self._captions

    def _held(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tf = tensorflow()
        if self._tensors is None:
            counts = np.array([len(captions) for captions in self._captions])
            with tf.init_scope():
                self._tensors = (
                    tf.constant([os.fsencode(path) for path in self._paths]),
                    tf.constant(np.cumsum(counts) - counts, tf.int64),
                    tf.constant(counts, tf.int64),
                    tf.constant([caption.encode() for captions in self._captions for caption in captions]),
                )
        return self._tensors

    def read(self, index: Tensor) -> Example:
        """Paths, and where the captions of each begin and how many there are."""
        tf = tensorflow()
        paths, starts, counts, _ = self._held()
        columns = {"path": paths, "start": starts, "count": counts}
        return {name: tf.gather(column, index) for name, column in columns.items()}

    def parse(self, raw: Example) -> Example:
        """One example, its file read."""
        tf = tensorflow()
        example: Example = {"captions": self._held()[3][raw["start"] : raw["start"] + raw["count"]]}
        if "image" in self.features:
            example["image"] = tf.io.read_file(raw["path"])
        return {name: example[name] for name in self.features}

    def contents(self) -> dict[str, str]:
        """Sizes of the images, and a digest of the captions."""
        texts = fingerprint.of_texts([caption for captions in self._captions for caption in captions])
        return fingerprint.of_files(self._paths, self._root) | {"captions": texts["texts"]}

    def describe(self, index: int) -> str:
        """An example by its file."""
        return shown(self._paths[index])


def _found(root: Path, split: str, listed: caption_files.Listed) -> tuple[Mapping[str, str], list[str]]:
    """The file of each image that is there, by its name in the list; and lines on what is left out.

    Raises:
      UserError: none is there.
    """
    folders = [root / folder for one in names(split) for folder in (one, f"images/{one}")]
    folders = [folder for folder in (*folders, *(root / folder for folder in FOLDERS)) if folder.is_dir()]
    paths, used, missing = {}, Counter[Path](), []
    for image in listed.captions:
        path, folder = next(((p, f) for f in folders if os.path.isfile(p := f / image)), (None, None))
        if path is None or folder is None:
            missing.append(image)
            continue
        paths[image] = str(path)
        used[folder] += 1
        folders.sort(key=lambda f: f != folder)  # the next is most likely there too
    what = shown(str(listed.file))
    if not paths:
        looked = ", ".join(shown(str(folder)) for folder in folders[:4])
        raise UserError(f"{what}: none of its {len(missing):,} images is there ({missing[0]}): looked in {looked}.")
    notes = listed.notes()
    if missing:
        count = sum(len(listed.captions[image]) for image in missing)
        notes.append(
            f"{what}: left out: {count:,} captions of {len(missing):,} images that are missing ({shown(missing[0])})."
        )
    own = [folder for folder in used if folder.name in names(split)]
    for folder in own:  # which has the images of this split alone
        here, _ = listing.walk(folder, SUFFIXES)
        unnamed = _unnamed(here, [*paths.values(), *(str(folder / image) for image in listed.without)])
        if unnamed:
            notes.append(
                f"{what}: left out: {len(unnamed):,} images of {shown(str(folder))} that it does not name "
                f"({shown(os.path.basename(unnamed[0]))})."
            )
    return paths, notes


def _unnamed(there: Sequence[str], named: Sequence[str]) -> list[str]:
    known = set(named)
    return [path for path in there if path not in known]
