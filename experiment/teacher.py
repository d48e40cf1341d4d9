"""A teacher beside a training run: what it says of each batch that the student is about to learn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from errors import UserError
from experiment import Run, restore
from training import parallel


def load(run: Run) -> Callable[[Any], Any]:
    """A training batch on the devices -> the same, with the logits of the model that config.task.teacher names, if any.

    Raises:
      UserError: it is not there, or learned from images of another size or of other classes.
    """
    if not (folder := getattr(run.task, "teacher", "")):
        return lambda batch: batch
    config = restore.saved_config(Path(folder))
    config.parallel.update(run.config["parallel"])
    other, state, _ = restore.load(config, Path(folder), "last", from_data=False)
    for what in ("known", "image_shape"):
        if (theirs := getattr(other.pipeline, what)) != (ours := getattr(run.pipeline, what)):
            raise UserError(f"config.task.teacher={folder} learned from other data: {theirs} there, {ours} here.")

    def logits(params: Any, batch: Any, axis: parallel.Axis) -> Any:
        del axis
        return other.model.apply({"params": params}, *[batch[name] for name in run.task.inputs], train=False)

    says = run.devices.compile_rows(logits)
    return lambda batch: batch | {"teacher": says(state.eval_params, {name: batch[name] for name in run.task.inputs})}
