"""A study's report: report.md, report.html (one page that needs no other file), figures as PNG and SVG, fits.json."""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from markdown_it import MarkdownIt

import lookup
from analysis.fits import interval
from analysis.page import study as of_study
from analysis.page.html import Html
from analysis.studies import Drawn, column, label, plus_minus
from analysis.table import Row, diverged, ended
from experiment import record
from lookup import Json
from studies import grid

RUN = "\n## How it was run"  # the report's last section, before which the page has the table of all runs


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
      rows: of the runs, see analysis/table.py. Those that are not finished are listed, and diverged ones are marked:
        means, fits and figures are without both.
      runs: how many runs the study has.
      folder: of the study.
      command: which runs the study.
    """
    (folder / "figures").mkdir(exist_ok=True)
    sound = [row for row in finished(rows) if not diverged(row)]
    drawn: dict[str, Drawn] = {}
    for described in study.figures if sound else ():
        name, arguments = described["name"], dict(described["arguments"])
        named = [column for column in columns([described]) if any(column in row for row in sound)]
        if not (own := complete(sound, named)):
            continue
        draw = lookup.find("analysis.studies", "draw", name)
        figure = lookup.call(f"the figure {name!r}", draw, arguments, rows=own)
        if missing := len(rows) - len(own):
            words = f"not shown: {missing} of {len(rows)} runs, diverged or not finished"
            figure.picture.supxlabel(words, size=8, color="red")
        before = sum(key.partition("-")[0] == name for key in drawn)
        drawn[name + (f"-{before + 1}" if before else "")] = figure
    for name, figure in drawn.items():
        for suffix in ("png", "svg"):
            figure.picture.savefig(folder / "figures" / f"{name}.{suffix}", dpi=130)
    numbers = {name: as_json(figure.numbers) for name, figure in drawn.items()}
    (folder / "fits.json").write_text(json.dumps(numbers, indent=1) + "\n")
    text = markdown(study, rows, runs, drawn, command)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(study, text, rows, folder))


def finished(rows: Sequence[Row]) -> list[Row]:
    """The rows of the runs that are finished."""
    return [row for row in rows if row.get("state", "finished") == "finished"]


def unfinished(row: Row) -> str:
    """Which run is not finished, and why."""
    return ": ".join(filter(None, (row["run"], row["state"], row.get("reason"))))


def columns(figures: Sequence[Json]) -> list[str]:
    """The columns of metrics that figures show."""
    values = [value for figure in figures for key, value in figure["arguments"] if key in ("metric", "loss", "metrics")]
    names = [name for value in values for name in ([value] if isinstance(value, str) else value)]
    return [name for name in dict.fromkeys(names) if name]


def complete(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows that have a number in each of these columns."""
    return [row for row in rows if all(row.get(name) is not None for name in names)]


