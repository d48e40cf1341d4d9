"""Published weights into a run, a run into published names, or one scheme of names into another.

    python convert.py ViT-B_16.npz runs/published [--classes=names.txt] [--config.data.mean=...]
    python convert.py runs/vit_imagenet-B_16 vit.safetensors [--as=timm|huggingface] [--step=best]
    python convert.py ViT-B_16.npz vit.safetensors [--as=huggingface]

FROM and TO are a run's workdir, a .npz or a .safetensors file: Google's names (.npz), timm's or Hugging Face's. What a
file holds is recognised by its names and shapes. A run made of it can be scored, used, and started from
(--config.init_from). Its config is --config, into which the weights must fit; left out, it is configs/vit_imagenet.py
with the model that the weights show. Nothing is converted in part."""

import os
import shutil
import sys
from pathlib import Path

import commands

if __name__ == "__main__":
    commands.begin()
    commands.config_flag("configs/FILE.py[:VARIANT] that the weights must fit; one key by --config.KEY=VALUE")
    commands.flag("string", "as", None, "Names to write: google | timm | huggingface (default: by the suffix)")
    commands.flag("string", "classes", None, "File with the names of the classes, one a line, in the head's order")
    commands.flag("integer", "heads", None, "Attention heads, where a file does not show them", lower_bound=1)
    commands.flag("string", "step", "last", "Which checkpoint of a run: last, best or a step")
    commands.flag("integer", "average", 1, "The mean of so many checkpoints, up to --step", lower_bound=1)

import jax
from ml_collections import ConfigDict

import experiment
import weights
from errors import UserError
from experiment import config as configs
from experiment import record, restore
from training import step
from training.trees import PyTree
from weights.ours import Settings

DEFAULT = "configs/vit_imagenet.py"
USUAL = {".npz": "google", ".safetensors": "timm"}  # the names for each suffix
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5")


def main(arguments: list[str]) -> None:
    """Converts one of the three ways."""
    if len(arguments) != 2:
        raise UserError(
            "two names are needed: python convert.py FROM TO, each a workdir, a .npz or a .safetensors file."
        )
    flags = commands.FLAGS
    if url := next((a for a in arguments if "://" in a), None):
        raise UserError(f"{url} is no file or folder here: fetch it, or mount where it is.")
    source, target = map(commands.path, arguments)
    check(source, target)
    if source.is_dir():
        params, model = of_run(source, flags.step, flags.average)
        export(params, model, target, flags["as"].value)
        return
    found = weights.read(source, flags.heads)
    print(f"{source}: {found.words} by the names of {found.scheme}")
    if target.suffix in USUAL:
        print(summary(found.moves))
        export(found.params, found.model, target, flags["as"].value)
    else:
        given = commands.config_name() != DEFAULT
        if not given and (key := next((a for a in sys.argv if a.startswith("--config.model")), None)):
            raise UserError(
                f"{key}: the model is what the weights show. Give a --config that it fits to change how it computes."
            )
        config = config_of(found, flags.config, given)
        make_run(found, config, class_names(found, flags.classes), source, target)
        show(found.moves)
    for name, why in found.left_out.items():
        print(f"left out: {name}: {why}.")
    for note in found.notes:
        print(f"note: {note}.")
    if target.suffix not in USUAL:
        print(
            f"{target} is a run. Next: python predict.py --workdir={target} image.jpg, or --config.init_from={target}"
        )


def check(source: Path, target: Path) -> None:
    """That one is there, and that the other can be written and is something that the first can become."""
    if not source.exists():
        raise UserError(f"there is no {source}.")
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError(f"{target} exists: choose another name, or remove it.")
    if target.suffix in PICKLED:
        raise UserError(f"{target} should be a workdir, or end in .npz or .safetensors.")
    if source.is_dir() and target.suffix not in USUAL:
        raise UserError(
            f"{source} and {target} are both workdirs: one of them should be a .npz or a .safetensors file."
        )


def of_run(workdir: Path, which: str, average: int) -> tuple[PyTree, Settings]:
    """The weights that a run is evaluated with, and the settings of its model."""
    config = restore.saved_config(workdir)
    config.parallel.mode = "mesh"
    name = config.model.name
    if name not in weights.MODELS:
        raise UserError(
            f"{workdir} holds a {name}, which is published by none of the schemes: {', '.join(weights.SCHEMES)}."
        )
    run, state, number = restore.load(workdir, config, which, average=average)
    print(f"{workdir}: step {number:,}{', the moving average' if state.ema else ''}")
    settings = {field: getattr(run.model, field) for field in run.model.__dataclass_fields__}
    return jax.device_get(state.eval_params), settings | {"name": name, "grid": run.grid}


