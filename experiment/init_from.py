"""A new run that begins with the weights of another: config.init_from, a workdir, WORKDIR:STEP or a file of weights.

config.init_fresh: patterns over parameter paths that are not taken over but begin anew (the head, which is zero), and that
the other model may have and this one not. Position embeddings are resized to this run's images. Everything else must be
there, and of the same shape.
"""

import re
from pathlib import Path

import jax

import weights as published
from errors import UserError
from experiment import record, restore
from experiment.build import Run
from training import paths
from weights import transplant
from weights.transplant import Weights


def weights(run: Run) -> tuple[Weights, str]:
    """What of config.init_from the run begins with, by its own paths, and a line that says what was done.

    Raises:
      UserError: nothing is there, or it is not of this model: the first parameter that differs.
    """
    source, fresh = run.config["init_from"], tuple(run.config["init_fresh"])
    check(source)
    if not source.endswith(published.SUFFIXES):
        return transplant.fit(read(source), run.shapes(), run.proportion, source, fresh)
    found = published.read(source)
    try:
        taken, line = transplant.fit(published.flat(found.params), run.shapes(), run.proportion, source, fresh)
    except UserError as error:
        fits = f": take --config.model.variant={found.variant}" if found.variant else ""
        raise UserError(f"{error} The file holds a {found.words}{fits}.") from None
    differ = [key for key in found.settings if getattr(run.model, key, found.model[key]) != found.model[key]]
    notes = [f"note: these weights were made with config.model.{key}={found.model[key]}." for key in differ]
    return taken, " ".join([line, *notes])


def check(source: str) -> None:
    """That something is there, before a data set is opened for a run that could not begin."""
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
    run, state, _ = restore.load(restore.saved_config(folder), folder, step, from_data=False)
    params = jax.device_get(run.devices.get_state(state).eval_params)
    return transplant.written_out(paths.table(params))


def _parts(source: str) -> tuple[Path, str]:
    """Folder and step of WORKDIR or WORKDIR:STEP."""
    of = re.fullmatch(r"(.+):(\d+|best|last)", source)
    return (Path(of[1]), of[2]) if of else (Path(source), "last")
