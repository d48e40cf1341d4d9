"""Keys that a config leaves open (None): its recipe fills them, from the data, the machine and the weights to begin
with. They are filled once: a run that goes on has what it began with.
"""

import os
import textwrap
from functools import partial
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

import input_pipeline
import lookup
import weights
from errors import UserError, flag
from experiment import config as configs
from experiment import init_from, record
from experiment.build import build
from experiment.recipes import Given, Machine, Start
from experiment.run import Run, abstract
from input_pipeline import Survey
from lookup import Section, Value
from training import hosts, parallel, step

SHARE = 0.5  # of the memory that activations may take: they are counted before the compiler saves some
SHOWN = ("data", "data.augment", "model", "optim", "")  # sections that have a line of their own
COPIES = 6  # of the parameters that a step holds: gradients, moments, the new ones


def resolve(config: ConfigDict, workdir: Path) -> tuple[ConfigDict, list[str]]:
    """The config with its open keys filled, and lines for a person on what was chosen.

    Args:
      config: a whole one. Without a recipe it is returned as it is.
      workdir: of the run. One that holds a run of this recipe has what was chosen.

    Raises:
      UserError: the data are not there or not as expected, or the machine cannot be used.
    """
    if not lookup.checked_value("config.recipe", str, configs.plain(config).get("recipe", "")):
        return config, []
    config = configs.complete(ConfigDict(config.copy_and_resolve_references().to_dict()))
    if (workdir / record.FILE).exists() and (saved := record.read(workdir)).get("recipe") == config.recipe:
        if (name := saved["data"]["name"]) != config.data.name:
            raise UserError(
                f"{workdir} holds a run on other data: to go on with it, {flag('config.data.name', name)}; for a new "
                f"run choose another workdir, such as {flag('workdir', f'{workdir}_2')}"
            )
        model = saved["model"] if config.init_from else {}  # which the weights decided
        if model:
            _become(config, model["name"])
        _fill(config, flatten_dict({key: value for key, value in saved.items() if key in config}, sep="."), model)
        return _closed(config), []
    configs.check_set(config)
    choose = lookup.find("experiment.recipes", "choose", config.recipe)
    given = configs.plain(config)
    survey = input_pipeline.survey(given["data"])
    machine, start = _machine(given), beginning(given.get("init_from", ""))
    changes = {f"data.{key}": value for key, value in survey.keys.items()}
    changes |= choose(survey, Given(given), machine, start)
    if start:
        _become(config, changes.get("model.name", config.model.name))
    filled = _fill(config, hosts.shared("recipe", changes), start.model if start else {})
    if config.step.accumulate is None:
        run = build(_whole(config), workdir, pipeline_of=partial(input_pipeline.unread, survey=survey))
        count = hosts.shared("accumulate", micro_batches(run, machine))
        filled |= _fill(config, {"step.accumulate": count})
    return _closed(config), said(survey, machine, filled, bool(start))


def _become(config: ConfigDict, name: str) -> None:
    """Takes the model of this name, which weights are of, in place, with its own defaults."""
    if _derived(name, config.model.name):
        return
    _forget_defaults(config.model)
    configs.choose(config, "model.name", name)
    configs.complete(config)


def _derived(name: str, own: str) -> bool:
    """Whether a model is the run's own, or learns without labels what that begins with, as DINO does for a ViT."""
    return issubclass(*(lookup.find("models", "Model", one) for one in (name, own)))


def _forget_defaults(model: ConfigDict) -> None:
    """Takes away, in place, what a model has by default: another one, which has keys of these names, has its own."""
    for key, (_, default) in lookup.keys(lookup.find("models", "Model", model.name)).items():
        if key in model and model[key] == default:
            with model.unlocked():
                del model[key]


def _closed(config: ConfigDict) -> ConfigDict:
    """The config with its defaults in place of what is still open."""
    return configs.complete(ConfigDict(configs.plain(config)))


def _whole(config: ConfigDict) -> ConfigDict:
    """The config with a batch that is not split, of a run whose steps are not counted."""
    whole = ConfigDict(config.to_dict())
    whole.step.accumulate, whole.steps = 1, (config.optim.warmup_steps or 0) + 1
    return whole


def _fill(config: ConfigDict, changes: Section, model: Section | None = None) -> dict[str, Value]:
    """Sets those keys that are open and that the config has, in place. Returns what was set.

    Args:
      model: keys of config.model that weights decide: they are set where they have their default, too.
    """
    defaults = lookup.keys(lookup.find("models", "Model", config.model.name)) if model else {}
    filled: dict[str, Value] = {}
    for key, value in changes.items():
        *sections, name = key.split(".")
        here = config
        for section in sections:
            here = here.get(section, {})
        theirs = key.startswith("model.") and name in (model or {}) and name in defaults
        at_default = theirs and here.get(name) == defaults[name].default
        if name in here and (here[name] is None or at_default) and value is not None:
            value = tuple(value) if isinstance(value, list) else value
            with here.unlocked(), here.ignore_type():
                here[name] = value
            if not at_default or value != defaults[name].default:
                filled[key] = value
    return filled


