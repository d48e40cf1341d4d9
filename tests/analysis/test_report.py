"""Tables and reports of made-up runs."""

import csv
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import report, studies, table
from analysis.studies import comparison
from configs.studies import base, vit_data_scaling
from errors import UserError
from studies import grid
from training import mishaps

SIZES = (500, 1500, 5000, 15_000)


def made_up(study: grid.Study, accuracy) -> list[table.Row]:
    rows = []
    for job in grid.jobs(study):
        value = accuracy(job)
        rows.append(
            {
                "run": job.name,
                **job.labels,
                "seed": job.seed,
                "parameters": 10,
                "flops_per_example": 1e6 * len(job.labels["model"]),
            }
            | {"total_flops": 1e12, "train_seconds": 3.0, "test/accuracy": value, "test/nll": 1 - value}
            | {"device": "1 x cpu", "commit": "abc", "command": "python train.py"}
        )
    return rows


def study(*figures: dict) -> grid.Study:
    config = base.get_config("ViT & ResNet", "figure 1", "Which?")
    config.runs = tuple(
        base.run("configs/vit_digits.py", f"data.train_examples={n}", model=model, images=n)
        for n in SIZES
        for model in ("ViT", "BiT ResNet")
    )
    config.reported = "ViT **wins**."
    config.figures = figures
    return grid.read(config)


GAP = base.figure("gap", x="images", series="model", metric="test/accuracy", first="ViT", second="BiT ResNet")
SCALING = base.figure("scaling", x="images", series="model", metric="test/accuracy")


def closing(job: grid.Job) -> float:
    slope = 0.1 if job.labels["model"] == "ViT" else 0.06
    return 0.4 + slope * np.log10(job.labels["images"] / 500) + 0.001 * job.seed


def test_a_report_is_one_page_with_its_pictures_and_says_what_was_found(tmp_path):
    one = study(SCALING, GAP)
    report.write(one, made_up(one, closing), 24, tmp_path, "python study.py --study=x")
    text = (tmp_path / "report.md").read_text()
    assert "24 of 24 runs, 3 seeds" in text
    assert "| ViT | 500 | 3 | 10 |" in text
    assert "ViT gains on BiT ResNet: it changes by +4.00 ± 0.00 points" in text
    assert "at the largest size ViT is above BiT ResNet" in text
    assert text.count("python train.py") == len(one.runs)
    page = (tmp_path / "report.html").read_text()
    assert "<title>ViT &amp; ResNet</title>" in page
    assert "<strong>wins</strong>" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    numbers = json.loads((tmp_path / "fits.json").read_text())
    assert numbers["gap"]["500"]["points"] == pytest.approx(0, abs=1e-9)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        f"{n}.{k}" for n in ("gap", "scaling") for k in ("png", "svg")
    }


def test_a_gap_within_the_noise_is_not_called_one(tmp_path):
    one = study(GAP)
    random = np.random.default_rng(0)
    report.write(one, made_up(one, lambda job: 0.5 + 0.02 * random.normal()), 24, tmp_path, "")
    text = (tmp_path / "report.md").read_text()
    assert "cannot be told" in text
    assert "at the largest size the two cannot be told apart" in text


FIGURES = (
    base.figure("comparison", variant="model", metric="test/accuracy"),
    base.figure("comparison", variant="images", series="model", metric="test/accuracy"),
    base.figure("pareto", series="model", points=("images",), metric="test/accuracy"),
    base.figure("shape", series="model", base="ViT", metric="test/accuracy"),
    base.figure(
        "lengths", x="images", series="model", metrics=("test/accuracy", "total_flops"), growth=("total_flops",)
    ),
)


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_drawn(tmp_path, figure):
    one = study(figure)
    report.write(one, made_up(one, closing), 24, tmp_path, "")
    assert (tmp_path / "figures" / f"{figure['name']}.png").stat().st_size > 5000
    assert "\n- " in (tmp_path / "report.md").read_text()


