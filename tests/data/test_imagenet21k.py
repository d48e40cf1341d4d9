"""The ImageNet-21k builder on archives of three synsets, in the layouts of both releases."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data.builders.imagenet21k import Imagenet21k

SYNSETS = ["n00004475", "n00005787", "n12513613"]
ARCHIVES = {"fall11": "fall11_whole.tar", "winter21": "winter21_whole.tar.gz"}


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (8 + seed, 9, 3), np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


IMAGES = {f"{wnid}_{i}.JPEG": jpeg(4 * c + i) for c, wnid in enumerate(SYNSETS) for i in range(4)}


def tar(files, mode="w", folder=""):
    with tarfile.open(fileobj=(archive := io.BytesIO()), mode=mode) as out:
        if folder:
            (member := tarfile.TarInfo(folder)).type = tarfile.DIRTYPE
            out.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def synset_tars():
    """Not in the order of their names."""
    return {f"{w}.tar": tar({n: b for n, b in IMAGES.items() if n.startswith(w)}) for w in reversed(SYNSETS)}


def whole(release):
    return tar(synset_tars()) if release == "fall11" else tar(synset_tars(), "w:gz", "winter21_whole/")


def prepare(folder, release, content):
    """A builder that has prepared an archive of this content."""
    manual = folder / "manual"
    manual.mkdir()
    (manual / ARCHIVES[release]).write_bytes(content)
    builder = Imagenet21k(data_dir=folder / "sets", config=release)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual))
    return builder


def check(builder):
    assert builder.info.features["label"].names == SYNSETS
    assert builder.info.features["label"].num_classes == 3
    assert builder.info.splits["train"].num_examples == 12
    dataset = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    examples = {e["file_name"].decode(): e for e in dataset.as_numpy_iterator()}
    assert {name: e["image"] for name, e in examples.items()} == IMAGES
    assert all(SYNSETS[e["label"]] == name.split("_")[0] for name, e in examples.items())


@pytest.mark.parametrize("release", ARCHIVES)
def test_prepares_an_archive_and_opens_it_again(tmp_path, release):
    builder = prepare(tmp_path, release, whole(release))
    check(builder)
    check(Imagenet21k(data_dir=tmp_path / "sets", config=release))
    check(tfds.builder(f"imagenet21k/{release}", data_dir=tmp_path / "sets"))
    check(tfds.builder_from_directory(builder.data_dir))  # without the code
    image, label = next(iter(builder.as_dataset(split="train[:1]", as_supervised=True)))
    assert image.shape[1:] == (9, 3)
    assert 0 <= label < 3


def test_a_missing_archive_is_named(tmp_path):
    (tmp_path / "something_else").touch()
    config = tfds.download.DownloadConfig(manual_dir=tmp_path)
    for release, archive in ARCHIVES.items():
        with pytest.raises(FileNotFoundError, match=f"no .*/{archive}"):
            Imagenet21k(data_dir=tmp_path / "sets", config=release).download_and_prepare(download_config=config)


@pytest.mark.parametrize("release", ARCHIVES)
@pytest.mark.parametrize("damage", ["cut short", "synset's header", "image's header"])
def test_a_damaged_archive_is_refused(tmp_path, release, damage):
    content = bytearray(whole("fall11"))
    if damage != "cut short":
        name = {"synset's header": b"n00005787.tar", "image's header": b"n00005787_2.JPEG"}[damage]
        content[content.index(name)] ^= 1
    if release == "winter21":
        content = bytearray(gzip.compress(content))
    if damage == "cut short":
        del content[len(content) // 2 :]
    with pytest.raises(tarfile.ReadError, match=f"{ARCHIVES[release]} is damaged near byte"):
        prepare(tmp_path, release, content)
    assert not Imagenet21k(data_dir=tmp_path / "sets", config=release).is_prepared()


@pytest.mark.parametrize(("name", "classes"), [("imagenet21k", 21_841), ("imagenet21k/winter21", 19_167)])
def test_mock_data(name, classes):
    skip = {"image": tfds.decode.SkipDecoding()}
    with tfds.testing.mock_data(num_examples=5):
        dataset, info = tfds.load(name, split="train", decoders=skip, with_info=True)
        examples = list(dataset.as_numpy_iterator())
    assert info.features["label"].num_classes == classes
    assert len(examples) == 5
    assert all(0 <= e["label"] < classes and e["image"].startswith(b"\xff\xd8") for e in examples)
