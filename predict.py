"""Use a trained model on what you have.

Images to classes:       python predict.py --workdir=runs/vit_digits [--top=5] [--json] image.png ...
Sentences to classes:    python predict.py --workdir=RUN [--top=5] [--json] "a sentence" ... | --file=FILE | < FILE
Sentences to sentences:  python predict.py --workdir=RUN [--json] "ein Satz" ... | --file=FILE | < FILE
                         [--average=5] [--alignment=map.png] [--config.task.beams=1] [--config.task.temperature=0.8]"""

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import commands

if __name__ == "__main__":
    commands.workdir_flags()
    commands.flags.DEFINE_integer("top", 5, "How many of the likeliest classes", lower_bound=1)
    commands.flags.DEFINE_string("file", None, "Sentences, one a line (- or nothing: standard input)")
    commands.flags.DEFINE_string("alignment", None, "PNG to draw what a translation's words looked at, of one sentence")
    commands.flags.DEFINE_bool("json", False, "Print one JSON object a line instead of a table")

import jax
import numpy as np

import experiment
from errors import UserError
from experiment import restore
from training.step import State

ROWS = (1, 8, 32)  # of a batch: few shapes, so that little is compiled


def main(arguments: list[str]) -> None:
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    config.parallel.mode = "mesh"
    if config.data.kind == "images" and not arguments:
        raise UserError("no image is given: python predict.py --workdir=... image.png ...")
    run, state, _ = restore.load(config, workdir, flags.step, from_data=False, average=flags.average, soup=flags.soup)
    if config.data.kind == "images":
        report = partial(report_classes, run.pipeline.classes, flags.top, flags.json)
        classify(run, state, arguments, lambda paths: (run.pipeline.load(paths), []), report)
        return
    if flags.file and arguments:
        raise UserError("sentences are given both as arguments and by --file: choose one.")
    sentences = iter(arguments) if arguments else lines(flags.file or "-")
    if hasattr(run.task, "generate"):
        translate(run, state, sentences, flags.json, flags.alignment)
    else:
        report = partial(report_classes, run.pipeline.classes, flags.top, flags.json)
        classify(run, state, sentences, lambda texts: load_texts(run, texts), report)


def classify(
    run: experiment.Run,
    state: State,
    items: Iterable[str],
    load: Callable[[list[str]], tuple[np.ndarray, list[str]]],
    report: Callable[[str, np.ndarray], None],
) -> None:
    """Reports the probabilities of each item as soon as its batch is done."""

    @jax.jit
    def probabilities(params: Any, inputs: jax.Array) -> jax.Array:
        logits: Any = run.model.apply({"params": params}, inputs, train=False)
        return jax.nn.softmax(logits)

    for batch in batches(items):
        inputs, notes = load(batch)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        rows = np.asarray(probabilities(state.eval_params, inputs))
        for item, row in zip(batch, rows, strict=False):
            report(item, row)


def load_texts(run: experiment.Run, texts: list[str]) -> tuple[np.ndarray, list[str]]:
    batch, notes = run.pipeline.batch_of(filled(texts))
    return batch["tokens"], notes


def report_classes(classes: tuple[str, ...], top: int, as_json: bool, item: str, probability: np.ndarray) -> None:
    """The likeliest classes of one image or sentence, probability (C,)."""
    best = [(classes[i], float(probability[i])) for i in np.argsort(-probability)[:top]]
    if as_json:
        print(json.dumps({"input": item, "top": [{"class": name, "probability": p} for name, p in best]}), flush=True)
        return
    print(item)
    for name, p in best:
        print(f"  {p:7.2%}  {name}", flush=True)


def translate(
    run: experiment.Run, state: State, sentences: Iterator[str], as_json: bool, alignment: str | None
) -> None:
    """Prints the translation of each sentence as soon as its batch is done; an empty line stays one."""
    if alignment:
        one = list(islice(sentences, 2))
        if len(one) != 1 or not one[0].strip():
            raise UserError("--alignment draws one sentence: give just one.")
        sentences = iter(one)
    apply = partial(run.model.apply, {"params": state.eval_params})

    @jax.jit
    def generate(params: Any, batch: Any, key: jax.Array) -> jax.Array:
        return run.task.generate(partial(run.model.apply, {"params": params}), batch, key)

    read = 0
    for texts in batches(sentences):
        full = [text for text in texts if text.strip()]
        written: Iterator[str] = iter(())
        if full:
            batch, notes = run.pipeline.batch_of(filled(full))
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
            key = jax.random.fold_in(jax.random.key(run.seed), read)
            tokens = np.asarray(generate(state.eval_params, batch, key))
            written = (run.pipeline.target_tokenizer.decode(row) for row in tokens)
            if alignment:
                draw(run, apply, batch["source"][:1], tokens[:1], Path(alignment))
        for text in texts:
            translation = next(written) if text.strip() else ""
            print(
                json.dumps({"source": text, "translation": translation}, ensure_ascii=False)
                if as_json
                else translation,
                flush=True,
            )
        read += len(texts)
    if not read:
        raise UserError("there is nothing to translate: give a sentence, --file=FILE, or lines on standard input.")


def draw(run: experiment.Run, apply: Callable[..., Any], source: np.ndarray, tokens: np.ndarray, path: Path) -> None:
    """The alignment map of one translation."""
    from analysis import picture, translation
    from analysis.figures import alignment

    if path.suffix != ".png":
        raise UserError(f"--alignment={path} should end in .png.")
    weights = np.asarray(run.task.alignment(apply, source, tokens))
    arrays = alignment.maps(weights, *translation.pieces(run.pipeline, source, tokens))
    picture.save(alignment.draw(arrays), arrays, path)
    print(f"Alignment map: {path}, its array: {path.with_suffix('.npz')}", file=sys.stderr)


def filled(texts: list[str]) -> list[str]:
    """The texts, and empty ones up to a number of rows that is compiled once."""
    rows = next(rows for rows in ROWS if rows >= len(texts))
    return texts + [""] * (rows - len(texts))


def lines(path: str) -> Iterator[str]:
    """The lines of a file, or of standard input for "-"."""
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield line.decode().rstrip("\r\n")
                except UnicodeDecodeError as error:
                    where = "standard input" if path == "-" else path
                    raise UserError(f"line {number} of {where} is not UTF-8 (byte {error.start + 1}).") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None


def batches(items: Iterable[str]) -> Iterator[list[str]]:
    """What has come in so far, up to the largest batch: a slow source is answered line by line, a quick one in batches."""
    waiting: queue.Queue[Any] = queue.Queue(4 * ROWS[-1])

    def read() -> None:
        try:
            for item in items:
                waiting.put(item)
            waiting.put(None)
        except UserError as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    end: Any = ""
    while isinstance(end, str):
        batch = [waiting.get()]
        while isinstance(batch[-1], str) and len(batch) < ROWS[-1] and not waiting.empty():
            batch.append(waiting.get())
        end = batch.pop() if not isinstance(batch[-1], str) else ""
        if batch:
            yield batch
    if end is not None:
        raise end


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
