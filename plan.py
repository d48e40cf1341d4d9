"""What a run will need, before it begins: python plan.py --config=configs/vit_imagenet.py:L/16 --topology=v5e:4x4

Memory, time and what would fit, from the step's program compiled for that machine, which need not be here. Ends with 0
where the run fits, 1 where it does not. docs/plan.md explains the page.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import commands
from planning import machines

if __name__ == "__main__":
    commands.begin()
    commands.train_flags(runs=False)
    commands.listed("Machines of --topology", lambda: machines.described())
    commands.flag("string", "topology", machines.HERE, "A machine: 'this machine', v5e:4x4, v3-8, h100x8 ...")
    commands.flag("string", "json", None, "Where the plan is written as JSON (default: WORKDIR/plan-TOPOLOGY.json)")
    if machines.elsewhere(sys.argv):
        os.environ.update(machines.ABSENT)

import jax
from jax.tree_util import keystr
from ml_collections import ConfigDict

import experiment
import input_pipeline
import lookup
from data import presence
from errors import UserError
from experiment import config as configs
from experiment import open_keys, record
from models import paths
from planning import checks, estimate, fit, page, programs, unread
from planning.machines import Machine
from planning.page import Plan
from training import parallel
from training.trees import PyTree

Part = dict[str, object]  # of a plan, as JSON


def plan(config: ConfigDict, name: str, workdir: Path, machine: Machine, say: Callable[[str], None]) -> Plan:
    """All that the page says, as JSON.

    Args:
      name: of the config. say: hears what is being done.

    Raises:
      UserError: anything in the config that cannot be, on that machine or at all.
    """
    config, notes = compilable(config, machine)
    run, build, data = builder(config, workdir, machine)
    batch = programs.largest(run.pipeline.shapes)
    say(f"Compiling the step for {machine.name} ...")
    program = programs.compiled(run, machine, batch)
    change: Part | None = None
    step = None
    if program.fits:
        described, step = _measured(run, machine, program, say)
    else:
        described = _described(program, machine)
        say(f"It needs {program.total / 1e9:.2f} GB a device and has {program.limit / 1e9:.2f}. Trying what would fit:")
        found, tried = fit.nearest(build, run, program, machine, say)
        change = {"flags": None, "tried": tried}
        if found:
            changed, step = _measured(build(found[0]), machine, found[1], say)
            change |= {"flags": fit.flags(found[0]), "program": changed}
    saved = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run.abstract_state))
    kept = run.config["checkpoint"]
    return {
        "config": name,
        "machine": machine.as_json(),
        "parallel": str(run.devices),
        "notes": notes,
        "versions": checks.versions(),
        "data": data,
        "workdir": checks.workdir(workdir, saved, kept["keep_last"] + bool(kept["keep_best"])),
        "parameters": {"total": run.parameters(), "parts": parts(run.abstract_state.params)},
        "flops_a_step": run.mean_step_flops(),
        "attention": run.attention,
        "batch": {name: list(x.shape) for name, x in batch.items()},
        "program": described,
        "change": change,
        "step": step and asdict(step),
        "steps": run.steps,
        "hours": step and {name: run.steps * getattr(step, name) / 3600 for name in ("seconds", "low", "high")},
    }


def _measured(
    run: experiment.Run, machine: Machine, program: programs.Program, say: Callable[[str], None]
) -> tuple[Part, estimate.Estimate]:
    """Of a program that fits: its memory with activations apart, and the time of a mean step."""
    say("Telling activations from other temporaries, and estimating the time ...")
    batch = programs.largest(run.pipeline.shapes)
    share = programs.growing_share(run, machine, batch, program)
    step = estimate.step_time(run, machine, batch, program)
    return _described(program, machine, share), step.times(run.mean_step_flops() / run.step_flops(batch))


def _described(program: programs.Program, machine: Machine, share: float | None = None) -> Part:
    by_default = machine.chip.memory * (
        machines.GPU_DEFAULT_SHARE if machine.platform == "cuda" and not machine.here else 1
    )
    return {
        "memory": programs.split(program.memory, share),
        "limit": program.limit,
        "fits": program.fits,
        "needs_fraction": program.total > by_default,
        "compile_seconds": round(program.seconds, 1),
    }


def parts(params: PyTree) -> dict[str, int]:
    """Parameters by what they belong to: a model's parts, and of encoder and decoder the kinds of branches."""
    found: dict[str, int] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        *modules, parameter = keystr(path, simple=True, separator="/").split("/")
        names = [module for module in modules if not paths.is_layer(module)] or [parameter]
        deep = names[0] in ("encoder", "decoder") and len(names) > 1
        branch = "norm" if names[-1].endswith("norm") else names[1] if deep else ""
        part = f"{names[0]} {branch}" if deep else names[0]
        found[part] = found.get(part, 0) + x.size
    return found


