"""Published weights into a run, a run into published names, or one scheme of names into another.

    python convert.py ViT-B_16.npz runs/published [--classes=names.txt] [--config.data.mean=...]
    python convert.py opus-mt-de-en runs/opus                        a folder as it is downloaded, with its tokenizer
    python convert.py runs/vit_imagenet-B_16 vit.safetensors [--as=timm|huggingface] [--step=best]
    python convert.py runs/vit_imagenet-B_16 FOLDER                  that transformers opens
    python convert.py ViT-B_16.npz vit.safetensors [--as=huggingface]
    python convert.py CHECKPOINT runs/vit                            of flax.nnx: an Orbax checkpoint of a public ViT
    python convert.py runs/vit_digits digits.stablehlo [--platforms=cpu,tpu] [--batch=8]      runs without this code

FROM and TO are a run's workdir, a .npz or a .safetensors file, or a folder of published weights: Google's names
(.npz), timm's, open_clip's, Hugging Face's, (DiT) Facebook's or (ViT) those of nnx, see docs/linen_and_nnx.md. What
a file holds is recognised by its names and shapes, and by config.json beside it. A run made of it can be scored,
used, and started from (--config.init_from). The weights must fit --config. Without it, the model is read from the
weights, and the rest from the config of its family, which --help lists. Beams, ends of texts and sampling are as
generation_config.json says, unless the command line sets them in config.task. A file is converted whole or not at
all."""

import json
import os
import shutil
import sys
from pathlib import Path

import commands

if __name__ == "__main__":
    commands.begin()
    commands.config_flag("configs/FILE.py[:VARIANT] that the weights must fit; one key by --config.KEY=VALUE")
    commands.flag("string", "as", None, "Names to write: google, timm, huggingface, nnx (default: by suffix and model)")
    commands.flag("string", "classes", None, "File with the names of the classes, one a line, in the head's order")
    commands.flag("integer", "heads", None, "Attention heads, where a file does not show them", lower_bound=1)
    commands.flag("string", "step", "last", "Which checkpoint of a run: last, best or a step")
    commands.flag("list", "platforms", ["cpu", "cuda", "tpu"], "Of a .stablehlo file: where it can run")
    commands.flag("integer", "batch", 0, "Of a .stablehlo file: examples of a call (0: any number)", lower_bound=0)
    commands.flag("integer", "average", 1, "The mean of so many checkpoints, up to --step", lower_bound=1)
    commands.listed("Configs of runs made of weights, without --config", lambda: families())

import jax
import numpy as np
from ml_collections import ConfigDict

import experiment
import storage
import weights
from data import published
from data.tokenizer import Reader
from errors import UserError, command, flag
from experiment import Run, exported, init_from, record, restore
from experiment import config as configs
from training import step
from training.trees import PyTree
from weights import generation, preprocessing
from weights.ours import Settings

DEFAULT = "configs/vit_imagenet.py"
OWN_IMAGES = "configs/my_images.py"  # of a run on a user's data that begins with weights of the default's kind
USUAL = {".npz": "google", ".safetensors": "timm"}  # the names for each suffix
# No folder is meant by such a name.
NOT_WRITTEN = (
    *(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".keras", ".onnx", ".pb", ".tflite"),
    *(".gz", ".zip", ".tar", ".xz", ".bz2", ".zst"),
)