def test_metrics_of_many_magnitudes_are_averaged_by_their_logarithms_and_0_is_the_floor():
    rows: list[table.Row] = [{"run": "", "length": 8, "gradient": value} for value in (1e-2, 1e-4, 1e-6)]
    rows += [{"run": "", "length": 16, "gradient": value} for value in (0.0, 0.0)]
    at, mean, (low, high) = studies.points(rows, "length", "gradient", floor=1e-16)
    np.testing.assert_array_equal(at, [8, 16])
    np.testing.assert_allclose(mean, [1e-4, 1e-16])
    np.testing.assert_allclose(high[0] / mean[0], mean[0] / low[0])
    np.testing.assert_allclose([low[1], high[1]], 1e-16)


def test_the_best_variant_is_named(tmp_path):
    one = study(base.figure("comparison", variant="model", metric="test/accuracy"))
    report.write(one, made_up(one, lambda job: 0.9 if job.labels["model"] == "ViT" else 0.1), 24, tmp_path, "")
    assert "best is ViT, 90.00 ± 0.00 %; clearly apart from all others" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (base.figure("scalling", x="images"), "there is no 'scalling' in analysis/studies/: did you mean 'scaling'"),
        (base.figure("gap", x="images", serie="model"), "the figure 'gap'.serie is not a setting"),
        (
            base.figure("scaling", x="images", series="model", metric="test/acuracy"),
            "no metric 'test/acuracy': did you mean 'test/accuracy'",
        ),
    ],
)
def test_a_wrong_figure_is_one_line(tmp_path, figure, message):
    one = study(figure)
    with pytest.raises(UserError, match=message):
        report.write(one, made_up(one, closing), 24, tmp_path, "")


def test_early_stopping_takes_the_best_evaluation_and_of_equal_ones_the_first():
    rows = [
        {"step": s, "validation/accuracy": a, "test/accuracy": t}
        for s, a, t in ((1, 0.5, 0.4), (2, 0.7, 0.6), (3, 0.7, 0.9))
    ]
    assert table.select(rows, "validation/accuracy", "max")["step"] == 2
    assert table.select(rows, "validation/accuracy", "min")["step"] == 1
    assert table.select(rows, "", "max")["step"] == 3
    assert table.select([], "", "max") is None


