"""BLEU by the length of the source sentence, of this run and of those beside it (1409.0473, figure 2).

A decoder that reads the source from one fixed vector loses long sentences; with attention it does not.

n sentences, R runs, G groups of sentences.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure
from sacrebleu.metrics.bleu import BLEU

from analysis import picture
from analysis.figures.curves import names
from analysis.picture import Arrays
from analysis.subject import Subject, Translations
from errors import UserError
from experiment import Run
from training.trees import Variables

WIDTH = 5  # words from one group to the next
LEAST = 20  # sentences of a group
DRAWS = 200  # bootstrap samples of an interval


def lacks(subject: Subject) -> str:
    """A model that does not translate, or data that are not here."""
    return "" if subject.translates else "the model does not translate"


def arrays(subject: Subject) -> Arrays:
    """BLEU of the whole first evaluation split, by groups of its sentences.

    Returns:
      names (R,); begins and ends (G,), the number of words of a group's sources; sentences (G,); bleu and half_interval
      (R, G), in points, 95 % intervals by bootstrap.
    """
    pairs = subject.pipeline_of_texts.opened(subject.run.pipeline.eval_splits[0])
    lengths = np.array([len(source.split()) for source, _ in pairs])
    begins, ends = groups(lengths)
    bleu = [
        of_groups(translations(run, variables, pairs), [target for _, target in pairs], lengths, begins, ends)
        for run, variables in subject.runs()
    ]
    return {
        "names": np.array(names((subject.run.workdir, *subject.beside))),
        "begins": begins,
        "ends": ends,
        "sentences": np.array([within(lengths, *ends_of).sum() for ends_of in zip(begins, ends, strict=True)]),
        "bleu": np.stack([score for score, _ in bleu]),
        "half_interval": np.stack([half for _, half in bleu]),
    }


def groups(lengths: Integer[np.ndarray, " n"]) -> tuple[Integer[np.ndarray, " G"], Integer[np.ndarray, " G"]]:
    """The first and the last length of each group: five lengths, or more where that is less than 20 sentences."""
    begins, ends = [1], []
    for end in range(WIDTH, int(lengths.max()) + WIDTH, WIDTH):
        if within(lengths, begins[-1], end).sum() >= LEAST:
            ends.append(end)
            begins.append(end + 1)
    if not ends:
        return np.array([1]), np.array([lengths.max()])
    ends[-1] = max(ends[-1], int(lengths.max()))  # the few longest are in the last group
    return np.array(begins[:-1]), np.array(ends)


def within(lengths: Integer[np.ndarray, " n"], begin: int, end: int) -> np.ndarray:
    """Which sentences are of a group, bool (n,)."""
    return (lengths >= begin) & (lengths <= end)


def translations(run: Run, variables: Variables, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """What a run writes for the sources of its first evaluation split, in the split's order.

    Raises:
      UserError: they are not these pairs.
    """
    split, targets = run.pipeline.eval_splits[0], [target for _, target in pairs]
    if not isinstance(run.pipeline, Translations) or run.pipeline.texts(split) != targets:
        raise UserError(f"--with={run.workdir} does not translate the sentences that this run is evaluated on.")
    texts = [""] * len(pairs)
    for rows in run.predict(variables, run.pipeline.eval_batches(run.pipeline.eval_splits[0])):
        for index, tokens in zip(rows["index"].tolist(), rows["tokens"], strict=True):
            texts[index] = run.data.decode(tokens)
    return texts


def of_groups(
    texts: list[str],
    references: list[str],
    lengths: Integer[np.ndarray, " n"],
    begins: Integer[np.ndarray, " G"],
    ends: Integer[np.ndarray, " G"],
) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
    """Cased BLEU (13a) of each group, and half its interval."""
    found = []
    for begin, end in zip(begins, ends, strict=True):
        rows = np.flatnonzero(within(lengths, begin, end))
        own, right = [texts[row] for row in rows], [references[row] for row in rows]
        score = BLEU().corpus_score(own, [right], n_bootstrap=DRAWS)
        found.append((score.score, score._ci))  # sacreBLEU prints it, and has no public name for it
    bleu, half = np.array(found).T
    return bleu, half


def draw(arrays: Arrays) -> Figure:
    """A curve for each run, over the words of the source."""
    figure = picture.begin(6, 3.8, "BLEU by length of the source")
    axes = figure.subplots()
    places = np.arange(len(arrays["begins"]))
    for name, bleu, half in zip(arrays["names"], arrays["bleu"], arrays["half_interval"], strict=True):
        axes.errorbar(places, bleu, half, label=picture.literal(name), marker="o", capsize=3, linewidth=1.5)
    labels = [
        f"{begin}-{end}\n{count:,}"
        for begin, end, count in zip(arrays["begins"], arrays["ends"], arrays["sentences"], strict=True)
    ]
    axes.set_xticks(places, labels)
    axes.set(xlabel="words of the source; sentences", ylabel="BLEU", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
