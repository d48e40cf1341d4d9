"""By what a run notices that its training data changed: the same for a copy elsewhere, another for other data."""

import os
from pathlib import Path

import numpy as np
import pytest

from data import fingerprint, sources
from data.sources import arrays


def write(root: Path, names: list[str]) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode(errors="surrogateescape"))
    return paths


def test_files_are_told_by_their_path_and_size(tmp_path):
    names = ["cat/1.png", "dog/10.png", "dog/\udcff.png"]
    first, second = (fingerprint.of_files(write(tmp_path / place, names), tmp_path / place) for place in "ab")
    assert first == second == {"cat/1.png": "5 bytes", "dog/10.png": "6 bytes", "dog/\udcff.png": "5 bytes"}


def test_many_files_are_told_by_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MANY", 3)
    paths = write(tmp_path, ["cat/1.png", "cat/2.png", "dog/3.png", "dog/44.png"])
    before = fingerprint.of_files(paths, tmp_path)
    assert sorted(before) == ["cat/", "dog/"]
    assert before["dog/"].startswith("2 files, 11 bytes, ")
    os.rename(tmp_path / "cat/1.png", tmp_path / "cat/9.png")
    after = fingerprint.of_files([tmp_path / "cat/9.png", *paths[1:]], tmp_path)
    assert after["dog/"] == before["dog/"]
    assert after["cat/"] != before["cat/"]


def test_very_many_files_are_told_by_their_names_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST", 1)
    nowhere = [tmp_path / name for name in ("cat/1.png", "cat/2.png", "dog/3.png")]
    before = fingerprint.of_files(nowhere, tmp_path)
    assert before["cat/"].startswith("2 files, ")
    assert fingerprint.of_files([tmp_path / "cat/9.png", *nowhere[1:]], tmp_path)["cat/"] != before["cat/"]


def test_texts_are_told_by_number_size_and_digest():
    base = fingerprint.of_texts(["ab", "c"], ["x", "y"])
    assert base["column 1"].startswith("2 of 3 characters, ")
    assert fingerprint.of_texts(["a", "bc"], ["x", "y"])["column 1"] != base["column 1"]
    assert fingerprint.of_texts(["ab", "c"], ["x", "z"])["column 2"] != base["column 2"]


@pytest.mark.parametrize("change", [{}, {"test_labels": 1}, {"train_labels": 1}])
def test_an_archive_is_told_by_the_checksums_of_its_split(change, tmp_path):
    parts = {
        f"{split}_{name}": np.zeros((4, *shape), dtype)
        for split in ("train", "test")
        for name, shape, dtype in (("images", (8, 8), np.uint8), ("labels", (), np.int64))
    }
    np.savez(tmp_path / "a.npz", **parts)
    for name, value in change.items():
        parts[name][0] = value
    np.savez(tmp_path / "b.npz", **parts)
    a, b = (sources.contents(arrays.Source(str(tmp_path / file), "train")) for file in ("a.npz", "b.npz"))
    assert sorted(a) == ["train_images.npy", "train_labels.npy"]
    assert (a == b) == ("train_labels" not in change)


def test_a_source_that_cannot_change_has_none():
    assert sources.contents(sources.open("synthetic", "10", "train")) == {}
    version, *files = sources.contents(sources.open("tfds", "digits", "train")).items()
    assert version == ("digits/1.0.0", version[1])
    assert version[1].startswith("1437 examples, ")
    assert [name for name, _ in files] == ["digits-train.tfrecord-00000-of-00001"]
