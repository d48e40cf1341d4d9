"""What a model of images and texts finds: the captions that are the most alike to some images, marked as right or
wrong, and the similarities of images and their own captions as a matrix, whose diagonal should be bright.

K images, M captions that are shown of each, S images of the matrix.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES, SHOWN = 6, 5
SIDE = 32  # images of the matrix
MOST = 2000  # images whose captions are searched
LONGEST = 58  # letters of a caption


def lacks(subject: Subject) -> str:
    """A model that does not compare images with texts."""
    if subject.reads_images and subject.has("text/.*") and subject.has("image/.*"):
        return ""
    return f"a {subject.name} does not compare images with texts"


def arrays(subject: Subject) -> Arrays:
    """Of the first images of the evaluation split, other captions each: `image` (K, height, width, channels) in [0, 1];
    the captions `text` (K, M) that are the most alike, how alike, `score` (K, M), and whether they are its own, `right`
    (K, M); `matrix` (S, S): row i is of image i, column j of the first caption of image j."""
    rows, images, tokens = _read(subject)
    names = [tuple(map(tuple, one)) for one in rows["name"].tolist()]
    own = [
        {name for name, there in zip(one, given, strict=True) if there}
        for one, given in zip(names, rows["given"], strict=True)
    ]
    places: dict[tuple[int, ...], tuple[int, int]] = {}
    for i, one in enumerate(names):
        for m, name in enumerate(one):
            if rows["given"][i, m]:
                places.setdefault(name, (i, m))
    keys = list(places)
    texts = np.stack([rows["text"][places[key]] for key in keys])
    first = different([min(one, default=()) for one in own], SIDE)
    shown = first[:IMAGES]
    alike = rows["image"][shown] @ texts.T
    order = np.argsort(-alike, axis=1)[:, :SHOWN]
    data = subject.run.data
    captions = [[data.decode(tokens[places[keys[t]]]) for t in row] for row in order]
    return {
        "image": subject.pictures(images[shown]),
        "text": np.array(captions),
        "score": np.take_along_axis(alike, order, axis=1),
        "right": np.array([[keys[t] in own[i] for t in row] for i, row in zip(shown, order, strict=True)]),
        "matrix": rows["image"][first] @ rows["text"][first, 0].T,
    }


def different(names: list[tuple[int, ...]], most: int) -> Int[np.ndarray, " n"]:
    """The places of the first `most` names that did not occur before."""
    _, first = np.unique(np.array([hash(name) for name in names]), return_index=True)
    return np.sort(first)[:most]


def _read(
    subject: Subject,
) -> tuple[Mapping[str, np.ndarray], Float[np.ndarray, "n height width channels"], Int[np.ndarray, "n M T"]]:
    """Rows of the task's `predict` of the evaluation split, or of the first MOST images, that have a caption; the
    images and their captions' ids."""
    found: list[Mapping[str, np.ndarray]] = []
    images, tokens, count = [], [], 0
    run = subject.run
    for batch in run.pipeline.eval_batches(subject.split):
        for rows in run.predict(subject.variables, [batch]):
            rows = {name: x[(rows["given"] > 0).any(1)] for name, x in rows.items()}
            there = np.isin(batch["index"], rows["index"])
            found.append(rows)
            images.append(batch["image"][there])
            tokens.append(batch["tokens"][there])
            count += int(there.sum())
        if count >= MOST:
            break
    whole = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    return whole, np.concatenate(images), np.concatenate(tokens)


def draw(arrays: Arrays) -> Figure:
    """A row for each image with its captions, and the matrix below."""
    count, width = len(arrays["image"]), 8.5
    figure = picture.begin(width, 1.15 * count + 5.2, "The captions that are the most alike to each image")
    above, below = np.ravel(figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15 * count, 5)))
    for axes, image, texts, scores, right in zip(
        above.subplots(count, 2, width_ratios=(1, 5), squeeze=False),
        *(arrays[name] for name in ("image", "text", "score", "right")),
        strict=True,
    ):
        picture.show(axes[0], image)
        axes[1].set_axis_off()
        for line, (text, score, good) in enumerate(zip(texts, scores, right, strict=True)):
            mark, colour = ("✓", "tab:green") if good else ("✗", "tab:red")
            short = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
            axes[1].text(
                0, 0.9 - 0.2 * line, picture.literal(f"{mark} {score:.2f}  {short}"), color=colour,
                fontsize="small", va="center", transform=axes[1].transAxes,
            )  # fmt: skip
    axis = below.subplots()
    shown = axis.imshow(arrays["matrix"], cmap="viridis")
    axis.set(xlabel="a caption of image ...", ylabel="image", title="Similarities, cosine")
    below.colorbar(shown, ax=axis, shrink=0.8)
    return figure
