"""A new run that begins with the weights of another: config.init_from, a workdir, WORKDIR:STEP, a folder of published
weights, or a file of them, FILE:ROWSxCOLUMNS where its positions are of a grid that is not square; or with word vectors
as its token embedding.

Parameters that match config.init_fresh begin anew (the head, which is zero); the other model may have them or not.
Where a task's outputs are tokens, by default none does: the output layer is a part of what was learned.
Position embeddings are resized to this run's images. Every other parameter must be in the source, with the same shape.
A published ViT or Swin becomes the trunk of a dense model (UPerNet, DETR); its other parts begin anew.
The head of a model that learns without labels (DINO, MAE), which is derived from another, is left out.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np

import input_pipeline
import storage
import weights as published
from errors import UserError, flag
from experiment import record, restore
from experiment.run import Run
from experiment.settings import Experiment
from input_pipeline import Reader
from lookup import Section
from weights import transplant, word_vectors
from weights.transplant import Weights

IMAGES = ("image_size", "image_width", "mean", "std", "interpolation")  # keys of config.data that weights decide
# What a classifier has beside a trunk, and the trunk of a dense model beside a classifier's.
NO_TRUNK = (r"trunk/((distillation_)?(token|head/.*)|pre_logits/.*|pooling/.*|norm/.*|(up|norm)_.*)",)
FREE = ("image_width", "eval_crop", "eval_crop_share")  # those that another run may have otherwise


def weights(run: Run) -> tuple[Weights, str]:
    """The parameters that the run takes from config.init_from, by its own paths, and a line that says what was done.

    Raises:
      UserError: the source is not there, or is of another model: the line names the first parameter that differs.
    """
    source, fresh = run.config["init_from"], anew(run)
    check(source)
    path, detail = parts(source)
    if path.suffix in word_vectors.SUFFIXES:
        return word_embedding(run, path)
    if not published_weights(path):
        params, grid = read(source, run, fresh)
        return transplant.fit(params, run.shapes(), (grid, run.position_grid), source, fresh)
    rows, _, columns = detail.partition("x")
    file = published.read(path, grid=(int(rows), int(columns)) if detail else None)
    trunk = getattr(run.model, "trunk", None)
    dense = getattr(trunk, "name", "") == file.model["name"]
    try:
        params = numbered(run, file, source, fresh)
        if dense and trunk:
            here = trunk.patches(np.broadcast_to(np.float32(0), run.pipeline.spec["image"][0]))
            taken, line = of_trunk(params, run.shapes(), (file.grid, here), source, fresh)
        else:
            taken, line = transplant.fit(params, run.shapes(), (file.grid, run.position_grid), source, fresh)
    except UserError as error:
        fits = f": take --config.model.{'trunk.' * dense}variant={file.variant}" if file.variant else ""
        raise UserError(f"{error} The file holds a {file.words}{fits}.") from None
    differ = [key for key in file.settings if getattr(run.model, key, file.model[key]) != file.model[key]]
    notes = [f"note: these weights were made with config.model.{key}={file.model[key]}." for key in differ]
    free = (*FREE, *(["image_size"] if dense else []))
    flags = [] if run.config["recipe"] else other_data(file, run.config["data"], free)  # a recipe takes them itself
    if flags:
        notes.append(f"note: these weights saw data made ready in another way: {' '.join(flags)}")
    return taken, " ".join([line, *notes])


def anew(run: Run) -> tuple[str, ...]:
    """config.init_fresh. Its default is what classes and pixels are told by, which an output layer of tokens is not."""
    patterns = tuple(run.config["init_fresh"])
    return () if run.task.spells and patterns == Experiment.init_fresh else patterns


def of_trunk(
    params: Weights,
    shapes: dict[str, tuple[int, ...]],
    grids: tuple[transplant.Grid | None, transplant.Grid | None],
    source: str,
    fresh: tuple[str, ...],
) -> tuple[Weights, str]:
    """The trunk of a dense model of these shapes, from the parameters of a ViT or a Swin: see `transplant.fit`."""
    params = {f"trunk/{name.removeprefix('trunk/')}": x for name, x in params.items()}
    shapes = {name: shape for name, shape in shapes.items() if name.startswith("trunk/")}
    taken, line = transplant.fit(params, shapes, grids, source, (*fresh, *NO_TRUNK))
    return taken, f"of the trunk {line} All else begins anew."


def other_data(file: published.Weights, data: Section, free: Sequence[str] = FREE) -> list[str]:
    """The flags that would make data ready as what stands beside the weights says, where config.data differs.

    Args:
      free: keys that may differ.
    """
    made = {key: value for key, value in file.data.items() if key in data and key not in free}
    own = {key: tuple(data[key]) if isinstance(data[key], list) else data[key] for key in made}
    return [shlex.quote(f"--config.data.{key}={value}") for key, value in made.items() if value != own[key]]


def check(source: str) -> None:
    """Checks that the source exists, before a data set is opened for a run that could not begin."""
    if not source or not isinstance(source, str):
        return  # none, or one that experiment.build refuses
    path, _ = parts(source)
    if path.suffix in (*published.SUFFIXES, *word_vectors.SUFFIXES) and not path.exists():
        raise UserError(f"config.init_from={source}: there is no such file.")
    if path.suffix in word_vectors.SUFFIXES:
        return
    if published_weights(path):
        published.find(path)
    else:
        if path.is_file():
            published.read(path)  # which says why a file of another kind is not loaded
        if not path.is_dir():
            raise UserError(
                f"config.init_from={source}: there is no such folder. Weights that are published elsewhere are "
                "downloaded first, as a folder, .npz or .safetensors."
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


def read(source: str, new: Run | None = None, fresh: tuple[str, ...] = ()) -> tuple[Weights, transplant.Grid | None]:
    """The weights of a workdir (its moving average where it has one) or of one of its steps, and the grid of its
    patches.

    Args:
      new: the run that takes them over.
      fresh: patterns over paths that it does not take over.

    Raises:
      UserError: the two have other tokenizers, so that words would get the embeddings of others.
    """
    folder, step = parts(source)
    run, state, _ = restore.load(folder, which=step or "last")
    anew = any(re.fullmatch(pattern, "embedding/embedding") for pattern in fresh)
    if new and not anew and (new.pipeline.readers and run.pipeline.readers) and _words(new) != _words(run):
        raise UserError(
            f"config.init_from={source} has another tokenizer than config.data: its words would get the embeddings of "
            f"others. Take {flag('config.data.tokenizer', folder)}, or add embedding/.* to config.init_fresh."
        )
    params = transplant.written_out(published.flat(jax.device_get(run.devices.get_state(state).eval_params)))
    kind, base = type(run.model), type(run.model).__bases__[0]
    if new and kind is not type(new.model) and base is not nn.Module and isinstance(new.model, base):
        # Both are made from one, as DINO and a segmenter are from a ViT: the head of this one stays behind.
        own = {name.split("/")[0] for name in new.shapes()}
        params = {name: x for name, x in params.items() if name.split("/")[0] in own}
    return params, run.position_grid


def _words(run: Run) -> list[list[str]]:
    """The vocabularies of a run."""
    return [reader.pieces(range(reader.size)) for reader in run.pipeline.readers]


def published_weights(path: Path) -> bool:
    """Whether a path is of published weights and not of a run."""
    return path.suffix in published.SUFFIXES or published.is_published(path)


def numbered(run: Run, file: published.Weights, source: str, fresh: tuple[str, ...] = ()) -> Weights:
    """The parameters of a file with their tokens in the order of the run's own tokenizer.

    Args:
      fresh: patterns over paths that the run does not take over.

    Raises:
      UserError: they are of another number of tokens, or of another tokenizer that stands beside them.
    """
    params, order = published.flat(file.params), run.token_order
    kept = {name: axis for name, axis in file.vocabulary.items() if not any(re.fullmatch(p, name) for p in fresh)}
    ids = run.pipeline.readers[0].size if run.pipeline.readers else None
    for name, axis in kept.items():
        if ids not in (None, size := params[name].shape[axis]):
            tokenizer = run.config["data"].get("tokenizer")
            raise UserError(
                f"{source} has a vocabulary of {size:,} tokens, and config.data.tokenizer={tokenizer} one of {ids:,}: "
                f"take that of the weights, --config.data.tokenizer=FOLDER, or add {name} to config.init_fresh."
            )
    if kept and run.pipeline.readers and _differ(run.pipeline.readers, input_pipeline.tokenizers(parts(source)[0])):
        raise UserError(
            f"{source} has another tokenizer than config.data.tokenizer={run.config['data'].get('tokenizer')}: its "
            f"words would get the embeddings of others. Take {flag('config.data.tokenizer', source)}, or add "
            f"{next(iter(kept))} to config.init_fresh."
        )
    return params if order is None else published.numbered(params, kept, order)


def _differ(own: Sequence[Reader], theirs: Sequence[Reader]) -> bool:
    """Whether two tokenizers have other tokens by the numbers of where they were published."""

    def spelled(reader: Reader) -> list[str]:
        return reader.pieces(range(reader.size) if reader.order is None else np.argsort(reader.order))

    pairs = zip(own, theirs, strict=False)  # of their sizes the weights decide
    return any(a != b for one, other in pairs for a, b in zip(spelled(one), spelled(other), strict=False))


def parts(source: str) -> tuple[Path, str]:
    """Path, and the step of WORKDIR:STEP or the grid of FILE:ROWSxCOLUMNS."""
    of = re.fullmatch(r"(.+):(\d+|best|last|[1-9]\d{0,4}x[1-9]\d{0,4})", source)
    path, detail = (storage.path(of[1]), of[2]) if of else (storage.path(source), "")
    weights_file = path.suffix in (*published.SUFFIXES, *word_vectors.SUFFIXES)
    if isinstance(path, storage.Bucket) and (weights_file or published.is_published(path)):
        path = storage.here(str(path))
    return path, detail
