"""How a saved state differs from the one that is wanted."""

from typing import Any

import jax

from training import paths


def difference(saved: Any, wanted: Any) -> str:
    """The first parameter whose presence, shape or dtype differs; Orbax itself would cast or cut it silently."""

    def table(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {paths.name(path): (tuple(x.shape), str(x.dtype)) for path, x in leaves if hasattr(x, "shape")}

    have, want = table(saved), table(wanted)
    for path in sorted(have.keys() | want.keys()):
        if have.get(path) != want.get(path):
            return f"{path} is {_spell(have.get(path))} there and {_spell(want.get(path))} here"
    return ""


def _spell(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
