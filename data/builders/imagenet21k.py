"""ImageNet-21k, whole, from the tar of tars that its site gives to those who register."""

import contextlib
import dataclasses
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Literal, Self

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

Example = tuple[str, dict[str, str | bytes]]  # with its key


@dataclasses.dataclass(eq=False)
class Release(tfds.core.BuilderConfig):
    """The archive of one release, and the number of synsets it should hold."""

    archive: str = ""
    synsets: int = 0


class Imagenet21k(tfds.core.GeneratorBasedBuilder):
    """All of ImageNet by WordNet synset, each image as released: 14,197,122 of 21,841 synsets in fall 2011.

    There is one split, "train": hold out a slice of it. The classes are the synsets that the archive holds, sorted.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        Release("fall11", description="Fall 2011.", archive="fall11_whole.tar", synsets=21_841),
        Release("winter21", description="Winter 2021.", archive="winter21_whole.tar.gz", synsets=19_167),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register on https://image-net.org/download-images and put the archive of the release into manual_dir as it is,
    not extracted: fall11_whole.tar for imagenet21k/fall11, winter21_whole.tar.gz for imagenet21k/winter21.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        names = tfds.features.ClassLabel.get_names_filepath(self.data_dir, "label")
        prepared = names.exists()  # then TFDS restores these names, which have to agree with what is declared here
        classes = {"names_file": names} if prepared else {"num_classes": self.builder_config.synsets}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage="https://image-net.org/",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(**classes),
                    "file_name": tfds.features.Text(),  # n00004475_6590.JPEG
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Example]]:
        """Reads the names of the synsets first: one seek each in a plain tar, a whole pass through a gzipped one."""
        release = self.builder_config
        path = dl_manager.manual_dir / release.archive
        if not path.exists():
            raise FileNotFoundError(f"There is no {path}. {' '.join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}")
        with _opened(path) as archive:
            synsets = sorted(name.stem for name, _ in files_of(archive, "r:*"))
        if len(synsets) != release.synsets:
            logging.warning("%s holds %d synsets, not the %d of the release.", path, len(synsets), release.synsets)
        self.info.features["label"].__init__(names=synsets)  # afresh: a number once declared would bind the names
        return {"train": self._generate_examples(path)}

    def _generate_examples(self, path: epath.Path) -> Iterator[Example]:
        with _opened(path) as archive:
            for synset, images in files_of(archive, "r|*"):
                for name, image in files_of(images, "r|"):
                    yield name.name, {"image": image.read(), "label": synset.stem, "file_name": name.name}


@contextlib.contextmanager
def _opened(path: epath.Path) -> Iterator[IO[bytes]]:
    """The file; an error that its contents cause names it and the place."""
    with path.open("rb") as file:
        try:
            yield file
        except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
            raise tarfile.ReadError(f"{path} is damaged near byte {file.tell():,}: {error}.") from error


class _Header(tarfile.TarInfo):
    """The header of a file in a tar: one that is damaged raises, where tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("InvalidHeaderError", "TruncatedHeaderError"):  # and not the proper end
                raise tarfile.ReadError(str(error)) from error
            raise


def files_of(archive: IO[bytes], mode: Literal["r:*", "r|*", "r|"]) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """The files of a tar by name, in its order; each is to be read, if at all, before the next is asked for."""
    with tarfile.open(fileobj=archive, mode=mode, tarinfo=_Header) as tar:
        for member in tar:
            if file := tar.extractfile(member):  # none of a folder
                yield PurePosixPath(member.name), file
