"""A trained model as one file of StableHLO, which runs wherever jax does, without this code: `write` and `load`.

The file is a zip archive, not compressed: `program` (jax.export's form of StableHLO, with the weights), `metadata.json`
(inputs, outputs, how examples are made ready, classes, versions) and the run's tokenizers. Five lines read it anywhere:

    import json, zipfile, jax.export
    with zipfile.ZipFile("model.stablehlo") as file:
        program = jax.export.deserialize(bytearray(file.read("program")))
        about = json.loads(file.read("metadata.json"))
    rows = program.call({"image": images})

B examples.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import storage
from errors import UserError, nearest
from experiment import record
from experiment.run import row_keys
from experiment.trained import Trained
from input_pipeline import Spec
from lookup import Json
from models.kernel_choice import compiled_for
from training import parallel, step
from training.trees import PyTree

SUFFIX = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
PROGRAM, METADATA = "program", "metadata.json"
# Keys of config.data by which a user's examples are made ready.
READY = (
    *(
        "image_size",
        "image_width",
        "mean",
        "std",
        "interpolation",
        "antialias",
        "eval_crop",
        "eval_crop_share",
        "invert",
    ),
    *("eval_size", "short_side", "frames", "stride", "languages", "max_length", "length", "begin", "normalisation"),
)


@dataclass(frozen=True)
class Exported:
    """A model that was exported.

    Attributes:
      metadata: what its file says of it.
      files: the tokenizers, by name.
    """

    metadata: Json
    files: dict[str, bytes]
    _program: export.Exported

    def __call__(self, **inputs: np.ndarray | jax.Array) -> dict[str, np.ndarray]:
        """What the model says of a batch, as `predict` of a run: exported(image=images)["probability"].

        Args:
          inputs: those that `metadata["inputs"]` names, with their shapes and dtypes.

        Raises:
          UserError: others, or an id that the vocabulary does not have.
        """
        wanted = self.metadata["inputs"]
        if inputs.keys() != wanted.keys():
            raise UserError(f"the model is called with {', '.join(wanted)}, not with {', '.join(inputs) or 'nothing'}.")
        for name, x in inputs.items():
            shape, dtype = wanted[name]["shape"], wanted[name]["dtype"]
            fits = len(shape) == np.ndim(x) and all(
                isinstance(w, str) or w == n for w, n in zip(shape, x.shape, strict=True)
            )
            if not fits or x.dtype != dtype:
                wants = f"{dtype} ({', '.join(map(str, shape))})"
                raise UserError(f"{name} should be {wants}, not {np.dtype(x.dtype)} {tuple(np.shape(x))}.")
            largest = wanted[name].get("largest")
            if largest is not None and np.size(x) and (most := int(np.max(x))) > largest:
                raise UserError(f"{name} has the id {most}: the largest of the vocabulary is {largest}.")
        if (here := jax.default_backend().replace("gpu", "cuda")) not in self.metadata["platforms"]:
            raise UserError(f"the model was exported for {', '.join(self.metadata['platforms'])}, and this is {here}.")
        return jax.device_get(self._program.call(dict(inputs)))


def load(path: Path | str) -> Exported:
    """Reads a file that `write` wrote.

    Raises:
      UserError: it is not one.
    """
    path = storage.here(os.fspath(path))
    try:
        with zipfile.ZipFile(path) as file:
            metadata = json.loads(file.read(METADATA))
            program = export.deserialize(bytearray(file.read(PROGRAM)))
            files = {name: file.read(name) for name in file.namelist() if name not in (METADATA, PROGRAM)}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    except Exception as error:  # a damaged archive raises anything
        raise UserError(
            f"{path} is no exported model, or a damaged one ({type(error).__name__}): write one with python convert.py "
            f"RUN model{SUFFIX}."
        ) from None
    return Exported(metadata, files, program)


def write(trained: Trained, path: Path, platforms: Sequence[str] = ("cpu", "cuda", "tpu"), batch: int = 0) -> list[str]:
    """Writes the model of a run, whole or not at all.

    Args:
      path: of the file.
      platforms: that it is compiled for when it is called. None of them need be here.
      batch: examples of a call; 0 for any number.

    Returns:
      lines for a person.

    Raises:
      UserError: the file exists or cannot be written, or the model cannot be exported so.
    """
    if unknown := next((one for one in platforms if one not in PLATFORMS), None):
        raise UserError(f"--platforms={unknown}: {nearest(unknown, PLATFORMS)}")
    if path.exists():
        raise UserError(f"{path} exists: choose another name, or remove it.")
    spec = inputs(trained)
    program = exported(trained, spec, platforms, batch)
    shapes = {name: (batch or "B", *shape[1:]) for name, (shape, _) in spec.items()}
    about = {
        "inputs": {
            name: {"shape": shapes[name], "dtype": dtype} | _largest(trained, name) for name, (_, dtype) in spec.items()
        },
        "outputs": {
            name: {"shape": [n if isinstance(n, int) else str(n) for n in x.shape], "dtype": x.dtype.name}
            for name, x in jax.tree.unflatten(program.out_tree, program.out_avals).items()
        },
        "platforms": list(program.platforms),
        "examples": {key: value for key, value in trained.config["data"].items() if key in READY},
        "task": trained.config["task"],
        "classes": list(trained.classes),
        "step": trained.step,
        **record.provenance(),
    }
    try:
        with storage.written(path) as here:
            fresh = here.with_name(f".{here.name}.{os.getpid()}")
            try:
                with zipfile.ZipFile(fresh, "w") as file:
                    file.writestr(METADATA, json.dumps(about, indent=2))
                    for name, content in trained.run.pipeline.files.items():
                        file.writestr(name, content)
                    with file.open(PROGRAM, "w", force_zip64=True) as stream:
                        stream.write(program.serialize())
                os.replace(fresh, here)
            finally:
                fresh.unlink(missing_ok=True)
            size = here.stat().st_size
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from None
    called = ", ".join(f"{name} {dtype} ({', '.join(map(str, shapes[name]))})" for name, (_, dtype) in spec.items())
    return [
        f"{path}: {size / 1e6:,.1f} MB for {', '.join(program.platforms)}, called with {called}.",
        f'In Python: experiment.load_exported("{path}"), or without this code as experiment/exported.py says.',
    ]


def inputs(trained: Trained) -> Spec:
    """What a model is called with for a user's examples, of one example. Texts have the greatest length."""
    pipeline, spec = trained.run.pipeline, trained.run.pipeline.spec
    if pipeline.rank:
        side = spec["clip" if pipeline.rank == 4 else "image"][0][1:]
        read, _ = trained.read(np.zeros(side, np.uint8))
        return {name: (x.shape, x.dtype.name) for name, x in read.items()}
    names = [name for name in trained.run.task.inputs if name in spec and name != "target"]
    length = getattr(pipeline, "max_length", 0)
    return {
        name: ((1, length or spec[name][0][1]) if len(spec[name][0]) == 2 else spec[name][0], spec[name][1])
        for name in names
    }


