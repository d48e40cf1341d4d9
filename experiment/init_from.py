"""A new run that begins with the weights of another: config.init_from, a workdir, WORKDIR:STEP or a file of weights.

Parameters that match config.init_fresh begin anew (the head, which is zero); the other model may have them or not.
Position embeddings are resized to this run's images. Every other parameter must be in the source, with the same shape.
"""

import re
from pathlib import Path

import jax

import weights as published
from errors import UserError
from experiment import record, restore
from experiment.run import Run
from weights import transplant
from weights.transplant import Weights


def weights(run: Run) -> tuple[Weights, str]:
    """The parameters that the run takes from config.init_from, by its own paths, and a line that says what was done.

    Raises:
      UserError: the source is not there, or is of another model: the line names the first parameter that differs.
    """
    source, fresh = run.config["init_from"], tuple(run.config["init_fresh"])
    check(source)
    if not source.endswith(published.SUFFIXES):
        return transplant.fit(read(source), run.shapes(), run.proportion, source, fresh)
    file = published.read(source)
    try:
        taken, line = transplant.fit(published.flat(file.params), run.shapes(), run.proportion, source, fresh)
    except UserError as error:
        fits = f": take --config.model.variant={file.variant}" if file.variant else ""
        raise UserError(f"{error} The file holds a {file.words}{fits}.") from None
    differ = [key for key in file.settings if getattr(run.model, key, file.model[key]) != file.model[key]]
    notes = [f"note: these weights were made with config.model.{key}={file.model[key]}." for key in differ]
    return taken, " ".join([line, *notes])


def check(source: str) -> None:
    """Checks that the source exists, before a data set is opened for a run that could not begin."""
    if source.endswith(published.SUFFIXES) and not Path(source).is_file():
        raise UserError(f"config.init_from={source}: there is no such file.")
    if source and not source.endswith(published.SUFFIXES):
        folder, _ = _parts(source)
        if not folder.is_dir():
            raise UserError(f"config.init_from={source}: there is no such folder.")
        record.read(folder)


def read(source: str) -> Weights:
    """The weights of a workdir (its moving average where it has one) or of one of its steps."""
    folder, step = _parts(source)
    run, state, _ = restore.load(folder, which=step)
    params = jax.device_get(run.devices.get_state(state).eval_params)
    return transplant.written_out(published.flat(params))


def _parts(source: str) -> tuple[Path, str]:
    """Folder and step of WORKDIR or WORKDIR:STEP."""
    of = re.fullmatch(r"(.+):(\d+|best|last)", source)
    return (Path(of[1]), of[2]) if of else (Path(source), "last")
