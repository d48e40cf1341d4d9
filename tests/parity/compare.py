"""Random weights, and whether two implementations make the same of them."""

import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

import models
import weights

TOLERANCE = 1e-4  # of outputs in float32
CLASSES = 10


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random weights, others for each name, that keep activations about 1; no bias is 0 and no scale is 1."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    words = name.replace("/", ".").split(".")
    scale = words[-1] in ("scale", "gamma") or (len(shape) == 1 and words[-1] == "weight")
    if len(shape) > 3:  # a convolution's, PyTorch's or JAX's
        inputs = np.prod(shape[1:] if words[-1] == "weight" else shape[:-1])
    else:
        inputs = np.prod(shape) / max(shape) if len(shape) > 2 else (shape or (1,))[0]
    spread = 0.1 if scale or len(shape) < 2 else max(inputs, 1) ** -0.5
    return np.asarray(spread * rng.normal(size=shape) + scale, np.float32)


def images(size: int) -> np.ndarray:
    """(2, size, size, 3), float32."""
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)


def compare(
    name: str,
    path: Path,
    inputs: np.ndarray,
    theirs: np.ndarray,
    outputs: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The file read into our model gives their outputs, and is written again, to `again` beside it, as it was.

    Args:
      inputs: images (B, rows, columns, C), clips (B, frames, rows, columns, C) or tokens (B, T).
      outputs: a vocabulary; the head's classes when None.

    Returns the row for the record.
    """
    found = weights.read(path)
    model: Any = models.build(outputs=found.classes if outputs is None else outputs, **found.model, **options)
    params = weights.stacked(found.params) if options.get("scan") else found.params
    ours = np.asarray(jax.jit(lambda params, x: model.apply({"params": params}, x, train=False))(params, inputs))
    assert ours.shape == theirs.shape
    error, spread = float(np.abs(ours - theirs).max()), float(theirs.std())
    assert spread > 0.05, "outputs so small that any error would pass"
    assert error < TOLERANCE, f"outputs of spread {spread:.3g} differ by {error:.3g}"

    again = path.with_name(f"again{path.suffix}")
    weights.write(again, params, found.scheme, found.model)
    theirs_again = {name: a for name, a in weights.files.read(path)[0].items() if name not in found.left_out}
    same(theirs_again, weights.files.read(again)[0])
    back = weights.read(again)
    same(weights.flat(found.params), weights.flat(back.params))
    assert back.model == found.model
    return {
        "weights": name,
        "read as": f"{found.words}, {found.scheme}",
        "image" if inputs.ndim > 3 else "tokens": inputs.shape[-2 if inputs.ndim > 3 else 1],
        "largest error": error,
        "spread of outputs": spread,
    }


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """The same names, shapes, dtypes and bits."""
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name