def _largest(trained: Trained, name: str) -> dict[str, int]:
    """The largest id that an input may have, where it is of tokens: beyond it a model would read NaN."""
    sizes = trained.run.pipeline.sizes
    own = {"source": "source_vocabulary", "tokens": "vocabulary"}
    size = (sizes.get(own[name]) or sizes.get("outputs")) if name in own else None
    return {"largest": size - 1} if size else {}


def exported(trained: Trained, spec: Spec, platforms: Sequence[str], batch: int) -> export.Exported:
    """The program {input: array} -> rows of the task's `predict`.

    Raises:
      UserError: it cannot be for any number of examples, or not for these platforms.
    """
    run = trained.run
    model = run.model.clone(kernel="auto") if hasattr(run.model, "kernel") else run.model

    # By plain operations, which every platform has.
    @compiled_for("cpu")
    def predict(batch: Mapping[str, jax.Array]) -> PyTree:
        apply = step.Apply(model, trained.variables, parallel.WHOLE.gather)
        rows = next(iter(batch.values())).shape[0]
        return run.task.predict(apply, batch, row_keys(run.seed, jnp.arange(rows)))

    (size,) = export.symbolic_shape(str(batch or "B"))
    shapes = {name: jax.ShapeDtypeStruct((size, *shape[1:]), dtype) for name, (shape, dtype) in spec.items()}
    try:
        return export.export(jax.jit(predict), platforms=list(platforms))(shapes)
    except (TypeError, ValueError, NotImplementedError, ArithmeticError, LookupError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        mend = "give --batch=N for calls of so many" if not batch else "it has parts that cannot be exported"
        raise UserError(
            f"{run.workdir} cannot be exported for {batch or 'any number of'} examples ({why}): {mend}."
        ) from None