def main(arguments: list[str]) -> None:
    """Converts one of the three ways."""
    if len(arguments) != 2 or not all(arguments):
        raise UserError(
            "two names are needed: python convert.py FROM TO, each a workdir, a .npz or a .safetensors file, or a "
            "folder of published weights."
        )
    flags = commands.FLAGS
    source, target = map(commands.path, arguments)
    check(source, target)
    if target.suffix == exported.SUFFIX:
        run = experiment.load(source, step=flags.step, average=flags.average)
        print("\n".join(exported.write(run, target, flags.platforms, flags.batch)))
        return
    if source.is_dir() and not weights.is_published(source):
        export(*of_run(source, flags.step, flags.average), target, flags["as"].value)
        return
    copy = storage.here(str(source))
    found, notes = weights.read(copy, flags.heads), []
    print(f"{source}: {found.words} by the names of {found.scheme}")
    if target.suffix in USUAL:
        print(summary(found.moves))
        export(found.params, found.model, None, target, flags["as"].value)
    else:
        given = commands.config_name() != default([str(source)])
        if not given and (key := next((a for a in sys.argv if a.startswith("--config.model")), None)):
            raise UserError(
                f"{key}: the model is what the weights show. Give a --config that it fits to change how it computes."
            )
        config = config_of(found, flags.config, given, copy)
        compares = found.channels and found.vocabulary and not found.classes  # images with texts: it tells none apart
        named = not compares and (found.classes or found.channels)
        numbers = config.data.get("numbers", False)
        classes = class_names(found, flags.classes, source) if named and not numbers else [] if compares else None
        notes = written_as(config, copy if copy.is_dir() else copy.parent)
        with storage.written(target) as made:
            item = make_run(found, config, classes, source, made)
        show(found.moves)
    for why in dict.fromkeys(found.left_out.values()):
        name, *others = (name for name, reason in found.left_out.items() if reason == why)
        print(f"left out: {name}{f' and {len(others)} more' if others else ''}: {why}.")
    for note in [*found.notes, *notes]:
        print(f"note: {note}.")
    if target.suffix not in USUAL:
        item += ' and --classes="a cat,a dog"' if found.channels and found.vocabulary else ""
        print(f"{target} is a run. Next, with {item} after it: {command('predict.py', f'--workdir={target}')}")
        print(f"A run begins with it by {flag('config.init_from', target)}")


def check(source: Path, target: Path) -> None:
    """That one is there, and that the other can be written and is something that the first can become."""
    if not source.exists():
        raise UserError(f"there is no {source}.")
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError(f"{target} exists: choose another name, or remove it.")
    written = (*USUAL, exported.SUFFIX)
    if target.suffix not in written and target.suffix.lower() in (*NOT_WRITTEN, *written):
        raise UserError(f"{target} should be a workdir, or end in .npz, .safetensors or .stablehlo.")
    if source.is_dir() and not weights.is_published(source) and not (source / record.FILE).exists():
        raise UserError(
            f"{source} holds neither a run nor published weights: model.safetensors, or its index and parts, with "
            "config.json."
        )


def default(arguments: list[str]) -> str:
    """The config of a run that is made of the first of these, where none is given."""
    source = next((argument for argument in arguments if not argument.startswith("-")), "")
    path = storage.here(source) if source.endswith(weights.SUFFIXES) else storage.path(source)
    return weights.default_config(path) or DEFAULT


def families() -> list[str]:
    """A line for each config of a run that is made of weights, with the models that it is for."""
    found = weights.families_by_config()
    return [f"{config:42} {', '.join(words)}" for config, words in found.items()] + [f"{DEFAULT:42} others"]


def of_run(workdir: Path, which: str, average: int) -> tuple[PyTree, Settings, Run]:
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
    clip = run.pipeline.spec.get("clip", ((), ""))[0][1:]
    params = in_own_unit(jax.device_get(state.eval_params), run)
    return params, settings | {"name": name, "grid": run.position_grid, "clip": clip}, run


def in_own_unit(params: PyTree, run: Run) -> PyTree:
    """The parameters that say a number as it is in the data, and not standardised: tasks/regress.py."""
    if "deviation" not in run.pipeline.known:
        return params
    mean, deviation = (np.float32(run.pipeline.known[key]) for key in ("mean", "deviation"))
    head = params["head"]
    return params | {"head": {"kernel": head["kernel"] * deviation, "bias": head["bias"] * deviation + mean}}


def export(params: PyTree, model: Settings, run: Run | None, target: Path, scheme: str | None) -> None:
    """Writes parameters under another scheme's names, and says how.

    Args:
      run: whose they are, which has the tokens in an order of its own; None for those of a file.
      target: a file, or a folder that transformers opens.
    """
    scheme = scheme or usual(model["name"], target.suffix)
    order = run.token_order if run else None
    if target.suffix in USUAL:
        with storage.written(target) as made:
            moves, notes = weights.write(made, params, scheme, model, order)
    elif not run or scheme != "huggingface":
        raise UserError(f"{target} should end in .npz or .safetensors: a folder has the names of huggingface.")
    else:
        classes = run.pipeline.known.get("classes", ())
        readers = run.pipeline.readers
        model = model | {"special": special_ids(run)} if readers else model
        others = published.files(readers) | writing(run) | preprocessing.file(run.config["data"])
        with storage.written(target) as made:
            moves = weights.write_folder(made, params, model, classes, order, others)
        notes = []  # config.json says what differs
    show(moves)
    for note in notes:
        print(f"note: {note}.")
    print(f"{target} has the names of {scheme}.")


