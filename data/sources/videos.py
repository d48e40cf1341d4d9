"""A folder of videos, one folder a class: NAME/SPLIT/CLASS/x.mp4, or NAME/SPLIT/CLASS/x with a picture for each frame
(or NAME/CLASS/... for split "all")."""

import glob
import os
from pathlib import Path

from data import fingerprint, listing, videos
from data.items import MAGIC
from data.sources import Example, Feature, folder
from errors import UserError, shown

SUFFIXES = (*videos.FILES, ".apng", ".gif", ".webp")
EMPTY = "folders without a frame"


class Source(folder.Source):
    """Examples have `clip`, the path of a video (see data/videos.py), and `label`. Classes are the sorted names of the
    folders. A folder within a class is one video if it holds pictures, or holds further videos.

    What is hidden, of another kind, or no plain file, and folders without a frame, are left out and counted. A part of
    a split, "train[:80%]", has that part of every class, chosen by a hash of the videos' names.
    """

    holds = Feature("clip", (None, None, None, 3), encoded=True)
    each = "video"
    suffixes = SUFFIXES
    expected = f"with files ({' '.join(suffixes)}) or folders of frames"

    def parse(self, raw: Example) -> Example:
        """One example, its clip still a path."""
        example = {"clip": raw["path"], "label": raw["label"]}
        return {name: example[name] for name in self.features}

    def contents(self) -> dict[str, str]:
        """Sizes of the files."""
        files = [file for path in self._paths for file in (videos.pictures(path) if os.path.isdir(path) else [path])]
        return fingerprint.of_files(files, self._root)

    def _listed(self, folder: Path) -> tuple[list[str], listing.LeftOut]:
        """The videos in a folder and its sub-folders, sorted, and what is left out."""
        return found_in(folder)


def found_in(folder: Path) -> tuple[list[str], listing.LeftOut]:
    """The videos in a folder and its sub-folders, sorted, and what is left out."""
    files, left_out = listing.walk(folder, (*SUFFIXES, *videos.FRAMES))
    found = {file for file in files if file.lower().endswith(videos.FILES)}
    animated = {file for file in files if file.lower().endswith(SUFFIXES)} - found
    frames = [file for file in files if file not in found and file not in animated]
    folders = {os.path.dirname(file) for file in frames} - {str(folder)}
    found |= folders | {file for file in animated if os.path.dirname(file) not in folders}
    left_out += [(listing.OTHER, file) for file in frames if os.path.dirname(file) == str(folder)]
    holding = {str(parent) for file in files for parent in Path(file).parents}
    walked = [one for one, _, _ in os.walk(folder) if one not in holding and one != str(folder)]
    empty = [(EMPTY, one) for one in walked if not listing.hidden(os.path.basename(one))]
    videos.check(sorted(found))
    return sorted(found), left_out + empty


def of_argument(argument: str) -> list[str]:
    """The videos that a person's argument stands for: those of a folder that has no frames itself, those of a pattern
    such as "clips/*.mp4", or the one that it names.

    Raises:
      UserError: a folder or a pattern without videos.
    """
    path = os.path.expanduser(argument)
    if os.path.isdir(path):
        found, _ = found_in(Path(path))
        itself = videos.pictures(path) and not any(os.path.dirname(file) == os.path.normpath(path) for file in found)
        if not found and not itself:
            raise UserError(f"{shown(argument)} holds no videos: {' '.join(SUFFIXES)}, or folders of frames.")
        return [path] if itself else found
    if any(sign in argument for sign in MAGIC) and not os.path.exists(path):
        found = sorted(
            one for one in glob.glob(path, recursive=True) if os.path.isdir(one) or one.lower().endswith(SUFFIXES)
        )
        if not found:
            raise UserError(f"no video is called {shown(argument)}.")
        return [video for one in found for video in of_argument(one)]
    return [path]
