"""Claims of 2010.11929 that can be measured here."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from analysis import fits
from analysis.studies import isoflop, scaling
from lookup import Value
from models import resnet, sizes, vit
from results import recorded, transfer
from results.rows import (
    Claim,
    Computed,
    Found,
    Mean,
    Numbers,
    Recorded,
    Rows,
    Studied,
    Verdict,
    above,
    alike,
    difference,
    least,
    verdict,
)
from training import flops

PAPER = "2010.11929"
Means = dict[Value, Mean]  # by the value of a label, or by those of several
MILLIONS = {"B/16": 86, "L/16": 307, "H/14": 632}  # table 1
# Table 6: exaFLOPs of pre-training on JFT's 303 million images, and its epochs.
EXAFLOPS = {
    "B/32": (55, 7),
    "B/16": (224, 7),
    "L/32": (196, 7),
    "L/16": (783, 7),
    "H/14": (4262, 14),
    "R50x1": (50, 7),
    "R50x2": (199, 7),
    "R101x1": (96, 7),
    "R152x1": (141, 7),
    "R152x2": (563, 7),
    "R200x3": (3306, 14),
    "R50+B/32": (106, 7),
    "R50+B/16": (274, 7),
    "R50+L/32": (246, 7),
    "R50+L/16": (859, 7),
}
IMAGES = 303e6
CLASSES = 18_291  # of JFT
ALIKE = 2.0  # points
GROWTH = 0.3  # of exponents
NONE: Mean = (0.0, 0.0)
WIDE = "not told apart, but the intervals do not exclude {}"


def _model(variant: str, classes: int) -> vit.Model | resnet.Model:
    if variant in sizes.RESNET_VARIANTS:
        return resnet.Model(classes, variant)
    return vit.Model(classes, variant, scan=True)


def _cost(variant: str, size: int = 224, classes: int = 1000) -> tuple[int, int]:
    """Parameters, and FLOPs of one image."""
    model = _model(variant, classes)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    variables = {"params": variables["params"]}
    count = flops.forward(lambda v, x: model.apply(v, x, train=False), variables, image)
    return sum(x.size for x in jax.tree.leaves(variables)), count


def parameters() -> Numbers:
    """Of the sizes of table 1, with 1,000 classes."""
    return {variant: _cost(variant)[0] for variant in MILLIONS}


def judge_parameters(found: Numbers) -> Found:
    """Within 1.5 % of the table."""
    off = [abs(found[name] / 1e6 / stated - 1) for name, stated in MILLIONS.items()]
    counts = ", ".join(f"{name} {found[name]:,}" for name in MILLIONS)
    return Found(f"{counts} with 1,000 classes; at most {100 * max(off):.1f} % apart", verdict(max(off) < 0.015))


def compute() -> Numbers:
    """FLOPs of a forward pass, by model."""
    return {variant: _cost(variant, classes=CLASSES)[1] for variant in EXAFLOPS}


def judge_compute(found: Numbers) -> Found:
    """Three forward passes an image, over all images and epochs."""
    ratios = {name: 3 * found[name] * IMAGES * epochs / 1e18 / stated for name, (stated, epochs) in EXAFLOPS.items()}
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    return Found(
        f"three times the forward pass, 303 million images: {ratios[low]:.2f} ({low}) to {ratios[high]:.2f} ({high}) "
        f"of the paper's figure, {len(ratios)} models",
        verdict(all(abs(ratio - 1) < 0.1 for ratio in ratios.values()), ratios[low] > 0.5 and ratios[high] < 2),
    )


def patches() -> Numbers:
    """FLOPs of one image, by patch and by size of the image."""
    found = {f"B/{patch}": _cost(f"B/{patch}")[1] for patch in (32, 16, 8)}
    return found | {"B/16 at 384": _cost("B/16", 384)[1]}


def judge_patches(found: Numbers) -> Found:
    """Half the patch, four times the tokens, more than four times the arithmetic."""
    halves = [found["B/16"] / found["B/32"], found["B/8"] / found["B/16"]]
    larger = found["B/16 at 384"] / found["B/16"]
    return Found(
        f"B/32 to B/16: {halves[0]:.2f} times the FLOPs; B/16 to B/8: {halves[1]:.2f}; B/16 at 384 instead of 224 "
        f"pixels: {larger:.2f} (tokens: 4, 4 and 2.9 times)",
        verdict(halves[0] > 3.8 and halves[1] > halves[0] and larger > 2.9),
    )


def _accuracy(rows: Rows, *labels: str) -> Means:
    """The mean test accuracy and half its interval, in percent, by labels."""
    return {key: (100 * mean, 100 * half) for key, (mean, half) in recorded.mean_by(rows, *labels).items()}


def _gaps(rows: Rows, data: str, first: str, second: str) -> tuple[list[Mean], fits.Line, str]:
    """Points by which one model is above another, by images; the line of all pairs of runs over log images; and both in
    words."""
    by_size = _accuracy(rows, "model", "images")
    images = sorted({row["images"] for row in rows})
    gaps = [difference(by_size[first, n], by_size[second, n]) for n in images]
    accuracy = {(row["model"], row["images"], row["seed"]): 100 * row["test/accuracy"] for row in rows}
    pairs = {(n, s): a - accuracy[second, n, s] for (model, n, s), a in accuracy.items() if model == first}
    line = fits.line(np.log10([n for n, _ in pairs]), np.array([*pairs.values()]))
    assert line
    return (
        gaps,
        line,
        f"{data}, {images[0]:,.0f} to {images[-1]:,.0f} images, {first} minus {second}: {_points(gaps[0])} to "
        f"{_points(gaps[-1])} points, {line.slope:+.1f} ± {line.error:.1f} a tenfold of data, {_seeds(rows)} seeds, "
        f"one recipe for all; {'; '.join(_size(rows, name) for name in (first, second))}",
    )


def _crossing(rows: Rows, first: str, second: str) -> str:
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


def _points(gap: Mean) -> str:
    return f"{gap[0]:+.1f} ± {gap[1]:.1f}"


def _seeds(rows: Rows) -> int:
    return len({row["seed"] for row in rows})


def _size(rows: Rows, model: str) -> str:
    row = next(row for row in rows if row["model"] == model)
    return f"{model} {row['parameters'] / 1e3:.0f}k parameters, {row['flops_per_example'] / 1e6:.1f} MFLOP an image"


def judge_more_data(rows: Rows, data: str = "Fashion-MNIST", folder: str = "vit_data_scaling") -> Found:
    """The gap between ViT and ResNet closes with data, and turns."""
    gaps, line, words = _gaps(rows, data, "ViT", "BiT ResNet")
    closes = line.slope > line.error
    return Found(
        f"{words}; {_crossing(rows, 'ViT', 'BiT ResNet')}",
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


def judge_transfer(found: Numbers) -> Found:
    """Fine-tuned above from scratch, for every seed, of both families."""
    families = ("ViT", "BiT ResNet")
    every = all(
        tuned > scratch
        for name in families
        for tuned, scratch in zip(found[name]["fine-tuned"], found[name]["from scratch"], strict=True)
    )
    shown = "; ".join(
        f"{name} {100 * found[name]['mean fine-tuned']:.1f} % fine-tuned, "
        f"{100 * found[name]['mean from scratch']:.1f} % from scratch"
        for name in families
    )
    return Found(
        f"Fashion-MNIST, five classes after the other five, 1,000 images, 100 steps, 3 seeds: {shown}", verdict(every)
    )


def judge_more_pretraining(found: Numbers) -> Found:
    """Fine-tuned after the whole pre-training above after a quarter of it, of both families, by runs paired by seed."""
    gaps = {
        name: fits.interval(100 * np.subtract(found[name]["fine-tuned"], found[name][transfer.AFTER_LESS]))
        for name in transfer.CONFIGS
    }
    return Found(
        f"Fashion-MNIST, five classes after the other five, 1,000 images, {transfer.PRETRAINED} instead of "
        f"{transfer.LESS} steps of pre-training, {transfer.SEEDS} seeds: "
        + ", ".join(f"{name} {_points(gap)} points" for name, gap in gaps.items()),
        least(*(above(gap, NONE) for gap in gaps.values())),
    )


def judge_self_supervision(found: Numbers) -> Found:
    """Mean colours of hidden patches, between a random network and the supervised one."""
    accuracy = found["accuracy"]["fine-tuned"]
    own, scratch = np.mean(accuracy["mean_color"]), np.mean(accuracy["random"])
    return Found(
        f"Fashion-MNIST, fine-tuned on 1,000 images, 3 seeds: after mean colours {100 * own:.1f} %, from scratch "
        f"{100 * scratch:.1f} %, after MAE {100 * np.mean(accuracy['mae']):.1f} %",
        verdict(bool(min(accuracy["mean_color"]) > max(accuracy["random"])), bool(own > scratch)),
        "not compared with supervised pre-training, which the paper finds 4 points above",
    )


def _best(label: str, other: str) -> Callable[[Rows], dict[object, tuple[float, float]]]:
    """By a label, the best mean over the values of another."""

    def of(rows: Rows) -> dict[object, tuple[float, float]]:
        found: dict[object, tuple[float, float]] = {}
        for (value, _), score in _accuracy(rows, label, other).items():
            if value not in found or score[0] > found[value][0]:
                found[value] = score
        return found

    return of


def _listed(scores: dict[object, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {mean:.1f} ± {half:.1f} %" for name, (mean, half) in scores.items())


def judge_head(rows: Rows) -> Found:
    """Equal, each at its best rate."""
    best = _best("head", "learning_rate")(rows)
    equal = alike([best["token"], best["gap"]], ALIKE)
    return Found(
        f"digits, best of three rates, {_seeds(rows)} seeds: {_listed(best)}",
        equal,
        WIDE.format(f"{ALIKE:g} points") if equal is Verdict.DIRECTION else "",
    )


def judge_positions(rows: Rows) -> Found:
    """None are worse than all of table 8's others, which are alike: apart by less than a quarter of what none cost."""
    found = _accuracy(rows, "positions")
    coded = [found[name] for name in ("learned", "learned_2d", "relative")]
    margin = (float(np.mean([mean for mean, _ in coded])) - found["none"][0]) / 4
    equal = alike(coded, margin)
    return Found(
        f"digits, {rows[0]['steps']:,.0f} steps, {_seeds(rows)} seeds: {_listed(found)}",
        least(equal, *(above(each, found["none"]) for each in coded)),
        WIDE.format(f"{margin:.1f} points, a quarter of what none cost") if equal is Verdict.DIRECTION else "",
    )


