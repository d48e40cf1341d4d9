"""What a person gives to predict.py, as files: folders, globs, one file; and the class that a folder says."""

import glob
import os
from collections.abc import Collection
from pathlib import Path

import storage
from data import listing
from data.image_file import SUFFIXES
from errors import UserError, shown

MAGIC = ("*", "?", "[")


def image_files(argument: str) -> list[str]:
    """The image files that an argument stands for: those of a folder, of a glob, or itself.

    Raises:
      UserError: a folder or a glob without images, or an address of the web.
    """
    if storage.is_address(argument):
        return image_files(str(storage.here(argument)))
    if "://" in argument:
        raise UserError(f"{shown(argument)} is not on this machine: download it, and give the file.")
    path = os.path.expanduser(argument)
    if os.path.isdir(path):
        found, _ = listing.walk(Path(path), SUFFIXES)
        if not found:
            raise UserError(f"{shown(argument)} holds no images, which end in {' '.join(SUFFIXES)}.")
        return found
    if any(sign in argument for sign in MAGIC) and not os.path.exists(path):
        found = sorted(one for one in glob.glob(path, recursive=True) if one.lower().endswith(SUFFIXES))
        if not found:
            raise UserError(f"no image is called {shown(argument)}.")
        return found
    return [path]


def check_plain(path: str) -> None:
    """Refuses a folder, a socket and the like where an image file is to be read.

    Raises:
      UserError: it is there, and is no plain file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        what = shown(path)
        raise UserError(f"cannot read {what}: it is no plain file. Give image files, such as {what}/*.png.")


def folder_class(path: str, classes: Collection[str]) -> str:
    """The class that a file's folder, or one above it, is named as; "" if none is."""
    return next((part for part in reversed(Path(path).parts[:-1]) if part in classes), "")
