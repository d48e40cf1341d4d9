"""Arrays of an Orbax checkpoint, as models of flax.nnx are published: a tree whose names are joined by dots."""

from pathlib import Path

import numpy as np

from errors import UserError

METADATA = "_METADATA"  # the file in which Orbax has the names of a tree
VALUE = ".value"  # how the name of a variable of nnx ends, where its state was saved as it is
RANDOM = "rngs"  # the part of a name that keys of dropout have


def is_one(folder: Path) -> bool:
    """Whether Orbax wrote a tree of arrays into this folder."""
    return (folder / METADATA).is_file()


def names(folder: Path) -> list[str]:
    """Those of the arrays, "encoder.layers.0.norm1.scale".

    Raises:
      UserError: it is damaged.
    """
    return list(_arrays(folder, values=False))


def read(folder: Path) -> dict[str, np.ndarray]:
    """The arrays by name, without random keys. No code of those who wrote it is needed or run.

    Raises:
      UserError: it is damaged.
    """
    return _arrays(folder, values=True)


def _arrays(folder: Path, values: bool) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            tree = checkpointer.metadata(folder.absolute()).item_metadata.tree
            if values:  # as arrays of the host, whatever devices they were saved from
                as_numpy = dict.fromkeys(ocp.tree.to_flat_dict(tree), ocp.RestoreArgs(restore_type=np.ndarray))
                arguments = ocp.args.PyTreeRestore(restore_args=ocp.tree.from_flat_dict(as_numpy, target=tree))
                tree = checkpointer.restore(folder.absolute(), arguments)
    except Exception as error:  # Orbax and tensorstore raise anything
        raise UserError(f"cannot read the checkpoint {folder}: {' '.join(str(error).split())[:200]}.") from None
    leaves = ocp.tree.to_flat_dict(tree).items()
    return {".".join(path).removesuffix(VALUE): leaf for path, leaf in leaves if RANDOM not in path}
