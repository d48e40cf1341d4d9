"""What a page holds: arrays, metrics with intervals, curves, settings; and that nothing of a run is HTML."""

import base64
import json
import math
import re
import shlex
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from analysis.figures import rollout
from analysis.page import curves, examples, explorer, gallery, html, pack, results, run, settings
from analysis.page.html import Html, element
from experiment import config as configs
from experiment.config import plain
from tests.conftest import tiny
from training.progress import metric

EVIL = '</script><script>alert(1)</script> " & <b>'


def unpacked(packed: pack.Packed) -> np.ndarray:
    """As assets/decode.js does it."""
    values = np.frombuffer(base64.b64decode(packed["values"]), np.uint8).reshape(packed["shape"])
    peaks = np.frombuffer(base64.b64decode(packed["peaks"]), "<f4").reshape(*packed["shape"][:-1], 1)
    return values * (peaks / 255)


def test_packed_arrays_are_as_exact_as_a_byte_allows():
    x = np.random.default_rng(0).random((2, 3, 5, 7)) ** 6
    x[0, 0, 0] = 0
    off = np.abs(unpacked(pack.packed(x)) - x)
    assert (off <= x.max(-1, keepdims=True) / 510 + 1e-7).all()
    assert (unpacked(pack.packed(x))[0, 0, 0] == 0).all()


def test_pictures_are_exact_if_small_and_small_if_large():
    small = pack.picture(np.linspace(0, 1, 64).reshape(8, 8, 1))
    assert small.startswith("data:image/png;base64,")
    assert pack.picture(np.zeros((8, 8, 3))).startswith("data:image/png")
    large = pack.picture(np.random.default_rng(0).random((224, 224, 3)))
    assert large.startswith("data:image/jpeg")
    assert len(large) < 100_000


