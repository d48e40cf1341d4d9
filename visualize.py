"""Draw what a trained model has learned: python visualize.py --workdir=RUN [FIGURE ...]; without FIGURE, every figure
that this model supports.

    python visualize.py --workdir=RUN page

writes RUN/page.html: curves, metrics, examples, config, the figures that were drawn, and an explorer of attention; one
file that a browser opens from the disk.

Of images:       [--images=a.png,b.png], else of the run's evaluation split; other sizes: [--config.data.image_size=384]
Of text:         [--sentence="ein Satz" ...], else of the run's evaluation split; the word to follow: [--word=Satz]
Of translation:  pairs whose words were linked by hand: --gold=LINKS --source=FILE --target=FILE
Of training:     [--with=RUN2,RUN3]: curves, gradients by token or BLEU by length of other runs beside this one's
Pictures and their arrays (.npz) go to RUN/figures, or to --out=FOLDER."""

import sys
from functools import partial

import commands

if __name__ == "__main__":
    commands.begin()
    commands.workdir_flags()
    commands.flag("list", "images", [], "Image files to look at")
    commands.flag("multi_string", "sentence", [], "A sentence or a prompt; may be given several times")
    commands.flag("string", "word", "", "The word of the sentence whose attention is shown (default: the last one)")
    commands.flag("string", "gold", None, "Links between words, a line a pair: 0-0 1-2 where sure, 1?3 where possible")
    commands.flag("string", "source", None, "The source sentences of --gold, line by line")
    commands.flag("string", "target", None, "The target sentences of --gold, line by line")
    commands.flag("list", "with", [], "WORKDIR,...: other runs whose curves are drawn too")
    commands.flag("string", "out", None, "Folder of the pictures (default: figures in the workdir)")
    commands.listed("FIGURE", lambda: drawing.described())

from PIL import Image

import lookup
from analysis import drawing, links
from analysis.page import run as page
from analysis.subject import Subject
from errors import UserError, nearest
from experiment import record, restore

PAGE = "page"  # the word that asks for it


def main(arguments: list[str]) -> None:
    """Draws the figures that are asked for."""
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    config.parallel.mode = "mesh"
    figures = [name for name in arguments if name != PAGE]
    known = [*lookup.names(drawing.FIGURES, "lacks"), PAGE]
    for name in figures:
        if name not in known:
            raise UserError(f"there is no {name!r} in {drawing.FIGURES.replace('.', '/')}/: {nearest(name, known)}")
    run = restore.parts(config, workdir)
    load = partial(restore.load, workdir, config, flags.step, average=flags.average, soup=flags.soup, run=run)
    subject = Subject(
        run=run,
        restore=lambda: load()[1].eval_variables,
        image_files=tuple(flags.images),
        sentences=tuple(flags.sentence),
        word=flags.word,
        gold=gold(flags.gold, flags.source, flags.target),
        beside=tuple(commands.path(path) for path in flags["with"].value or ()),
        load=restore.latest,
    )
    check(subject)
    folder = commands.path(flags.out) if flags.out else workdir / "figures"
    for line in drawing.draw(subject, drawing.chosen(subject, figures) if figures or not arguments else [], folder):
        print(line, flush=True)
    if PAGE in arguments:
        print(f"{PAGE:16} {page.write(subject, folder if flags.out else workdir, folder)}", flush=True)


def gold(*paths: str | None) -> links.Gold | None:
    """What --gold, --source and --target hold."""
    files = [commands.path(path) for path in paths if path]
    if len(files) not in (0, len(paths)):
        raise UserError("--gold=FILE, --source=FILE and --target=FILE go together: give all three.")
    return links.read(*files) if files else None


def check(subject: Subject) -> None:
    """Checks that what the user gave is there and of use to the model, before anything is computed."""
    if subject.image_files and not subject.reads_images:
        raise UserError(f"--images is for models of images: this one reads {subject.run.pipeline.item}.")
    if (subject.sentences or subject.word) and not subject.reads_tokens:
        raise UserError(f"--sentence and --word are for models of text: this one reads {subject.run.pipeline.item}.")
    if not all(sentence.strip() for sentence in subject.sentences):
        raise UserError("--sentence= is empty: write what is to be read.")
    if subject.gold and not subject.translates:
        raise UserError(f"--gold is for models that translate: this one reads {subject.run.pipeline.item}.")
    for workdir in subject.beside:
        record.read(workdir)
    if subject.image_files:
        subject.images(len(subject.image_files))
        height, width = subject.run.pipeline.spec["image"][0][1:3]
    for path in subject.image_files:
        with Image.open(path) as image:
            if image.size != (width, height):
                print(f"note: {path}, {image.height}x{image.width}, is seen as {height}x{width}.", file=sys.stderr)


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
