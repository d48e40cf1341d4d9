"""The rows of docs/claims.md: verdicts follow from numbers, and the command that fills them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from errors import UserError
from results import claims, rows
from results.rows import (
    Claim,
    Computed,
    Found,
    Recorded,
    Studied,
    Verdict,
    attention,
    dense,
    page,
    recurrence,
    sizes,
    vision,
)

ROOT = Path(__file__).parents[1]
ROWS = {claim.name: claim for claim in page.CLAIMS}


def test_every_row_has_a_name_of_its_own():
    assert len(ROWS) == len(page.CLAIMS) >= 45


@pytest.mark.parametrize("claim", page.CLAIMS, ids=lambda claim: claim.name)
def test_a_rows_command_runs_a_file_that_exists(claim):
    parts = claim.command.split()
    files = [part.partition("=")[2] or part for part in parts[1:] if ".py" in part]
    assert parts[0] == "python"
    assert files
    for file in files:
        assert (ROOT / file.partition(":")[0]).exists()
    for path in claim.evidence.sources:
        assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "measure", [attention.rotation, attention.heads, attention.sequential, attention.complexity, sizes.tying]
)
def test_what_is_exact_holds(measure):
    (claim, *_) = (c for c in page.CLAIMS if isinstance(c.evidence, Computed) and c.evidence.measure is measure)
    assert claim.evidence.judge(measure()).verdict == Verdict.HOLDS


def table(metric: str, values: dict[tuple[object, ...], float], *labels: str, seeds: int = 3) -> rows.Rows:
    """A study's table: each point with a small spread over its seeds."""
    return [
        dict(zip(labels, point, strict=True)) | {metric: value + 1e-3 * seed, "seed": seed, "commit": "c"}
        for point, value in values.items()
        for seed in range(seeds)
    ]


def test_the_verdict_on_data_follows_the_gap():
    def of(*gaps: float) -> Verdict:
        """ViT minus ResNet at ten times as many images each."""
        points = {("BiT ResNet", 100.0 * 10**i): 0.8 for i in range(len(gaps))}
        points |= {("ViT", 100.0 * 10**i): 0.8 + gap for i, gap in enumerate(gaps)}
        return vision.judge_more_data(table("test/accuracy", points, "model", "images")).verdict

    assert of(-0.1, -0.05, 0.01) == Verdict.HOLDS
    assert of(-0.1, -0.06, -0.02) == Verdict.DIRECTION
    assert of(-0.05, -0.05, -0.1) == Verdict.NOT


def test_the_verdict_on_a_change_of_table_3_follows_the_losses():
    (dropout,) = (claim for claim in sizes.CLAIMS if claim.name == "dropout")
    assert isinstance(dropout.evidence, Studied)

    def of(without: float, spread: float = 0.0) -> Verdict:
        own = table("test/nll", {("dropout 0",): without, ("base",): 1.0}, "row")
        for row in own:
            row["test/nll"] += spread * row["seed"]
        return dropout.evidence.judge(own).verdict

    assert of(1.5) == Verdict.HOLDS
    assert of(1.5, spread=1.0) == Verdict.DIRECTION
    assert of(0.9) == Verdict.NOT


