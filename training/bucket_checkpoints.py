"""Checkpoints in a bucket: Orbax saves and restores them on this machine, and they are copied.

Orbax 0.12.8 cannot write to s3:// ("Checkpoint path should be absolute"). It writes to gs:// by TensorFlow's client,
which knows only one address, or with EPATH_USE_TF=0 by gcsfs and tensorstore. Here both go one way, with the same
digests: a step is saved here, its manifest is completed, and its files are copied, last the one by which Orbax says
that all are there. A step without that one does not count; one without a manifest, of an older version, does.
"""

import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

import storage
from errors import UserError
from training import manifest
from training.checkpoint import METRICS, Checkpoints
from training.trees import PyTree


@dataclass(eq=False)
class BucketCheckpoints(Checkpoints):
    """The same, of a `folder` in a bucket. Steps are copied in the background, too."""

    _copying: Future[None] | None = field(default=None, init=False)

    @cached_property
    def _here(self) -> Path:
        return Path(mkdtemp(dir=storage.private(), prefix="checkpoints-"))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "copy")

    @property
    def _bucket(self) -> storage.Bucket:
        return cast(storage.Bucket, self.folder)

    def _at(self, step: int) -> Path:
        here = super()._at(step)
        if not here.exists() and step in self.steps():
            arriving = here.with_suffix(".tmp")
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir()
            try:
                storage.download(self._bucket / str(step), arriving)
                (arriving / manifest.COMMITTED).stat()
            except FileNotFoundError:
                raise UserError(
                    f"the checkpoint of step {step} in {self.folder} was removed while it was read, for newer ones: "
                    "run the same command again."
                ) from None
            arriving.rename(here)
        return here

    def _objects(self) -> dict[int, list[str]]:
        """The names of what is there of each step, whole or not, within `folder`."""
        found: dict[int, list[str]] = {}
        for name in self._bucket.marks():
            if (step := name.partition("/")[0]).isdigit():
                found.setdefault(int(step), []).append(name)
        return found

    def steps(self) -> list[int]:
        """The steps that are saved, whole or damaged, in order. One that was not copied to its end is not."""
        return sorted(step for step, names in self._objects().items() if f"{step}/{manifest.COMMITTED}" in names)

    def tidy(self) -> None:
        """Clears the way for a run that continues: moves damaged steps to `damaged/`, removes interrupted copies."""
        self._wait()
        whole = self.steps()
        self._bucket.remove(n for step, names in self._objects().items() if step not in whole for n in names)
        for step in whole:
            if damage := self._found.get(step):
                shutil.rmtree(super()._at(step), ignore_errors=True)
                self._report(f"the damaged checkpoint of step {step} is now {self._set_aside(step)} ({damage}).")
        if self._opened is not None:
            self._opened.reload()

    def save(self, step: int, state: PyTree, record: Mapping[str, object]) -> None:
        """See Checkpoints."""
        super().save(step, state, record)
        if self._saving == step and self._copying is None:
            self._copying = self._pool.submit(self._finish, step)

    def _finish(self, step: int) -> None:
        """Copies a step when it is saved, and removes those that it replaces."""
        super()._wait()
        storage.upload(self._at(step), self._bucket / str(step), last=manifest.COMMITTED)
        self._prune()

    def _prune(self) -> None:
        steps = self.steps()
        for old in (s for s in steps[: -self.keep_last] if s != self._best(steps)):
            (self._bucket / str(old) / manifest.COMMITTED).unlink(
                missing_ok=True
            )  # first: the rest is then no checkpoint
            self._bucket.remove(self._objects().get(old, ()))

    def rate(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Checkpoints."""
        super().rate(step, metrics)
        if not self.keep_best or step not in self._manager.all_steps():
            return
        try:
            for name in (METRICS, manifest.FILE):
                storage.upload(self._at(step) / name, self._bucket / str(step) / name)
            self._prune()
        except OSError as error:
            raise self.explained(error) from error

    def check(self) -> None:
        """See Checkpoints."""
        if self._copying is not None and self._copying.done():
            self._wait()

    def _wait(self) -> None:
        if self._copying is None:
            super()._wait()
            return
        try:
            self._copying.result()
        except OSError as error:
            raise self.explained(error) from error
        finally:
            self._copying = None
