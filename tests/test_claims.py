"""The rows of docs/claims.md: verdicts follow from numbers, and the command that fills them."""

import importlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import commands
from analysis.studies import isoflop
from errors import UserError
from experiment import config, record
from results import claims, equal_budget, inside_vit, rows, transfer, translation
from results.rows import (
    Accelerated,
    Claim,
    Computed,
    Found,
    Recorded,
    Studied,
    Verdict,
    attention,
    dense,
    embeddings,
    inside,
    judging,
    large,
    page,
    published,
    recurrence,
    scaling,
    sizes,
    unified,
    vision,
)
from studies import grid
from training.mishaps import NOT_FINITE

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


def seeded(metric: str, values: dict[tuple[object, ...], float], *labels: str, spread: float = 0.0, **same: object):
    """The same, with a larger spread, and columns that are the same in all rows."""
    return [row | same | {metric: row[metric] + spread * row["seed"]} for row in table(metric, values, *labels)]


def test_an_order_holds_beyond_its_interval_and_equality_within_a_margin():
    assert [judging.above((1.0, 0.3), (low, 0.4)) for low in (0.4, 0.6, 1.1)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]
    assert judging.above((1.0, float("nan")), (0.0, 0.1)) == Verdict.DIRECTION, "one seed has no interval"
    assert judging.alike([(90.0, 0.5), (90.5, 0.5)], 2.0) == Verdict.HOLDS
    assert judging.alike([(90.0, 20.0), (80.0, 5.0)], 2.0) == Verdict.DIRECTION, "noise is not equality"
    assert judging.alike([(90.0, 0.5), (80.0, 0.5)], 2.0) == Verdict.NOT
    assert [judging.stated((85.12, half), ".1f", " %") for half in (0.31, float("nan"))] == ["85.1 ± 0.3 %", "85.1 %"]
    assert judging.least(Verdict.HOLDS, Verdict.DIRECTION) == Verdict.DIRECTION
    assert judging.least(Verdict.NOT, Verdict.HOLDS) == Verdict.NOT


def test_the_verdicts_on_data_follow_the_gap():
    def of(judge: Callable[[rows.Rows], Found], second: str, *gaps: float, first: float = 0.8) -> Verdict:
        """ViT minus another, or a hybrid minus a ViT, at ten times as many images each."""
        points = {(second, 100.0 * 10**i): first for i in range(len(gaps))}
        points |= {("hybrid" if second == "ViT" else "ViT", 100.0 * 10**i): first + gap for i, gap in enumerate(gaps)}
        own = seeded("test/accuracy", points, "model", "images", parameters=2e5, flops_per_example=6e6)
        for row in own:  # the seeds of the two are not in step
            row["test/nll"] = 1.0
            row["test/accuracy"] += 1e-3 * (row["seed"] == 1) * (row["model"] == second)
        return judge(own).verdict

    assert of(scaling.judge_more_data, "BiT ResNet", -0.1, -0.05, 0.01) == Verdict.HOLDS
    assert of(scaling.judge_more_data, "BiT ResNet", -0.1, -0.06, -0.02) == Verdict.DIRECTION
    assert of(scaling.judge_more_data, "BiT ResNet", -0.1, -0.05, 0.001) == Verdict.DIRECTION, "above by noise alone"
    assert of(scaling.judge_more_data, "BiT ResNet", 0.01, 0.05, 0.1) == Verdict.DIRECTION, "never below"
    assert of(scaling.judge_more_data, "BiT ResNet", -0.05, -0.05, -0.1) == Verdict.NOT
    assert of(scaling.judge_hybrid_small, "ViT", 0.1, 0.05, -0.01) == Verdict.HOLDS
    assert of(scaling.judge_hybrid_small, "ViT", 0.1, 0.07, 0.05) == Verdict.DIRECTION
    assert of(scaling.judge_hybrid_small, "ViT", 0.05, 0.05, 0.05) == Verdict.NOT


def test_where_the_laws_of_the_loss_cross_is_said():
    laws = {"ViT": (5.0, 0.5), "BiT ResNet": (1.0, 0.3)}  # 5 n^-0.5 = n^-0.3 at 3,125
    noise = np.random.default_rng(0).normal(1, 0.002, 100)
    own = [
        {"model": name, "images": n, "test/nll": a * n**-b * noise[i * 7 + j]}
        for i, (name, (a, b)) in enumerate(laws.items())
        for j, n in enumerate((1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5))
    ]
    assert "the loss of ViT is the lower from 3.2e+03 images on (95 %: 3.1e+03" in scaling.crossing(
        own, "ViT", "BiT ResNet"
    )  # the grid has steps of 3 %
    for row in own:
        row["test/nll"] += 0.5 * (row["model"] == "ViT")
    assert "do not cross" in scaling.crossing(own, "ViT", "BiT ResNet")


def test_the_verdicts_on_compute_compare_at_equal_accuracy_and_at_equal_compute():
    def of(judge: Callable[[rows.Rows], Found], times: float, hybrid: tuple[float, float] = (0.0, 0.0)) -> Found:
        """A ResNet with so many times a ViT's compute for the same accuracy; a hybrid so far above it at each end."""
        curve = [(1e10, 0.5), (4e10, 0.7), (2e10, 0.6), (8e10, 0.8)]
        points = {("ViT", str(i), cost): accuracy for i, (cost, accuracy) in enumerate(curve)}
        points |= {("BiT ResNet", str(i), times * cost): accuracy for i, (cost, accuracy) in enumerate(curve)}
        points |= {
            ("hybrid", str(i), cost): accuracy + np.interp(np.log(cost), np.log([1e10, 8e10]), hybrid)
            for i, (cost, accuracy) in enumerate(curve)
        }
        own = table("test/accuracy", points, "family", "model", "total_flops")
        for row in own:
            row["test/accuracy"] += 1e-3 * (row["seed"] == 1) * (row["family"] == "ViT")
        return judge(own)

    assert of(scaling.judge_pareto, 3).verdict == Verdict.HOLDS
    assert "needs 3.0" in of(scaling.judge_pareto, 3).measured
    assert of(scaling.judge_pareto, 1.3).verdict == Verdict.DIRECTION
    assert of(scaling.judge_pareto, 0.5).verdict == Verdict.NOT
    assert of(scaling.judge_hybrid_compute, 1, (0.1, 0.0)).verdict == Verdict.HOLDS
    assert of(scaling.judge_hybrid_compute, 1, (0.1, 0.05)).verdict == Verdict.DIRECTION
    assert of(scaling.judge_hybrid_compute, 1, (-0.1, 0.05)).verdict == Verdict.NOT


