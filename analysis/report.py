"""A study's report: report.md, report.html (one page that needs no other file), figures as PNG and SVG, fits.json."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
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

STYLE = """\
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
img { max-width: 100% } table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto }
td, th { border-bottom: 1px solid #ddd; padding: 2px 10px; text-align: right }
td:first-child, th:first-child { text-align: left }
pre { background: #f5f5f5; padding: 1em; overflow-x: auto }"""


def check(study: grid.Study) -> None:
    """Checks the figures of a study before its runs.

    Raises:
      UserError: a figure that there is not, or an argument that it does not have.
    """
    for described in study.figures:
        draw = lookup.find("analysis.studies", "draw", described["name"])
        lookup.check(f"the figure {described['name']!r}", draw, dict(described["arguments"]), without=("rows",))


def write(study: grid.Study, rows: Sequence[Row], runs: int, folder: Path, command: str) -> None:
    """Draws every figure of a study and writes the report.

    Args:
      rows: of the finished runs, see analysis/table.py.
      runs: how many runs the study has.
      folder: of the study.
      command: which runs the study.
    """
    (folder / "figures").mkdir(exist_ok=True)
    drawn: dict[str, Drawn] = {}
    for described in study.figures:
        name = described["name"]
        draw = lookup.find("analysis.studies", "draw", name)
        drawn[name] = lookup.call(f"the figure {name!r}", draw, dict(described["arguments"]), rows=rows)
    for name, figure in drawn.items():
        for suffix in ("png", "svg"):
            figure.picture.savefig(folder / "figures" / f"{name}.{suffix}", dpi=130)
    numbers = {name: as_json(figure.numbers) for name, figure in drawn.items()}
    (folder / "fits.json").write_text(json.dumps(numbers, indent=1) + "\n")
    text = markdown(study, rows, runs, drawn, command)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(study.title, text, folder))


def markdown(study: grid.Study, rows: Sequence[Row], runs: int, drawn: Mapping[str, Drawn], command: str) -> str:
    """The report as Markdown. drawn: the figures by name; for the other arguments see `write`."""
    seeds = len({row["seed"] for row in rows})
    counting = (
        f"the evaluation with the best {study.select} counts (early stopping)"
        if study.select
        else "the last evaluation counts"
    )
    parts = [
        f"# {study.title}",
        f"{study.question} Compare with {study.paper}.",
        f"{len(rows)} of {runs} runs, {seeds} seeds; {counting}. "
        "Intervals are 95 % confidence intervals, by Student's t over the seeds.",
    ]
    for name, figure in drawn.items():
        parts += [f"![{name}](figures/{name}.png)", "\n".join(figure.lines)]
    if study.reported:
        parts += ["## What the paper reports", study.reported]
    parts += ["## Measured", table(study, rows)]
    devices = ", ".join(sorted({row["device"] for row in rows}))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions().items())
    commits = ", ".join(sorted({row["commit"][:12] for row in rows}))
    minutes = sum(row["train_seconds"] for row in rows) / 60
    parts += [
        "## How it was run",
        f"On {devices}; commit {commits}; {versions}. Training took {minutes:,.0f} minutes in all, without compiling, "
        "evaluations and saves. Every run is a row of table.csv, with its command.",
        f"```\n{command}\n```",
        "One run for each point:",
        "```\n" + "\n".join(row["command"] for row in rows if row["seed"] == 0) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(value: Any) -> Any:  # Any: nested numbers, as JSON
    """Nested numbers for JSON, which has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(study: grid.Study, rows: Sequence[Row]) -> str:
    """A row a point: its labels, its size and cost, and the mean of each metric that the report's figures show."""
    labels = list(dict(study.runs[0]["labels"]))
    shown = [value for figure in study.figures for key, value in figure["arguments"] if key in ("metric", "loss")]
    shown += [m for figure in study.figures for key, value in figure["arguments"] if key == "metrics" for m in value]
    metrics = list(dict.fromkeys(name for name in shown if name))
    head = [*labels, "seeds", "parameters", "MFLOP an example", "FLOP in all", "training, s", *map(label, metrics)]
    lines = [head, ["---"] * len(head)]
    points: dict[tuple[object, ...], list[Row]] = {}
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
        means = [plus_minus(*interval(column(same, name)), name) for name in metrics]
        lines.append([*(f"{v:,}" if isinstance(v, int) else str(v) for v in point), str(len(same)), *cost, *means])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(title: str, text: str, folder: Path) -> str:
    """The Markdown as an HTML page that contains its pictures."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    for path in (folder / "figures").glob("*.svg"):
        picture = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="figures/{path.stem}.png"', f'src="data:image/svg+xml;base64,{picture}"')
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">{head}\n{body}</html>\n'