def usual(model: str, suffix: str) -> str:
    """The names to write where none are asked for: those of the suffix; where timm has no such model, its own."""
    own = weights.schemes_of(model)
    return own[0] if suffix == ".safetensors" and own and "timm" not in own else USUAL.get(suffix, "huggingface")


def special_ids(run: Run) -> dict[str, int | None]:
    """The special ids of a run's vocabulary as config.json calls them, by the numbers of where it was published."""
    ids: dict[str, int | None] = {**roles(run.pipeline.readers[-1])}
    if "start" in run.config["task"]:
        ids["decoder_start"] = ids[run.config["task"]["start"]]
    return {f"{role}_token_id": i for role, i in ids.items()}


def roles(reader: Reader) -> dict[str, int]:
    """The special ids of a tokenizer, by the numbers of where it was published."""
    numbers = theirs(reader)
    return {role: numbers[i] for role, i in published.special(reader).items() if role != "unknown"}


def theirs(reader: Reader) -> list[int]:
    """The number of each token where its tokenizer was published."""
    return list(range(reader.size)) if reader.order is None else reader.order.tolist()


def writing(run: Run) -> dict[str, bytes]:
    """The file that says how a run's texts are written, of a run that writes any."""
    if not run.pipeline.readers:
        return {}
    task, ids = run.config["task"], special_ids(run)
    if "stop" in task:
        ids["eos_token_id"] = theirs(run.pipeline.readers[-1])[task["stop"]] if task["stop"] >= 0 else None
    said = generation.written(task, ids, run.config["data"].get("max_length", 0))
    return {generation.FILE: json.dumps(said, indent=2).encode()} if said else {}


def written_as(config: ConfigDict, folder: Path) -> list[str]:
    """Sets in config.task how texts are written, as the weights' folder says; keys of the command line stay.

    Returns:
      lines for a person.

    Raises:
      UserError: it says what cannot be.
    """
    name, said = generation.read(folder) if generation.LIMITS.intersection(config.task) else ("", {})
    if not said:
        return []
    reader = published.read(config.data.tokenizer)[-1]
    try:
        found, notes = generation.settings(said, roles(reader), config.task.keys())
        if "stop" in found:
            found["stop"] = theirs(reader).index(found["stop"])
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder / name} cannot be used ({error}): move it away.") from None
    found = {key: value for key, value in found.items() if not _given(f"config.task.{key}")}
    changed = [f"config.task.{key}={value}" for key, value in found.items() if config.task[key] != value]
    config.task.update(found)
    said_so = [f"texts are written as {folder / name} says: {', '.join(changed)}"] if changed else []
    return said_so + [f"{folder / name}: {note}" for note in notes]


