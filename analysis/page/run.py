"""The page of a run: RUN/page.html, with its metrics, curves, examples, figures and config, and the explorer."""

import sys
from pathlib import Path

import jax

from analysis.page import curves, examples, explorer, gallery, html, results, settings
from analysis.page.html import Html, element
from analysis.subject import Subject
from errors import UserError, command
from experiment import Run, record, restore
from training import log
from training.trees import Variables

FILE = "page.html"
SCRIPTS = ("decode", "dom", "maps", "image", "words", "chart", "table", "start")  # of assets/, in this order


def write(subject: Subject, folder: Path, figures: Path) -> Path:
    """Writes the page of a run, and returns where it is.

    Args:
      subject: the run and what it is shown.
      folder: of the page.
      figures: where those of the run were drawn.

    Raises:
      UserError: a file that cannot be written.
    """
    html.write(page(subject, figures), folder / FILE)
    return folder / FILE


def after_training(run: Run, step: int) -> list[str]:
    """Writes the page of a run that has just ended. Returns a line on where it is, or on how to write it after a run
    of several hosts. An error is one line of warning: the run itself is complete.

    Args:
      run: whose newest checkpoint is that of `step`.
      step: its last one.
    """
    if jax.process_count() > 1:
        draw = command("visualize.py", f"--workdir={run.workdir}", "page")
        return [f"  page     not by several hosts; on one: {draw}"]

    def variables() -> Variables:
        return run.devices.get_state(run.restore(step)).eval_variables

    try:
        subject = Subject(run=run, restore=variables, load=restore.latest)
        return [f"  page     {write(subject, run.workdir, run.workdir / 'figures')}"]
    except Exception as error:  # whatever it is, what was trained is saved
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        print(f"warning: no page of the run ({why}).", file=sys.stderr)
        return []


def page(subject: Subject, figures: Path) -> str:
    """The page as text. What cannot be shown, because its data are not here, is left out with a note. figures: the
    folder of those that were drawn."""
    run, rows, notes = subject.run, log.read(subject.run.workdir), list[str]()
    saved = record.read(run.workdir)
    seen, looked, shown, lead = examples.Examples(subject), None, None, [head(subject, saved, rows)]
    try:
        looked = examples.part(seen)
    except UserError as error:
        notes.append(f"Examples are not shown: {error}")
    try:
        shown = explorer.look(seen)
        if shown is None:
            lead.append(absent(run.config["model"]["name"]))
    except UserError as error:
        notes.append(f"Attention is not shown: {error}")
    keep_best = run.config["checkpoint"].get("keep_best", "")
    parts = {
        "results": results.part(subject, rows),
        "explore": explorer.part(shown),
        "curves": curves.part(rows),
        "examples": looked,
        "figures": gallery.part(run.workdir, figures),
        "config": settings.part(saved),
        "reproduce": settings.command(saved),
    }
    return html.page(
        f"{name(run.workdir)} · Attend",
        body(lead, parts, notes),
        {"curves": curves.curves(rows, keep_best), "explorer": shown},
        SCRIPTS,
    )


LINKS = {
    "results": "Results",
    "explore": "Attention",
    "curves": "Curves",
    "examples": "Examples",
    "figures": "Figures",
    "config": "Config",
    "reproduce": "Reproduce",
}


def body(lead: list[Html], parts: dict[str, Html | None], notes: list[str]) -> Html:
    """Header with links to the sections, notes and sections."""
    links = [element("a", LINKS[key], href=f"#{key}") for key, part in parts.items() if part is not None]
    said = [element("p", note, class_="warning") for note in notes]
    header = element("header", *lead, element("nav", *links, aria_label="Sections"))
    return html.joined([header, element("main", *said, *parts.values())])


def absent(model: str) -> Html:
    """What stands in the place of the explorer for models that it does not know."""
    return element("p", f"There is no attention explorer for the model {model}: see its figures.", class_="note")


def head(subject: Subject, saved: record.Record, rows: list[log.Row]) -> Html:
    """The name of the run, and what it is in a sentence."""
    run, config = subject.run, subject.run.config
    steps, spent = rows[-1]["step"] if rows else 0, sum(row.get("seconds") or 0 for row in rows)
    data = config["data"].get("name") or config["data"].get("source", "its data")
    task = config["task"]["name"].replace("_", " ")
    sentence = (
        f"{config['model']['name']} of {saved.get('parameters', run.parameters()):,} parameters for the task “{task}”, "
        f"trained on {data} for {steps:,} steps{f' in {duration(spent)}' if spent else ''} "
        f"on {saved.get('devices', 'unknown devices')}."
    )
    return html.joined(
        [
            element("p", "Attend · run", class_="eyebrow"),
            element("h1", name(run.workdir)),
            element("p", sentence, class_="lead"),
        ]
    )


def name(workdir: Path) -> str:
    """The name of a run."""
    return workdir.resolve().name


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
