"""The assignment of least total cost, by shortest augmenting paths (Crouse 2016, 10.1109/TAES.2016.140952), compiled.

M rows, Q columns.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Search(NamedTuple):
    """A search for a free column, from one row on.

    Attributes:
      row: whose columns are looked at next; NONE at the end.
      last: the column that was reached last.
      length: of the path to it.
      lengths: (Q,) of the shortest path to each column so far.
      before: int (Q,), the row before each column on its path.
      visited: bool (Q,).
    """

    row: jax.Array
    last: jax.Array
    length: jax.Array
    lengths: jax.Array
    before: jax.Array
    visited: jax.Array


class Matched(NamedTuple):
    """Rows that are matched already, and what they and the columns are worth.

    Attributes:
      of_row: (M,) the dual variables of rows. of_column: (Q,) those of columns.
      column: int (M,), of each row. row: int (Q,), of each column; NONE where there is none.
    """

    of_row: jax.Array
    of_column: jax.Array
    column: jax.Array
    row: jax.Array


NONE = -1


def assignment(cost: Float[Array, "M Q"], there: Bool[Array, " M"]) -> Int[Array, " M"]:
    """The column of each row that is there, all different, of the least total cost; Q for the others. Its time grows
    with the rows that are there, not with M. Takes no more rows than columns; costs are finite numbers.
    """
    rows, columns = cost.shape
    order = jnp.argsort(~there, stable=True)  # those that are there first
    cost = cost[order]

    def search(state: Matched, first: jax.Array) -> Search:
        def step(at: Search) -> Search:
            lengths = at.length + cost[at.row] - state.of_row[at.row] - state.of_column
            shorter = (lengths < at.lengths) & ~at.visited
            lengths, before = jnp.where(shorter, lengths, at.lengths), jnp.where(shorter, at.row, at.before)
            last = jnp.argmin(jnp.where(at.visited, jnp.inf, lengths))
            return Search(state.row[last], last, lengths[last], lengths, before, at.visited.at[last].set(True))

        zero, none = jnp.zeros((), cost.dtype), jnp.full(columns, NONE)
        begin = Search(first, jnp.array(0), zero, jnp.full(columns, jnp.inf, cost.dtype), none, none == 0)
        return jax.lax.while_loop(lambda at: at.row != NONE, step, begin)

    def match(first: jax.Array, state: Matched) -> Matched:
        found = search(state, first)
        more = jnp.where(found.visited, found.length - found.lengths, 0)
        # The row of a column that was visited; of the last one, which is free, none.
        place = jnp.where(found.visited & (state.row != NONE), state.row, rows)
        of_row = state.of_row.at[first].add(found.length).at[place].add(more, mode="drop")

        def turn(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            at, column, row = carry
            mine = found.before[at]
            return jnp.where(mine == first, NONE, column[mine]), column.at[mine].set(at), row.at[at].set(mine)

        path = (found.last, state.column, state.row)
        _, column, row = jax.lax.while_loop(lambda carry: carry[0] != NONE, turn, path)
        return Matched(of_row, state.of_column - more, column, row)

    begin = Matched(
        *(jnp.zeros(rows, cost.dtype), jnp.zeros(columns, cost.dtype)),
        *(jnp.full(rows, NONE), jnp.full(columns, NONE)),
    )
    column = jax.lax.fori_loop(0, there.sum(), match, begin).column
    return jnp.full(rows, columns).at[order].set(jnp.where(column == NONE, columns, column))