def config_of(found: weights.Weights, config: ConfigDict, given: bool, source: Path) -> ConfigDict:
    """The config of a run that these weights are: a given one's model keeps its size, which must be theirs. The
    tokenizer is that beside them."""
    if not given:
        if found.image_size is None and not found.grid and not config.data.image_width:
            raise UserError(
                "the positions are of no square image: say its shape with --config.data.image_size=HEIGHT and "
                f"--config.data.image_width=WIDTH, of patches of {found.side} pixels."
            )
        if not found.channels and "image_size" in config.data:
            raise UserError(
                f"these weights are a {found.words}, which reads text: give a --config for its data, such as "
                f"{', '.join(weights.configs_of(found.model['name']))}."
            )
        config.model = ConfigDict(found.model)
        if found.classes == 1 and "numbers" in config.data:  # which it cannot tell from others
            config.data.numbers = True
            configs.choose(config, "task.name", "regress")
        configs.complete(config)
        if positions := config.model.get("max_length") if "length" in config.data else None:
            config.data.length = min(config.data.length, positions)
        if found.channels and config.data.image_size == configs.load(DEFAULT).data.image_size:
            config.data.image_size = found.grid[0] * found.side if found.grid else config.data.image_size
            if found.grid and found.grid[0] != found.grid[1]:
                config.data.image_width = found.grid[1] * found.side
        said = {key: value for key, value in found.data.items() if key in config.data}
        config.data.update({key: value for key, value in said.items() if not _given(f"config.data.{key}")})
        for key in ("mean", "std") if found.channels else ():
            if len(config.data[key]) != found.channels and not _given(f"config.data.{key}"):
                config.data[key] = (0.5,) * found.channels
    elif config.model.name != found.model["name"]:
        raise UserError(f"the config's model is a {config.model.name}, and the file holds a {found.words}.")
    else:
        config.model.update({key: found.model[key] for key in found.settings})
    config = ConfigDict(config.to_dict())  # whose keys follow one another no more
    if "tokenizer" in config.data and not _given("config.data.tokenizer"):
        config.data.tokenizer = str(source if source.is_dir() else source.parent)
    config.init_from = ""
    # A run that has ended, and keeps nothing that it could continue with.
    config.steps, config.step.ema_decay, config.checkpoint.keep_best = 1, 0.0, ""
    configs.choose(config, "optim.name", "sgd")
    configs.complete(config)
    config.optim.update(momentum=0.0, warmup_steps=0, weight_decay=0.0)
    config.parallel.mode = "mesh"
    return config


def _given(key: str) -> bool:
    """Whether a key is set on the command line."""
    return any(argument.removeprefix("--").split("=")[0] == key for argument in sys.argv)


def class_names(found: weights.Weights, path: str | None, source: Path) -> list[str]:
    """The names of the head's classes: the file's, or those that stand beside the weights, or numbers."""
    if not found.classes:
        own = default([str(source)])
        config = OWN_IMAGES if own == DEFAULT else own
        flags = (f"--config={config}", "--config.data.name=FOLDER", f"--config.init_from={source}")
        raise UserError(
            f"these weights have no head and tell no classes: a run on yours begins with them, "
            f"{command('train.py', *flags)}"
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
    if empty := next((number for number, name in enumerate(names, 1) if not name.strip()), 0):
        raise UserError(f"--classes={path}: line {empty} names no class.")
    return names


def make_run(found: weights.Weights, config: ConfigDict, classes: list[str] | None, source: Path, workdir: Path) -> str:
    """A workdir that holds the weights as the last checkpoint of a run; it is there whole or not at all.

    Args:
      classes: names of them; None for a model that tells none apart. One that says a number says it as it is.

    Returns:
      what the run takes, for a person.
    """
    fresh = workdir.with_name(f".{workdir.name}.{os.getpid()}")
    numbers = {"mean": 0.0, "deviation": 1.0} if config.data.get("numbers", False) else {}
    named = {} if classes is None else {"classes": classes}
    run = experiment.build(config, fresh, {"tokenizers": {}} | numbers | named)
    numbered = weights.nested(init_from.numbered(run, found, str(source)))
    if differs := weights.mismatch(found, run.abstract_state.params):
        raise UserError(f"{source} does not fit: {differs}.")
    params = weights.stacked(numbered) if getattr(run.model, "scan", False) else numbered
    state = step.State(jax.numpy.int32(run.steps), params, run.optimiser.init(params), {}, step.nothing_usual())
    try:
        fresh.mkdir(parents=True)
        run.checkpoints.check_space(run.abstract_state)
        for name, content in run.pipeline.files.items():
            (fresh / name).write_bytes(content)
        about = run.record if found.channels else run.described  # a text's steps are as long as its sentences
        record.write(fresh, about | {"converted": {"from": str(source), "names": found.scheme}})
        with run.checkpoints as checkpoints:
            checkpoints.save(run.steps, run.devices.get_state(run.devices.put_state(state)), about)
        if workdir.exists():
            workdir.rmdir()
        fresh.rename(workdir)
        return run.pipeline.item
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
    commands.run(main, __doc__ or "", config=default(sys.argv[1:]))
