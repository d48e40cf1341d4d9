"""From an image's file to its pixels, as viewers show them.

TensorFlow reads the plain ones quickly: JPEG and PNG that are upright, opaque, and grey or RGB. Pillow reads others.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from data.order import Tensor, python, tensorflow

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
HEADER = 4096  # bytes in which the header of nearly every JPEG ends
MOST_PIXELS = 2**27  # of one image; a small file can claim any number
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns, and is no error
ORIENTATION = 0x0112  # of EXIF: 1 is upright
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's 16-bit greys


def plain(file: Tensor) -> Tensor:
    """Whether TensorFlow shows a file, a scalar string, as viewers do: a scalar bool.

    Python, which runs one thread at a time, is not asked about a JPEG of 1 or 3 components whose header has no EXIF, as
    most files of a data set are.
    """
    tf = tensorflow()
    header = tf.strings.substr(file, 0, HEADER)
    frame = r"\C*\x00[\x0B\x11]\x08\C*"  # its length, which tells the components, and 8 bits
    usual = tf.strings.regex_full_match(header, frame) & ~tf.strings.regex_full_match(header, r"\C*Exif\C*")

    def small() -> Tensor:
        shape = tf.cast(tf.io.extract_jpeg_shape(file), tf.int64)
        return shape[0] * shape[1] <= MOST_PIXELS

    return tf.cond(usual & tf.io.is_jpeg(file), small, lambda: tf.ensure_shape(python(is_plain, [file], tf.bool), ()))


def pixels(file: Tensor, channels: int, plain: Tensor) -> Tensor:
    """uint8 (height, width, channels) of a file, a scalar string: of the first frame if it has several."""
    tf = tensorflow()

    def others() -> Tensor:
        return python(lambda content: read(content, channels), [file], tf.uint8)

    found = tf.cond(plain, lambda: tf.io.decode_image(file, channels=channels, expand_animations=False), others)
    return tf.ensure_shape(found, (None, None, channels))


def is_plain(file: bytes) -> np.bool_:
    """What `plain` says, from the file's header alone."""
    if file[:3] == b"\xff\xd8\xff":
        return np.bool_(_is_plain_jpeg(file))
    if file[:8] == b"\x89PNG\r\n\x1a\n":
        head = file[: file.find(b"IDAT")]
        width, height = int.from_bytes(file[16:20]), int.from_bytes(file[20:24])
        opaque = file[25:26] in (b"\0", b"\2", b"\3") and b"tRNS" not in head  # grey, RGB or a palette
        return np.bool_(opaque and b"eXIf" not in head and width * height <= MOST_PIXELS)
    return np.bool_(False)


def _is_plain_jpeg(file: bytes) -> bool:
    """Whether it is upright, of 1 or 3 components and not too large, by the segments before its pixels."""
    place = 2
    while file[place : place + 1] == b"\xff" and place + 4 <= len(file):
        marker, end = file[place + 1], place + 2 + int.from_bytes(file[place + 2 : place + 4])
        if marker == 0xE1 and file[place + 4 : place + 8] == b"Exif" and _orientation(file[place + 4 : end]) != 1:
            return False
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the frame: height, width, components
            height, width = int.from_bytes(file[place + 5 : place + 7]), int.from_bytes(file[place + 7 : place + 9])
            return file[place + 9 : place + 10] in (b"\1", b"\3") and height * width <= MOST_PIXELS
        place = place + 1 if marker == 0xFF else end
    return True  # it is damaged, which TensorFlow says


def _orientation(segment: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(segment)
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # of a damaged segment Pillow raises anything; the pixels may be whole
        return 1


def read(file: bytes, channels: int) -> np.ndarray:
    """Any file of FORMATS as uint8 (height, width, channels), turned as EXIF says, what is transparent over white.

    Raises:
      ValueError: it cannot be read.
    """
    if not file:
        raise ValueError("it is empty.")
    try:
        image: Image.Image = Image.open(io.BytesIO(file), formats=FORMATS)
    except Exception:  # Pillow raises anything, here and below
        raise ValueError(f"it is not one of {', '.join(FORMATS)}, or it is damaged.") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MOST_PIXELS:,}.")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits ({image.mode}), whose range is not known: save it with 8 bits.")
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in DEEP:
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if image.mode not in ("1", "L"):
            image = image.convert("RGB")
        found = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Exception as error:
        raise ValueError(f"it is damaged ({' '.join(str(error).split())}).") from None
    return found.reshape(*found.shape[:2], channels)
