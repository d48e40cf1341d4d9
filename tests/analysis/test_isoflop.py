"""IsoFLOP profiles of losses whose law is known, and budgets that are met."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analysis.studies import isoflop
from configs.studies import vit_isoflop
from models import vit
from studies import grid
from training import flops

BUDGETS = (1e10, 1e11, 1e12, 1e13)


def rows_of(best, slope: float = 1.0) -> list[dict]:
    """Runs whose loss is a parabola around the size `best(budget)`."""
    rows = []
    for budget in BUDGETS:
        for factor in (0.25, 0.5, 1, 2, 4):
            size = best(budget) * factor
            loss = 0.5 * (budget / 1e10) ** -0.1 + slope * 0.01 * np.log(factor) ** 2
            rows.append(
                {"run": "", "budget": budget, "model": str(size), "parameters": size, "seed": 0}
                | {"examples_seen": budget / (6 * size), "test/nll": loss}
            )
    return rows


def test_exponents_and_the_held_out_budget_are_recovered():
    drawn = isoflop.draw(rows_of(lambda budget: 10 * (budget / 1e10) ** 0.6 * 1e3), loss="test/nll")
    assert drawn.numbers["exponent of parameters"]["exponent"] == pytest.approx(0.6, abs=1e-6)
    assert drawn.numbers["exponent of images"]["exponent"] == pytest.approx(0.4, abs=1e-6)
    said = drawn.numbers["prediction"]
    assert said["parameters"] == pytest.approx(said["measured parameters"], rel=1e-6)
    assert said["loss"] == pytest.approx(said["measured loss"], rel=1e-6)
    assert any("which no fit has seen" in line for line in drawn.lines)


def test_the_interval_of_an_exponent_is_of_the_seeds():
    """Three budgets alone leave one degree of freedom; three seeds of each leave seven."""
    shifts = dict(enumerate(np.random.default_rng(0).normal(1, 0.05, 3)))
    rows = [
        row | {"seed": seed, "parameters": row["parameters"] * shift**i}
        for seed, shift in shifts.items()
        for i, row in enumerate(rows_of(lambda budget: 10 * (budget / 1e10) ** 0.5 * 1e3))
    ]
    law = isoflop.draw(rows, loss="test/nll").numbers["exponent of parameters"]
    sizes = [
        [
            profile.best
            for profile in isoflop.fit_profiles([row for row in rows if row["seed"] == seed], "test/nll")[:-1]
        ]
        for seed in shifts
    ]
    fit = stats.linregress(np.log([BUDGETS[:-1]] * 3).ravel(), np.log(sizes).ravel())
    assert law["exponent"] == pytest.approx(fit.slope)
    assert law["half_interval"] == pytest.approx(stats.t.ppf(0.975, 7) * fit.stderr)


def test_a_budget_without_a_best_size_says_so():
    rows = rows_of(lambda budget: 1e3, slope=-1.0)
    drawn = isoflop.draw(rows, loss="test/nll")
    assert sum("no best size" in line for line in drawn.lines) == len(BUDGETS)
    assert not drawn.numbers


@pytest.mark.parametrize("size", ["tiny", "glyphs"])
def test_runs_cost_what_their_budget_says(size):
    """By the count of the program itself, which knows of more than the formula: normalisation has no products."""
    study = grid.read(vit_isoflop.get_config(size))
    setting = vit_isoflop.SETTINGS[size]
    for run in (study.runs[0], study.runs[-1]):
        changes = dict(change.split("=", 1) for change in run["changes"])
        key = {name: int(changes[f"model.{name}"]) for name in ("width", "depth", "mlp_dim", "heads")}
        model = vit.Model(
            setting["classes"], **key, patch=int(setting["patch"] ** 0.5), head="gap", positions="sinusoid_2d"
        )
        image = jax.ShapeDtypeStruct((setting["batch"], 28, 28, 1), jnp.float32)
        params = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image)
        forward = flops.forward(functools.partial(model.apply, train=False), params, image)
        assert 3 * forward * int(changes["steps"]) == pytest.approx(dict(run["labels"])["budget"], rel=0.02)
