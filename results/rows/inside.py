"""Claims of 2010.11929 on what a trained ViT has learned: filters, positions, attention."""

from collections.abc import Callable

import numpy as np

from analysis import fits
from results import inside_vit
from results.rows import Claim, Found, Numbers, Recorded, Verdict, verdict
from results.rows.judging import NONE, Mean, above, in_points, least, percent, stated

PAPER = "2010.11929"
FEW = 0.5  # of the filters' variance, in the first components
FAR, CLEARLY = 0.9, 0.1  # of the distance of uniform attention
OFTEN = 0.5  # of the images
SETTING = (
    f"garments of Fashion-MNIST on canvases of {inside_vit.SIDE} pixels, 6 layers, 64 patches of 7 pixels, "
    f"{inside_vit.SEEDS} seeds"
)


def _of(found: Numbers, metric: str, state: str = "trained") -> list[float]:
    """A number of every seed."""
    return [run[state][metric] for run in found["runs"]]


def _both(found: Numbers, metric: str) -> tuple[Mean, Mean]:
    """The mean of a number after training, and before."""
    return fits.interval(_of(found, metric)), fits.interval(_of(found, metric, "untrained"))


def _found(found: Numbers, figure: str, measured: str, of: Verdict, why: str = "") -> Found:
    pictures = inside_vit.PICTURES.relative_to(inside_vit.ROOT)
    return Found(f"{SETTING}: {measured}", of, why, (found["commit"],), f"{pictures}/{figure}.png")


def judge_filters(found: Numbers) -> Found:
    """The first components hold more of the filters' variance than before training, and at least half."""
    after, before = _both(found, "variance of the first components")
    more = above(after, before)
    return _found(
        found,
        "filters",
        f"the first {inside_vit.COMPONENTS} of 49 principal components of the filters hold {percent(after)} of "
        f"their variance, before training {percent(before)}",
        verdict(more is Verdict.HOLDS and after[0] >= FEW, more is not Verdict.NOT),
        f"low is: at least {100 * FEW:.0f} %",
    )


def judge_positions(found: Numbers) -> Found:
    """Near positions are more similar, and at equal distance those of one row or column."""
    near, before = _both(found, "similarity by nearness")
    along = fits.interval(_of(found, "similarity along minus across"))
    nearer, lines = above(near, NONE), above(along, NONE)
    return _found(
        found,
        "positions",
        f"correlation of the similarity of two learned positions with their nearness {stated(near, '.2f')}, "
        f"before training {stated(before, '.2f')}; 5 patches along a row or column {stated(along, '+.3f')} more "
        "similar than 3 by 4 patches across",
        verdict(nearer is lines is Verdict.HOLDS, nearer is not Verdict.NOT),
    )


def judge_distance(found: Numbers) -> Found:
    """Heads of the last layer look clearly farther than those of the first, and one of these looks across the image."""
    distances = [np.array(of_seed) for of_seed in _of(found, "attention distance")]
    uniform = np.array(_of(found, "uniform distance"))
    by_layer = np.mean([layers.mean(1) for layers in distances], axis=0)
    growth = fits.interval([layers[-1].mean() - layers[0].mean() for layers in distances])
    first = np.array([layers[0] for layers in distances]) / uniform[:, None]
    deeper = above(growth, NONE)
    clearly = deeper is Verdict.HOLDS and growth[0] >= CLEARLY * uniform.mean()  # all may be next to uniform
    return _found(
        found,
        "distance",
        f"mean attention distance by layer {', '.join(f'{value:.1f}' for value in by_layer)} pixels (of uniform "
        f"attention {uniform.mean():.1f}), from the first to the last {in_points(growth)}; heads of "
        f"the first layer {first.min(1).mean():.2f} to {first.max(1).mean():.2f} times as far as uniform attention",
        verdict(clearly and first.max(1).min() >= FAR, deeper is not Verdict.NOT),
        f"farther is: by at least {CLEARLY} times the distance of uniform attention; across the image: at least {FAR} "
        "times",
    )


def judge_pointing(found: Numbers) -> Found:
    """The most attended patch is the garment's, more often than by chance and than before training, and mostly."""
    after, before = _both(found, "pointing")
    chance = fits.interval(_of(found, "chance of pointing"))
    more = least(above(after, chance), above(after, before))
    accuracy = 100 * np.mean([run["test/accuracy"] for run in found["runs"]])
    return _found(
        found,
        "rollout",
        f"the patch that attention rollout weighs most has pixels of the garment in {percent(after)} of "
        f"{inside_vit.IMAGES['test']:,} test images, before training in {percent(before)}, by chance in "
        f"{100 * chance[0]:.1f} %; {accuracy:.1f} % are classified right",
        verdict(more is Verdict.HOLDS and after[0] >= OFTEN, more is not Verdict.NOT),
    )


def _recorded(judge: Callable[[Numbers], Found]) -> Recorded:
    return Recorded(
        "inside_vit.json",
        "python results/inside_vit.py --data_dir=DIR",
        judge,
        ("results/inside_vit.py",),
        data="fashion_mnist",
        minutes=25,
    )


CLAIMS = (
    Claim(
        "filters",
        "The filters of the patch embedding are a basis of few dimensions for what a patch holds.",
        f"{PAPER}, section 4.5 and figure 7 left",
        "",
        _recorded(judge_filters),
    ),
    Claim(
        "position_similarity",
        "Near patches learn similar positions, and so do those of one row or column.",
        f"{PAPER}, section 4.5 and figure 7 centre",
        "",
        _recorded(judge_positions),
    ),
    Claim(
        "attention_distance",
        "Attention reaches farther with depth, though some heads look across the image in the first layer already.",
        f"{PAPER}, section 4.5 and figure 7 right",
        "",
        _recorded(judge_distance),
    ),
    Claim(
        "pointing",
        "Attention is on what matters for the class.",
        f"{PAPER}, section 4.5 and figure 6",
        "",
        _recorded(judge_pointing),
    ),
)
