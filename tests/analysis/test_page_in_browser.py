"""The page in a real browser: choosing, pointing, keys, curves, a phone's width, the dark; and no error in the console.

Skipped without Playwright or a browser: `make test-browser` brings the first; the second is Debian's package chromium,
or `.venv/bin/playwright install chromium`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analysis.page import curves, explorer, html, run, study
from analysis.page.html import element
from analysis.page.pack import packed, picture

sync = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-browser installs it")
BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome", "chrome")
LAYERS, HEADS, SIDE, EXTRA = 3, 2, 4, 1
N = EXTRA + SIDE * SIDE
TOKENS = ["<s>", "The", " cat", " slept", ":", " it", " was", " tired", "⏎", "</s>"]
RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    """Rows that sum to 1."""
    x = RANDOM.random(shape) ** 4
    return x / x.sum(-1, keepdims=True)


def images() -> explorer.Images:
    """Two images whose attention is known: in layer 1, head 1 patch p attends to the patch after it alone."""
    items = []
    for number in range(2):
        one = weights(LAYERS, HEADS, N, N)
        one[0, 0] = np.roll(np.eye(N), 1, axis=1)
        reading = np.eye(N)[:1]
        items.append(
            {
                "name": f"image {number}",
                "note": "3, is 5",
                "picture": picture(RANDOM.random((8, 8, 1))),
                "read": packed(one[:, :, 0]),
                "reading": packed(reading),
                "attention": packed(one),
                "rollout": packed(weights(N, N)),
            }
        )
    return {
        "kind": "images",
        "grid": (SIDE, SIDE),
        "query": "class token",
        "layers": LAYERS,
        "heads": HEADS,
        "positions": packed((1 + np.eye(SIDE * SIDE)) / 2),
        "items": items,
    }


def words() -> explorer.Words:
    """A sentence and its translation; word i attends to word i - 1 alone."""
    n = len(TOKENS)
    before = np.broadcast_to(np.eye(n, k=-1), (LAYERS, HEADS, n, n))
    lens: explorer.Lens = {
        "top": [[f"L{i}"] * n for i in range(LAYERS)],
        "probability": packed(np.full((LAYERS, n), 0.5)),
    }
    views = [
        explorer.view("alignment", TOKENS[:4], TOKENS, weights(LAYERS, HEADS, 4, n), None, None, 4),
        explorer.view("decoder", TOKENS, TOKENS, before, packed(before[0, 0]), lens, 60),
    ]
    return {"kind": "words", "items": [{"views": views}, {"views": views}]}


ROWS = [{"step": s, "train/loss": 2.0 / s, "seconds": 1.5, "learning_rate": 0.1} for s in (10, 20, 30)]
ROWS += [{"step": 30, "test/loss": 0.1, "test/accuracy": 0.5}]


def page(shown: explorer.Images | explorer.Words | None) -> str:
    data = {"curves": curves.curves(ROWS, ""), "explorer": shown}
    parts = [part for part in (explorer.part(shown), curves.part(ROWS)) if part]
    return html.page("a run", element("main", *parts), data, run.SCRIPTS)


@pytest.fixture(scope="module")
def browser() -> Iterator["sync.Browser"]:
    with sync.sync_playwright() as playwright:
        path = os.environ.get("BROWSER_FOR_TESTS") or next(filter(None, map(shutil.which, BROWSERS)), None)
        if not path and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no browser: apt-get install chromium, or .venv/bin/playwright install chromium")
        with playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as started:
            yield started


@pytest.fixture
def show(browser, tmp_path):
    """show(page, **look) opens a page; at the end of the test nothing may be in the console."""
    said: list[str] = []
    opened = []

    def show(text: str, **look: object) -> "sync.Page":
        (tmp_path / "page.html").write_text(text)
        tab = browser.new_page(**({"viewport": {"width": 1200, "height": 900}} | look))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
        tab.goto((tmp_path / "page.html").as_uri())
        opened.append(tab)
        return tab

    yield show
    for tab in opened:
        tab.close()
    assert said == []


def pixel(tab: "sync.Page", row: int, column: int) -> list[int]:
    """The colour in the middle of a patch."""
    return tab.evaluate(
        """([row, column, side]) => {
          const canvas = document.querySelector('canvas[tabindex]'), copy = document.createElement('canvas');
          const [x, y] = [canvas.width * (column + 0.5) / side, canvas.height * (row + 0.5) / side];
          const context = copy.getContext('2d', { willReadFrequently: true });
          context.drawImage(canvas, -x, -y);
          return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3); }""",
        [row, column, SIDE],
    )


def test_pointing_at_a_patch_shows_what_it_attends_to(show):
    tab = show(page(images()))
    readout = tab.locator(".readout")
    assert readout.inner_text().startswith("Class token, layer 3, mean of the heads:")
    tab.get_by_label("Layer 1", exact=True).check(force=True)
    tab.get_by_label("Head 1", exact=True).check(force=True)
    before = pixel(tab, 1, 2)
    box = tab.locator("canvas[tabindex]").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 1.5 / SIDE, box["y"] + box["height"] * 1.5 / SIDE)
    assert readout.inner_text().startswith("Patch in row 2, column 2, layer 1, head 1: 100 % to row 2, column 3;")
    assert pixel(tab, 1, 2) != before, "the patch that is attended to is drawn over"
    tab.mouse.move(2, 2)
    assert readout.inner_text().startswith("Class token, layer 1, head 1:")


def test_the_explorer_of_images_works_by_the_keyboard(show):
    tab = show(page(images()))
    tab.get_by_label("Layer 1", exact=True).check(force=True)
    tab.get_by_label("Layer 1", exact=True).press("ArrowRight")
    assert "layer 2" in tab.locator(".readout").inner_text()
    tab.locator("canvas[tabindex]").focus()
    tab.keyboard.press("ArrowDown")  # the first key chooses the patch in the middle
    assert "Patch in row 3, column 3" in tab.locator(".readout").inner_text()
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        tab.keyboard.press(key)
    assert "Patch in row 2, column 1" in tab.locator(".readout").inner_text()
    tab.keyboard.press("Escape")
    assert tab.locator(".readout").inner_text().startswith("Class token")
    tab.get_by_label("image 1 3, is 5").check(force=True)
    assert tab.locator(".caption").inner_text() == "image 1 · says 3, is 5"


def test_rollout_positions_and_a_head_of_the_overview_are_chosen(show):
    tab = show(page(images()))
    tab.locator("label", has_text="rollout").click()
    assert "through all layers" in tab.locator(".readout").inner_text()
    assert tab.locator("fieldset:disabled").count() == 2, "layer and head mean nothing here"
    tab.locator("label", has_text="positions").click()
    assert "its position is most like" in tab.locator(".readout").inner_text()
    tab.locator("label", has_text="attention").click()
    tab.locator(".head-grid").click(position={"x": 70, "y": 5})
    assert "layer 1, head 2" in tab.locator(".readout").inner_text()


def test_words_alignments_and_the_logit_lens(show):
    tab = show(page(words()))
    assert tab.locator("button.token").count() == 4
    assert "attends to" in tab.locator(".readout").inner_text()
    tab.locator("label", has_text="within the target").click()
    assert tab.locator("button.token").count() == len(TOKENS)
    assert "The first 10 of 60 tokens." in tab.locator(".words").inner_text()
    tab.locator("button.token", has_text="cat").hover()
    assert tab.locator(".readout").inner_text().startswith("“cat” attends to “The” 100 %")
    shade = "getComputedStyle(document.querySelectorAll('button.token')[1], '::before').opacity"
    assert float(tab.evaluate(shade)) > 0.5
    tab.locator("button.token.here").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".readout").inner_text().startswith("“slept” attends to “cat” 100 %")
    tab.locator("label", has_text="logit lens").click()
    assert "the model expects “L2” (50 %)" in tab.locator(".readout").inner_text()
    assert tab.locator(".lens tbody tr").count() == LAYERS
    assert tab.locator(".lens tbody tr").first.inner_text().startswith("layer 3")


def test_curves_are_chosen_and_read(show):
    tab = show(page(None))
    assert tab.locator("#explorer").count() == 0
    assert tab.locator(".chart").count() == 2
    first = tab.locator(".chart").first
    assert first.locator(".legend").inner_text().split() == ["train", "0.06667", "test", "0.1", "at", "the", "end"]
    first.locator("svg").focus()
    tab.keyboard.press("Home")
    assert "at step 10" in first.locator(".legend").inner_text()
    tab.keyboard.press("ArrowRight")
    assert "at step 20" in first.locator(".legend").inner_text()
    first.locator("select").select_option("learning_rate")
    assert "learning rate 0.1" in first.locator(".legend").inner_text()
    first.locator("select").select_option("loss")
    tab.locator("label", has_text="seconds").click()
    first.locator("svg").hover(position={"x": 300, "y": 100})
    assert "after" in first.locator(".legend").inner_text()
    line = first.locator("path.curve").first.get_attribute("d")
    tab.locator("label", has_text="log").click()
    assert first.locator("path.curve").first.get_attribute("d") != line


@pytest.mark.parametrize("shown", [images(), words()], ids=["images", "words"])
def test_a_phones_width_and_the_dark(show, shown):
    text = page(shown)
    narrow = show(text, viewport={"width": 360, "height": 740}, has_touch=True, color_scheme="dark")
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 360
    lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert narrow.evaluate(lightness) < 60
    narrow.locator("button.token, canvas[tabindex]").first.tap()
    assert narrow.locator(".readout").inner_text()
    assert show(text, color_scheme="light").evaluate(lightness) > 200


def test_the_table_of_a_study_is_sorted_by_any_column(show):
    rows = [
        {
            "run": f"run{i}",
            "state": "finished",
            "width": w,
            "seed": 0,
            "test/loss": loss,
            "test/accuracy": a,
            "command": "",
        }
        for i, (w, loss, a) in enumerate([(8, 0.5, 0.7), (16, None, 0.1), (4, 0.25, 0.9)])
    ]
    tab = show(study.page("A study", element("p", "text"), rows, ["width"]))
    names = lambda: [cell.split()[0] for cell in tab.locator("tbody th").all_inner_texts()]  # noqa: E731
    tab.get_by_role("button", name="width").click()
    assert names() == ["run2", "run0", "run1"]
    tab.get_by_role("button", name="accuracy").press("Enter")
    assert names() == ["run1", "run0", "run2"]
    tab.get_by_role("button", name="loss").click()
    tab.get_by_role("button", name="loss").click()
    assert names() == ["run0", "run2", "run1"], "what has no value stays at the end"
    assert tab.locator("tr", has_text="run1").locator(".flag").inner_text() == "diverged"
