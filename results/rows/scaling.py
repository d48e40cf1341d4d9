"""Claims of 2010.11929 on data and compute: where ViTs, ResNets and hybrids cross, and how a ViT should grow."""

from functools import partial

import numpy as np

from analysis import fits
from analysis.studies import isoflop, scaling
from results.rows import Claim, Found, Rows, Studied, Verdict, verdict
from results.rows.judging import NONE, Mean, above, in_points, seeds_of

PAPER = "2010.11929"
GROWTH = 0.3  # of exponents


def _gaps(rows: Rows, data: str, first: str, second: str) -> tuple[list[Mean], fits.Line, str]:
    """Points by which one model is above another, by images, of runs paired by seed as in the figure; the line of all
    pairs over log images; and both in words."""
    images = sorted({row["images"] for row in rows})
    accuracy = {(row["model"], row["images"], row["seed"]): 100 * row["test/accuracy"] for row in rows}
    pairs = {(n, s): a - accuracy[second, n, s] for (model, n, s), a in accuracy.items() if model == first}
    gaps = [fits.interval([gap for (size, _), gap in pairs.items() if size == n]) for n in images]
    line = fits.line(np.log10([n for n, _ in pairs]), np.array([*pairs.values()]))
    assert line
    return (
        gaps,
        line,
        f"{data}, {images[0]:,.0f} to {images[-1]:,.0f} images, {first} minus {second}: {in_points(gaps[0])} to "
        f"{in_points(gaps[-1])} points, {line.slope:+.1f} ± {line.error:.1f} a tenfold of data, {seeds_of(rows)} "
        f"seeds, one recipe for all; {'; '.join(_size(rows, name) for name in (first, second))}",
    )


def crossing(rows: Rows, first: str, second: str) -> str:
    """From how many images on the loss of one model is below that of another, by the power laws of both; in words."""
    own = {name: [row for row in rows if row["model"] == name] for name in (first, second)}
    laws = [
        fits.power_law(*(np.array([row[key] for row in runs]) for key in ("images", "test/nll")))
        for runs in own.values()
    ]
    if not (laws[0] and laws[1]):
        return "too few sizes for laws of the loss"
    most = scaling.REACH * max(row["images"] for row in rows)
    cross = fits.crossing(laws[1], laws[0], (min(row["images"] for row in rows), most))
    share = f"{100 * cross.share:.0f} % of the draws of both cross up to {most:.0e}"
    if np.isnan(cross.at):
        return f"the fitted laws of the loss do not cross; {share}"
    return (
        f"by the fitted laws the loss of {first} is the lower from {cross.at:.1e} images on (95 %: {cross.low:.1e} to "
        f"{cross.high:.1e}; {share})"
    )


def _size(rows: Rows, model: str) -> str:
    row = next(row for row in rows if row["model"] == model)
    return f"{model} {row['parameters'] / 1e3:.0f}k parameters, {row['flops_per_example'] / 1e6:.1f} MFLOP an image"


def judge_more_data(rows: Rows, data: str = "Fashion-MNIST", folder: str = "vit_data_scaling") -> Found:
    """The gap between ViT and ResNet closes with data, and turns."""
    gaps, line, words = _gaps(rows, data, "ViT", "BiT ResNet")
    closes = line.slope > line.error
    return Found(
        f"{words}; {crossing(rows, 'ViT', 'BiT ResNet')}",
        verdict(above(NONE, gaps[0]) is above(gaps[-1], NONE) is Verdict.HOLDS, closes),
        "the gap closes and does not turn within this set" if closes and max(gaps)[0] < 0 else "",
        figure=f"results/{folder}/figures/gap.png",
    )


def judge_hybrid_small(rows: Rows) -> Found:
    """Hybrids are above ViTs with few images, and no longer with many."""
    gaps, line, words = _gaps(rows, "Fashion-MNIST", "hybrid", "ViT")
    return Found(
        words,
        verdict(
            above(gaps[0], NONE) is Verdict.HOLDS and above(gaps[-1], NONE) is not Verdict.HOLDS,
            gaps[0][0] > 0 and line.slope < -line.error,
        ),
        "the hybrid is above the ViT at every size" if min(gaps)[0] > 0 else "",
        figure="results/vit_data_scaling/figures/scaling.png",
    )


