"""Skip-gram with negative sampling: word vectors that tell a word's neighbours from random words (1310.4546).

B batch, S tokens, D width, V vocabulary, W window, C = 2W places about a token, K negatives.
"""

from functools import partial
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
from annotated_types import Interval
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int, Int32

from lookup import Size
from models import masking
from models.arrays import AnyArray
from models.tokens import EOS

Few = Annotated[int, Interval(ge=1, le=1024)]
POWER = 0.75  # of a word's frequency, in how often it is drawn (section 2.2)


class Model(nn.Module):
    """Two vectors for each word, v where it stands in the middle and u where it stands about another: scores u·v.

    Each word of a sentence is paired with those at most r away, r drawn from 1 ... W. Words are left out with the
    probability 1 - √(t/f), f their frequency (equation 5), and K negatives are drawn from f^0.75, once for all pairs of
    a word. Frequencies are of the sentences read so far, in the collection `counts`.

    Differences from word2vec.c: a word that is left out keeps its place, so that no window reaches further; a negative
    may be the very word of a pair. In evaluation no word is left out, r is W, and a sentence always has the same
    negatives.

    Initialisation: v uniform in ±1/(2D), u zero.

    Attributes:
      outputs: classes of the sentences, which this model does not tell apart.
      vocabulary: V. Its special ids are never paired.
      width: D.
      window: W.
      negatives: K.
      subsample: t; 1 leaves nothing out.
    """

    outputs: int
    vocabulary: Size
    width: Size = 100
    window: Few = 5
    negatives: Few = 5
    subsample: Annotated[float, Interval(gt=0, le=1)] = 1e-3

    def setup(self) -> None:
        """Names the parts."""

        def uniform(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
            return jax.random.uniform(key, shape, dtype, -0.5 / self.width, 0.5 / self.width)

        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=uniform)
        self.context = nn.Embed(self.vocabulary, self.width, embedding_init=nn.initializers.zeros)
        self.counts = self.variable("counts", "words", jnp.zeros, self.vocabulary)

    def __call__(
        self, tokens: Int[AnyArray, "B S"], index: Int[AnyArray, " B"] | None = None, *, train: bool
    ) -> tuple[Float32[Array, "B S C"], Float32[Array, "B S K"], Bool[Array, "B S C"]]:
        """The scores of each token with those about it, and with the drawn ones; and which of the first are pairs.

        Args:
          tokens: ids; padding and other special ones pair with nothing.
          index: the number of each sentence in an evaluation.
        """
        tokens = jnp.asarray(tokens)
        real, length = tokens > EOS, tokens.shape[1]
        if train:
            self.counts.value += jnp.zeros(self.vocabulary).at[tokens].add(real)
        counts = self.counts.value
        if train:
            key = self.make_rng("dropout")
            kept, reach, drawn = self.draw(key, tokens, counts)
            real &= kept
        else:
            draw = partial(self.draw, counts=counts)
            _, _, drawn = jax.vmap(draw)(masking.keys(index, len(tokens)), tokens)
            reach = jnp.full(tokens.shape, self.window)
        offset = jnp.array([o for o in range(-self.window, self.window + 1) if o])
        place = jnp.arange(length)[:, None] + offset
        inside, place = (place >= 0) & (place < length), jnp.clip(place, 0, length - 1)
        pairs = real[:, :, None] & real[:, place] & inside & (jnp.abs(offset) <= reach[..., None])
        v = self.embedding(tokens)
        positive = jnp.einsum("bsd,bswd->bsw", v, self.context(tokens[:, place]))
        return positive, jnp.einsum("bsd,bskd->bsk", v, self.context(drawn)), pairs

    def similarity(self, tokens: Int[AnyArray, "B S"]) -> Float32[Array, "B V"]:
        """The cosine of every word's v with the sum of those of each sentence's words, all of length 1, as word2vec's
        distance.c has it: a long vector counts no more than a short one."""
        table = self.embedding.embedding
        table /= jnp.maximum(jnp.linalg.norm(table, axis=-1, keepdims=True), 1e-9)
        tokens = jnp.asarray(tokens)
        total = jnp.sum(table[tokens], axis=1, where=(tokens > EOS)[..., None])
        return total / jnp.maximum(jnp.linalg.norm(total, axis=-1, keepdims=True), 1e-9) @ table.T

    def draw(
        self, key: jax.Array, tokens: Int[AnyArray, "*B S"], counts: Float[Array, " V"]
    ) -> tuple[Bool[Array, "*B S"], Int32[Array, "*B S"], Int32[Array, "*B S K"]]:
        """Which tokens are kept, how far each sees, and the negatives of each."""
        keep, see, negative = jax.random.split(key, 3)
        frequency = counts / jnp.maximum(counts.sum(), 1)
        chance = jnp.sqrt(self.subsample / jnp.maximum(frequency[tokens], 1e-12))
        kept = jax.random.uniform(keep, tokens.shape) < chance
        reach = jax.random.randint(see, tokens.shape, 1, self.window + 1)
        below = jnp.cumsum(counts**POWER)
        drawn = jnp.searchsorted(below, jax.random.uniform(negative, (*tokens.shape, self.negatives)) * below[-1])
        return kept, reach, jnp.minimum(drawn, self.vocabulary - 1).astype(jnp.int32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16}
