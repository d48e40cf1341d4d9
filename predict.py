"""Use a trained model on what you have: images, sentences, prompts, whatever the run in --workdir reads.

    python predict.py --workdir=runs/vit_digits [--top=5] [--json] image.png ...
    python predict.py --workdir=runs/vit_digits FOLDER "photos/*.jpg" --csv=answers.csv      with the class that a
                                                                  folder is named as beside each, and how many are right
    python predict.py --workdir=RUN table.csv --csv=answers.csv                the same of texts with classes
    python predict.py --workdir=RUN "ein Satz" ... | --file=FILE | < FILE      one sentence, prompt or file name a line
    python predict.py --workdir=RUN --alignment=map.png "ein Satz"             what each word of a translation looked at
    python predict.py --workdir=RUN --classes="a cat,a dog" photo.jpg          by a model of images and texts

A text is printed word by word while it is written, if one item is given; --stream does so for each of several, and with
--json. A beam search shows what its beams agree on. How a model writes is set by its task: --config.task.beams=1,
--config.task.temperature=0.8 ... Answers that a picture shows best go to RUN/predictions, or to --out=FOLDER."""

import io
import json
import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import commands

if __name__ == "__main__":
    commands.begin()
    commands.workdir_flags()
    commands.flag("integer", "top", 5, "How many alternatives are named", lower_bound=1)
    commands.flag("string", "file", None, "What to predict, one a line (- or nothing: standard input)")
    commands.flag("string", "alignment", None, "PNG to draw what a translation's words looked at, of one sentence")
    commands.flag("string", "classes", None, "What images are compared with: texts with commas between, or a file")
    commands.flag("string", "out", None, "Folder of the pictures (default: predictions in the workdir)")
    commands.weights_flag()
    commands.flag("string", "csv", None, "A table to write the answers into, a row each, in place of printing them")
    commands.flag("bool", "json", False, "Print one JSON object a line instead of text")
    commands.flag("bool", "stream", False, "Answer one by one, word by word; with --json a line for each piece")

import jax
import numpy as np

from analysis import answers as table
from errors import UserError, shown
from experiment import Run, restore
from experiment.items import ROWS, padded
from input_pipeline import Batch
from tasks import Answer, Row
from training.trees import Variables

if TYPE_CHECKING:  # what draws is imported where something is drawn
    from analysis.subject import Subject

TABLES = (".csv", ".tsv")
HEAD = 1024  # bytes of a file, among which a text has none that is 0
Item = str | UserError  # what to predict, or why it cannot be known


def main(arguments: list[str]) -> int:
    """Answers what is given, as soon as each batch is done. Returns 2 if something of it could not be read."""
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    config.parallel.mode = "mesh"
    if flags.classes is not None:
        if "ask" not in config.data:
            raise UserError(f"--classes is for models of images and texts, and {workdir} has data of another kind.")
        config.data.ask = classes(flags.classes)
    if flags.file and arguments:
        raise UserError("both arguments and --file are given: choose one.")
    if flags.csv:
        if flags.json:
            raise UserError("both --csv and --json are given: choose one.")
        table.check(commands.path(flags.csv), [*arguments, *([flags.file] if flags.file else [])])
    run, state, _ = restore.load(
        workdir, config, flags.step, average=flags.average, soup=flags.soup, form=flags.weights
    )
    variables = run.prepared(state.eval_variables)
    if flags.file and Path(flags.file).suffix in TABLES and run.pipeline.tables:
        raise UserError(f"--file={flags.file} is a table: without --file= its column of texts is read.")
    items = given(run, arguments) if arguments else lines(flags.file or "-")
    if flags.alignment:
        check_alignment(run, variables, commands.path(flags.alignment))
        items = iter([only(items)])
    folder = commands.path(flags.out) if flags.out else workdir / "predictions"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the pictures, --out=FOLDER.")
    count, refused = 0, 0
    rows: list[table.Row] = []
    asked = set(map(os.path.realpath, arguments))  # files and folders in which no picture may replace one
    for batch in batches(items, 1 if flags.stream else ROWS[-1]):
        readable, data = read(run, batch, flags.json)
        asked.update(map(os.path.realpath, readable))
        if readable:
            tell(run.task.notes(run.model, data))
        refused += len(batch) - len(readable)
        parts = (flags.stream or not flags.json) and not flags.csv
        for item, answer, printed in answers(run, variables, readable, data, count, flags.top, parts, flags.json):
            if flags.csv:
                rows.append(table.Row(shown(item), run.pipeline.truth(item), answer))
            else:
                path = folder / f"{count}.png"
                if answer.picture is not None and path.exists() and asked & {*map(os.path.realpath, (path, folder))}:
                    raise UserError(f"{path} is to be read, and would be overwritten: choose another --out=FOLDER.")
                show(shown(item), answer, flags.json, path, printed)
            count += 1
        if flags.alignment and readable:
            draw(run, variables, readable[0], commands.path(flags.alignment))
    if flags.csv and rows:
        print("\n".join(table.write(rows, commands.path(flags.csv))))
    if refused:
        if count + refused > 1:
            print(f"{refused:,} of {count + refused:,} could not be read.", file=sys.stderr)
        return 2
    if not count:
        raise UserError(
            f"there is nothing to predict: give {run.pipeline.item}, --file=FILE, or lines on standard input."
        )
    return 0


