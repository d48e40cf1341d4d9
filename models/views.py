"""Several views of one video: clips and crops that a model sees one by one.

B batch, V views, D width.
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from models.arrays import AnyArray


def averaged(
    clip: Float[AnyArray, "B *V frames height width channels"],
    represent: Callable[[AnyArray], Float[Array, "b D"]],
) -> Float[Array, "B D"]:
    """The mean of what `represent` makes of each view; of clips without views, what it makes of them."""
    if clip.ndim == 5:
        return represent(clip)
    batch, views = clip.shape[:2]
    x: jax.Array = represent(clip.reshape(batch * views, *clip.shape[2:]))
    return x.reshape(batch, views, -1).mean(1)