def markdown(study: grid.Study, rows: Sequence[Row], runs: int, drawn: Mapping[str, Drawn], command: str) -> str:
    """The report as Markdown. drawn: the figures by name; for the other arguments see `write`."""
    counted = [row for row in rows if ended(row)]
    seeds = len({row["seed"] for row in counted})
    counting = (
        f"the evaluation with the best {study.select} counts (early stopping)"
        if study.select
        else "the last evaluation counts"
    )
    parts = [
        f"# {plain(study.title)}",
        plain(f"{study.question} Compare with {study.paper}."),
        plain(
            f"{len(counted)} of {runs} runs, {seeds} seeds; {counting}. Intervals are 95 % confidence intervals, by "
            "Student's t over the seeds, clipped to the values that a metric can have (an accuracy: 0 to 100 %)."
        ),
        items("Not finished, and not counted:", [unfinished(row) for row in rows if not ended(row)]),
        items(
            "Diverged, and not in the means, fits and figures:",
            [f"{row['run']}: {why}" for row in counted if (why := diverged(row))],
        ),
    ]
    for name, figure in drawn.items():
        parts += [f"![{name}](figures/{name}.png)", items("", figure.lines)]
    if study.reported:
        parts += ["## What the paper reports", study.reported]
    parts += ["## Measured", table(study, counted)]
    devices = ", ".join(sorted({str(row["device"]) for row in counted}))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions().items())
    commits = sorted({row["commit"][:12] + "+" * row["commit"].endswith("+") or "unknown" for row in counted})
    dirty = " (+: with changes that are not in it)" if any(commit.endswith("+") for commit in commits) else ""
    minutes = sum(row["train_seconds"] for row in counted) / 60
    parts += [
        "## How it was run",
        plain(
            f"On {devices}; commit {', '.join(commits)}{dirty}; {versions}. Training took {minutes:,.0f} minutes in "
            "all, without compiling, evaluations and saves. Every run is a row of table.csv, with its command."
        ),
        code(command),
        "One run for each point:",
        code("\n".join(row["command"] for row in counted if row["seed"] == 0)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: object) -> str:
    """Text for one line of Markdown, in which nothing is Markdown or HTML."""
    escaped = re.sub(r"([\\`*\[\]<>|&~])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)  # within a word, as in top_5, it means nothing


def items(title: str, lines: Sequence[str]) -> str:
    """A list in Markdown of lines of text; "" without lines."""
    listed = "\n".join(f"- {plain(line.removeprefix('- '))}" for line in lines)
    return "\n\n".join(filter(None, (title, listed))) if lines else ""


def code(text: str) -> str:
    """Text as a block of code in Markdown, whatever it holds."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}\n{text}\n{fence}"


def as_json(value: object) -> object:
    """Nested numbers for JSON, which has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(study: grid.Study, rows: Sequence[Row]) -> str:
    """A row a point: its labels, its size and cost, and the mean of each metric: those that the report's figures show
    and the study selects by, or else all of the evaluation."""
    labels = list(dict(study.runs[0]["labels"]))
    metrics = list(dict.fromkeys([*columns(study.figures), *filter(None, [study.select])]))
    if not any("/" in name for name in metrics):
        logged = [name for row in rows for name in row if "/" in name and not name.startswith("train/")]
        metrics += list(dict.fromkeys(logged))
    head = [*labels, "seeds", "parameters", "MFLOP an example", "FLOP in all", "training, s", *map(label, metrics)]
    lines = [[plain(name) for name in head], ["---"] * len(head)]
    points: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        points.setdefault(tuple(row[name] for name in labels), []).append(row)
    for point, same in points.items():
        first, sound = same[0], [row for row in same if not diverged(row)]
        bad = f" ({len(same) - len(sound)} diverged)" if len(sound) < len(same) else ""
        cost = [
            f"{first['parameters']:,}",
            f"{first['flops_per_example'] / 1e6:,.3g}",
            f"{first['total_flops']:.2e}",
            f"{column(same, 'train_seconds').mean():,.0f}",
        ]
        means = [mean(complete(sound, [name]), name) for name in metrics]
        shown = [f"{v:,}" if isinstance(v, int) else str(v) for v in point]
        lines.append([plain(cell) for cell in (*shown, f"{len(same)}{bad}", *cost, *means)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(rows: Sequence[Row], name: str) -> str:
    """The mean of a metric with its interval, or a dash without runs."""
    return plus_minus(*interval(column(rows, name)), name) if rows else "–"


def page(study: grid.Study, text: str, rows: Sequence[Row], folder: Path) -> str:
    """The report as an HTML page that contains its pictures, with a table of all runs. text: the Markdown, in which
    HTML is shown as text."""
    before, _, after = text.partition("\n\n")[2].partition(RUN)
    found, run = (rendered(part, folder) for part in (before, RUN + after))
    return of_study.page(study.title, found, rows, list(dict(study.runs[0]["labels"])), run, folder)


def rendered(text: str, folder: Path) -> Html:
    """Markdown as HTML, with the study's pictures in it and tables that sort."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for path in (folder / "figures").glob("*.svg"):
        picture = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="figures/{path.stem}.png"', f'src="data:image/svg+xml;base64,{picture}"')
    body = body.replace("<table>", '<div class="wide-table"><table class="sortable">')
    return Html(body.replace("</table>", "</table></div>"))
