"""The shapes that signatures state (jaxtyping) hold in every call of every family's model."""

import subprocess
import sys
from pathlib import Path

from tests.families import FAMILIES

ROOT = Path(__file__).parents[1]
# In a process of its own: the hook must come before the import of what it checks, and makes tracing twice as slow.
TRACES = """
from jaxtyping import install_import_hook

install_import_hook("models", "beartype.beartype")

import jax
import jax.numpy as jnp
from pathlib import Path
from experiment import config as configs
from experiment.run import abstract
import experiment
from models import encoder
from tests.families import COMMON, FAMILIES

try:
    encoder.constrain(jnp.zeros(3))
except Exception as error:
    assert "encoder.constrain" in str(error), error
else:
    raise SystemExit("nothing is checked")
for family, changes in FAMILIES.items():
    run = experiment.build(configs.load("configs/vit_digits.py", COMMON | changes), Path("nowhere"))
    run.mean_step_flops()  # the model as its task calls it in training
    run.check_rows(run.pipeline.spec)  # and to answer
    if family in ("vit", "t5"):  # without and with a bias: the gradients that models write out
        batch = run.devices.lay_out_batch(abstract(run.pipeline.shapes[0][1]))
        jax.eval_shape(run.train_step, run.abstract_state, batch)
    print(family, flush=True)
"""


def test_every_family_keeps_to_the_shapes_that_it_states():
    done = subprocess.run([sys.executable, "-c", TRACES], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == list(FAMILIES)
