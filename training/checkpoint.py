"""Checkpoints by Orbax: the state, and beside it what is needed to use it again."""

import shutil
from pathlib import Path
from typing import Any, Literal, Self

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from errors import UserError, nearest


def make(
    folder: Path,
    *,
    every_steps: int = 1000,
    keep_last: int = 2,
    keep_best: str = "",
    keep_best_mode: Literal["max", "min"] = "max",
) -> "Checkpoints":
    """Where and how often a run is saved.

    Args:
      folder: holds one folder a step.
      every_steps: 0 saves at the end only. keep_last: how many of the newest stay.
      keep_best: an evaluation figure, "test/accuracy", whose best checkpoint stays as well; "" for none.
    """
    if keep_last < 1:
        raise UserError("config.checkpoint.keep_last must be at least 1: a run goes on from the newest.")
    policies: list[Any] = [managers.LatestN(keep_last)]
    if keep_best:
        # Orbax sorts upwards and keeps the end, so that the best must come last.
        best = managers.BestN(
            get_metric_fn=lambda figures: figures[keep_best],
            reverse=keep_best_mode == "min",
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        policies.append(best)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=managers.AnyPreservationPolicy(policies),
        best_fn=(lambda figures: figures[keep_best]) if keep_best else None,
        best_mode=keep_best_mode,
        cleanup_tmp_directories=True,
    )
    return Checkpoints(folder, options, every_steps)


class Checkpoints:
    """Saves go on in the background; a state counts as saved when its folder has its final name."""

    def __init__(self, folder: Path, options: ocp.CheckpointManagerOptions, every_steps: int):
        self.folder = folder
        self.every_steps = every_steps
        self._options = options
        self._opened: ocp.CheckpointManager | None = None

    @property
    def _manager(self) -> ocp.CheckpointManager:
        if self._opened is None:
            handlers = {"state": ocp.StandardCheckpointHandler(), "record": ocp.JsonCheckpointHandler()}
            folder = self.folder.absolute()
            self._opened = ocp.CheckpointManager(folder, options=self._options, item_handlers=handlers)
        return self._opened

    def steps(self) -> list[int]:
        """The steps that are saved, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        return max(self.steps(), default=None)

    def best(self) -> int:
        step = self._manager.best_step() if self.steps() else None
        if step is None:
            raise UserError(f"no checkpoint in {self.folder} was kept as the best: ask for --step=last or a number.")
        return step

    def check_space(self, state: Any) -> None:
        """Whether two more states would fit: one is written before an older one goes.

        Raises:
          UserError: they would not.
        """
        needed = 2 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        existing = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        if (free := shutil.disk_usage(existing).free) < needed:
            raise UserError(
                f"no space left for checkpoints in {self.folder}: two take {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB "
                "are free. Free some, or choose another --workdir."
            )

    def save(self, step: int, state: Any, record: dict[str, Any], figures: dict[str, float] | None) -> None:
        """Begins to save a state (one copy, see parallel.get_state) and returns.

        Args:
          record: what stands beside the weights, as JSON. figures: of an evaluation at this very step, if there was one.

        Raises:
          UserError: the disk is full, found now or in the save before.
        """
        if step in self._manager.all_steps():
            return
        try:
            self.check_space(state)
            self._manager.check_for_errors()
            items = ocp.args.Composite(state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record))
            self._manager.save(step, args=items, metrics=figures)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._explained(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits until everything is written."""
        if self._opened is None:
            return
        try:
            self._opened.wait_until_finished()
            self._opened.check_for_errors()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._explained(error) from error
        self._opened.close()
        self._opened = None

    def _explained(self, error: Exception) -> Exception:
        text = str(error)
        if "No space left" not in text and "RESOURCE_EXHAUSTED" not in text and "Disk quota" not in text:
            return error
        saved = self.latest()
        kept = f"step {saved} is safe" if saved is not None else "nothing was saved yet"
        return UserError(f"no space left in {self.folder}: {kept}. Free some and run the same command again to go on.")

    def record(self, step: int) -> dict[str, Any]:
        """What was saved beside the weights."""
        return self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]

    def holds(self, step: int, entry: str) -> bool:
        """Whether the state of a step has this entry at its top; False where there is no such step."""
        return step in self.steps() and entry in self._manager.item_metadata(step)["state"].tree

    def restore(self, step: int, abstract_state: Any) -> Any:
        """The state of a step, laid out as `abstract_state` (ShapeDtypeStructs with shardings) says.

        Raises:
          UserError: there is no such step, or it holds another model's state.
        """
        if step not in self.steps():
            known = [str(s) for s in self.steps()]
            raise UserError(f"{self.folder} has no checkpoint of step {step}: {nearest(str(step), known)}")
        saved = self._manager.item_metadata(step)["state"]
        difference = _difference(saved.tree, abstract_state)
        if difference:
            raise UserError(f"the checkpoint of step {step} in {self.folder} does not fit this model: {difference}.")
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state))
        return self._manager.restore(step, args=items)["state"]


def _difference(saved: Any, wanted: Any) -> str:
    """The first parameter whose presence, shape or dtype differs; Orbax itself would cast or cut it silently."""

    def table(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {_path(path): (tuple(x.shape), str(x.dtype)) for path, x in leaves if hasattr(x, "shape")}

    have, want = table(saved), table(wanted)
    for path in sorted(have.keys() | want.keys()):
        if have.get(path) != want.get(path):
            return f"{path} is {_spell(have.get(path))} there and {_spell(want.get(path))} here"
    return ""


def _path(path: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path)


def _spell(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