def test_the_verdicts_on_swin_and_on_detr_follow_the_means():
    def swin(*accuracies: float) -> Verdict:
        points = {(name,): x for name, x in zip(("Swin", "ViT", "BiT ResNet"), accuracies, strict=True)}
        of = table("test/accuracy", points, "model")
        return dense.judge_swin([row | dict(parameters=2e5, flops_per_example=2e7, steps=2000) for row in of]).verdict

    assert [swin(0.9, x, 0.8) for x in (0.85, 0.899, 0.95)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]

    def detr(published: float, remedied: float) -> Verdict:
        points = {("all",): remedied, ("as published",): published}
        return dense.judge_detr(
            [row | {"examples_seen": 64_000} for row in table("validation[:200]/AP", points, "part")]
        ).verdict

    assert [detr(x, 0.7) for x in (0.01, 0.4, 0.69)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_vanishing_gradients_hold_only_where_gates_keep_them():
    def of(gated: float) -> Verdict:
        ratios = {"attention": 1.0, "rnn, orthogonal": 1e-8, "rnn, xavier": 1e-9}
        ratios |= {f"{cell}, bias {bias}": gated for cell in ("lstm", "gru") for bias in (0, 1)}
        ratios |= {"lstm, bias 4": 1.0, "gru, bias 4": 0.5}
        return recurrence.judge_gradients(
            {"S": [256], "first over last": {name: [[value] * 3] for name, value in ratios.items()}}
        ).verdict

    assert of(1e-5) == Verdict.HOLDS
    assert of(1e-12) == Verdict.DIRECTION


def test_the_scale_is_judged_by_entropy_and_gradient():
    kept = [{"entropy": 0.85, "gradient": 0.19}] * 3
    lost = [{"entropy": e, "gradient": g} for e, g in ((0.5, 0.28), (0.2, 0.2), (0.03, 0.06))]
    found = {"d_k": [4, 64, 1024], "with": kept, "without": lost}
    assert attention.judge_softmax(found).verdict == Verdict.HOLDS
    assert attention.judge_softmax(found | {"without": kept}).verdict == Verdict.NOT


def test_a_record_without_the_row_is_not_measured_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    evidence = Recorded("a.json", "python a.py", lambda found: Found(str(found["x"]), Verdict.HOLDS))
    assert evidence.found("a").verdict == Verdict.OPEN
    (tmp_path / "a.json").write_text("{}")
    assert evidence.found("a").verdict == Verdict.OPEN
    (tmp_path / "a.json").write_text(json.dumps({"x": 3, "commit": "abc"}))
    assert (evidence.found("a").measured, evidence.found("a").commits) == ("3", ("abc",))


def test_what_cannot_be_measured_here_says_what_it_costs():
    assert "hours of h100x8" in ROWS["wmt14_base"].found().why
    assert ROWS["wmt14_base"].found().verdict == Verdict.ACCELERATOR
    assert not claims.due(ROWS["wmt14_base"])


def test_an_unknown_row_is_one_line_with_the_nearest_name():
    with pytest.raises(UserError, match="--only=scal is no row: did you mean 'scale'"):
        claims.chosen("scal")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one measured file."""
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_record_is_stale_when_what_made_it_changed(repository, capsys):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    evidence = Computed(dict, lambda found: Found("x", Verdict.HOLDS))
    claim = Claim("mine", "", "", "", evidence)
    numbers = {"commit": commit}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "computed", lambda: {"mine": numbers})
        patch.setattr(Computed, "sources", ("a.py",))
        assert not claims.due(claim)
        (repository / "a.py").write_text("changed")
        assert claims.due(claim)
        assert "mine: stale, since a.py changed" in capsys.readouterr().out
        numbers["commit"] = "0" * 40  # of another repository
        assert not claims.due(claim)


def test_measuring_records_numbers_with_their_commit_and_writes_no_other_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rows, "RECORD", tmp_path / "claims.json")
    monkeypatch.setattr(claims.record, "clean_provenance", lambda: {"commit": "abc", "versions": {}})
    (tmp_path / "claims.json").write_text(json.dumps({"other": {"x": 1}}))
    claims.measure([ROWS["sinusoids_rotate"], ROWS["fixed_vector"]], data_dir="")
    kept = json.loads((tmp_path / "claims.json").read_text())
    assert kept["other"] == {"x": 1}
    assert kept["sinusoids_rotate"]["commit"] == "abc"
    assert np.isfinite(kept["sinusoids_rotate"]["processor seconds"])
    out = capsys.readouterr().out
    assert "[1/2] sinusoids_rotate" in out
    assert "needs data that are not here: --data_dir=DIR" in out


def test_the_command_lists_its_rows():
    done = subprocess.run([sys.executable, "results/claims.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(ROWS)
