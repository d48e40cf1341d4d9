"""Arrays and pictures as the page's JavaScript reads them.

assets/decode.js unpacks them.
"""

import base64
import io
from typing import TypedDict

import numpy as np
from jaxtyping import Float
from PIL import Image

SMALL = 64  # pixels: of the side of an image that is kept exactly and shown with its pixels as squares


class Packed(TypedDict):
    """An array of numbers that are not negative, a byte each.

    Attributes:
      shape: of the array.
      values: uint8 by base64: each number as a share of its row's largest, of 255.
      peaks: float32 by base64: the largest number of each row, which is what the last axis holds.
    """

    shape: list[int]
    values: str
    peaks: str


def packed(x: Float[np.ndarray, "*batch N"]) -> Packed:
    """An array whose smallest number is 0 or more. An element is off by at most 1/510 of its row's largest."""
    x = np.maximum(np.nan_to_num(np.asarray(x, np.float32)), 0)
    peaks = x.max(-1, keepdims=True, initial=0)
    shares = np.rint(255 * np.divide(x, peaks, out=np.zeros_like(x), where=peaks > 0)).astype(np.uint8)
    return {"shape": list(x.shape), "values": based(shares.tobytes()), "peaks": based(peaks.astype("<f4").tobytes())}


def picture(pixels: Float[np.ndarray, "height width channels"]) -> str:
    """An image of values in [0, 1] as the address that holds it: PNG if it is small, else JPEG."""
    values = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    image = Image.fromarray(values[..., :3] if values.shape[-1] > 2 else values[..., 0])
    kind = "png" if max(image.size) <= SMALL else "jpeg"
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 88} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{based(file.getvalue())}"


def based(data: bytes) -> str:
    """Bytes by base64."""
    return base64.b64encode(data).decode()