def export(params: PyTree, model: Settings, target: Path, scheme: str | None) -> None:
    """Writes parameters under another scheme's names, and says how."""
    scheme = scheme or USUAL[target.suffix]
    moves, notes = weights.write(target, params, scheme, model)
    show(moves)
    for note in notes:
        print(f"note: {note}.")
    print(f"{target} has the names of {scheme}.")


def config_of(found: weights.Weights, config: ConfigDict, given: bool) -> ConfigDict:
    """The config of a run that these weights are: a given one's model keeps its size, which must be theirs."""
    if not given:
        if found.image_size is None and not found.grid and not config.data.image_width:
            raise UserError(
                "the positions are of no square image: say its shape with --config.data.image_size=HEIGHT and "
                f"--config.data.image_width=WIDTH, of patches of {found.side} pixels."
            )
        config.model = ConfigDict(found.model)
        configs.complete(config)
        if config.data.image_size == configs.load(DEFAULT).data.image_size:
            config.data.image_size = found.grid[0] * found.side if found.grid else config.data.image_size
            if found.grid and found.grid[0] != found.grid[1]:
                config.data.image_width = found.grid[1] * found.side
        if len(config.data.mean) != found.channels:
            config.data.update(mean=(0.5,) * found.channels, std=(0.5,) * found.channels)
    elif config.model.name != found.model["name"]:
        raise UserError(f"the config's model is a {config.model.name}, and the file holds a {found.words}.")
    else:
        config.model.update({key: found.model[key] for key in found.settings})
    # A run that has ended, and keeps nothing that it could continue with.
    config.steps, config.step.ema_decay, config.checkpoint.keep_best = 1, 0.0, ""
    configs.choose(config, "optim.name", "sgd")
    configs.complete(config)
    config.optim.update(momentum=0.0, warmup_steps=0, weight_decay=0.0)
    config.parallel.mode = "mesh"
    return config


def class_names(found: weights.Weights, path: str | None) -> list[str]:
    """The names of the head's classes: the file's, or those that stand beside the weights, or numbers."""
    if not found.classes:
        raise UserError(
            "these weights have no head and tell no classes: begin a run from them with --config.init_from."
        )
    if not path:
        return list(found.names) or [str(i) for i in range(found.classes)]
    try:
        names = commands.path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read --classes={path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."
        ) from None
    if len(names) != found.classes:
        raise UserError(f"the head has {found.classes} classes, and --classes={path} names {len(names)}.")
    return names


def make_run(found: weights.Weights, config: ConfigDict, classes: list[str], source: Path, workdir: Path) -> None:
    """A workdir that holds the weights as the last checkpoint of a run; it is there whole or not at all."""
    fresh = workdir.with_name(f".{workdir.name}.{os.getpid()}")
    run = experiment.build(config, fresh, {"classes": classes})
    if differs := weights.mismatch(found, run.abstract_state.params):
        raise UserError(f"{source} does not fit: {differs}.")
    params = weights.stacked(found.params) if getattr(run.model, "scan", False) else found.params
    state = step.State(jax.numpy.int32(run.steps), params, run.optimiser.init(params), {}, step.nothing_usual())
    try:
        fresh.mkdir(parents=True)
        run.checkpoints.check_space(run.abstract_state)
        record.write(fresh, run.record | {"converted": {"from": str(source), "names": found.scheme}})
        with run.checkpoints as checkpoints:
            checkpoints.save(run.steps, run.devices.get_state(run.devices.put_state(state)), run.record)
        if workdir.exists():
            workdir.rmdir()
        fresh.rename(workdir)
    except OSError as error:
        raise UserError(f"cannot write {workdir}: {error.strerror}.") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def show(moves: tuple[weights.Move, ...]) -> None:
    """What was matched, renamed and changed in shape, a line for each kind of array."""
    rows = [("", "theirs", "ours", "shape there", "here", "")]
    for move in moves:
        shapes = ("x".join(map(str, move.before)), "x".join(map(str, move.after)))
        rows.append((str(move.arrays), move.theirs, move.ours, *shapes, move.change))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        cells = [
            f"{row[0]:>{widths[0]}}",
            *(f"{cell:{width}}" for cell, width in zip(row[1:5], widths[1:], strict=True)),
        ]
        print("  ".join([*cells, row[5]]).rstrip())
    print(summary(moves))


def summary(moves: tuple[weights.Move, ...]) -> str:
    """How many arrays were matched, renamed and changed in shape."""
    total, renamed, changed = (
        sum(move.arrays for move in moves if condition(move))
        for condition in (lambda m: True, lambda m: m.theirs != m.ours, lambda m: m.change)
    )
    return f"{total} arrays matched: {renamed} renamed, {changed} changed in shape."


if __name__ == "__main__":
    commands.run(main, __doc__ or "", config=DEFAULT)