def _front(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The log of the compute, and the best accuracy so far, of a family's runs. points: compute and accuracy."""
    front: list[tuple[float, float]] = []
    for cost, reached in sorted(points):
        if not front or reached > front[-1][1]:
            front.append((cost, reached))
    return [float(np.log(cost)) for cost, _ in front], [reached for _, reached in front]


def _needed(points: list[tuple[float, float]], accuracy: float) -> float:
    """The compute with which a family reaches an accuracy, by lines between its best runs."""
    costs, reached = _front(points)
    return float(np.exp(np.interp(accuracy, reached, costs)))


def _reached(points: list[tuple[float, float]], cost: float) -> float:
    """The accuracy that a family reaches with a compute, likewise."""
    return float(np.interp(np.log(cost), *_front(points)))


def _families(rows: Rows) -> dict[tuple[str, float], list[tuple[float, float]]]:
    """Compute and accuracy of each model, by family and seed."""
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row in rows:
        found.setdefault((row["family"], row["seed"]), []).append((row["total_flops"], row["test/accuracy"]))
    return found


def judge_pareto(rows: Rows) -> Found:
    """A ResNet needs at least twice a ViT's compute for the best accuracy that both reach."""
    families, ratios = _families(rows), []
    for seed in sorted({row["seed"] for row in rows}):
        vit, resnet = families["ViT", seed], families["BiT ResNet", seed]
        both = min(max(accuracy for _, accuracy in own) for own in (vit, resnet))
        ratios.append(np.log(_needed(resnet, both) / _needed(vit, both)))
    mean, half = fits.interval(ratios)
    low, middle, high = np.exp([mean - half, mean, mean + half])
    best: dict[str, float] = {}
    for (name, _), points in families.items():
        best[name] = max(best.get(name, 0.0), 100 * max(accuracy for _, accuracy in points))
    return Found(
        f"digits, two sizes and two lengths each, {seeds_of(rows)} seeds: for the best accuracy that both reach a "
        f"ResNet needs {middle:.2f} times a ViT's compute (95 %: {low:.2f} to {high:.2f}); best run: "
        + ", ".join(f"{name} {accuracy:.1f} %" for name, accuracy in best.items()),
        verdict(bool(low > 1 and middle >= 2), bool(middle > 1)),
    )


def judge_hybrid_compute(rows: Rows) -> Found:
    """Of equal compute the hybrid is above the ViT at the least that both have, and not at the most."""
    families, seeds = _families(rows), sorted({row["seed"] for row in rows})
    pairs = [(families["hybrid", seed], families["ViT", seed]) for seed in seeds]
    costs = [sorted(cost for cost, _ in own) for own in pairs[0]]
    ends = (max(own[0] for own in costs), min(own[-1] for own in costs))  # of the compute that both families have
    small, large = (
        fits.interval([100 * (_reached(hybrid, cost) - _reached(vit, cost)) for hybrid, vit in pairs]) for cost in ends
    )
    return Found(
        f"digits, two sizes and two lengths each, {len(seeds)} seeds, hybrid minus ViT at equal compute: "
        f"{in_points(small)} points at {ends[0]:.1e} FLOP, {in_points(large)} at {ends[1]:.1e}",
        verdict(
            above(small, NONE) is Verdict.HOLDS and above(large, NONE) is not Verdict.HOLDS,
            small[0] > max(0, large[0]),
        ),
    )


def judge_isoflop(rows: Rows) -> Found:
    """Size and data grow alike; and the laws of small budgets say what the largest gives."""
    numbers = isoflop.draw(rows, loss="test/nll").numbers
    size, images, said = (numbers.get(name) for name in ("exponent of parameters", "exponent of images", "prediction"))
    budgets = sorted({float(row["budget"]) for row in rows})
    tried = f"drawn characters, {len(rows)} runs of {budgets[0]:.0e} to {budgets[-1]:.0e} FLOP"
    if not (size and images and said):
        return Found(f"{tried}: fewer than three budgets have a best size among the models", verdict(False))
    gap = abs(size["exponent"] - images["exponent"])
    half = size["half_interval"] + images["half_interval"]  # their sum is 1: the errors are opposite
    return Found(
        f"{tried}: parameters grow with compute to the {size['exponent']:.2f} ± {size['half_interval']:.2f}, images to "
        f"the {images['exponent']:.2f} ± {images['half_interval']:.2f}; predicted for the largest, unseen budget "
        f"{said['parameters']:,.0f} parameters and a loss of {said['loss']:.3f}, measured "
        f"{said['measured parameters']:,.0f} and {said['measured loss']:.3f}",
        verdict(gap + half <= GROWTH, size["exponent"] > 0 and images["exponent"] > 0),
        f"alike is: at most {GROWTH} apart, with the intervals; 2001.08361 has 0.73 and 0.27",
    )


SCALING, GLYPHS = "vit_data_scaling:fashion_mnist", "glyphs"
CLAIMS = (
    Claim(
        "more_data",
        "With little data ResNets are better, with more data ViTs.",
        f"{PAPER}, figures 3 and 4",
        "crosses between 9 and 90 million images",
        Studied(SCALING, judge_more_data, 180, data="fashion_mnist"),
    ),
    Claim(
        "more_glyphs",
        "The same on a set without an end: characters that are drawn.",
        f"{PAPER}, figure 4",
        "crosses between 9 and 90 million images",
        Studied(
            f"vit_data_scaling:{GLYPHS}",
            partial(judge_more_data, data="drawn characters", folder=f"vit_data_scaling_{GLYPHS}"),
            360,
            kept=f"vit_data_scaling_{GLYPHS}",
        ),
    ),
    Claim(
        "hybrid_small",
        "With few images hybrids are better than ViTs, and the difference vanishes.",
        "usual explanation",
        "",
        Studied(SCALING, judge_hybrid_small, 180, data="fashion_mnist"),
    ),
    Claim(
        "less_compute",
        "For the same accuracy a ViT needs two to four times less compute than a ResNet.",
        f"{PAPER}, figure 5",
        "2 to 4 times",
        Studied("vit_compute:tiny", judge_pareto, 15),
    ),
    Claim(
        "hybrid_compute",
        "With little compute hybrids are better than ViTs, and the difference vanishes for larger models.",
        f"{PAPER}, section 4.4",
        "",
        Studied("vit_compute:tiny", judge_hybrid_compute, 15),
    ),
    Claim(
        "isoflop",
        "With more compute the best size and the best number of images grow alike.",
        "2203.15556, table 2 (language models)",
        "exponents 0.49 and 0.51",
        Studied("vit_isoflop:glyphs", judge_isoflop, 150),
    ),
)
