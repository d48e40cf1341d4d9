"""Which keys each query may attend to.

B batch, T queries, S keys, H heads.
"""

from functools import reduce

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from models.arrays import AnyArray


@flax.struct.dataclass
class Mask:
    """A query may attend to a key where all parts allow it.

    The parts are kept apart because a T x S array is what attention to long sequences must not need.

    Attributes:
      causal: whether query t sees only the keys s <= t.
      segments: the number 1, 2, ... of each query's and of each key's segment, (B, T) and (B, S), which must be the
        same; 0 where there is nothing.
      allowed: any other mask, broadcastable to (B, H, T, S), True where allowed.
      window: of a causal mask, how many keys a query sees at most, its own the last of them; 0 for all.
    """

    causal: bool = flax.struct.field(pytree_node=False, default=False)
    segments: tuple[Int[AnyArray, "B T"], Int[AnyArray, "B S"]] | None = None
    allowed: Bool[AnyArray, "..."] | None = None
    window: int = flax.struct.field(pytree_node=False, default=0)

    def __and__(self, other: "Mask | AnyArray") -> "Mask":
        """What both allow. Only one of them may have segments, or a window."""
        other = as_mask(other)
        if self.segments and other.segments:
            raise ValueError("two masks of segments: combine the segments.")
        allowed = [x for x in (self.allowed, other.allowed) if x is not None]
        both = reduce(jnp.logical_and, allowed) if allowed else None
        window = self.window or other.window
        return Mask(self.causal or other.causal, self.segments or other.segments, both, window)

    @property
    def more(self) -> bool:
        """Whether there is more to it than `causal`."""
        return self.segments is not None or self.allowed is not None or self.window > 0

    @property
    def of_keys(self) -> bool:
        """Whether `allowed` says the same to every head and query."""
        return self.allowed is None or self.allowed.shape[-3:-1] == (1, 1)

    def padded(self, queries: int) -> "Mask":
        """The mask with rows added for queries that fill up a block, up to this number."""
        segments, allowed = self.segments, self.allowed
        if segments is not None:
            segments = (jnp.pad(segments[0], ((0, 0), (0, max(0, queries - segments[0].shape[1])))), segments[1])
        if allowed is not None and allowed.shape[-2] > 1:
            spare = ((0, 0),) * (allowed.ndim - 2) + ((0, max(0, queries - allowed.shape[-2])), (0, 0))
            allowed = jnp.pad(allowed, spare)
        return Mask(self.causal, segments, allowed, self.window)

    def rows(self, start: jax.typing.ArrayLike, queries: int, keys: int) -> Bool[Array, "..."] | None:
        """The mask of the queries start ... start + queries - 1 and of all keys, broadcastable to (B, H, queries,
        keys); None if they see everything."""
        parts = []
        if self.causal:
            before = jnp.arange(queries)[:, None] + start - jnp.arange(keys)
            parts += [before >= 0] + [before < self.window] * (self.window > 0)
        if self.segments is not None:
            of_query = jax.lax.dynamic_slice_in_dim(jnp.asarray(self.segments[0]), start, queries, axis=1)[:, :, None]
            of_key = jnp.asarray(self.segments[1])[:, None, :keys]
            parts.append(((of_query == of_key) & (of_key > 0))[:, None])
        if self.allowed is not None:
            allowed = jnp.asarray(self.allowed)
            if allowed.shape[-2] > 1:
                allowed = jax.lax.dynamic_slice_in_dim(allowed, start, queries, axis=allowed.ndim - 2)
            parts.append(allowed[..., :keys])
        return reduce(jnp.logical_and, parts) if parts else None

    def array(self, queries: int, keys: int) -> Bool[Array, "..."] | None:
        """The whole mask, broadcastable to (B, H, queries, keys); None if it allows everything."""
        return self.rows(0, queries, keys)


def as_mask(mask: Mask | AnyArray | None) -> Mask:
    """A mask, an array that is True where allowed, or None -> a Mask."""
    return mask if isinstance(mask, Mask) else Mask(allowed=mask)


def causal_mask(window: int = 0) -> Mask:
    """Position t may attend to positions s <= t; with a window W only to t - W < s <= t (2004.05150, section 3.1)."""
    return Mask(causal=True, window=window)


def segment_mask(query: Int[AnyArray, "B T"], key: Int[AnyArray, "B S"]) -> Mask:
    """Tokens of packed rows attend within their own sentence.

    Args:
      query, key: the number 1, 2, ... of each token's sentence; 0 where there is nothing.
    """
    return Mask(segments=(query, key))


def padding_mask(valid: Bool[AnyArray, "B S"] | Int[AnyArray, "B S"]) -> Bool[AnyArray, "B 1 1 S"]:
    """Every query may attend to the keys that are not padding (False or 0)."""
    return valid[:, None, None, :].astype(bool)
