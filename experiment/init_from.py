"""A new run that begins with the weights of another: config.init_from, a workdir, WORKDIR:STEP, or a file of weights,
FILE:ROWSxCOLUMNS where its positions are of a grid that is not square; or with word vectors as its token embedding.

Parameters that match config.init_fresh begin anew (the head, which is zero); the other model may have them or not.
Position embeddings are resized to this run's images. Every other parameter must be in the source, with the same shape.
"""

import os
import re
from pathlib import Path

import jax
import numpy as np

import weights as published
from errors import UserError
from experiment import record, restore
from experiment.run import Run
from weights import transplant, word_vectors
from weights.transplant import Weights


def weights(run: Run) -> tuple[Weights, str]:
    """The parameters that the run takes from config.init_from, by its own paths, and a line that says what was done.

    Raises:
      UserError: the source is not there, or is of another model: the line names the first parameter that differs.
    """
    source, fresh = run.config["init_from"], tuple(run.config["init_fresh"])
    check(source)
    path, detail = _parts(source)
    if path.suffix in word_vectors.SUFFIXES:
        return word_embedding(run, path)
    if path.suffix not in published.SUFFIXES:
        params, grid = read(source)
        return transplant.fit(params, run.shapes(), (grid, run.grid), source, fresh)
    rows, _, columns = detail.partition("x")
    file = published.read(path, grid=(int(rows), int(columns)) if detail else None)
    try:
        taken, line = transplant.fit(published.flat(file.params), run.shapes(), (file.grid, run.grid), source, fresh)
    except UserError as error:
        fits = f": take --config.model.variant={file.variant}" if file.variant else ""
        raise UserError(f"{error} The file holds a {file.words}{fits}.") from None
    differ = [key for key in file.settings if getattr(run.model, key, file.model[key]) != file.model[key]]
    notes = [f"note: these weights were made with config.model.{key}={file.model[key]}." for key in differ]
    return taken, " ".join([line, *notes])


def check(source: str) -> None:
    """Checks that the source exists, before a data set is opened for a run that could not begin."""
    if not isinstance(source, str):
        return  # which experiment.build refuses
    path, _ = _parts(source)
    files = (*published.SUFFIXES, *word_vectors.SUFFIXES)
    if path.suffix in files and not os.path.isfile(path):
        raise UserError(f"config.init_from={source}: there is no such file.")
    if source and path.suffix not in files:
        if os.path.isfile(path):
            published.read(path)  # which says why a file of another kind is not loaded
        if not os.path.isdir(path):
            raise UserError(
                f"config.init_from={source}: there is no such folder. Weights that are published elsewhere are "
                "downloaded first, as .npz or .safetensors."
            )
        record.read(path)


def word_embedding(run: Run, path: Path) -> tuple[Weights, str]:
    """The token embedding (V, D) that a model of text begins with, and a line that says what was done.

    Tokens that the file has, as they are or in lower case, take its vectors; the others keep what they are initialised
    with. Vectors are scaled to the deviation of that initialisation, so that the model's other parts fit them.

    Raises:
      UserError: the model reads no text of one language, or the vectors have another width.
    """
    tokenizer = getattr(run.pipeline, "text_tokenizer", None)
    if tokenizer is None:
        raise UserError(f"config.init_from={path}: word vectors are for models of texts, not of {run.pipeline.item}.")
    pieces = [piece.removeprefix("▁") for piece in tokenizer.pieces(range(tokenizer.size))]
    found = word_vectors.read(path, {*pieces, *map(str.lower, pieces)})
    vectors = [found.get(piece, found.get(piece.lower())) for piece in pieces]
    there = [i for i, vector in enumerate(vectors) if vector is not None]
    values = np.stack([vector for vector in vectors if vector is not None])
    state = jax.device_get(run.devices.get_state(run.initialise()))
    params = published.flat(state.params)
    tables = [name for name, x in params.items() if name.endswith("/embedding") and x.shape[:1] == (tokenizer.size,)]
    if not tables:
        raise UserError(f"config.init_from={path}: this model has no embedding of its {tokenizer.size:,} tokens.")
    table = np.array(params[tables[0]])
    if table.shape[1] != values.shape[1]:
        raise UserError(
            f"config.init_from={path} has vectors of {values.shape[1]} numbers, and the token embedding of this model "
            f"has {table.shape[1]}: set config.model's width (of a recurrence embedding_dim) to {values.shape[1]}."
        )
    table[there] = values * (table.std() / max(values.std(), 1e-12))
    line = f"{len(there):,} of {len(table):,} tokens begin with the vectors of {path} ({tables[0]}), all else anew."
    return {tables[0]: table}, line


def read(source: str) -> tuple[Weights, transplant.Grid | None]:
    """The weights of a workdir (its moving average where it has one) or of one of its steps, and the grid of its
    patches."""
    folder, step = _parts(source)
    run, state, _ = restore.load(folder, which=step or "last")
    params = jax.device_get(run.devices.get_state(state).eval_params)
    return transplant.written_out(published.flat(params)), run.grid


def _parts(source: str) -> tuple[Path, str]:
    """Path, and the step of WORKDIR:STEP or the grid of FILE:ROWSxCOLUMNS."""
    of = re.fullmatch(r"(.+):(\d+|best|last|[1-9]\d{0,4}x[1-9]\d{0,4})", source)
    return (Path(os.path.expanduser(of[1])), of[2]) if of else (Path(os.path.expanduser(source)), "")
