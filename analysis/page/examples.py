"""Examples of the evaluation with what the model says of them: right and wrong ones, as far as its task tells.

Where an answer is not simply right or wrong, the first examples with their answers, the most wrong ones first if the
task says how wrong they are.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import tasks
from analysis.page import pack
from analysis.page.html import Html, element, section
from analysis.picture import text_of
from analysis.subject import Subject

ROWS = 64  # of a batch that is looked at together, where answers are right or wrong
FEW = 6  # examples, where they are not
MOST = 1024  # examples that are looked at
SECONDS = 20.0  # after which no further batch is looked at
SHOWN = {True: 12, False: 6}  # examples of each sort, of images and of others
LONGEST = 600  # characters of a text


@dataclass(frozen=True)
class Seen:
    """One example of the evaluation and what the model says of it.

    Attributes:
      name: its file or its place.
      example: its entries of the batch.
      row: of `Task.predict`.
      verdict: whether that is right; None where the task does not say.
    """

    name: str
    example: Mapping[str, np.ndarray]
    row: Mapping[str, np.ndarray]
    verdict: tasks.Verdict | None


@dataclass(frozen=True)
class Examples:
    """Examples of a run's first evaluation split, seen when they are first asked for."""

    subject: Subject

    @property
    def judged(self) -> bool:
        """Whether the run's task says what is right."""
        return type(self.subject.run.task).verdict is not tasks.Task.verdict

    @cached_property
    def seen(self) -> list[Seen]:
        """The first examples of the split."""
        run, split = self.subject.run, self.subject.split
        found: list[Seen] = []
        begun = 0.0
        for batch in self._batches(split):
            rows = {name: np.asarray(x) for name, x in run.predict_few(self.subject.variables, batch).items()}
            for place in np.flatnonzero(batch["index"] >= 0):
                example, row = ({name: x[place] for name, x in of.items()} for of in (batch, rows))
                verdict = run.task.verdict(row, example, run.data) if self.judged else None
                found.append(Seen(run.pipeline.called(split, int(batch["index"][place])), example, row, verdict))
            begun = begun or time.perf_counter()  # the first batch waits for the compiler
            if not self.judged or len(found) >= MOST or time.perf_counter() - begun > SECONDS:
                break
        return found

    def _batches(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The evaluation's batches in parts of a few rows."""
        rows = ROWS if self.judged else FEW
        for batch in self.subject.run.pipeline.eval_batches(split):
            for start in range(0, len(batch["index"]), rows):
                yield {name: x[start : start + rows] for name, x in batch.items()}

    @property
    def wrong(self) -> list[Seen]:
        """Those that the model is wrong about, the surest first."""
        wrong = [one for one in self.seen if one.verdict and not one.verdict.right]
        return sorted(wrong, key=lambda one: -(one.verdict.probability or 0 if one.verdict else 0))

    @property
    def right(self) -> list[Seen]:
        """Those that it is right about, one of each truth in turn."""
        right = [one for one in self.seen if one.verdict and one.verdict.right]
        times: dict[str, int] = {}
        order = []
        for place, one in enumerate(right):
            truth = one.verdict.truth if one.verdict else ""
            times[truth] = times.get(truth, 0) + 1
            order.append((times[truth], place))
        return [right[place] for _, place in sorted(order)]

    def picture(self, one: Seen) -> str | None:
        """The image of an example, or frames of its clip, as an address; None of a text."""
        if self.subject.reads_clips and "clip" in one.example:
            return pack.picture(tasks.sheet(self.subject.run.data.picture(one.example["clip"])))
        if not self.subject.reads_images or "image" not in one.example:
            return None
        return pack.picture(self.subject.run.data.picture(one.example["image"]))

    def text(self, one: Seen) -> str:
        """The text of an example; "" of an image."""
        run = self.subject.run
        entry = next((name for name in run.task.inputs if name in one.example), "")
        ids = one.example.get(entry)
        if ids is None or not np.issubdtype(ids.dtype, np.integer) or not run.pipeline.readers:
            return ""
        return run.pipeline.readers[0].decode(ids[ids >= 0])


def part(examples: Examples) -> Html | None:
    """The section; None where the task has nothing to show."""
    split = examples.subject.split
    if not examples.judged:
        answers = [figure for one in by_error(examples) if (figure := answered(examples, one))]
        note = element("p", f"From the beginning of the split {split}.", class_="note")
        return section("examples", "Examples", element("div", *answers, class_="answers"), note) if answers else None
    right, wrong, count = examples.right, examples.wrong, len(examples.seen)
    if not count:
        return None
    most = SHOWN[examples.subject.reads_images]
    unsure = "surest first" if any(one.verdict and one.verdict.probability for one in wrong) else "as they come"
    none = element("p", f"None among the first {count:,} of {split}.", class_="empty")
    of_wrong = element("small", f"{unsure}, {min(most, len(wrong))} of {len(wrong):,}") if wrong else None
    of_right = element("small", f"{min(most, len(right))} of {len(right):,}") if right else None
    return section(
        "examples",
        "Examples",
        element(
            "p",
            f"The first {count:,} of the split {split}: {len(right):,} right, {len(wrong):,} wrong. Under each: "
            "the model's answer, and the true one where they differ.",
        ),
        element("h3", "Wrong", of_wrong),
        shelf(examples, wrong[:most]) if wrong else none,
        element("h3", "Right", of_right),
        shelf(examples, right[:most]) if right else none,
    )


def by_error(examples: Examples) -> list[Seen]:
    """Examples without verdicts, the most wrong first."""
    task = examples.subject.run.task
    if type(task).error is tasks.Task.error:
        return examples.seen
    return sorted(examples.seen, key=lambda one: -(task.error(one.row) or 0.0))


def shelf(examples: Examples, shown: list[Seen]) -> Html:
    """Examples beside one another: pictures, or sentences under one another."""
    figures = [judged(examples, one) for one in shown]
    pictures = any(figure.startswith('<figure class="picture') for figure in figures)
    return element("div", *figures, class_="shelf" if pictures else "lines")


def judged(examples: Examples, one: Seen) -> Html:
    """An example with its verdict."""
    assert one.verdict, "only a task that judges is asked"
    said, truth, right = shorter(one.verdict.said), shorter(one.verdict.truth), one.verdict.right
    sure = one.verdict.probability
    answer = element("span", said or "(nothing)", class_="right" if right else "wrong")
    share = element("small", f"{sure:.1%}") if sure is not None else None
    is_ = None if right else element("span", "is ", element("b", truth or "(nothing)"), class_="truth")
    caption = element("figcaption", element("span", answer, share), is_)
    if picture := examples.picture(one):
        return element("figure", image(picture, f"{one.name}: {truth}"), caption, class_="picture", title=one.name)
    text = examples.text(one)
    return element("figure", element("p", shorter(text) or one.name), caption, class_="sentence", title=one.name)


def answered(examples: Examples, one: Seen) -> Html | None:
    """An example with the task's answer; None if that is nothing."""
    run = examples.subject.run
    answer = run.task.answer(dict(one.row) | {name: one.example[name] for name in run.task.pictured}, run.data)
    address = pack.picture(answer.picture) if answer.picture is not None else examples.picture(one)
    text = shorter(answer.text)
    if address is None and not text.strip():
        return None
    shown = image(address, one.name) if address else None
    error = run.task.error(one.row)
    wrong = element("small", f"error {error:.3f}") if error is not None else None
    caption = element("figcaption", element("span", one.name), wrong)
    written = [x for x in answer.data.values() if isinstance(x, str) and x and len(x) < len(text) and text.endswith(x)]
    before = text.removesuffix(written[0]) if written else text
    words = element("pre", before, element("mark", written[0]) if written else None) if text.strip() else None
    return element("figure", shown, words, caption, class_="answer")


def image(address: str, text: str) -> Html:
    """A picture. Small ones, which are PNG, have their pixels as squares."""
    small = address.startswith("data:image/png")
    return element("img", src=address, alt=text, loading="lazy", class_="pixels" if small else None)


def shorter(text: str) -> str:
    """The beginning of a long text, without the marks of tokenizers."""
    text = text_of(text)
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " …"
