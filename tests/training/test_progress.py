"""What is printed while a run or a study goes on."""

import pytest

from studies import grid, launch
from studies.progress import Progress
from training.progress import Live

TEXT = "a folder [red]x[/] of [/b] :smile:"


def test_a_line_is_printed_as_it_stands(capsys):
    with Live(0, 1) as live:
        live.say(TEXT)
    assert capsys.readouterr().out == f"{TEXT}\n"


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_what_a_run_of_a_study_says_is_printed_as_it_stands(tmp_path, capsys, state):
    job = grid.Job("a", {}, 0, ())
    with Progress(tmp_path, [job], 1) as progress:
        progress.ended(launch.Outcome(job, state, 1.0, TEXT))
    assert TEXT in capsys.readouterr().out
