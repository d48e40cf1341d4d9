"""What a model sows of its attention, whatever model it is.

L layers, H heads, Q queries, K keys, R rows and C columns of patches.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from errors import UserError
from models import paths

# Of a layer that stands by itself or is stacked with the others: "encoder/block_00/attention/attention/0".
LAYER = re.compile(
    r"(?P<stack>.*?)[/_](?:blocks|block_(?P<number>\d+))/(?P<part>(?:self_|cross_)?attention)/attention/0"
)
ALONE = re.compile(r"(?P<part>cross_attention)/0")  # of a model with one layer and one head
CLASS = "[class]"  # a token that a model adds before those of a sentence


@dataclass(frozen=True, repr=False)
class Attention:
    """How a model attended to one example. Rows of weights are queries and sum to 1.

    Attributes:
      maps: float32 (L, H, Q, K) by what attends: "encoder", "decoder", and "cross" for a decoder's attention to the
        encoder; of models with more stacks, by their names.
      tokens: of texts, what stands at each place of "encoder" and of "decoder", K and Q of them; and as "written" what
        a decoder writes after each place that it reads.
      grid: of images, rows and columns of the patches, which are the last R * C of the encoder's tokens; None else.
    """

    maps: dict[str, Float[np.ndarray, "L H Q K"]]
    tokens: dict[str, list[str]] = field(default_factory=dict)
    grid: tuple[int, int] | None = None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {weights.shape}" for name, weights in self.maps.items())
        return f"<attention (layers, heads, queries, keys): {shapes}>"

    def over_patches(self, name: str = "encoder") -> Float[np.ndarray, "L H Q R C"]:
        """A map with its keys as rows and columns of patches, without those that are not patches.

        Raises:
          UserError: there is no such map, or it is not of patches.
        """
        if name not in self.maps:
            raise UserError(f"there is no attention {name!r}: there is {', '.join(self.maps)}.")
        weights = self.maps[name]
        if self.grid is None or weights.shape[-1] < self.grid[0] * self.grid[1]:
            raise UserError(f"the keys of {name!r} are not an image's patches.")
        return weights[..., weights.shape[-1] - self.grid[0] * self.grid[1] :].reshape(*weights.shape[:-1], *self.grid)


def by_layer(probes: Mapping[str, Array], probe: str) -> list[Array]:
    """One probe of all layers in order, whether these are written out or stacked.

    Args:
      probes: sown arrays by path.
      probe: the path within a layer, such as "attention/attention/0".
    """
    layers: dict[int, Array] = {}
    for path, value in probes.items():
        layer = paths.layer(path)
        if layer is None or layer.after != probe:
            continue
        if layer.number is None:
            layers |= dict(enumerate(value))
        else:
            layers[layer.number] = value
    return [layers[number] for number in sorted(layers)]


def attention(probes: Mapping[str, Array]) -> dict[str, Float[np.ndarray, "L H Q K"]]:
    """The weights of the first example by what attends; none of a model that does not attend to the whole example.

    Args:
      probes: sown arrays of a batch, by path.
    """
    found: dict[str, dict[int, Array]] = {}
    for path, value in probes.items():
        if alone := ALONE.fullmatch(path):
            found.setdefault(_name("decoder", alone["part"]), {})[0] = value[:, None]
        elif layer := LAYER.fullmatch(path):
            layers = found.setdefault(_name(layer["stack"], layer["part"]), {})
            layers |= dict(enumerate(value)) if layer["number"] is None else {int(layer["number"]): value}
    whole = {name: jnp.stack([layers[i][0] for i in sorted(layers)]) for name, layers in found.items()}
    return {name: np.asarray(x, np.float32) for name, x in jax.device_get(whole).items()}


def _name(stack: str, part: str) -> str:
    if part == "cross_attention":
        return "cross" if stack == "decoder" else f"{stack}/cross"
    return stack


def outputs(probes: Mapping[str, Array]) -> Float[Array, "B N D"] | None:
    """What the last layer of the encoder returns, or of the decoder where there is no encoder; None without layers."""
    for stack in ("encoder", "decoder"):
        own = {path: x for path, x in probes.items() if (layer := paths.layer(path)) and layer.before == stack}
        if layers := by_layer(own, "output/0"):
            return layers[-1]
    return None
