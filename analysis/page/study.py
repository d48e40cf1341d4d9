"""The page of a study: its report, and a table of all runs that sorts by any column."""

import math
from collections.abc import Sequence
from pathlib import Path

from analysis.page.html import Html, element, joined, section, table
from analysis.page.html import page as whole
from analysis.studies import label
from analysis.table import Row, diverged, ended
from training.progress import metric

SCRIPTS = ("dom", "table", "start")  # of assets/, in this order
COST = ("parameters", "steps", "train_seconds", "total_flops")  # columns after the metrics


def page(
    title: str,
    report: Html,
    rows: Sequence[Row],
    labels: Sequence[str],
    after: Html | None = None,
    folder: Path = Path(),
) -> str:
    """The page as text.

    Args:
      title: of the study.
      report: what was found.
      rows: of all runs, see analysis/table.py.
      labels: the columns of what varied.
      after: what stands after the table.
      folder: of the study; runs whose page is there are linked.
    """
    header = element("header", element("p", "Attend · study", class_="eyebrow"), element("h1", title), class_="study")
    parts = [element("article", report), runs(rows, labels, folder), element("article", after) if after else None]
    return whole(title, joined([header, element("main", *parts)]), scripts=SCRIPTS)


def runs(rows: Sequence[Row], labels: Sequence[str], folder: Path) -> Html:
    """The section of all runs: what varied, whether each is sound, and its metrics and cost."""
    metrics = [key for key in dict.fromkeys(key for row in rows for key in row) if "/" in key]
    metrics = [key for key in metrics if not key.startswith("train/") and any(number(row.get(key)) for row in rows)]
    cost = [key for key in COST if any(row.get(key) is not None for row in rows)]
    several = [key for key in ("seed",) if len({row.get(key) for row in rows}) > 1]
    named = [*labels, *several]
    head = ["run", "state", *named, *metrics, *cost]
    lines = [
        [
            name(row, folder),
            state(row),
            *(value(row.get(key)) for key in named),
            *(value(row.get(key), metric(key, row[key]) if number(row.get(key)) else "") for key in metrics),
            *(value(row.get(key)) for key in cost),
        ]
        for row in rows
    ]
    bad = sum(bool(diverged(row)) for row in rows)
    missing = sum(not ended(row) for row in rows)
    said = [f"{len(rows)} runs", f"{bad} diverged" if bad else "", f"{missing} not finished" if missing else ""]
    text = f"{', '.join(filter(None, said))}. A click on a column's name sorts by it."
    columns = [
        element("th", label(key), scope="col", class_="number" if any(number(row.get(key)) for row in rows) else None)
        for key in head
    ]
    return section("runs", "All runs", element("p", text), table(columns, lines, "sortable", "wide-table"))


def name(row: Row, folder: Path) -> Html:
    """The cell of a run's name, with a link to its page if it has one."""
    run = str(row["run"])
    there = run not in ("", ".", "..") and "/" not in run and (folder / run / "page.html").exists()
    return element("th", element("a", run, href=f"{run}/page.html") if there else run, scope="row")


def state(row: Row) -> Html:
    """The cell that says whether a run counts, and why not."""
    if why := diverged(row):
        return element("td", element("span", "diverged", class_="flag"), title=why)
    if row.get("state", "finished") != "finished":
        return element("td", element("span", row["state"], class_="flag"), title=row.get("reason"))
    return element("td", "finished")


def value(x: object, text: str = "") -> Html:
    """A cell with a value, which sorts by its number."""
    if number(x):
        assert isinstance(x, (int, float)), "a number"
        shown = text or (f"{x:,}" if isinstance(x, int) else f"{x:.4g}")
        return element("td", shown, class_="number", data_value=x)
    return element("td", "" if x is None or isinstance(x, float) else x)


def number(x: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)
