"""Files of images: every usual kind is decoded as viewers show it, for models of one channel and of three, and the same
in training, evaluation and prediction."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import appearance, batches, image_file, images
from errors import UserError
from tests.data.test_pipeline import first, make

RED, BLUE = (200, 30, 30), (30, 30, 200)
GREY = {RED: 81, BLUE: 49}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """16 x 16, its upper half red and its lower half blue."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8], pixels[8:] = RED, BLUE
    return Image.fromarray(pixels)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def with_alpha(image: Image.Image, alpha: int) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(alpha)
    return image


UPRIGHT = {
    "png": lambda x: file_of(x, "PNG"),
    "jpeg": lambda x: file_of(x, "JPEG", quality=100),
    "cmyk": lambda x: file_of(x.convert("CMYK"), "JPEG", quality=100),
    "bmp": lambda x: file_of(x, "BMP"),
    "palette bmp": lambda x: file_of(x.quantize(2), "BMP"),
    "palette png": lambda x: file_of(x.quantize(2), "PNG"),
    "gif": lambda x: file_of(x.quantize(2), "GIF"),
    "webp": lambda x: file_of(x, "WEBP", lossless=True),
    "tiff": lambda x: file_of(x, "TIFF"),
    "opaque": lambda x: file_of(with_alpha(x, 255), "PNG"),
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_usual_jpeg_is_read_without_python(picture, mode, monkeypatch):
    asked = []
    monkeypatch.setattr(image_file, "is_plain", lambda file: np.bool_(asked.append(file) is None))
    usual = file_of(picture.convert(mode), "JPEG")
    assert image_file.plain(tf.constant(usual))
    assert not asked
    others = [
        file_of(picture, "JPEG", exif=turned()),
        file_of(picture.convert("CMYK"), "JPEG"),
        file_of(picture, "PNG"),
    ]
    for other in others:
        image_file.plain(tf.constant(other))
    assert asked == others


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", UPRIGHT)
def test_a_file_is_decoded_as_viewers_show_it(picture, kind, channels):
    found = images.decode(tf.constant(UPRIGHT[kind](picture)), channels).numpy()
    assert (found.shape, found.dtype) == ((16, 16, channels), np.uint8)
    for row, colour in ((0, RED), (15, BLUE)):
        expected = colour if channels == 3 else (GREY[colour],)
        assert np.abs(found[row].astype(int) - expected).max() <= (10 if kind == "jpeg" else 2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_its_exif_says(picture, kind):
    found = images.decode(tf.constant(file_of(picture, kind, exif=turned())), 3).numpy()
    assert found[8, 0].argmax() == 2  # a quarter turn clockwise: what was below is at the left
    assert found[8, 15].argmax() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_is_white(picture, channels):
    files = [file_of(with_alpha(picture, 0), kind) for kind in ("PNG", "TIFF")]
    files += [file_of(picture.convert("L").convert("LA"), "PNG"), file_of(picture, "PNG", transparency=RED)]
    decoded = [images.decode(tf.constant(file), channels).numpy() for file in files]
    assert [x[0, 0, 0] for x in decoded] == [255, 255, GREY[RED], 255]
    pixels = tf.constant(np.asarray(with_alpha(picture, 0)))  # of an array
    assert images.decode(pixels, channels).numpy().min() == 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_16_bits_the_upper_8_are_seen(kind):
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    found = images.decode(tf.constant(file_of(Image.fromarray(ramp * 257), kind)), 1).numpy()
    np.testing.assert_array_equal(found[..., 0], ramp)


def claiming(side: int) -> bytes:
    """A small file that says it has side x side pixels."""
    file = file_of(Image.new("RGB", (2, 2)), "BMP")
    return file[:18] + 2 * side.to_bytes(4, "little") + file[26:]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "it is empty"),
        (b"GIF, it says", "it is not one of BMP, GIF, JPEG, PNG, TIFF, WEBP"),
        (file_of(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"), "its pixels have 32 bits"),
        (file_of(Image.new("RGB", (99, 99)), "BMP")[:300], "it is damaged"),
        (claiming(65536), "it has 65536 x 65536 pixels, more than"),
    ],
)
def test_what_cannot_be_decoded_says_why(file, message):
    with pytest.raises(ValueError, match=message):
        images.decode(tf.constant(file), 3)


def test_the_reason_is_in_plain_words(tmp_path):
    half = tmp_path / "half.jpg"
    half.write_bytes(file_of(Image.effect_noise((64, 64), 99), "JPEG")[:999])
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    said = {half: "it is damaged, or its end is missing.", loop: "Too many levels of symbolic links."}
    for path, words in said.items():
        with pytest.raises(tf.errors.OpError) as error:
            images.decode(tf.io.read_file(str(path)), 1)
        assert batches.reason(error.value) == words


@pytest.mark.parametrize("channels", [1, 3])
def test_training_evaluation_and_prediction_see_the_same(picture, tmp_path, channels):
    for name, content in UPRIGHT.items():
        (path := tmp_path / "train" / "x" / f"{name}.{'tif' if name == 'tiff' else 'png'}").parent.mkdir(
            parents=True, exist_ok=True
        )
        path.write_bytes(content(picture))
    (tmp_path / "train" / "x" / "turned.jpg").write_bytes(file_of(picture, "JPEG", exif=turned()))
    settings = dict(mean=(0.0,) * channels, std=(1.0,) * channels, batch_size=11, eval_splits=("train",), image_size=16)
    pipeline = make("folder", tmp_path, **settings)
    (evaluated,) = pipeline.eval_batches("train")
    read, _ = pipeline.read([str(path) for path in sorted(tmp_path.glob("train/x/*"))])
    np.testing.assert_array_equal(evaluated["image"], read["image"])
    (trained,) = first(pipeline.train_batches(0), 1)
    assert sorted(x.tobytes() for x in trained["image"]) == sorted(x.tobytes() for x in read["image"])


def test_a_grey_model_says_that_its_images_are_in_colour(picture, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "x").mkdir(parents=True)
        picture.save(tmp_path / split / "x" / "1.png")
    grey = make("folder", tmp_path, mean=(0.5,), std=(0.5,))
    assert any("in colour, and the model sees them in grey" in line for line in grey.describe())
    assert "is in colour, and the model sees it in grey" in grey.read([str(tmp_path / "test/x/1.png")])[1][0]
    assert len(make("folder", tmp_path).describe()) == 1
    assert not appearance.in_colour(np.full((4, 4, 3), 9, np.uint8))


def test_a_grey_model_sees_the_background_that_it_was_trained_with(tmp_path):
    digit = np.zeros((8, 8), np.uint8)
    digit[2:6, 3:5] = 230
    (tmp_path / "train" / "x").mkdir(parents=True)
    Image.fromarray(digit).save(tmp_path / "train" / "x" / "1.png")
    Image.fromarray(255 - digit).save(tmp_path / "scan.png")
    settings = dict(mean=(0.0,), std=(1.0,))
    known = make("folder", tmp_path, **settings).known
    assert known == {"classes": ["x"], "background": "dark"}
    seen, notes = make("folder", tmp_path, known=known, **settings).read([str(tmp_path / "scan.png")])
    np.testing.assert_allclose(seen["image"][0, ..., 0] * 255, digit, atol=1e-3)
    assert "scan.png has a light background and the training images a dark one: it is inverted" in notes[0]
    kept, notes = make("folder", tmp_path, known=known, invert="never", **settings).read([str(tmp_path / "scan.png")])
    np.testing.assert_allclose(kept["image"][0, ..., 0] * 255, 255 - digit, atol=1e-3)
    assert notes == []
    # a run that does not know, of an older version, leaves it as it is
    old, notes = make("folder", tmp_path, known={"classes": ["x"]}, **settings).read([str(tmp_path / "scan.png")])
    assert (old["image"] == kept["image"]).all()
    assert notes == []


@pytest.mark.parametrize(
    "wrong", [dict(mean=(127.5,) * 3), dict(std=(127.5,) * 3), dict(mean=(-0.5,) * 3), dict(std=(1e-6,) * 3)]
)
def test_a_mean_of_0_to_255_is_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=r"should be of values from 0 to 1, .* divide those of 0 to 255 by 255"):
        make("folder", tmp_path, **wrong)