def given(run: Run, arguments: Iterable[str]) -> Iterator[Item]:
    """What the arguments stand for, such as the images of a folder; an error for one that stands for nothing."""
    for argument in arguments:
        try:
            yield from run.pipeline.items(argument)
        except UserError as error:
            yield error


def read(run: Run, items: list[Item], as_json: bool) -> tuple[list[str], Batch]:
    """The items that can be read, and their batch. For each of the others a line says why not."""
    readable = [item for item in items if isinstance(item, str)]
    for item in items:
        if isinstance(item, UserError):
            refuse("", item, as_json)
    try:
        return readable, _read(run, readable)
    except UserError as error:
        if len(readable) == 1:
            refuse(readable[0], error, as_json)
            return [], {}
    for item in list(readable):  # one of them is at fault, or several
        try:
            run.pipeline.read([item])
        except UserError as error:
            refuse(item, error, as_json)
            readable.remove(item)
    return readable, _read(run, readable)


def _read(run: Run, items: list[str]) -> Batch:
    if not items:
        return {}
    batch, notes = run.pipeline.read(items)
    tell(notes)
    return batch


def tell(notes: Iterable[str]) -> None:
    """Prints what a person should know of the answers."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def refuse(item: str, error: UserError, as_json: bool) -> None:
    """Prints why an item has no answer."""
    if as_json:
        print(json.dumps({"input": shown(item), "error": str(error)}, ensure_ascii=False), flush=True)
    print(f"error: {error}", file=sys.stderr, flush=True)


def answers(
    run: Run, variables: Variables, items: list[str], batch: Batch, first: int, most: int, parts: bool, as_json: bool
) -> Iterator[tuple[str, Answer, str]]:
    """The items of one batch with their answers, and the part of an answer's text that was printed already.

    Args:
      batch: of these items.
      first: the number of the first item.
      most: how many alternatives an answer names.
      parts: whether the answer of a single item is printed as it is made, where its task can.
      as_json: whether parts are printed as JSON.
    """
    if not items:
        return
    full = padded(batch, first)
    if parts and len(items) == 1 and (stream := run.stream(variables, full)):
        last: dict[str, np.ndarray] = {}
        rows = latest(stream, last)
        yield items[0], *grown((run.task.answer(row, run.data, most) for row in rows), shown(items[0]), as_json)
        tell(run.task.remarks({name: x[None] for name, x in last.items()}, run.data))
        return
    predicted = jax.device_get(run.predict_few(variables, full))
    tell(run.task.remarks({name: x[: len(items)] for name, x in predicted.items()}, run.data))
    for place, item in enumerate(items):
        yield item, run.task.answer({name: x[place] for name, x in predicted.items()}, run.data, most), ""


def latest(rows: Iterable[Row], last: dict[str, np.ndarray]) -> Iterator[Row]:
    """The rows; `last` is always the latest one."""
    for row in rows:
        last.update(row)
        yield row


def grown(answers: Iterable[Answer], item: str, as_json: bool) -> tuple[Answer, str]:
    """The last of the answers, where each goes on from the one before; and what was printed of them."""
    printed = ""
    for answer in answers:
        text = answer.text.rstrip("\ufffd")  # the first bytes of a character, whose others are still to come
        if text.startswith(printed) and text != printed:
            piece = text[len(printed) :]
            line = json.dumps({"input": item, "piece": piece}, ensure_ascii=False) + "\n" if as_json else piece
            print(line, end="", flush=True)
            printed = text
    return answer, printed


def show(item: str, answer: Answer, as_json: bool, path: Path, printed: str = "") -> None:
    """Prints an answer, or the rest of it where a part is printed already. Its picture, if it has one, goes to `path`,
    and JSON beside it: a COCO file of what was found in an image, else the answer's data."""
    if answer.picture is not None:
        from analysis import picture

        picture.write(answer.picture, path)
        beside = answer.file(item) if answer.file else {"input": item} | answer.data
        path.with_suffix(".json").write_text(json.dumps(beside, ensure_ascii=False) + "\n")
    where = {"picture": str(path)} if answer.picture is not None else {}
    if as_json:
        print(json.dumps({"input": item} | answer.data | where, ensure_ascii=False), flush=True)
        return
    if answer.text.startswith(" ") and not printed:  # lines under a heading
        print(item)
    print(answer.text.removeprefix(printed), *(f"  {path}" for path in where.values()), sep="\n", flush=True)


