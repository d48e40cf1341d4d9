"""What a model may be called with."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