def _machine(given: Section) -> Machine:
    """This machine, with the devices that config.parallel takes."""
    here = lookup.call("config.parallel", parallel.make, given.get("parallel", {}))
    device = here.devices[0]
    statistics = (device.memory_stats() or {}) if device.platform != "cpu" else {}
    memory = int(statistics.get("bytes_limit", 0)) or free_memory() // len(jax.local_devices())
    return Machine(device.platform != "cpu", here.divisor, memory)


def free_memory() -> int:
    """Bytes of the host that nobody uses, of those that its container may use."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
        found = next(int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable"))
        limit, used = (Path("/sys/fs/cgroup", f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return found if limit == "max" else min(found, max(0, int(limit) - int(used)))
    except (OSError, StopIteration, ValueError):  # not Linux, or no such container
        return found


def beginning(source: str) -> Start | None:
    """What the weights of config.init_from decide; None without, or for word vectors."""
    init_from.check(source)
    if not source:
        return None
    path, _ = init_from.parts(source)
    if path.is_dir() and (path / record.FILE).exists() and not weights.is_published(path):
        saved = record.read(path)
        data = {key: saved["data"][key] for key in init_from.IMAGES if key in saved["data"]}
        if "tokenizer" in saved["data"]:
            data["tokenizer"] = str(path)
        task = {key: saved["task"][key] for key in ("start",) if key in saved["task"]}
        return Start(saved["model"], data, task, saved.get("parameters", 0))
    if not init_from.published_weights(path):
        return None
    found = weights.read(path)
    data = {"tokenizer": str(path if path.is_dir() else path.parent)} if found.vocabulary else {}
    if found.grid:
        data |= {"image_size": found.grid[0] * found.side, "image_width": found.grid[1] * found.side}
    if found.channels:
        data |= dict.fromkeys(("mean", "std"), (0.5,) * found.channels)
        data |= {key: found.data[key] for key in init_from.IMAGES if key in found.data}
    task = {"start": "pad"}  # of Marian and T5
    return Start(dict(found.model), data, task, sum(x.size for x in weights.flat(found.params).values()), found.side)


def micro_batches(run: Run, machine: Machine) -> int:
    """Into how many micro-batches a step's batch is split, so that its activations fit a device."""
    shapes = max((spec for _, spec in run.pipeline.shapes), key=lambda spec: sum(np.prod(s) for s, _ in spec.values()))
    rows = min(shape[0] for shape, _ in shapes.values())
    room = SHARE * machine.memory - COPIES * 4 * run.parameters()
    needed = activations(run, abstract(shapes)) / machine.divisor
    count = 1
    while needed / count > max(room, 1) and rows % (2 * count * machine.divisor) == 0:
        count *= 2
    return count


def activations(run: Run, batch: dict[str, jax.ShapeDtypeStruct]) -> int:
    """Bytes that the backward pass of a batch needs of the forward pass, before the compiler saves any."""
    state = run.abstract_state

    def backward(params: Value, batch: Value) -> Value:
        def loss(params: Value) -> Value:
            rngs = {"dropout": jax.random.key(0)}
            variables = {**state.variables, "params": params}
            apply = step.Apply(run.model, variables, parallel.WHOLE.gather, mutable=True, train=True, rngs=rngs)
            return run.task.sums(apply, batch, train=True)["loss"][0]

        return jax.vjp(loss, params)[1]

    kept = jax.tree.leaves(jax.eval_shape(backward, state.params, batch))
    return sum(x.size * x.dtype.itemsize for x in kept if jax.numpy.issubdtype(x.dtype, np.number))


def said(survey: Survey, machine: Machine, filled: Section, tuned: bool) -> list[str]:
    """What was chosen, a line for each section, as the values of keys."""
    rows: dict[str, list[str]] = {section: [] for section in SHOWN}
    for key, value in filled.items():
        section, _, name = key.rpartition(".")
        own = section if section in SHOWN else ""
        rows[own].append(f"{name if own else key}={_short(value)}")
    where = f"{'an accelerator' if machine.accelerator else 'a CPU'} with {machine.memory / 1e9:.0f} GB"
    key = ([key for key in filled if key.startswith("data.")] or ["seed"])[-1]
    lines = [f"  {section or 'others':14} {' '.join(texts)}" for section, texts in rows.items() if texts]
    return [
        f"Your data: {survey.words}.",
        *survey.notes,
        f"Chosen for {'these weights, ' * tuned}these data and {where}; to change one: --config.{key}=VALUE.",
        *(line for text in lines for line in textwrap.wrap(text, 118, subsequent_indent=" " * 17)),
    ]


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
