"""Videos: folders of files and of frames, TFDS's sets, and what cannot be read."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data import sources, videos
from data.pipelines import clips
from errors import UserError
from experiment.items import readable


def frame(level: int, size: tuple[int, int] = (30, 24)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def film(path, levels, size=(30, 24)):
    """A folder with a picture for each frame, whose names count without zeros before them."""
    path.mkdir(parents=True)
    for number, level in enumerate(levels):
        frame(level, size).save(path / f"frame_{number}.png")


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        film(tmp_path / split / "dark" / "a", range(0, 120, 10))
        film(tmp_path / split / "dark" / "deep" / "b", [20, 30], (24, 50))  # shorter, and of another size
        film(tmp_path / split / "light" / "a", range(100, 220, 10))
        frames = [frame(level) for level in (200, 210, 220, 230)]
        frames[0].save(tmp_path / split / "light" / "b.gif", save_all=True, append_images=frames[1:])
    return tmp_path


def pipeline(name, **changes) -> clips.Pipeline:
    arguments = dict(source="videos", name=str(name), frames=3, stride=2, image_size=16, mean=(0.5,), std=(0.5,))
    return clips.Pipeline(**arguments | dict(batch_size=4, eval_batch_size=2) | changes)


def levels(batch) -> list[list[int]]:
    return np.round((batch["clip"].mean((2, 3, 4)) * 0.5 + 0.5) * 255).astype(int).tolist()


def test_folders_and_animated_pictures_are_videos_of_their_class(folder):
    (folder / "test" / "dark" / "empty").mkdir()
    (folder / "test" / "dark" / "notes.txt").write_text("none")
    frame(3).save(folder / "test" / "stray.gif")
    there = pipeline(folder)
    assert there.classes == ("dark", "light")
    found = {}
    for batch in there.eval_batches("test"):
        for row, index in enumerate(batch["index"]):
            found[there.called("test", int(index)).removeprefix(str(folder))] = levels(batch)[row]
    assert found == {
        "/test/dark/a": [30, 50, 70],
        "/test/dark/deep/b": [20, 30, 30],
        "/test/light/a": [130, 150, 170],
        "/test/light/b.gif": [200, 220, 230],
    }
    notes = " ".join(there.describe())
    assert "Of videos of fewer than 5 frames, some are repeated." in notes
    assert "1 folders without a frame (empty)" in notes
    assert "1 of another kind (notes.txt)" in notes
    assert "1 videos outside a folder of a class (stray.gif)" in notes
    assert there.labels("test").tolist() == [0, 0, 1, 1]
    assert next(there.train_batches(0))["clip"].shape == (4, 3, 16, 16, 1)
    assert next(iter(there.fingerprint)).startswith("dark/a/frame_0.png")


def test_a_part_of_a_split_has_a_part_of_every_class(folder):
    source = sources.open("videos", str(folder), "train[:50%]")
    assert sorted(source.labels()) == [0, 1]


@pytest.mark.parametrize("damage", ["size", "file", "gif"])
def test_a_broken_video_stops_the_run_or_is_counted(folder, damage):
    path = folder / "test" / "light" / {"size": "a", "file": "a", "gif": "b.gif"}[damage]
    if damage == "gif":
        path.write_bytes(path.read_bytes()[:40])
    elif damage == "file":
        for file in path.iterdir():
            file.write_bytes(b"no picture")
    else:
        for number in (0, 5):
            frame(9, (10, 10)).save(path / f"frame_{number}.png")
    with pytest.raises(UserError, match=r"cannot read .*test/light.*unreadable=skip") as raised:
        list(pipeline(folder).eval_batches("test"))
    assert "\n" not in str(raised.value)
    assert damage != "file" or ".png: it is not one of" in str(raised.value)
    assert damage != "size" or "its frames differ in size: 10x10, 30x24" in str(raised.value)
    there = pipeline(folder, unreadable="skip", eval_clips=2)
    batches = list(there.eval_batches("test"))
    assert sum(batch["mask"].sum() for batch in batches) == 3
    (line,) = there.unscored()
    assert line.startswith(f"test: 1 examples that could not be read are left out of the score, such as {path}")


def test_a_person_gives_videos_folders_of_them_and_patterns(folder):
    there, test = pipeline(folder), folder / "test"
    every = [str(test / name) for name in ("dark/a", "dark/deep/b", "light/a", "light/b.gif")]
    assert there.items(str(test)) == every
    assert there.items(str(test / "dark" / "a")) == every[:1], "its files are frames"
    assert there.items(str(test / "*")) == every
    with readable(there, [test, every[0]]) as found:
        assert found == [*every, every[0]]
    assert there.items(str(test / "light" / "*.gif")) == there.items(every[3]) == every[3:]
    assert [there.truth(item) for item in every] == ["dark", "dark", "light", "light"]
    (test / "none").mkdir()
    for argument, message in ((test / "none", "holds no videos: .3gp"), (test / "*.mp4", "no video is called")):
        with pytest.raises(UserError, match=message):
            there.items(str(argument))
    frame(3).save(test / "light" / "cover.png")
    assert there.items(str(test / "light")) == every[2:], "a picture beside videos is none"


def test_what_is_no_folder_of_videos_is_one_line(folder):
    for name, split, message in (
        (folder / "none", "train", "there is no folder"),
        (folder, "tset", "has no folder 'tset' for that split: did you mean 'test'"),
        (folder / "train" / "dark", "a", "holds no videos: one folder a class is expected"),
    ):
        with pytest.raises(UserError, match=message):
            sources.open("videos", str(name), split)
    film(folder / "test" / "new" / "a", [1, 2])
    with pytest.raises(UserError, match="split 'test' has a class 'new' that the training split does not have"):
        pipeline(folder).split("test")


def test_files_need_pyav_and_say_so_at_once(folder, monkeypatch):
    (folder / "train" / "dark" / "c.mp4").write_bytes(b"none")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        UserError, match=r"decoding c.mp4 needs PyAV: \S*python -m pip install av==\S+, or give folders of frames"
    ):
        sources.open("videos", str(folder), "train")


def test_the_error_line_names_the_version_that_is_pinned():
    root = Path(__file__).parents[2]
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]["video"] == [
        videos.PYAV
    ]
    assert f"\n{videos.PYAV} " in (root / "requirements-dev.txt").read_text()


def test_files_are_decoded_frame_by_frame(folder):
    av = pytest.importorskip("av", reason="PyAV is not installed: requirements-dev.txt")
    path = folder / "test" / "light" / "c.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for level in range(0, 200, 20):
            picture = np.full((24, 32, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    assert videos.length(str(path)) == 10
    found = videos.frames(str(path), np.array([9, 0, 4, 4])).mean((1, 2, 3))
    np.testing.assert_allclose(found, [180, 0, 80, 80], atol=4)
    assert videos.frames(str(path), np.array([9, 12])).shape == (2, 24, 32, 3), "a header may promise too much"
    there = pipeline(folder)
    found = [row for batch in there.eval_batches("test") for row in levels(batch)]
    assert any(np.allclose(row, [40, 80, 120], atol=4) for row in found)
    path.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"cannot read .*c\.mp4: it is damaged or no video"):
        list(there.eval_batches("test"))
    with pytest.raises(UserError, match=r"cannot read .*c\.mp4 as a video: it is damaged or no video"):
        there.read([str(path)])


class MovingBars(tfds.core.GeneratorBasedBuilder):
    """Videos of different lengths."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        video = tfds.features.Video(shape=(None, 20, 24, 3))
        features = {
            "video": video,
            "label": tfds.features.ClassLabel(names=["up", "down"]),
            "name": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        for number in range(count):
            video = np.zeros((3 + 3 * number, 20, 24, 3), np.uint8)
            video += np.arange(len(video), dtype=np.uint8)[:, None, None, None] * 10
            yield number, {"video": video, "label": number % 2, "name": str(number)}


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_video_set_of_tfds(tmp_path, file_format):
    MovingBars(data_dir=tmp_path, file_format=file_format).download_and_prepare()
    where = dict(source="tfds", data_dir=str(tmp_path))
    there = pipeline("moving_bars", clip="video", **where)
    assert there.classes == ("up", "down")
    found = [row for batch in there.eval_batches("test") for row in levels(batch)]
    assert sorted(found[:3]) == [[0, 20, 20], [0, 20, 40], [20, 40, 60]]
    assert next(there.train_batches(0))["clip"].shape == (4, 3, 16, 16, 1)
    with pytest.raises(
        UserError, match=r"has no clip: .*video.*Say which feature is the clip: --config.data.clip=NAME"
    ):
        pipeline("moving_bars", **where).split("test")
    with pytest.raises(UserError, match="its 'name' is no clip"):
        pipeline("moving_bars", clip="name", **where).split("test")