def compilable(config: ConfigDict, machine: Machine) -> tuple[ConfigDict, list[str]]:
    """The config as a mesh, and what there is to say of that: a pmap cannot be compiled ahead."""
    devices = lookup.call("config.parallel", parallel.make, config.parallel.to_dict(), devices=machine.devices)
    if not isinstance(devices, parallel.Pmap):
        return config, []
    config = ConfigDict(config.to_dict())
    config.parallel.mode = "mesh"
    return config, ["planned as a mesh of only data; pmap, which the run would use, keeps the same in memory"]


def builder(
    config: ConfigDict, workdir: Path, machine: Machine
) -> tuple[experiment.Run, Callable[[fit.Changes], experiment.Run], Part]:
    """The run, what builds it with changes to its config, and what is known of the data set. One that is here is
    read."""
    section = config.data
    found = presence.look(section.source, section.name, section.data_dir, section.get("label", "label"))
    pipeline_of = input_pipeline.build if found.here else unread.pipeline(found.classes)

    def build(changes: fit.Changes) -> experiment.Run:
        changed = ConfigDict(config.to_dict())
        changed.update_from_flattened_dict(changes)
        return experiment.build(changed, workdir, devices=machine.devices, pipeline_of=pipeline_of)

    run = build({})
    if not found.here:
        lines = [f"{section.name} is NOT HERE (looked in {found.where}): planned from config.data"]
        return run, build, {"here": False, "where": found.where, "lines": [*lines, *run.pipeline.describe()]}
    run.pipeline.check()
    begun = time.perf_counter()
    next(iter(run.pipeline.train_batches(0)))
    read = f"read a first batch in {time.perf_counter() - begun:.1f} s"
    return run, build, {"here": True, "where": found.where, "lines": [*run.pipeline.describe(), read]}


def main(arguments: list[str]) -> int:
    """Prints the page and writes the plan: 0 if the run fits, 1 if it does not."""
    commands.flags_alone(arguments)
    chosen = commands.FLAGS
    workdir = commands.workdir()
    if not commands.config_given() and (workdir / record.FILE).exists():
        raise UserError(f"{workdir} holds a run: name its config too, --config=FILE, and the keys that were set.")
    config, lines = open_keys.resolve(chosen.config, workdir)
    if lines:
        print("\n".join(lines))
    configs.check(config)
    machine = machines.find(chosen.topology)
    result = plan(config, commands.config_name(), workdir, machine, lambda line: print(line, file=sys.stderr))
    print(page.text(result))
    name = f"plan-{chosen.topology.replace(':', '-').replace(' ', '-')}.json"
    path = Path(chosen.json) if chosen.json else workdir / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}. Name another place by --json=FILE.") from None
    print(f"\nAs JSON: {path}")
    return 0 if result["program"]["fits"] else 1


if __name__ == "__main__":
    commands.run(main, __doc__ or "", config="configs/vit_digits.py")
