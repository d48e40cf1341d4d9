"""Runs with drawn weights, saved before their first step: enough to be loaded, and made in a second."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

import experiment
from experiment import config as configs
from experiment import record
from tests.families import COMMON, FAMILIES


def saved(family: str, workdir: Path, **changes: object) -> Path:
    """The workdir of a run of a family of tests/families.py, with weights that are drawn."""
    config = configs.load("configs/vit_digits.py", COMMON | FAMILIES[family] | changes)
    run = experiment.build(config, workdir)
    workdir.mkdir(parents=True)
    for name, content in run.pipeline.files.items():
        (workdir / name).write_bytes(content)
    record.write(workdir, run.described)
    state, rng = run.devices.get_state(run.initialise()), np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.normal(0, 0.2, x.shape).astype(x.dtype), state.params)  # heads begin as 0
    with run.checkpoints as checkpoints:
        checkpoints.save(run.steps, replace(state, params=params), run.described)
    return workdir