def classes(given: str) -> tuple[str, ...]:
    """The classes of --classes: texts with commas between, or a file's lines."""
    path = commands.path(given)
    if not path.is_file():
        return tuple(name.strip() for name in given.split(","))
    found = list(lines(given, "--classes"))
    if not found:
        raise UserError(f"--classes={given} is empty: it should name a class a line.")
    if wrong := next((one for one in found if isinstance(one, UserError)), None):
        raise wrong
    return tuple(one.strip() for one in found if isinstance(one, str))


def check_alignment(run: Run, variables: Variables, path: Path) -> None:
    """That the model has an alignment map and that a picture can be of that name, before anything is answered."""
    from analysis.figures import alignment

    if reason := alignment.lacks(_subject(run, variables)):
        raise UserError(f"--alignment: {reason}.")
    if path.suffix != ".png" or path.is_dir():
        raise UserError(f"--alignment={path} should be the name of a picture, and end in .png.")


def draw(run: Run, variables: Variables, sentence: str, path: Path) -> None:
    """The alignment map of one translation."""
    from analysis import picture
    from analysis.figures import alignment

    arrays = alignment.arrays(_subject(run, variables, sentence))
    picture.save(alignment.draw(arrays), arrays, path)
    print(f"Alignment map: {path}, its array: {path.with_suffix('.npz')}", file=sys.stderr)


def _subject(run: Run, variables: Variables, *sentences: str) -> "Subject":
    from analysis.subject import Subject

    return Subject(run=run, restore=lambda: variables, load=restore.latest, sentences=sentences)


def only(items: Iterator[Item]) -> str:
    """The one sentence that --alignment draws."""
    one = list(islice(items, 2))
    if len(one) != 1 or not isinstance(one[0], str) or not one[0].strip():
        raise UserError("--alignment draws one sentence: give exactly one.")
    return one[0]


def lines(path: str, flag: str = "--file") -> Iterator[Item]:
    """The lines of a file, or of standard input for "-"; an error for one that is not UTF-8. flag: that names it."""
    if path == "-" and sys.stdin is None:
        raise UserError("standard input is closed: give arguments or --file=FILE.")
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else commands.path(path).open("rb") as stream:
            if path != "-" and isinstance(stream, io.BufferedReader) and b"\0" in stream.peek(HEAD)[:HEAD]:
                others = " Give others without --file=." if flag == "--file" else ""
                raise UserError(f"{flag}={path} is no text: it should have one item a line.{others}")
            for number, line in enumerate(stream, 1):
                try:
                    yield line.decode().rstrip("\r\n")
                except UnicodeDecodeError as error:
                    where = "standard input" if path == "-" else path
                    yield UserError(f"line {number} of {where} is not UTF-8 (byte {error.start + 1}).")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None


def batches(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """What has come in so far, up to `most`: a slow source is answered line by line, a quick one in batches."""
    waiting: queue.Queue[Item | Exception | None] = queue.Queue(4 * ROWS[-1])

    def read() -> None:
        try:
            for item in items:
                waiting.put(item)
        except Exception as error:
            waiting.put(error)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    end, broken = False, None
    while not end:
        batch: list[Item] = []
        while not end and (not batch or (len(batch) < most and not waiting.empty())):
            item = waiting.get()
            if isinstance(item, str | UserError):
                batch.append(item)
            else:
                end, broken = True, item
        if batch:
            yield batch
    if broken is not None:
        raise broken


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
