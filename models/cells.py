"""Recurrent cells, and a layer of them that reads sentences.

B batch, S tokens, E the input's width, H hidden, D = H or, in both directions, 2H.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from models.arrays import AnyArray

Cell = Literal["rnn", "lstm", "gru"]
RecurrentInit = Literal["orthogonal", "xavier"]
Carry = jax.Array | tuple[jax.Array, jax.Array]  # of one layer: h, or (c, h) of an LSTM

INITIALISERS: dict[str, Callable[[], Initializer]] = {
    "orthogonal": nn.initializers.orthogonal,
    "xavier": nn.initializers.xavier_uniform,
}
# They project their inputs within the scan; one product for all tokens before it gains nothing measurable on a CPU.
CELLS = {"rnn": nn.SimpleCell, "lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}


def cell(
    kind: Cell,
    features: int,
    dtype: DTypeLike,
    name: str,
    gate_bias: float = 0.0,
    recurrent_init: RecurrentInit = "orthogonal",
) -> nn.RNNCellBase:
    """A cell of H = `features`.

    Initialisation: input kernels Xavier uniform, recurrent ones as `recurrent_init` says, biases 0. Gates are σ(· +
    gate_bias).
    """
    gates = {"gate_fn": lambda x: jax.nn.sigmoid(x + gate_bias)} if gate_bias and kind != "rnn" else {}
    kernels = {"kernel_init": nn.initializers.xavier_uniform(), "recurrent_kernel_init": INITIALISERS[recurrent_init]()}
    return CELLS[kind](features, dtype=dtype, name=name, **kernels, **gates)


def read(
    kind: Cell,
    features: int,
    dtype: DTypeLike,
    x: Float[Array, "B S E"],
    lengths: Int[AnyArray, " B"],
    *,
    layer: int,
    bidirectional: bool,
    gate_bias: float = 0.0,
    recurrent_init: RecurrentInit = "orthogonal",
) -> tuple[Float[Array, "B S D"], Carry]:
    """One layer of cells over x. Call it in a compact method, whose module gets the cells forward_{layer} and
    backward_{layer}.

    Args:
      lengths: the number of real tokens at the beginning of each row.

    Returns:
      the states, and the carry (B, D) at the end of each direction: after the last real token, and after the first.
    """
    states, carries = [], []
    for direction in ("forward", "backward")[: 1 + bidirectional]:
        rnn = nn.RNN(
            cell(kind, features, dtype, f"{direction}_{layer}", gate_bias, recurrent_init),
            reverse=direction == "backward",
            keep_order=True,
            return_carry=True,
        )
        zeros = rnn.cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
        zeros = jax.tree.map(lambda x: x.astype(dtype), zeros)
        carry, state = rnn(x, initial_carry=zeros, seq_lengths=lengths)
        states.append(state)
        carries.append(carry)
    last = jax.tree.map(lambda *directions: jnp.concatenate(directions, axis=-1), *carries)
    return jnp.concatenate(states, axis=-1), last


def hidden(carry: Carry) -> Float[Array, "... H"]:
    """h, the last part of every cell's carry."""
    return jax.tree.leaves(carry)[-1]
