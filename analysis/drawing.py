"""Figures of a run by name, drawn into a folder: by visualize.py, and in training after each evaluation."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import jax

import lookup
from analysis import picture
from analysis.subject import Subject
from errors import UserError
from experiment import Run, restore
from training.step import State

FIGURES = "analysis.figures"


def chosen(subject: Subject, asked: Iterable[str]) -> list[str]:
    """The figures that are asked for, or every figure that the run supports.

    Raises:
      UserError: one that there is not, or that the run cannot have.
    """
    asked = list(asked)
    for name in asked:
        lookup.find(FIGURES, "lacks", name)
    lacks = {name: lookup.find(FIGURES, "lacks", name)(subject) for name in lookup.names(FIGURES, "lacks")}
    can = [name for name, reason in lacks.items() if not reason]
    for name in asked:
        if lacks[name]:
            raise UserError(f"this run cannot have {name!r}: {lacks[name]}. It can have: {', '.join(can) or 'none'}.")
    return asked or can


def described() -> list[str]:
    """The figures that there are, each with what it shows."""
    folder = Path(__file__).parent / "figures"
    shown = {name: (folder / f"{name}.py").read_text().split('"""')[1] for name in lookup.names(FIGURES, "lacks")}
    width = max(map(len, shown))
    return [f"{name:{width}}  {' '.join(text.partition(chr(10) * 2)[0].split())}" for name, text in shown.items()]


def draw(subject: Subject, names: Iterable[str], folder: Path) -> Iterator[str]:
    """Draws figures, each a .png with its arrays beside it, and says of each where it is."""
    for name in names:
        arrays = lookup.find(FIGURES, "arrays", name)(subject)
        picture.save(lookup.find(FIGURES, "draw", name)(arrays), arrays, folder / f"{name}.png")
        yield "  ".join([f"{name:16} {folder / name}.png and .npz", *numbers(arrays)])


def numbers(arrays: picture.Arrays) -> list[str]:
    """The arrays that are a single number or text, as "error rate: 0.1234"."""
    single = {key.replace("_", " "): value.item() for key, value in arrays.items() if value.ndim == 0}
    return [f"{key}: {value:.4f}" if isinstance(value, float) else f"{key}: {value}" for key, value in single.items()]


def check(run: Run) -> list[str]:
    """The figures of config.evaluation.figures, which the run can have.

    Raises:
      UserError: it cannot.
    """
    if run.evaluation.figures and jax.process_count() > 1:
        raise UserError("config.evaluation.figures need a run of one host: visualize.py draws them afterwards.")
    return chosen(_subject(run, None), run.evaluation.figures)


def after_evaluation(run: Run, state: State, folder: Path) -> list[str]:
    """Draws the figures of config.evaluation.figures, and says where they are."""
    return list(draw(_subject(run, state), run.evaluation.figures, folder))


def _subject(run: Run, state: State | None) -> Subject:
    def variables() -> dict:
        assert state, "a check reads no weights"
        return run.devices.get_state(state).eval_variables

    return Subject(run=run, restore=variables, load=restore.latest)
