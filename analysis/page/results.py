"""The metrics of a run's last evaluation, each with its meaning and, for a share of examples, its interval."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from scipy.stats import binomtest

from analysis.page.html import Html, element, section, table
from analysis.subject import Subject
from errors import UserError
from training import log
from training.progress import NOT_SHOWN, metric

OF_EXAMPLES = ("exact_match", "sentence_accuracy")  # shares of examples, whatever the loss is a mean of
ACCURACIES = ("accuracy", "top5_accuracy")  # shares of what the loss is a mean of
EXAMPLES = ("images", "sentences", "examples")  # units of a loss that are examples
LOWER = ("loss", "nll", "perplexity", "bits_per_byte", "bound", "error", "rmse", "frechet")  # ends of their names
HEADLINES = 3  # metrics that stand first, in large letters
RANK = ("accuracy", "bleu", "exact_match", "AP", "mean_iou", "perplexity", "bits_per_byte", "loss")  # of headlines


class Source(Protocol):
    """The examples of a split. size: how many there are."""

    size: int


class Split(Protocol):
    """What the page asks of a split."""

    @property
    def source(self) -> Source:
        """Its examples."""


class Splits(Protocol):
    """What the page asks of any pipeline, beyond what input_pipeline.Pipeline offers."""

    def split(self, split: str) -> Split:
        """A split of the evaluation."""


def evaluations(rows: Sequence[log.Row]) -> list[log.Row]:
    """The rows of evaluations, each with its step and metrics named SPLIT/METRIC."""
    found = []
    for row in rows:
        metrics = {key: value for key, value in row.items() if "/" in key and not key.startswith("train/")}
        if metrics:
            found.append({"step": row["step"], **metrics})
    return found


def interval(name: str, value: float | None, unit: str, examples: int | None) -> tuple[float, float] | None:
    """The 95 % interval of a share of examples (Wilson); None of other metrics.

    Args:
      name: of the metric, without its split.
      value: the share.
      unit: what the loss is a mean of, see tasks.Task.
      examples: how many there are; None where it is not known.
    """
    shares = OF_EXAMPLES + (ACCURACIES if unit in EXAMPLES else ())
    if name not in shares or not examples or value is None:
        return None
    ends = binomtest(round(value * examples), examples).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


def sizes(subject: Subject, splits: Sequence[str]) -> dict[str, int]:
    """How many examples each evaluation split has, of those whose data are here."""
    found: dict[str, int] = {}
    for split in splits:
        if split in subject.run.pipeline.eval_splits:
            try:
                found[split] = cast(Splits, subject.run.pipeline).split(split).source.size
            except UserError:
                continue
    return found


def first(metrics: Mapping[str, float | None], keep_best: str) -> list[str]:
    """The metrics to show first: the one that chooses the best checkpoint, then the usual ones, of one split."""
    place = {name: i for i, name in enumerate(RANK)}
    last = {key: key.rpartition("/")[2] for key in metrics}
    order = sorted(metrics, key=lambda key: (key != keep_best, place.get(last[key], len(RANK))))
    order = [key for key in order if metrics[key] is not None and (last[key] in place or key == keep_best)]
    split = order[0].rpartition("/")[0] if order else ""
    return [key for key in order if key.rpartition("/")[0] == split][:HEADLINES]


def part(subject: Subject, rows: Sequence[log.Row]) -> Html | None:
    """The section, of the last evaluation; None without one."""
    if not (evaluated := evaluations(rows)):
        return None
    last, keeping = evaluated[-1], subject.run.config["checkpoint"]
    keep_best = keeping.get("keep_best", "")
    metrics = {key: value for key, value in last.items() if key != "step"}
    counts = sizes(subject, list(dict.fromkeys(key.rpartition("/")[0] for key in metrics)))
    unit = subject.run.task.unit
    lines, headlines = [], []
    leading = first(metrics, keep_best)
    for key, value in metrics.items():
        split, _, name = key.rpartition("/")
        ends = interval(name, value, unit, counts.get(split))
        between = f"{metric(name, ends[0])} to {metric(name, ends[1])}" if ends else ""
        shown = "not finite" if value is None else metric(name, value)
        count = f"{counts[split]:,}" if split in counts else ""
        lower = keeping.get("keep_best_mode") == "min" if key == keep_best else name.endswith(LOWER)
        better = best(evaluated, key, lower)
        if key in leading:
            detail = [
                element("span", f"{split}, {count} examples" if count else split),
                element("span", f"95 % interval {between}") if between else None,
                element("span", f"best: {better}") if better else None,
            ]
            headlines.append(element("div", element("dt", words(name)), element("dd", shown), element("p", *detail)))
        elif name not in NOT_SHOWN:
            lines.append([words(name), split, *map(number, (shown, between, better, count))])
    head = ["Metric", "Split", *(number(x, "th") for x in ("Value", "95 % interval", "Best", "Examples"))]
    used = [i for i in range(len(head)) if i < 3 or any(line[i] != number("") for line in lines)]
    head, lines = [head[i] for i in used], [[line[i] for i in used] for line in lines]
    times = len(evaluated)
    note = f"At step {last['step']:,}, the {f'last of {times:,} evaluations' if times > 1 else 'only evaluation'}."
    if any(interval(key.rpartition("/")[2], 0.5, unit, 1) for key in metrics):
        note += " Intervals are Wilson's for a share of that many examples; how much seeds differ is not in them."
    return section(
        "results",
        "Results",
        element("dl", *headlines, class_="headlines") if headlines else None,
        table(head, lines, class_="plain") if lines else None,
        element("p", note, class_="note"),
    )


def best(evaluated: Sequence[log.Row], key: str, lower: bool) -> str:
    """The best value of a metric and its step, where it is better at another step than the last. lower: whether the
    lowest is."""
    values = {row["step"]: row[key] for row in evaluated if row.get(key) is not None}
    if len(values) < 2:
        return ""
    step = (min if lower else max)(values, key=lambda step: values[step])
    return (
        ""
        if values[step] == evaluated[-1].get(key)
        else f"{metric(key.rpartition('/')[2], values[step])} at step {step:,}"
    )


def words(name: str) -> str:
    """A metric's name as it is read."""
    return name.replace("_", " ")


def number(text: str, tag: str = "td") -> Html:
    """A cell with a number, at the right."""
    return element(tag, text, class_="number", scope="col" if tag == "th" else None)