def test_the_verdicts_on_parts_of_a_vit_need_more_than_noise():
    def positions(none: float, spread: float) -> Verdict:
        points = {(name,): 0.9 for name in ("learned", "learned_2d", "relative")} | {("none",): none}
        return vision.judge_positions(seeded("test/accuracy", points, "positions", spread=spread, steps=400)).verdict

    assert [positions(0.6, 0), positions(0.6, 0.04), positions(0.95, 0)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]

    def head(token: float, spread: float) -> Verdict:
        points = {("token", 1.0): token, ("token", 2.0): 0.1, ("gap", 1.0): 0.1, ("gap", 2.0): 0.9}
        return vision.judge_head(seeded("test/accuracy", points, "head", "learning_rate", spread=spread)).verdict

    assert [head(0.9, 0), head(0.91, 0.02), head(0.8, 0)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]

    def shape(depth: float, width: float, spread: float = 0.0) -> Verdict:
        points = {("base", "as it is"): 0.8, ("depth", "4"): depth, ("depth", "1"): 0.5, ("width", "64"): width}
        points |= {(name, "x"): 0.9 for name in ("MLP", "patch", "all")} | {("width", "less"): 1.0}
        runs = seeded("test/accuracy", points, "scaled", "to", spread=spread, steps=400)
        return vision.judge_shape([row | {"flops_per_example": 5 + (row["to"] != "less")} for row in runs]).verdict

    assert [shape(0.9, 0.82), shape(0.9, 0.82, 0.05), shape(0.81, 0.82)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]

    def optimiser(adam: float, spread: float = 0.0) -> Verdict:
        points = {("BiT ResNet", "Adam, 0.001"): adam, ("BiT ResNet", "Adam, 0.003"): 0.5, ("ViT", "Adam, 0.001"): 0.1}
        points |= {("BiT ResNet", "SGD, 0.1"): 0.9}
        own = seeded("test/accuracy", points, "model", "optimiser", spread=spread)
        return vision.judge_optimiser(own).verdict

    assert [optimiser(0.95), optimiser(0.95, 0.05), optimiser(0.9)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_exponents_are_alike_only_by_narrow_intervals(monkeypatch):
    def of(exponent: float, half: float) -> Verdict:
        numbers = {
            "exponent of parameters": {"exponent": exponent, "half_interval": half},
            "exponent of images": {"exponent": 1 - exponent, "half_interval": half},
            "prediction": dict.fromkeys(("parameters", "loss", "measured parameters", "measured loss"), 1.0),
        }
        monkeypatch.setattr(scaling.isoflop, "draw", lambda *_, **__: isoflop.Drawn(None, [], numbers))
        return scaling.judge_isoflop([{"budget": 1e10}, {"budget": 1e12}]).verdict

    assert [of(0.5, 0.1), of(0.5, 0.3), of(0.73, 0.05), of(1.2, 0.1)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]


def test_the_verdicts_on_parts_of_a_transformer_need_more_than_noise():
    def of(name: str, spread: float = 0.0, loss: float = 0.1, **matches: float) -> Verdict:
        named = {part.replace("_", " "): match for part, match in matches.items()}
        points = {(part,): match for part, match in named.items()}
        own = seeded("test/exact_match", points, "part", spread=spread)
        evidence = ROWS[name].evidence
        assert isinstance(evidence, Studied)
        return evidence.judge([row | {"train/loss": 1e-3 if row["part"] == CHEAT else loss} for row in own]).verdict

    CHEAT = "no causal mask"
    assert of("no_positions", base=0.9, no_positions=0.1) == Verdict.HOLDS
    assert of("no_positions", 0.3, base=0.9, no_positions=0.8) == Verdict.DIRECTION
    coded = dict(base=0.9, no_positions=0.1, learned_positions=0.9, rotary_positions=0.9)
    assert of("order_positions", **coded, relative_positions=0.8) == Verdict.HOLDS
    assert of("order_positions", 0.3, **coded, relative_positions=0.2) == Verdict.DIRECTION
    assert of("order_positions", **coded, relative_positions=0.05) == Verdict.NOT
    assert of("no_mask", base=0.9, no_causal_mask=0.0) == Verdict.HOLDS
    assert of("no_mask", base=0.9, no_causal_mask=0.5) == Verdict.DIRECTION
    assert of("no_mask", base=0.9, no_causal_mask=0.0, loss=1e-4) == Verdict.DIRECTION, "with the mask it is lower"
    assert of("no_mask", base=0.0, no_causal_mask=0.1) == Verdict.NOT
    deep = {"6 layers": 0.9, "6 layers, post-LN": 0.2}
    assert of("pre_or_post", base=0.9, **{"post-LN": 0.8}, **deep) == Verdict.HOLDS
    assert of("pre_or_post", 0.1, base=0.9, **{"post-LN": 0.3}, **deep) == Verdict.DIRECTION
    assert of("pre_or_post", base=0.9, **{"post-LN": 0.1}, **deep) == Verdict.NOT


def test_a_part_without_which_every_loss_ceases_to_be_finite_is_needed():
    without = "6 layers, no LayerNorm"
    own = seeded("test/exact_match", {("6 layers",): 0.9, (without,): 0.0}, "part")
    for row in own:
        if row["part"] == without:  # as table.csv has it
            row |= {"state": "unfinished", "test/exact_match": "", "reason": f"error: {NOT_FINITE} at step 7."}
    evidence = ROWS["no_norm"].evidence
    assert isinstance(evidence, Studied)
    found = evidence.judge(own)
    assert found.verdict == Verdict.HOLDS
    assert "no LayerNorm: the loss of all 3 ceases to be finite" in found.measured


def test_heads_hold_only_where_the_most_are_worse_too():
    def of(*losses: float) -> Verdict:
        points = {(2.0**i,): loss for i, loss in enumerate(losses)}
        return sizes.judge_heads(table("test/nll", points, "heads")).verdict

    assert [of(1.2, 1.0, 1.1), of(1.2, 1.0, 0.9), of(0.9, 1.0, 1.1)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]


def test_the_verdicts_on_embeddings_and_smoothing_follow_bleu_and_the_loss():
    def of(judge: Callable[[rows.Rows], Found], bleu: float, nll: float = 2.0, spread: float = 0.0) -> Verdict:
        """Of a model without a part, where the whole one has 30 BLEU and a loss of 2.1."""
        others = ("three matrices", "embeddings not scaled", "no smoothing")
        points = {("base",): 30.0} | {(name,): bleu for name in others}
        own = seeded("validation/bleu", points, "part", spread=spread, steps=1400, parameters=1e6)
        for row in own:
            row["validation/nll"] = (2.1 if row["part"] == "base" else nll) + 1e-3 * row["seed"]
        return judge(own).verdict

    assert [of(embeddings.judge_tying, bleu) for bleu in (29.0, 30.5, 31.5)] == [
        Verdict.HOLDS,
        Verdict.HOLDS,
        Verdict.NOT,
    ]
    assert of(embeddings.judge_tying, 30.5, spread=1.0) == Verdict.DIRECTION, "noise does not exclude harm"
    assert [of(embeddings.judge_scale, bleu) for bleu in (29.0, 30.5)] == [Verdict.HOLDS, Verdict.NOT]
    assert of(embeddings.judge_scale, 29.0, spread=1.0) == Verdict.DIRECTION
    assert of(embeddings.judge_smoothing, 29.0) == Verdict.HOLDS
    assert of(embeddings.judge_smoothing, 29.0, spread=1.0) == Verdict.DIRECTION
    assert of(embeddings.judge_smoothing, 30.5) == Verdict.NOT, "perplexity is worse, and BLEU too"
    assert of(embeddings.judge_smoothing, 29.0, nll=2.2) == Verdict.NOT, "both are better"


def test_a_class_token_is_better_with_length_only_where_the_gap_grows():
    def of(short: float, long: float, spread: float = 0.0) -> Verdict:
        points = {("token", 16.0): 0.9, ("token", 256.0): 0.8}
        points |= {("mean", 16.0): 0.9 - short, ("mean", 256.0): 0.8 - long}
        own = seeded("test/accuracy", points, "pooling", "length", spread=spread, steps=600)
        return embeddings.judge_pooling(own).verdict

    assert [of(0.0, 0.3), of(0.3, 0.1), of(0.0, 0.0), of(-0.2, -0.1)] == [Verdict.HOLDS, *[Verdict.NOT] * 3]
    assert of(0.0, 0.1, spread=0.1) == Verdict.DIRECTION


def test_learned_positions_are_alike_only_by_narrow_intervals():
    def of(learned: float, spread: float = 0.0) -> Verdict:
        points = {("learned positions",): learned, ("base",): 1.0}
        return sizes.judge_learned(seeded("test/nll", points, "row", spread=spread)).verdict

    assert [of(1.01), of(1.01, 0.2), of(1.2)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_open_gates_are_judged_by_the_longest_sentences_and_the_seeds():
    def of(opened: float, spread: float = 0.0) -> Verdict:
        points = {(f"{cell} {bias}", 128.0): 0.125 for cell in ("lstm", "gru") for bias in (0, 1, 4)}
        points |= {(name, 32.0): 1.0 for name, _ in points} | {("lstm 4", 128.0): opened}
        return recurrence.judge_gates(seeded("test/accuracy", points, "model", "length", spread=spread)).verdict

    assert [of(0.74), of(0.74, 0.3), of(0.1)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_the_equal_budget_compares_the_recipes_that_validation_chose(monkeypatch, tmp_path):
    trained = []

    def keep(path: Path, name: str, planned: object, folders: object, about: object, more: object) -> None:
        trained.append((name, planned.flags, planned.splits))
        grid.read_config(name, (f"--config={planned.config}", *planned.flags))
        found = json.loads(path.read_text()) if path.exists() else {}
        entry = {"command": " ".join(("train.py", f"--config={planned.config}", *planned.flags)), "commit": "c"}
        entry |= {"validation/bleu": 30 + ("dropout=0.4" in " ".join(planned.flags)) * (GRU in name)}
        workdir = tmp_path / "runs" / name
        monkeypatch.setattr(equal_budget.log, "read", lambda workdir: [{"validation/bleu": entry["validation/bleu"]}])
        entry |= more(workdir)
        bleu = 38 + 2 * ("configs/transformer" in planned.config) + planned.seed / 10
        found[name] = entry | {"test/bleu": bleu, "parameters": 5e6, "steps": 2830}
        path.write_text(json.dumps(found))

    GRU = equal_budget.GRU
    monkeypatch.setattr(equal_budget, "RECORD", tmp_path / "equal_budget.json")
    monkeypatch.setattr(equal_budget.record, "clean_provenance", lambda: {"commit": "c"})
    monkeypatch.setattr(equal_budget.trained, "keep", keep)

    def draw(command: list[str]) -> int:
        workdir, out = (Path(flag.partition("=")[2]) for flag in command[1:3])
        out.mkdir(parents=True)
        (bleu,) = (bleu for model, bleu in scores.items() if workdir.name == f"{model}, seed 0")
        groups = dict(begins=[1, 21], ends=[20, 40], sentences=[500, 500])
        np.savez(out / "bleu_by_length.npz", bleu=[bleu], half_interval=np.ones((1, 2)), **groups)
        return 0

    scores = {equal_budget.TRANSFORMER: [40, 40], GRU: [40, 38], equal_budget.FIXED: [35, 25]}
    monkeypatch.setattr(equal_budget, "PICTURE", tmp_path / "equal_budget.png")
    monkeypatch.setattr(equal_budget.trained, "ended", draw)
    with pytest.raises(UserError, match=r'equal_budget.py "GRU, Bahdanau" finds it'):
        equal_budget.main(["LSTM, Bahdanau"], "multi30k")
    equal_budget.main([GRU], "multi30k")
    assert len(trained) == 4 + 3
    assert not equal_budget.PICTURE.exists()
    equal_budget.main([], "multi30k")
    assert len(trained) == 3 * 4 + 3 * 3 + 4
    final = {name: (flags, splits) for name, flags, splits in trained if not name.startswith("search")}
    assert "--config.model.dropout=0.4" in final[f"{GRU}, seed 2"][0]
    assert "--config.model.dropout=0.4" in final["LSTM, Bahdanau, seed 0"][0]
    assert "--config.model.dropout=0.2" in final["Transformer, seed 0"][0]
    assert {splits for _, splits in final.values()} == {("test",)}
    equal_budget.main([], "multi30k")
    assert len(trained) == 25, "what is recorded is not run again"
    found = json.loads(equal_budget.RECORD.read_text())
    assert recurrence.judge_above_recurrence(found).verdict == Verdict.HOLDS
    found["RNN, Bahdanau, seed 0"]["test/bleu"] = 40.0
    assert recurrence.judge_above_recurrence(found).verdict == Verdict.DIRECTION
    found["RNN, Bahdanau, seed 0"]["test/bleu"] = 40.2
    assert recurrence.judge_above_recurrence(found).verdict == Verdict.NOT
    assert equal_budget.PICTURE.exists()
    assert "21 to 40 words: +13.0 ± 1.4 BLEU" in recurrence.judge_lengths(found).measured
    assert recurrence.judge_lengths(found).verdict == Verdict.HOLDS
    lengths = found[f"{equal_budget.FIXED}, seed 0"][equal_budget.LENGTHS]
    lengths["bleu"] = [34.0, 31.5]
    assert recurrence.judge_lengths(found).verdict == Verdict.DIRECTION, "+6 and +6.5"
    lengths["bleu"] = [30.0, 31.5]
    assert recurrence.judge_lengths(found).verdict == Verdict.NOT


def test_the_verdict_on_a_change_of_table_3_follows_the_losses():
    (dropout,) = (claim for claim in sizes.CLAIMS if claim.name == "dropout")
    assert isinstance(dropout.evidence, Studied)

    def of(without: float, spread: float = 0.0) -> Verdict:
        points = {("dropout 0, 500 pairs",): without, ("500 pairs",): 1.0, ("dropout 0",): 0.1, ("base",): 0.1}
        return dropout.evidence.judge(seeded("test/nll", points, "row", spread=spread)).verdict

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


def test_a_published_number_is_reached_by_the_mean_of_the_seeds_there_are():
    def of(*accuracies: float) -> Found:
        runs = {
            f"seed {seed}": {"test/accuracy": x, "seconds of the whole command": 60, "parameters": 1, "commit": "c"}
            for seed, x in enumerate(accuracies)
        }
        evidence = ROWS["fashion_mnist"].evidence
        assert isinstance(evidence, Recorded)
        return rows.judged({"curve": []} | runs, evidence.judge)

    assert of().verdict == Verdict.OPEN
    assert [of(0.93).verdict, of(0.92).verdict] == [Verdict.HOLDS, Verdict.NOT], "one seed has no interval"
    assert "one seed" in of(0.93).measured
    assert of(0.921, 0.924, 0.922).verdict == Verdict.DIRECTION


@pytest.mark.parametrize("how", translation.DECODINGS)
def test_ways_to_decode_have_keys_that_there_are(how):
    flags = (flag for flag in translation.DECODINGS[how] if flag.startswith("--config."))
    grid.read_config(how, ("--config=configs/transformer_multi30k.py:en-de+tiny", *translation.SHORT, *flags))


def test_more_pretraining_is_compared_by_seed_of_both_families():
    def of(vit: list[float], resnet: list[float]) -> Found:
        less = {transfer.AFTER_LESS: [0.70, 0.75, 0.80]}
        found = {"ViT": {"fine-tuned": vit} | less, "BiT ResNet": {"fine-tuned": resnet} | less}
        return vision.judge_more_pretraining(found)

    more = [0.74, 0.79, 0.84 + 1e-3]
    assert of(more, more).verdict == Verdict.HOLDS, "the seeds themselves are 5 points apart"
    assert of(more, [0.75, 0.74, 0.82]).verdict == Verdict.DIRECTION
    assert of(more, [0.65, 0.74, 0.80]).verdict == Verdict.NOT
    assert ROWS["more_pretraining"].found().verdict == Verdict.OPEN, "the record is older"


def test_stages_of_the_vit_are_compared_by_seed():
    def of(judge: Callable[[rows.Numbers], Found], *gaps: list[float]) -> Verdict:
        """Of accuracies that are by so much above those before them, by seed."""
        names = ("from scratch", transfer.AFTER_NO_LABELS, "fine-tuned")
        if len(gaps) == 1:
            names = (transfer.AT_LOW, transfer.AT_HIGH)
        accuracy = np.cumsum([[0.60, 0.65, 0.70], *gaps], axis=0).tolist()
        return judge({"ViT": dict(zip(names, accuracy, strict=True))}).verdict

    up, unsure, down = [0.02, 0.021, 0.022], [0.05, 0.01, -0.02], [-0.02, -0.021, -0.022]
    assert of(vision.judge_supervised, up, up) == Verdict.HOLDS
    assert of(vision.judge_supervised, up, unsure) == Verdict.DIRECTION
    assert of(vision.judge_supervised, up, down) == of(vision.judge_supervised, down, up) == Verdict.NOT
    assert [of(vision.judge_resolution, gap) for gap in (up, unsure, down)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]
    assert ROWS["resolution"].found().verdict == Verdict.OPEN, "the record is older"


@pytest.mark.parametrize("name", transfer.STAGES | transfer.OF_VIT)
def test_a_stage_has_keys_that_there_are_and_begins_with_one_before_it(name):
    stages = transfer.STAGES | transfer.OF_VIT
    first, *flags = transfer.flags_of(stages[name], transfer.CONFIGS["ViT"], 0, Path("a.npz"), Path("b.npz"))
    config = grid.read_config(name, (first, *flags))
    assert config.data.name == ("a.npz" if stages[name].pre else "b.npz")
    if after := stages[name].after:
        assert [*stages].index(after) < [*stages].index(name)
        assert stages[after].pre
        assert config.init_from == str(transfer.workdir(transfer.CONFIGS["ViT"], 0, after))


def inside_of(**numbers: list[object]) -> rows.Numbers:
    """A record of three seeds: each number after training, and before it 0.3 or, with _ at its end, what is given."""
    names = {
        "variance": "variance of the first components",
        "near": "similarity by nearness",
        "along": "similarity along minus across",
        "distance": "attention distance",
        "pointing": "pointing",
    }
    runs = [
        {"test/accuracy": 0.8}
        | {
            state: {"uniform distance": 30.0, "chance of pointing": 0.25}
            | {names[key]: values[seed] for key, values in numbers.items()}
            | ({names["pointing"]: 0.4 + seed / 100, names["variance"]: 0.4} if state == "untrained" else {})
            for state in ("trained", "untrained")
        }
        for seed in range(3)
    ]
    return {"runs": runs, "commit": "c"}


def test_the_verdicts_on_what_a_vit_has_learned_need_more_than_noise():
    steady, noisy = [0.0, 0.001, 0.002], [-0.3, 0.05, 0.4]

    def around(value: float, spread: list[float]) -> list[object]:
        return [value + one for one in spread]

    def of(judge: Callable[[rows.Numbers], Found], **numbers: list[object]) -> Verdict:
        found = judge(inside_of(**numbers))
        assert found.commits == ("c",)
        assert found.figure.startswith("results/inside_vit/")
        return found.verdict

    for judge, key, values in (
        (inside.judge_filters, "variance", (0.6, 0.45, 0.39)),  # before training 0.4; at least half is few
        (inside.judge_pointing, "pointing", (0.6, 0.45, 0.39)),
    ):
        assert [of(judge, **{key: around(value, steady)}) for value in values] == [
            Verdict.HOLDS,
            Verdict.DIRECTION,
            Verdict.NOT,
        ]
        assert of(judge, **{key: around(0.6, noisy)}) == Verdict.DIRECTION

    def positions(near: list[object], along: list[object]) -> Verdict:
        return of(inside.judge_positions, near=near, along=along)

    up, down = around(0.3, steady), around(-0.3, steady)
    assert [positions(up, up), positions(up, down), positions(down, up)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]

    def distance(first: float, last: float, spread: list[float]) -> Verdict:
        layers = [[[10.0, first], [last + 10 * one, last]] for one in spread]
        return of(inside.judge_distance, distance=layers)

    assert distance(28.0, 29.0, steady) == Verdict.HOLDS
    assert distance(20.0, 29.0, steady) == Verdict.DIRECTION, "no head of the first layer looks across the image"
    assert distance(28.0, 20.0, noisy) == Verdict.DIRECTION
    assert distance(28.0, 12.0, steady) == Verdict.NOT
    slight = [[[27.6, 27.8], [27.9 + i / 100, 28.1]] for i in range(3)]
    assert of(inside.judge_distance, distance=slight) == Verdict.DIRECTION, "all heads are next to uniform attention"


def test_the_pixels_of_a_garment_on_a_canvas_are_known():
    images = np.random.default_rng(0).integers(0, 3, (20, 28, 28)).astype(np.uint8) * 50
    canvases, masks = inside_vit.composed(images, np.random.default_rng(0))
    assert canvases.shape == (20, 56, 56, 1)
    for image, canvas, mask in zip(images, canvases[..., 0], masks, strict=True):
        assert np.flatnonzero(mask).size == np.flatnonzero(image).size
        np.testing.assert_array_equal(canvas[mask > 0], image[image > 0])
    assert (canvases[..., 0] > 0).sum() > (masks > 0).sum(), "there are pieces of others"
    np.testing.assert_array_equal(canvases, inside_vit.composed(images, np.random.default_rng(0))[0])


def test_how_similar_positions_are_is_told_by_nearness_and_along_lines():
    place = np.indices((8, 8)).reshape(2, -1).T
    apart = np.hypot(*np.moveaxis(place[:, None] - place, -1, 0))
    near, along = inside_vit.structure(-apart.reshape(8, 8, 8, 8))
    assert (near, along) == (pytest.approx(1), pytest.approx(0))
    line = (place[:, None] == place).any(-1).astype(float)
    assert inside_vit.structure(line.reshape(8, 8, 8, 8))[1] == pytest.approx(1)


def test_the_run_that_is_looked_into_has_keys_that_there_are():
    config = grid.read_config("inside", (*inside_vit.FLAGS, "--config.data.name=a.npz"))
    assert (config.model.positions, config.model.head) == ("learned", "token")


def test_a_budget_of_its_own_is_judged_by_the_goal():
    def of(*bleu: float) -> Found:
        runs = {
            f"multi30k de-en tiny, seed {seed}": {
                "test/bleu": x,
                "parameters": 1,
                "steps": 1,
                "minutes of training": 1,
                "commit": "c",
            }
            for seed, x in enumerate(bleu)
        }
        evidence = ROWS["own_budget"].evidence
        assert isinstance(evidence, Recorded)
        return rows.judged(
            runs | {f"{recurrence.ATTENDED}, 10 epochs": {"test/bleu": 40.79, "parameters": 5, "commit": "d"}},
            evidence.judge,
        )

    assert of().verdict == Verdict.OPEN
    assert [of(bleu).verdict for bleu in (41.6, 41.4, 40.7)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]
    assert of(41.4, 41.6, 41.6).verdict == Verdict.HOLDS
    assert "40.79" in of(41.6).why
    assert of(41.6).commits == ("c", "d")


def test_filling_in_spans_first_is_compared_with_from_scratch():
    def of(*tuned: float) -> Verdict:
        rates = {"learning rate": 0.01, "validation/bleu by learning rate": {"0.01": 20.0, "0.025": 10.0}}
        bleu = {"fine-tuned": tuned, "from scratch": [14.6, 14.7, 14.0]}
        found = {start: {"test/bleu": values} | rates for start, values in bleu.items()} | {"commit": "c"}
        return published.judge_spans(found).verdict

    verdicts = [of(23.7, 24.1, 23.5), of(13.0, 18.0, 16.0), of(13.0, 14.0, 14.2)]
    assert verdicts == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_filling_in_words_first_holds_with_all_labels_and_with_few():
    def of(every: list[float], few: list[float]) -> Verdict:
        def runs(tuned: list[float]) -> dict:
            starts = {"fine-tuned": tuned, "from scratch": [0.70, 0.75, 0.80]}
            return {name: {"validation/accuracy": x, "mean": sum(x) / len(x)} for name, x in starts.items()}

        return published.judge_bert({"all labels": runs(every), "2,000 labels": runs(few)}).verdict

    up, unsure, down = [0.74, 0.79, 0.841], [0.75, 0.752, 0.83], [0.65, 0.70, 0.751]
    assert [of(up, up), of(unsure, up), of(up, down)] == [Verdict.HOLDS, Verdict.DIRECTION, Verdict.NOT]


def test_pre_training_is_told_apart_by_its_interval():
    def of(*tuned: float) -> list[Verdict]:
        scratch = [0.70, 0.75, 0.80]
        transferred = {name: {"fine-tuned": tuned, "from scratch": scratch} for name in transfer.CONFIGS}
        for one in transferred.values():
            one |= {f"mean {how}": sum(one[how]) / 3 for how in ("fine-tuned", "from scratch")}
        own = {"accuracy": {"fine-tuned": {"mean_color": tuned, "random": scratch, "mae": scratch}}}
        return [vision.judge_transfer(transferred).verdict, vision.judge_self_supervision(own).verdict]

    assert of(0.74, 0.79, 0.841) == [Verdict.HOLDS] * 2
    assert of(0.71, 0.85, 0.99) == [Verdict.DIRECTION] * 2, "better for every seed, by very different numbers of points"
    assert of(0.65, 0.70, 0.75) == [Verdict.NOT] * 2


def test_recall_is_told_apart_by_its_intervals():
    def of(attention: float, rnn: float, spread: float = 0.0) -> Found:
        points = {("attention", 128.0): attention, ("RNN", 128.0): rnn}
        points |= {(name, 512.0): 0.2 for name in ("attention", "RNN")}
        return recurrence.judge_recall(seeded("test/accuracy", points, "model", "length", spread=spread))

    assert of(0.9, 0.4).verdict == Verdict.HOLDS
    assert "at 128 attention 90.10 ± 0.25 %" in of(0.9, 0.4).measured
    assert of(0.5, 0.2, spread=0.2).verdict == Verdict.DIRECTION
    assert of(0.4, 0.9).verdict == Verdict.NOT


def test_rates_at_the_end_of_those_tried_are_said():
    def of(best: float) -> str:
        tried = {"learning rate": best, "validation/bleu by learning rate": {"0.004": 1.0, "0.01": 2.0, "0.025": 3.0}}
        starts = {"fine-tuned": [23.7, 24.1, 23.5], "from scratch": [14.6, 14.7, 14.0]}
        return published.judge_spans(
            {name: {"test/bleu": x} | tried for name, x in starts.items()} | {"commit": "c"}
        ).why

    assert "for both the highest" in of(0.025)
    assert "for both the highest" not in of(0.01)


def test_one_seed_is_said_to_be_one():
    found = {
        question: {reads: {"test/accuracy": [0.5]} for reads in ("both", "image", "text")}
        for question in ("which", "fits")
    }
    assert unified.judge_modalities(found).measured.endswith("; one seed")


def test_ways_to_decode_are_compared_by_seed():
    def of(*gaps: float) -> Found:
        usual, last = translation.USUAL, "5 beams, last"
        runs = {
            f"multi30k en-de short, seed {seed}": {
                "validation/bleu by decoding": {usual: 40.0 + seed, last: 40.0 + seed - gap},
                "parameters": 1_200_000,
                "commit": "c",
            }
            for seed, gap in enumerate(gaps)
        }
        evidence = ROWS["averaging"].evidence
        assert isinstance(evidence, Recorded)
        return rows.judged(runs | {"dates": {}}, evidence.judge)

    assert of().verdict == Verdict.OPEN
    assert of(0.5, 0.6, 0.7).verdict == Verdict.HOLDS, "the seeds themselves are 1 BLEU apart"
    assert of(0.5, -0.4, 0.7).verdict == Verdict.DIRECTION
    assert of(-0.5, -0.4, 0.7).verdict == Verdict.NOT


def test_the_scale_is_judged_by_entropy_and_gradient():
    kept = [{"entropy": 0.85, "gradient": 0.19, "median": 0.18}] * 3

    def of(*medians: float) -> Verdict:
        lost = zip((0.5, 0.2, 0.03), medians, strict=True)
        found = {"without": [{"entropy": e, "gradient": 0.1, "median": m} for e, m in lost], "with": kept}
        return attention.judge_softmax(found | {"d_k": [4, 64, 1024]}).verdict

    assert [of(0.28, 0.1, 1e-4), of(0.28, 0.2, 0.06), of(0.1, 0.2, 0.3)] == [
        Verdict.HOLDS,
        Verdict.DIRECTION,
        Verdict.NOT,
    ]


def test_a_record_without_the_row_is_not_measured_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    evidence = Recorded("a.json", "python a.py", lambda found: Found(str(found["x"]), Verdict.HOLDS))
    assert evidence.found("a").verdict == Verdict.OPEN
    (tmp_path / "a.json").write_text("{}")
    assert evidence.found("a").verdict == Verdict.OPEN
    (tmp_path / "a.json").write_text(json.dumps({"x": 3, "commit": "abc"}))
    assert (evidence.found("a").measured, evidence.found("a").commits) == ("3", ("abc",))


def test_what_cannot_be_measured_here_says_what_it_costs():
    assert "minutes of h100x8" in ROWS["wmt14_base"].found().why
    assert "hours of h100x8" in ROWS["imagenet_b16"].found().why
    assert ROWS["wmt14_base"].found().verdict == Verdict.ACCELERATOR
    assert not claims.due(ROWS["wmt14_base"])
    assert "--config.step.accumulate=2 " in ROWS["imagenet_b16"].command, "as README has it: without it memory is short"


@pytest.mark.parametrize("claim", [c for c in page.CLAIMS if isinstance(c.evidence, Accelerated)], ids=lambda c: c.name)
def test_what_needs_an_accelerator_has_a_command_with_keys_that_there_are(claim):
    workdirs = []
    for part in claim.command.split(" && "):
        command, target, *flags = shlex.split(part)[1:]
        if command == "train.py":
            grid.read_config(claim.name, (target, *(flag for flag in flags if flag.startswith("--config"))))
            (start,) = [flag.partition("=")[2] for flag in flags if "init_from=runs/" in flag] or [""]
            assert not start or start in workdirs, "it goes on with the run before it"
            own = [flag.partition("=")[2] for flag in flags if flag.startswith("--workdir=")]
            workdirs += own or [f"runs/{commands.name_of(target.partition('=')[2])}"]
        elif command == "evaluate.py":
            assert target.partition("=")[2] in workdirs
        else:
            assert claims.jobs_of(f"{Path(target).stem}:")
    if "table 5" in claim.where:
        assert f"--config={large.TUNE}:imagenet" in claim.command, "the paper's figures are of fine-tuned models"


def test_each_table_of_the_two_papers_has_rows():
    where = " ".join(f"{claim.where};" for claim in page.CLAIMS)
    for paper, tables in (("1706.03762", "1 2 3"), ("2010.11929", "1 2 5 6 7 8")):
        for table in tables.split():
            assert re.search(rf"{paper}[^;]*table {table}\b", where), (paper, table)
    assert {"wmt14_french", "finetune_imagenet", "finetune_cifar100", "finetune_vtab"} <= ROWS.keys()


def test_an_unknown_row_is_one_line_with_the_nearest_name():
    with pytest.raises(UserError, match="--only=scal is no row: did you mean 'scale'"):
        claims.chosen("scal")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one measured file."""
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    committed(tmp_path)
    return tmp_path


def committed(folder: Path) -> str:
    """The commit of all that is there."""
    for command in (["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True).stdout.strip()


def test_a_record_is_stale_when_what_made_it_changed(repository, capsys, monkeypatch):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(claims.recorded, "read", lambda name: {})
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
    assert claims.stale("a.py", ("0" * 40, commit)), "each of a record's commits counts"


def test_a_record_is_stale_when_the_config_of_its_run_is_another_one_now(repository):
    text = (
        '"""A word."""\n\nfrom configs import vit_digits\n\n\ndef get_config():\n    config = vit_digits.get_config()\n'
        "    config.optim.learning_rate = 2e-3\n    return config\n"
    )
    (file := repository / "configs" / "mine.py").parent.mkdir()
    command = "python train.py --config=configs/mine.py --config.steps=5"

    def changed(now: str, command: str = command) -> str:
        file.write_text(now)
        claims.other_config.cache_clear()
        return claims.other_config(commit, command)

    file.write_text(text)
    commit = committed(repository)
    assert changed(text) == ""
    assert changed(text.replace("A word", "Other words")) == ""
    assert changed(faster := text.replace("2e-3", "3e-3")) == "configs/mine.py"
    assert changed(faster, f"{command} --config.optim.learning_rate=1e-3") == "", "the command sets it"
    file.write_text("from configs import what_there_was_once\n")
    commit = committed(repository)
    assert changed(text) == "", "what is not known of a commit changes nothing"


def test_the_commands_of_a_record_are_those_of_its_commits():
    run, other = ({"command": f"python train.py --config=configs/{name}.py", "commit": name} for name in ("a", "b"))
    record = {"x": run, "y": other, "z": {"commands": [run["command"]]}, "commit": "c"}
    assert claims.commands_of(record, ("a", "c")) == [("a", run["command"]), ("c", run["command"])]


def test_runs_of_a_study_that_had_another_config_are_moved_aside(tmp_path, monkeypatch, capsys):
    study = ROWS["class_token"].evidence
    assert isinstance(study, Studied)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    described = importlib.import_module("configs.studies.vit_head").get_config("tiny")
    (job, *_) = grid.jobs(grid.read(described))
    folder = claims.runs_of(study)
    for rate, left in ((None, True), (0.7, False)):
        (folder / job.name).mkdir(parents=True, exist_ok=True)
        saved = config.plain(grid.read_config("a", job.flags))
        saved["optim"]["learning_rate"] = rate or saved["optim"]["learning_rate"]
        about = {"total_steps": 400, "parameters": 1, "format": record.FORMAT}
        (folder / job.name / record.FILE).write_text(json.dumps(saved | about))
        claims.make_room(study, [])
        assert folder.exists() == left
    assert "the runs of before are in runs/studies/vit_head-tiny.before-1" in capsys.readouterr().out


STUDIES = {claim.command: claim.evidence for claim in page.CLAIMS if isinstance(claim.evidence, Studied)}


@pytest.mark.parametrize("command", STUDIES)
def test_a_rows_study_takes_the_flags_of_its_command(command):
    name, _, size = STUDIES[command].study.partition(":")
    study = grid.read(importlib.import_module(f"configs.studies.{name}").get_config(size))
    flags = [flag for flag in shlex.split(command) if flag.startswith("--config.")]
    assert len(grid.jobs(study, flags)) == study.seeds * len(study.runs)
    assert study.seeds >= 3


WORDS = {"a quarter of an hour": 15, "half an hour": 30, "an hour": 60, "two hours": 120, "two to three hours": 150}
WORDS |= {"three hours": 180, "six hours": 360}


@pytest.mark.parametrize("command", STUDIES)
def test_the_time_of_a_row_is_that_of_its_study(command):
    """As the study's file says it, and configs/README.md where it does."""
    study, (name, _, size) = STUDIES[command], STUDIES[command].study.partition(":")
    about = importlib.import_module(f"configs.studies.{name}").__doc__
    (said,) = (line for line in about.splitlines() if f"{name}.py:{size} " in line)
    (listed,) = re.findall(
        rf"^\| `{name}.py` .*?`{size}`: ([^;|]*)", (ROOT / "configs" / "README.md").read_text(), re.M
    )
    for line in (said, listed):
        minutes = [int(number) for number in re.findall(r"(\d+) minutes", line)]
        minutes = minutes or [WORDS[words] for words in sorted(WORDS, key=len) if f" {words}" in line][-1:]
        assert minutes or "minutes on two CPU cores" in line, line
        assert all(0.7 < study.minutes / time < 1.5 for time in minutes), (study.minutes, line)


def test_a_study_is_stale_when_its_runs_have_other_flags(monkeypatch):
    study = ROWS["class_token"].evidence
    assert isinstance(study, Studied)
    assert not claims.other_runs(study), "words and other sizes of its file changed, and no run"
    kept = rows.recorded.table_of("vit_head")
    kept[0]["command"] = kept[0]["command"].replace("--config.steps=400", "--config.steps=300")
    monkeypatch.setattr(claims.recorded, "table_of", lambda name: kept[:-1])
    assert claims.other_runs(study) == [kept[0]["run"], kept[-1]["run"]]


def test_measuring_records_numbers_with_their_commit_and_writes_no_other_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rows, "RECORD", tmp_path / "claims.json")
    monkeypatch.setattr(claims.record, "clean_provenance", lambda: {"commit": "abc", "versions": {}})
    (tmp_path / "claims.json").write_text(json.dumps({"other": {"x": 1}}))
    claims.measure([ROWS["sinusoids_rotate"], ROWS["fixed_vector"]], data_dir="")
    kept = json.loads((tmp_path / "claims.json").read_text())
    assert kept["other"] == {"x": 1}
    assert kept["sinusoids_rotate"]["commit"] == "abc"
    assert (tmp_path / "sinusoids_rotate.png").stat().st_size > 1000
    assert np.isfinite(kept["sinusoids_rotate"]["processor seconds"])
    out = capsys.readouterr().out
    assert "[1/2] sinusoids_rotate" in out
    assert "needs data that are not here: --data_dir=DIR, which this fills:\nmkdir -p DIR/multi30k\n" in out


@pytest.mark.parametrize("claim", [c for c in page.CLAIMS if c.evidence.data], ids=lambda claim: claim.name)
def test_a_row_that_needs_data_takes_their_folder(claim):
    assert "DIR" in claim.command
    assert claim.evidence.data in (command := page.brings(claim.evidence.data))
    assert command in page.text(), "the page says which command brings it"


SCRIPTS = sorted({claim.command for claim in page.CLAIMS if isinstance(claim.evidence, Recorded)})


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_rows_script_takes_the_arguments_of_its_command(command, monkeypatch):
    script, *arguments = shlex.split(command)[1:]
    parse, given = commands.script, {}
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(
        commands, "script", lambda _, about, **own: parse(lambda **found: given.update(found), about, **own)
    )
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert not ended.value.code
    if names := given.get("names"):
        assert {*names} <= {*importlib.import_module(script.removesuffix(".py").replace("/", ".")).RUNS}


def test_a_row_that_is_stopped_stops_the_others_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(claims.record, "clean_provenance", dict)
    monkeypatch.setattr(claims.trained, "ended", lambda command: 130)
    monkeypatch.setattr(sys, "argv", ["claims.py"])
    with pytest.raises(SystemExit) as ended:
        commands.script(lambda: claims.measure([ROWS["alignment"], ROWS["gates"]], data_dir=""), "")
    assert ended.value.code == 130
    said = capsys.readouterr()
    assert "[1/2] alignment" in said.out
    assert "[2/2]" not in said.out
    assert said.err == "stopped by Ctrl-C.\n"


def test_a_script_that_wrote_other_numbers_than_it_expected_has_a_verdict(monkeypatch, capsys):
    monkeypatch.setattr(claims.record, "clean_provenance", dict)
    monkeypatch.setattr(claims.trained, "ended", lambda command: 1)
    claims.measure([ROWS["alignment"]], data_dir="")
    out = capsys.readouterr().out
    assert "ended with status 1: python results/alignment.py" in out
    assert f"    {ROWS['alignment'].found().verdict}: sequences written backwards" in out


def test_the_command_lists_its_rows():
    done = subprocess.run([sys.executable, "results/claims.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(ROWS)