def wilson(share: float, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def test_a_share_of_examples_has_wilsons_interval_and_nothing_else_has_one():
    assert results.interval("accuracy", 0.9, "images", 360) == pytest.approx(wilson(0.9, 360))
    assert results.interval("exact_match", 1.0, "target tokens", 50) == pytest.approx(wilson(1.0, 50))
    assert results.interval("accuracy", 0.9, "target tokens", 360) is None  # tokens of a sentence are not independent
    assert results.interval("loss", 0.9, "images", 360) is None
    assert results.interval("accuracy", 0.9, "images", None) is None
    assert results.interval("accuracy", None, "images", 360) is None


def test_the_first_metrics_are_those_that_people_ask_for():
    metrics = {"test/nll": 1.0, "test/loss": 1.0, "test/accuracy": 0.5, "validation/bleu": 3.0, "test/bleu": None}
    assert results.first(metrics, "") == ["test/accuracy", "test/loss"]
    assert results.first(metrics, "validation/bleu") == ["validation/bleu"]


def test_the_best_is_as_the_checkpoints_say_or_the_lowest_of_what_is_an_error():
    rows = [{"step": 1, "test/frechet": 2.0, "test/AP": 0.1}, {"step": 2, "test/frechet": 3.0, "test/AP": 0.3}]
    assert results.best(rows, "test/frechet", lower=True) == f"{metric('frechet', 2.0)} at step 1"
    assert results.best(rows, "test/AP", lower=False) == ""
    assert "frechet".endswith(results.LOWER)
    assert "squared_error".endswith(results.LOWER)
    assert not "AP50".endswith(results.LOWER)
    assert results.first({"test/loss": 1.0, "test/AP": 0.1}, "") == ["test/AP", "test/loss"]


def test_the_results_say_how_many_evaluations_there_were():
    run_ = SimpleNamespace(
        config={"checkpoint": {}}, pipeline=SimpleNamespace(eval_splits=()), task=SimpleNamespace(unit="images")
    )
    rows = [{"step": step, "test/loss": 1.0} for step in (4, 5)]
    assert "At step 4, the only evaluation." in str(results.part(SimpleNamespace(run=run_), rows[:1]))
    assert "At step 5, the last of 2 evaluations." in str(results.part(SimpleNamespace(run=run_), rows))


def test_after_a_run_of_several_hosts_the_page_is_a_command(tmp_path, monkeypatch):
    workdir = tmp_path / "a run"
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    (line,) = run.after_training(SimpleNamespace(workdir=workdir), 1)
    typed = shlex.split(line.partition(": ")[2])
    assert typed[-2:] == [f"--workdir={workdir}", "page"]
    assert typed[-3].endswith("visualize.py")


ROWS = [{"step": s, "train/loss": 1.0 / s, "seconds": 2.0} for s in range(1, 2001)]
ROWS += [{"step": 2000, "test/loss": None, "test/accuracy": 0.5}]


def test_curves_are_thinned_with_their_ends_and_without_what_is_not_finite():
    found = curves.curves(ROWS, "")
    (train,) = found["metrics"]["loss"]
    assert train["split"] == "train"
    assert len(train["step"]) == len(train["time"]) == len(train["value"]) == curves.MOST
    assert (train["step"][0], train["step"][-1], train["time"][-1]) == (1, 2000, 4000.0)
    assert found["metrics"]["accuracy"][0]["value"] == [0.5]
    assert found["first"] == ["loss", "accuracy"]
    assert curves.curves([{"step": 1, "train/loss": 1.0}], "")["metrics"]["loss"][0]["time"] == [None]


def test_settings_that_differ_from_their_defaults_are_marked():
    config = plain(tiny(**{"optim.learning_rate": 0.125, "data.augment.rotate": 7.0}))
    found = {one.key: one for one in settings.settings(json.loads(json.dumps(config)))}
    assert found["optim.learning_rate"].differs
    assert found["data.augment.rotate"].differs
    assert found["data.augment.rotate"].meaning
    assert not found["step.accumulate"].differs
    assert not found["evaluation.fewshot.seeds"].differs
    assert {"seed", "model.name", "data.kind", "checkpoint.keep_last", "parallel.mode"} <= found.keys()
    page = settings.part(config)
    assert "<code>0.125</code>" in page


def test_every_key_of_every_section_is_listed():
    config = configs.load("configs/transformer_dates.py")
    found = {one.key for one in settings.settings(plain(config))}
    lines = "\n".join(configs.describe(config))
    assert found == {re.match(r"  --config\.([\w.]+)=", line)[1] for line in lines.splitlines()}


def test_nothing_that_a_run_says_is_html_or_a_script():
    data = {"curves": curves.curves([{"step": 1, f"test/{EVIL}": 1.0}], ""), "explorer": None}
    body = element("main", element("p", EVIL, title=EVIL), settings.command({"command": EVIL, "commit": EVIL}))
    text = html.page(EVIL, body, data, run.SCRIPTS)
    assert text.count("<script") == 2
    assert "<script>alert" not in text
    assert "<b>" not in text.partition("<body>")[2].partition("<script")[0]
    assert json.loads(re.search(r'id="data">(.*?)</script>', text)[1]) == data


def test_a_page_allows_its_own_script_alone():
    text = html.page("x", Html(""), {}, run.SCRIPTS)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+';", policy)
    assert "script-src 'none'" in html.page("x", Html(""))
    assert not re.search(r'(src|href)="(?!data:|#)|@import|url\(', text)


def test_images_fit_the_page_with_each_head_or_with_their_mean():
    assert explorer.fitting(6, 4 * 4 * 17**2, 4) == (6, True)
    count, whole = explorer.fitting(6, 12 * 12 * 197**2, 12)  # ViT-B/16 at 224
    assert (count, whole) == (4, False)
    assert explorer.fitting(6, 32 * 16 * 577**2, 16) == (1, False)  # ViT-H at 384 with patches of 16
    assert explorer.fitting(1, 6 * 6 * 65**2, 6) == (1, True)


def test_sentences_are_cut_to_what_fits():
    assert explorer.longest(np.zeros((2, 2, 100, 100)), 10**6) == explorer.TOKENS
    assert explorer.longest(np.zeros((24, 16, 100, 100)), 150_000) == 19


def test_the_similarity_of_positions_survives_packing():
    similarity = np.array([[1.0, -0.5], [-0.5, 1.0]])
    np.testing.assert_allclose(2 * unpacked(pack.packed((1 + similarity) / 2)) - 1, similarity, atol=0.005)
    assert rollout.rollout(np.full((2, 1, 2, 3, 3), 1 / 3)).sum(-1) == pytest.approx(np.ones((1, 3)))


def test_figures_of_the_newest_step_are_found_and_large_ones_only_named(tmp_path):
    assert "None were drawn yet." in gallery.part(tmp_path, tmp_path / "figures")
    for name, size in (("figures/heads.png", 10), ("figures/9/samples.png", 10), ("figures/10/samples.png", 20)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    found = gallery.figures(tmp_path / "figures")
    assert [str(path.relative_to(tmp_path / "figures")) for path in found] == ["heads.png", "10/samples.png"]
    (tmp_path / "figures" / "curves.png").write_bytes(bytes(gallery.ROOM + 1))
    part = gallery.part(tmp_path, tmp_path / "figures")
    assert part.count("<img") == 2
    assert f"Too large for this page: {tmp_path}/figures/curves.png" in part


def test_an_error_while_the_page_is_written_is_one_line_and_fails_nothing(monkeypatch, capsys, tmp_path):
    def broken(*_: object) -> None:
        raise ValueError("no\nsuch thing")

    monkeypatch.setattr(run, "write", broken)
    monkeypatch.setattr(run, "Subject", lambda **_: None)
    assert run.after_training(type("Run", (), {"workdir": tmp_path})(), 3) == []
    assert capsys.readouterr().err == "warning: no page of the run (ValueError: no such thing).\n"


def test_a_long_text_is_shortened():
    assert examples.shorter("▁a" * 1000).endswith(" …")
    assert examples.shorter("▁a▁b") == " a b"
