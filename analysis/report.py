"""A study's report: report.md and report.html, one page that needs no other file; figures as PNG and SVG; fits.json."""

import base64
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

import lookup
from analysis.fits import interval
from analysis.studies import Drawn, column, label, plus_minus
from analysis.table import Row
from experiment import record
from studies import grid

STYLE = """body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
img { max-width: 100% } table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto }
td, th { border-bottom: 1px solid #ddd; padding: 2px 10px; text-align: right } td:first-child, th:first-child { text-align: left }
pre { background: #f5f5f5; padding: 1em; overflow-x: auto }"""


def write(study: grid.Study, rows: Sequence[Row], runs: int, folder: Path, command: str) -> None:
    """Draws every figure of a study and writes the report.

    Args:
      rows: of its finished runs (analysis/table.py), of the `runs` that it has. command: what runs it.
    """
    (folder / "figures").mkdir(exist_ok=True)
    drawn = {}
    for figure in study.figures:
        draw = lookup.find("analysis.studies", "draw", figure["name"])
        drawn[figure["name"]] = lookup.call(
            f"the figure {figure['name']!r}", draw, dict(figure["arguments"]), rows=rows
        )
    for name, one in drawn.items():
        for kind in ("png", "svg"):
            one.picture.savefig(folder / "figures" / f"{name}.{kind}", dpi=130)
    numbers = {name: plain(one.numbers) for name, one in drawn.items()}
    (folder / "fits.json").write_text(json.dumps(numbers, indent=1) + "\n")
    text = markdown(study, rows, runs, drawn, command)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(study.title, text, folder))


def markdown(study: grid.Study, rows: Sequence[Row], runs: int, drawn: dict[str, Drawn], command: str) -> str:
    seeds = len({row["seed"] for row in rows})
    counting = (
        f"the evaluation with the best {study.select} counts (early stopping)"
        if study.select
        else "the last evaluation counts"
    )
    parts = [
        f"# {study.title}",
        f"{study.question} It answers to {study.paper}.",
        f"{len(rows)} of {runs} runs, {seeds} seeds; {counting}. Intervals hold 95 %, by Student's t over the seeds.",
    ]
    for name, one in drawn.items():
        parts += [f"![{name}](figures/{name}.png)", "\n".join(one.lines)]
    if study.reported:
        parts += ["## What the paper reports", study.reported]
    parts += ["## Measured", table(study, rows)]
    devices = ", ".join(sorted({row["device"] for row in rows}))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions().items())
    commits = ", ".join(sorted({row["commit"][:12] for row in rows}))
    parts += [
        "## How it was run",
        f"On {devices}; commit {commits}; {versions}. Training took {sum(row['train_seconds'] for row in rows) / 60:,.0f} minutes "
        "in all, without compiling, evaluations and saves. Every run is a row of table.csv, with its command.",
        f"```\n{command}\n```",
        "One run for each point:",
        "```\n" + "\n".join(row["command"] for row in rows if row["seed"] == 0) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: Any) -> Any:
    """Numbers as JSON has them, which knows no NaN."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(study: grid.Study, rows: Sequence[Row]) -> str:
    """A row a point: its labels, its size and cost, and the mean of each figure that the report's figures show."""
    labels = list(dict(study.runs[0]["labels"]))
    shown = [value for figure in study.figures for key, value in figure["arguments"] if key in ("metric", "loss")]
    shown += [m for figure in study.figures for key, value in figure["arguments"] if key == "metrics" for m in value]
    metrics = list(dict.fromkeys(name for name in shown if name))
    head = [*labels, "seeds", "parameters", "MFLOP an example", "FLOP in all", "training, s", *map(label, metrics)]
    lines = [head, ["---"] * len(head)]
    points: dict[Any, list[Row]] = {}
    for row in rows:
        points.setdefault(tuple(row[name] for name in labels), []).append(row)
    for point, same in points.items():
        first = same[0]
        cost = [
            f"{first['parameters']:,}",
            f"{first['flops_per_example'] / 1e6:,.3g}",
            f"{first['total_flops']:.2e}",
            f"{column(same, 'train_seconds').mean():,.0f}",
        ]
        figures = [plus_minus(*interval(column(same, name)), name) for name in metrics]
        lines.append([*(f"{v:,}" if isinstance(v, int) else str(v) for v in point), str(len(same)), *cost, *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(title: str, text: str, folder: Path) -> str:
    """The Markdown as a page, with its pictures in it."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    for path in (folder / "figures").glob("*.svg"):
        picture = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="figures/{path.stem}.png"', f'src="data:image/svg+xml;base64,{picture}"')
    return f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>\n{body}</html>\n'