def test_a_row_holds_what_a_run_logged(tmp_path):
    one = study()
    job = grid.jobs(one)[0]
    workdir = tmp_path / job.name
    (workdir / "checkpoints" / "20").mkdir(parents=True)
    about = {"total_steps": 20, "parameters": 7, "step_flops": 600, "data": {"batch_size": 10}}
    (workdir / "config.json").write_text(json.dumps(about | {"devices": "1 x cpu", "commit": "abc"}))
    lines = [{"step": s, "train/loss": 1 / s, "seconds": 2.0} for s in (10, 20)] + [{"step": 20, "test/accuracy": 0.5}]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (workdir / grid.ATTEMPTS).write_text(
        '{"state": "stopped", "seconds": 3.0}\n{"state": "finished", "seconds": 4.5}\n'
    )
    row, missing = table.collect(one, grid.jobs(one)[:2], tmp_path)
    assert row["state"] == "finished"
    assert (row["parameters"], row["flops_per_example"], row["total_flops"], row["examples_seen"]) == (
        7,
        20,
        12_000,
        200,
    )
    assert row["command"].endswith(f" --workdir={workdir}")
    assert (row["test/accuracy"], row["train/loss"], row["train_seconds"], row["wall_seconds"]) == (0.5, 0.05, 4.0, 7.5)
    assert missing["state"] == "missing"
    table.write([row, missing], tmp_path)
    with (tmp_path / "table.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [r["images"] for r in read] == ["500", "500"]
    assert read[0]["test/accuracy"] == "0.5"
    assert read[1]["parameters"] == ""
    assert json.loads((tmp_path / "table.json").read_text()) == [row, missing]


def test_the_shipped_study_of_data_size_draws_what_it_asks_for(tmp_path):
    one = grid.read(vit_data_scaling.get_config("fashion_mnist"))
    random = np.random.default_rng(0)
    rows = made_up(one, lambda job: 0.5 + 0.1 * np.log10(job.labels["images"] / 500) + 0.002 * random.normal())
    report.write(one, rows, len(rows), tmp_path, "")
    assert "falls with training images to the power of" in (tmp_path / "report.md").read_text()


def text_of(tmp_path, one: grid.Study, rows: list[table.Row], command: str = "") -> str:
    report.write(one, rows, len(rows), tmp_path, command)
    return (tmp_path / "report.md").read_text()


def test_a_study_without_figures_has_a_table_of_its_evaluations_metrics(tmp_path):
    one = study()
    text = text_of(tmp_path, one, [row | {"train/loss": 9.0} for row in made_up(one, lambda job: 0.5)])
    assert "| test/accuracy | test/nll |" in text
    assert "| 50.00 ± 0.00 % | 0.5 ± 0 |" in text
    assert "train/loss" not in text


@pytest.mark.parametrize(
    ("loss", "said"), [(3e12, "is 3e+12"), (float("nan"), "is not finite"), (None, "is not finite")]
)
def test_a_diverged_run_is_marked_and_not_averaged(tmp_path, loss, said):
    one = study(base.figure("comparison", variant="model", metric="test/accuracy"))
    rows = made_up(one, lambda job: 0.9)
    rows[0] |= {"test/accuracy": 0.1, "test/nll": loss}
    text = text_of(tmp_path, one, rows)
    assert f"- {rows[0]['run']}: test/nll {said}" in text
    assert "| ViT | 500 | 3 (1 diverged) | 10 |" in text
    assert text.count("90.00 ± 0.00 %") == len(one.runs) + 1  # of every point, and of the figure
    assert "not shown: 1 of 24 runs, diverged" in (tmp_path / "figures" / "comparison.svg").read_text()


def test_a_run_that_its_loss_ended_has_diverged(tmp_path):
    one = study(base.figure("comparison", variant="model", metric="test/accuracy"))
    rows = made_up(one, lambda job: 0.9)
    reason = f"error: {mishaps.NOT_FINITE} at step 7. Nothing was saved yet."
    rows[0] = {key: value for key, value in rows[0].items() if "/" not in key} | {"state": "unfinished"}
    rows[0]["reason"] = reason
    text = text_of(tmp_path, one, rows)
    assert "24 of 24 runs, 3 seeds" in text
    assert "Not finished" not in text
    assert f"- {rows[0]['run']}: {mishaps.NOT_FINITE}" in text
    assert "| ViT | 500 | 3 (1 diverged) | 10 |" in text


def test_names_that_do_not_fit_side_by_side_are_slanted():
    rows = made_up(study(), lambda job: 0.9)
    for name, angle in (("model", 0), ("run", 30)):
        picture = comparison.draw(rows, variant=name, metric="test/accuracy").picture
        assert {text.get_rotation() for text in picture.axes[0].get_xticklabels()} == {angle}


def test_a_study_whose_runs_all_diverged_says_so(tmp_path):
    one = study(SCALING, GAP)
    text = text_of(tmp_path, one, [row | {"test/nll": None} for row in made_up(one, lambda job: 0.1)])
    assert text.count("test/nll is not finite") == 24
    assert "| ViT | 500 | 3 (3 diverged) | 10 | 3 | 1.00e+12 | 3 | – |" in text


def test_runs_that_are_not_finished_are_listed(tmp_path):
    one = study()
    rows = [row | {"state": "finished"} for row in made_up(one, lambda job: 0.5)]
    rows[3] = {"run": "a-run", "seed": 0, "state": "missing", "reason": "error: no <such> thing"}
    text = text_of(tmp_path, one, rows)
    assert "23 of 24 runs" in text
    assert r"- a-run: missing: error: no \<such\> thing" in text


BASELESS = base.figure("shape", series="model", base="BiT ResNet", metric="test/accuracy")


@pytest.mark.parametrize("figure", [*FIGURES, SCALING, GAP, BASELESS])
def test_a_figure_of_one_run_is_drawn(tmp_path, figure):
    one = study(figure)
    report.write(one, made_up(one, closing)[:1], 24, tmp_path, "")
    assert (tmp_path / "figures" / f"{figure['name']}.png").exists()


def test_intervals_end_where_the_metric_does():
    assert studies.plus_minus(0.921, 0.087, "test/accuracy") == "92.10 % (83.40 to 100.00)"
    assert studies.plus_minus(0.5, 0.1, "test/5_shot") == "50.00 ± 10.00 %"
    assert studies.plus_minus(1.0, 0.0, "test/exact_match") == "100.00 ± 0.00 %"
    assert studies.plus_minus(1.0, 2.5, "test/bleu") == "1 (0 to 3.5)"
    assert studies.plus_minus(0.2, 0.3, "test/nll") == "0.2 (0 to 0.5)"
    assert studies.plus_minus(-0.2, 0.3, "test/pearson") == "-0.2 ± 0.3"
    rows: list[table.Row] = [{"run": "", "size": 1, "test/accuracy": value} for value in (0.7, 1.0)]
    _, mean, ends = studies.points(rows, "size", "test/accuracy")
    assert (mean, ends.tolist()) == (0.85, [[0.0], [1.0]])


EVIL = "$<script>alert(1)</script> | `a` [b](javascript:x) ![c](http://d) **e**\n# f & <!-- g $\\frac$"


def test_nothing_that_a_run_says_is_markdown_or_html(tmp_path):
    one = study(base.figure("comparison", variant="model", metric=f"test/{EVIL} accuracy"))
    rows = made_up(one, lambda job: 0.5)
    for number, row in enumerate(rows):
        row |= {"device": EVIL, "commit": EVIL, "run": EVIL, "command": f"{EVIL}\n````\n{EVIL}", "model": EVIL}
        row |= {f"test/{EVIL} accuracy": 0.5, "test/nll": None if number == 3 else 0.5}
    rows.append({"run": EVIL, "seed": 0, "state": EVIL})
    text = text_of(tmp_path, one, rows, EVIL)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<strong") == 1  # of what the study's author wrote
    assert page.count("<script") == 1  # of the page itself
    for tag in ("a ", "em", "!--"):
        assert f"<{tag}" not in page
    assert page.count("<img") == 1
    assert page.count("<h1") == 1
    for one_table in page.split("<table")[1:]:
        cells = [line for line in one_table.partition("</table>")[0].split("<tr>") if "</td>" in line]
        assert len({line.count("</td>") + line.count("</th>") for line in cells}) == 1
    assert not re.search(r"(?<!\\)[<`]", text.partition("```")[0])


def test_two_figures_of_one_kind_are_both_in_the_report(tmp_path):
    one = study(*FIGURES[:2])
    text = text_of(tmp_path, one, made_up(one, closing))
    assert "![comparison](figures/comparison.png)" in text
    assert "![comparison-2](figures/comparison-2.png)" in text


def test_a_commit_with_changes_keeps_its_mark(tmp_path):
    one = study()
    rows = [row | {"commit": f"{'ab' * 20}+"} for row in made_up(one, lambda job: 0.5)]
    assert "commit abababababab+ (+: with changes that are not in it)" in text_of(tmp_path, one, rows)


def test_selecting_by_a_metric_that_no_evaluation_has_is_one_line():
    with pytest.raises(UserError, match="did you mean 'test/accuracy'"):
        table.select([{"step": 1, "test/accuracy": 0.5}], "test/acuracy", "max")
    assert table.select([{"step": 1, "test/loss": None}], "test/loss", "min")["step"] == 1


def test_the_axis_of_a_loss_has_its_unit():
    axes = Figure().subplots()
    studies.finish(axes, "images", "test/nll")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training images", "test/nll, nats")
