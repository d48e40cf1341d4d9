"""Checkpoints by Orbax: the state, beside it what is needed to use it again, and a manifest of their digests."""

import itertools
import json
import math
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PolicyCheckpointInfo
from pydantic import PositiveInt

from errors import DiskFull, UserError, nearest
from lookup import Steps
from training import manifest
from training.trees import PyTree, by_name

SLICE = 2**20
ASIDE = "damaged"  # the folder beside the steps that holds the damaged ones
METRICS = "metrics/metrics"  # in a step's folder: those of the evaluation there


@dataclass(eq=False)
class Checkpoints:
    """config.checkpoint: where and how often a run is saved, and its checkpoints.

    Saves run in the background; a state counts as saved when its folder has its final name. Saving uses Orbax's
    manager. Listing and restoring do not: the manager fails to open over some kinds of damage, and would take what
    another process is just saving for the remains of a dead one.

    Attributes:
      folder: holds one folder a step.
      primary: of several hosts, the one that writes manifests, looks for damage, reports it and moves it aside.
      every_steps: steps between checkpoints; 0 saves at the end only.
      keep_last: how many of the newest stay.
      keep_best: a metric of the evaluation, "test/accuracy", whose best checkpoint stays as well; "" for none. Only
        steps that are both saved and evaluated have it.
      keep_best_mode: whether the best is the highest or the lowest.
      damaged: whether a damaged checkpoint is passed over for the one before it, or ends the command.
    """

    folder: Path
    primary: bool = True
    every_steps: Steps = 1000
    keep_last: PositiveInt = 2
    keep_best: str = ""
    keep_best_mode: Literal["max", "min"] = "max"
    damaged: Literal["fall_back", "refuse"] = "fall_back"

    _opened: ocp.CheckpointManager | None = field(default=None, init=False)
    _saving: int | None = field(default=None, init=False)
    # Of each step that was looked at: what is wrong with it, and its `keep_best`.
    _found: dict[int, str] = field(default_factory=dict, init=False)
    _scores: dict[int, float | None] = field(default_factory=dict, init=False)

    def should_preserve(self, checkpoints: Sequence[PolicyCheckpointInfo], *, context: object) -> list[bool]:
        """Which of the steps stay when another is saved: Orbax's PreservationPolicy."""
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = set(steps[-self.keep_last :]) | {self._best(steps)}
        return [step in kept for step in steps]

    @property
    def _here(self) -> Path:
        """Where Orbax works: a folder of this machine."""
        return self.folder

    def _at(self, step: int) -> Path:
        """The folder of a saved step, on this machine."""
        return self._here / str(step)

    @property
    def _manager(self) -> ocp.CheckpointManager:
        if self._opened is None:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=self,
                # Orbax calls this when all files are written, just before it gives their folder its final name.
                async_options=ocp.AsyncOptions(
                    post_finalization_callback=self._write_manifest if self.primary else None
                ),
            )
            handlers = {"state": _states(), "record": ocp.JsonCheckpointHandler()}
            self._opened = ocp.CheckpointManager(self._here.absolute(), options=options, item_handlers=handlers)
        return self._opened

    def _write_manifest(self) -> None:
        manifest.write(self._here / f"{self._saving}{ocp.path.step.TMP_DIR_SUFFIX}")

    def steps(self) -> list[int]:
        """The steps that are saved, whole or damaged, in order."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(path.name) for path in found if re.fullmatch(r"0|[1-9]\d*", path.name) and path.is_dir())

    def good(self, up_to: int | None = None) -> Iterator[int]:
        """The saved steps that are whole, the newest first; those that are not are reported on the way.

        Raises:
          UserError: one is damaged, and `damaged` is "refuse".
        """
        for step in reversed(self.steps()):
            if up_to is not None and step > up_to:
                continue
            told = step in self._found
            if not (damage := self._damage(step)):
                yield step
            elif self.damaged == "refuse":
                raise UserError(
                    f"the checkpoint of step {step} in {self.folder} is damaged: {damage}. Put back a copy of it, or "
                    "use the newest good one with --config.checkpoint.damaged=fall_back"
                )
            elif not told:
                self._report(f"the checkpoint of step {step} in {self.folder} is damaged and not used: {damage}.")

    def latest(self) -> int | None:
        """The newest step that is whole; none where nothing was saved.

        Raises:
          UserError: all are damaged, or one newer than it is and `damaged` is "refuse".
        """
        self._wait()
        step = next(self.good(), None)
        if step is None and (steps := self.steps()):
            damage = "; ".join(f"step {s}: {self._found[s]}" for s in steps[-3:])
            raise UserError(
                f"every checkpoint in {self.folder} is damaged ({damage}). Put back a copy of one, or choose another "
                "--workdir to begin anew."
            )
        return step

    def best(self) -> int:
        """The step with the best metric of `keep_best`, of those that are whole; of equal ones the newest."""
        best = self._best(self.good())
        if best is None:
            raise UserError(f"no checkpoint in {self.folder} was kept as the best: ask for --step=last or a number.")
        return best

    def kept(self) -> tuple[int, float] | None:
        """The step with the best metric of `keep_best`, and that metric; none where no step has one."""
        best = self._best(self.steps())
        return None if best is None else (best, self._scores[best] or 0.0)

    def _best(self, steps: Iterable[int]) -> int | None:
        """Of these steps; None where none has a score."""
        sign = 1 if self.keep_best_mode == "max" else -1
        found = {step: score for step in steps if (score := self._score(step)) is not None}
        scores = {step: score for step, score in found.items() if not math.isnan(score)}  # which compares with nothing
        return max(scores, key=lambda step: (sign * scores[step], step), default=None)

    def _score(self, step: int) -> float | None:
        if step not in self._scores:
            try:
                metrics = json.loads((self.folder / str(step) / METRICS).read_text())
            except (FileNotFoundError, ValueError):  # it was not evaluated, or the file is damaged
                metrics = {}
            self._scores[step] = metrics.get(self.keep_best)
        return self._scores[step]

    def tidy(self) -> None:
        """Clears the way for a run that continues: damaged steps are moved to `damaged/`, interrupted saves removed."""
        self._wait()
        if self.primary and self.folder.is_dir():
            for unfinished in self.folder.glob(f"*{ocp.path.step.TMP_DIR_SUFFIX}"):
                shutil.rmtree(unfinished)
            for step in self.steps():
                # Orbax reads the small files of every step when it opens the folder.
                damage = self._found.get(step) or manifest.damage(self.folder / str(step), quick=True)
                if damage:
                    self._report(f"the damaged checkpoint of step {step} is now {self._set_aside(step)} ({damage}).")
        if self._opened is not None:
            self._opened.reload()

    def _set_aside(self, step: int) -> Path:
        target = self.folder / ASIDE / str(step)
        for number in itertools.count(2):
            if not target.exists():
                break
            target = target.with_name(f"{step}-{number}")
        target.parent.mkdir(exist_ok=True)
        self._found.pop(step, None)
        self._scores.pop(step, None)
        return (self.folder / str(step)).rename(target)

    def check_space(self, state: PyTree) -> None:
        """Whether another state would fit; before the first, two: one is written before an older one goes.

        Raises:
          UserError: they would not.
        """
        count = 1 if self.steps() else 2
        needed = count * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        existing = next(p for p in (self._here, *self._here.absolute().parents) if p.exists())
        if (free := shutil.disk_usage(existing).free) < needed:
            raise UserError(
                f"no space left for checkpoints in {self._here}: {count} would take {needed / 1e6:,.0f} MB and "
                f"{free / 1e6:,.0f} MB are free. Free some, or choose another --workdir."
            )

    def save(self, step: int, state: PyTree, record: Mapping[str, object]) -> None:
        """Begins to save a state (one copy, see parallel.get_state) and returns.

        Args:
          record: what stands beside the weights, as JSON.

        Raises:
          UserError: the disk is full, found now or in the save before.
        """
        if step in self._manager.all_steps():
            return
        self._wait()
        try:
            self.check_space(state)
            self._saving = step
            items = ocp.args.Composite(state=ocp.args.PyTreeSave(state), record=ocp.args.JsonSave(record))
            if not self._manager.save(step, args=items):
                raise RuntimeError(f"step {step} was not saved: a later one is there.")
        except (OSError, ValueError, RuntimeError) as error:
            raise self.explained(error) from error

    def rate(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the metrics of an evaluation to a step, if it is saved and the best is kept. An older best one goes.

        Raises:
          UserError: `keep_best` is not a metric; or the disk is full.
        """
        if not self.keep_best or step not in self._manager.all_steps():
            return
        if self.keep_best not in metrics:
            best = self.keep_best
            raise UserError(
                f"config.checkpoint.keep_best={best!r} is not a metric of the evaluation: {nearest(best, metrics)}"
            )
        self._wait()
        try:
            if self.primary:
                manifest.add(self._at(step), METRICS, json.dumps(dict(metrics)))
            self._scores[step] = metrics[self.keep_best]
            steps = sorted(self._manager.all_steps())
            for old in (s for s in steps[: -self.keep_last] if s != self._best(steps)):
                self._manager.delete(old)
        except OSError as error:
            raise self.explained(error) from error

    def check(self) -> None:
        """Raises what the save in the background has run into, without waiting for it; costs nothing in between."""
        if self._saving is not None and self._opened is not None and not self._opened.is_saving_in_progress():
            self._wait()

    def _wait(self) -> None:
        """Until what was begun is saved. Orbax's check_for_errors would not raise: its own thread takes the error."""
        if self._opened is None:
            return
        try:
            self._opened.wait_until_finished()
            if self.primary and self._saving is not None:
                manifest.complete(self._at(self._saving))
        except (OSError, ValueError, RuntimeError) as error:
            raise self.explained(error) from error
        finally:
            self._saving = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits until everything is written."""
        self._wait()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def explained(self, error: Exception) -> Exception:
        """An error for lack of space as one that says what is safe; others as they are."""
        text = str(error)
        if "No space left" not in text and "RESOURCE_EXHAUSTED" not in text and "Disk quota" not in text:
            return error
        kept = f"step {steps[-1]} is safe" if (steps := self.steps()) else "nothing was saved yet"
        return DiskFull(f"no space left in {self._here}: {kept}. Free some and run the same command again to continue.")

    def record(self, step: int) -> dict[str, object]:
        """What was saved beside the weights."""
        return json.loads((self._at(step) / "record" / "metadata").read_text())

    def restore(self, step: int, abstract_state: PyTree, lacking: Mapping[str, PyTree] | None = None) -> PyTree:
        """The state of a step.

        Args:
          abstract_state: ShapeDtypeStructs with shardings, by which the state is laid out (Devices.lay_out). A dict of
            a State's fields may have empty ones that the checkpoint of an older version does not have.
          lacking: what other entries of the dict are where the checkpoint does not have them.

        Raises:
          UserError: there is no such step, it is damaged, or it holds another model's state.
        """
        if step not in self.steps():
            known = [str(s) for s in self.steps()]
            raise UserError(f"{self.folder} has no checkpoint of step {step}: {nearest(str(step), known)}")
        if damage := self._damage(step):
            good = next((s for s in reversed(self.steps()) if not self._damage(s)), None)
            other = f"The newest good one is step {good}" if good is not None else "None of the others is good"
            raise UserError(f"the checkpoint of step {step} in {self.folder} is damaged: {damage}. {other}.")
        path = self._at(step).absolute() / "state"
        usual = dict(lacking or {})
        if isinstance(abstract_state, dict):
            usual |= {name: tree for name, tree in abstract_state.items() if not jax.tree.leaves(tree)}
        with ocp.StandardCheckpointer() as checkpointer:
            try:
                saved = checkpointer.metadata(path).item_metadata.tree  # opens every array, so once
                if added := {name: tree for name, tree in usual.items() if name not in saved}:
                    abstract_state = {name: tree for name, tree in abstract_state.items() if name not in added}
                differs = difference(saved, abstract_state)
                if not differs:
                    restored = checkpointer.restore(path, abstract_state)
                    return restored | added if added else restored
            except Exception as error:  # whatever Orbax meets with in a damaged file
                if manifest.exists(path.parent):
                    raise
                raise UserError(
                    f"the checkpoint of step {step} in {self.folder} cannot be read, and has no manifest to tell why: "
                    "put back a copy of it, or move its folder away to use an older one "
                    f"({str(error).partition(chr(10))[0]})."
                ) from error
        raise UserError(f"the checkpoint of step {step} in {self.folder} does not fit this model: {differs}.")

    def _damage(self, step: int) -> str:
        """What is wrong with a saved step, "" for nothing; looked at once."""
        if not self.primary:
            return ""
        if step not in self._found:
            folder = self._at(step)
            self._found[step] = manifest.damage(folder)
            if not self._found[step] and not manifest.exists(folder):
                self._report(f"the checkpoint of step {step} in {self.folder} has no manifest: it was not verified.")
        return self._found[step]

    def _report(self, line: str) -> None:
        if self.primary:
            print(f"warning: {line}", file=sys.stderr, flush=True)


def _states() -> ocp.PyTreeCheckpointHandler:
    """Saves states. Arrays of SLICE bytes and more are cut into slices, one for each device that has a copy to write.

    Orbax cuts every array, a bias of ten numbers too, which takes longer than to write it.
    """
    arrays = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=SLICE)
    others = [(kind, ocp.type_handlers.get_type_handler(kind)) for kind in (np.ndarray, int, float, str)]
    registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays), *others)
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


def difference(saved: PyTree, wanted: PyTree) -> str:
    """How a saved state differs from the one that is wanted: the first leaf whose presence, shape or dtype does, or "".

    Orbax itself would cast or cut it silently.
    """

    def table(tree: PyTree) -> dict[str, tuple[tuple[int, ...], str]]:
        return {name: (tuple(x.shape), str(x.dtype)) for name, x in by_name(tree).items() if hasattr(x, "shape")}

    have, want = table(saved), table(wanted)
    for path in sorted(have.keys() | want.keys()):
        if have.get(path) != want.get(path):
            return f"{path} is {_spell(have.get(path))} there and {_spell(want.get(path))} here"
    return ""


def _spell(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