def judge_shape(rows: Rows) -> Found:
    """Depth and smaller patches help more than width."""
    found = _accuracy(rows, "scaled", "to")
    base = found["base", "as it is"]
    best = {
        name: max(mean for (scaled, _), mean in found.items() if scaled == name)
        for name in ("depth", "width", "MLP", "patch", "all")
    }
    return Found(
        f"digits, {rows[0]['steps']:,.0f} steps, {_seeds(rows)} seeds, base {base[0]:.1f} ± {base[1]:.1f} %; best "
        "change of "
        + ", ".join(f"{name} {_points(difference(mean, base))}" for name, mean in best.items())
        + " points",
        least(above(best["depth"], best["width"]), above(best["patch"], best["width"])),
    )


def judge_optimiser(rows: Rows) -> Found:
    """Adam not below SGD for ResNets."""
    found: dict[object, tuple[float, float]] = {}
    for (model, optimiser), score in _accuracy(rows, "model", "optimiser").items():
        if model == "BiT ResNet":
            name = str(optimiser).partition(",")[0]
            if name not in found or score[0] > found[name][0]:
                found[name] = score
    return Found(
        f"BiT ResNet, digits, best of two rates, {_seeds(rows)} seeds: {_listed(found)}",
        above(found["Adam"], found["SGD"]),
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
    best = {name: 100 * max(a for (own, _), points in families.items() if own == name for _, a in points)
            for name in dict.fromkeys(row["family"] for row in rows)}  # fmt: skip
    return Found(
        f"digits, two sizes and two lengths each, {_seeds(rows)} seeds: for the best accuracy that both reach a ResNet "
        f"needs {middle:.2f} times a ViT's compute (95 %: {low:.2f} to {high:.2f}); best run: "
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
        f"{_points(small)} points at {ends[0]:.1e} FLOP, {_points(large)} at {ends[1]:.1e}",
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
        "vit_parameters",
        "Base, Large and Huge have 86, 307 and 632 million parameters.",
        f"{PAPER}, table 1",
        "86M; 307M; 632M",
        Computed(parameters, judge_parameters),
    ),
    Claim(
        "vit_compute_table",
        "Pre-training compute of 15 ViTs, ResNets and hybrids.",
        f"{PAPER}, table 6",
        "50 to 4,262 exaFLOPs",
        Computed(compute, judge_compute),
    ),
    Claim(
        "patch_cost",
        "The number of patches is HW/P²: smaller patches and larger images cost more than in proportion.",
        f"{PAPER}, sections 3.1 and 4.1",
        "",
        Computed(patches, judge_patches),
    ),
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
            240,
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
        "pretraining",
        "A pre-trained model, fine-tuned, beats the same from scratch.",
        f"{PAPER}, section 4.2",
        "",
        Recorded(
            "transfer.json",
            "python results/transfer.py --data_dir=DIR",
            judge_transfer,
            ("results/transfer.py",),
            data="fashion_mnist",
        ),
    ),
    Claim(
        "more_pretraining",
        "The more is learned before, the better a model is after fine-tuning.",
        f"{PAPER}, section 4.2",
        "ImageNet 77.91, 83.97, 84.15 % (B/16 on ImageNet, ImageNet-21k, JFT)",
        Recorded(
            "transfer.json",
            "python results/transfer.py --data_dir=DIR",
            judge_more_pretraining,
            ("results/transfer.py",),
            data="fashion_mnist",
            minutes=25,
        ),
    ),
    Claim(
        "self_supervision",
        "Predicting the mean colour of hidden patches is better than no pre-training.",
        f"{PAPER}, section 4.6",
        "79.9 %: 2 points above from scratch, 4 below supervised",
        Recorded(
            "self_supervision.json",
            "python results/self_supervision.py --data_dir=DIR",
            judge_self_supervision,
            ("results/self_supervision.py",),
            data="fashion_mnist",
        ),
    ),
    Claim(
        "class_token",
        "A class token and the mean of tokens are equally good, each at its own rate.",
        f"{PAPER}, figure 9",
        "",
        Studied("vit_head:tiny", judge_head, 12),
    ),
    Claim(
        "vit_positions",
        "Without positions a ViT is worse; how they are coded hardly matters.",
        f"{PAPER}, table 8",
        "61.4 %; 64.2, 64.0, 64.0 %",
        Studied("vit_positions:tiny", judge_positions, 13),
    ),
    Claim(
        "vit_shape",
        "Depth and smaller patches help most, width least.",
        f"{PAPER}, figure 8",
        "",
        Studied("vit_shape:tiny", judge_shape, 15),
    ),
    Claim(
        "adam_for_resnets",
        "Adam is a better optimiser for pre-training ResNets than SGD.",
        f"{PAPER}, table 7",
        "77.54 and 78.24 %; 84.97 and 84.37 %",
        Studied("optimizer:tiny", judge_optimiser, 12),
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
