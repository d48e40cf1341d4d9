"""Claims of 2010.11929 that can be measured here."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from analysis import fits
from models import resnet, sizes, vit
from results import transfer
from results.rows import Claim, Computed, Found, Numbers, Recorded, Rows, Studied, Verdict, verdict
from results.rows.judging import NONE, Mean, above, accuracies, alike, difference, in_points, least, seeds_of, stated
from training import flops

PAPER = "2010.11929"
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


def judge_transfer(found: Numbers) -> Found:
    """Fine-tuned above from scratch, of both families, by runs paired by seed."""
    gaps = {name: _paired(found, "fine-tuned", "from scratch", name) for name in transfer.CONFIGS}
    shown = "; ".join(
        f"{name} {100 * found[name]['mean fine-tuned']:.1f} % fine-tuned, "
        f"{100 * found[name]['mean from scratch']:.1f} % from scratch ({in_points(gap)} points)"
        for name, gap in gaps.items()
    )
    return Found(
        f"Fashion-MNIST, five classes after the other five, 1,000 images, 100 steps, 3 seeds: {shown}",
        least(*(above(gap, NONE) for gap in gaps.values())),
    )


def judge_more_pretraining(found: Numbers) -> Found:
    """Fine-tuned after the whole pre-training above after a quarter of it, of both families, by runs paired by seed."""
    gaps = {name: _paired(found, "fine-tuned", transfer.AFTER_LESS, name) for name in transfer.CONFIGS}
    return Found(
        f"Fashion-MNIST, five classes after the other five, 1,000 images, {transfer.PRETRAINED} instead of "
        f"{transfer.LESS} steps of pre-training, {transfer.SEEDS} seeds: "
        + ", ".join(f"{name} {in_points(gap)} points" for name, gap in gaps.items()),
        least(*(above(gap, NONE) for gap in gaps.values())),
    )


def judge_self_supervision(found: Numbers) -> Found:
    """Mean colours of hidden patches above a random network, by runs paired by seed."""
    accuracy = found["accuracy"]["fine-tuned"]
    own, scratch, masked = (100 * np.mean(accuracy[name]) for name in ("mean_color", "random", "mae"))
    gain = fits.interval(100 * np.subtract(accuracy["mean_color"], accuracy["random"]))
    return Found(
        f"Fashion-MNIST, fine-tuned on 1,000 images, 3 seeds: after mean colours {own:.1f} % ({in_points(gain)} "
        f"points), from scratch {scratch:.1f} %, after MAE {masked:.1f} %",
        above(gain, NONE),
        "with supervised pre-training it is compared in the row supervised_above",
    )


def _paired(found: Numbers, better: str, worse: str, model: str = "ViT") -> Mean:
    """By how many points a model is better after one stage of results/transfer.py than after another, by runs paired by
    seed."""
    return fits.interval(100 * np.subtract(found[model][better], found[model][worse]))


def judge_supervised(found: Numbers) -> Found:
    """After mean colours above from scratch, and below supervised pre-training."""
    stages = ("from scratch", transfer.AFTER_NO_LABELS, "fine-tuned")
    scratch, own, supervised = (100 * np.mean(found["ViT"][stage]) for stage in stages)
    gains = [_paired(found, transfer.AFTER_NO_LABELS, "from scratch"), _paired(found, *stages[:0:-1])]
    return Found(
        f"Fashion-MNIST, five classes after the other five, {transfer.PRETRAINED} steps of pre-training, 1,000 images, "
        f"{transfer.STEPS} steps, {transfer.SEEDS} seeds: from scratch {scratch:.1f} %, after mean colours {own:.1f} % "
        f"({in_points(gains[0])} points), after labels {supervised:.1f} % ({in_points(gains[1])} points more)",
        least(*(above(gain, NONE) for gain in gains)),
    )


def judge_resolution(found: Numbers) -> Found:
    """Fine-tuned on larger images than it was pre-trained on, above on the same."""
    gain = _paired(found, transfer.AT_HIGH, transfer.AT_LOW)
    low, high = (100 * np.mean(found["ViT"][stage]) for stage in (transfer.AT_LOW, transfer.AT_HIGH))
    return Found(
        f"Fashion-MNIST, five classes after the other five, pre-trained at {transfer.LOW} pixels, 1,000 images, "
        f"{transfer.STEPS} steps, {transfer.SEEDS} seeds: fine-tuned at {transfer.LOW} pixels {low:.1f} %, at "
        f"{transfer.HIGH} pixels {high:.1f} % ({in_points(gain)} points)",
        above(gain, NONE),
        "patches of 4 pixels, 16 and 49 of them; learned positions are interpolated; equal steps, not equal compute",
    )


def _best(label: str, other: str) -> Callable[[Rows], dict[object, tuple[float, float]]]:
    """By a label, the best mean over the values of another."""

    def of(rows: Rows) -> dict[object, tuple[float, float]]:
        found: dict[object, tuple[float, float]] = {}
        for (value, _), score in accuracies(rows, label, other).items():
            if value not in found or score[0] > found[value][0]:
                found[value] = score
        return found

    return of


def _listed(scores: dict[object, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {stated(mean, unit=' %')}" for name, mean in scores.items())


def judge_head(rows: Rows) -> Found:
    """Equal, each at its best rate."""
    best = _best("head", "learning_rate")(rows)
    equal = alike([best["token"], best["gap"]], ALIKE)
    return Found(
        f"digits, best of three rates by the same test split, {seeds_of(rows)} seeds: {_listed(best)}",
        equal,
        WIDE.format(f"{ALIKE:g} points") if equal is Verdict.DIRECTION else "",
    )


def judge_positions(rows: Rows) -> Found:
    """None are worse than all of table 8's others, which are alike: apart by less than a quarter of what none cost."""
    found = accuracies(rows, "positions")
    coded = [found[name] for name in ("learned", "learned_2d", "relative")]
    margin = (float(np.mean([mean for mean, _ in coded])) - found["none"][0]) / 4
    equal = alike(coded, margin)
    return Found(
        f"digits, {rows[0]['steps']:,.0f} steps, {seeds_of(rows)} seeds: {_listed(found)}",
        least(equal, *(above(each, found["none"]) for each in coded)),
        WIDE.format(f"{margin:.1f} points, a quarter of what none cost") if equal is Verdict.DIRECTION else "",
    )


def judge_shape(rows: Rows) -> Found:
    """Depth and smaller patches help more than width. Of each, the changes count that take more compute."""
    (usual,) = {row["flops_per_example"] for row in rows if row["scaled"] == "base"}
    found = accuracies([row for row in rows if row["flops_per_example"] >= usual], "scaled", "to")
    base = found["base", "as it is"]
    best = {
        name: max(mean for (scaled, _), mean in found.items() if scaled == name)
        for name in ("depth", "width", "MLP", "patch", "all")
    }
    return Found(
        f"digits, {rows[0]['steps']:,.0f} steps, {seeds_of(rows)} seeds, base {stated(base, unit=' %')}; with "
        "more "
        + ", ".join(f"{name} {in_points(difference(mean, base))}" for name, mean in best.items())
        + " points (of patch: smaller)",
        least(above(best["depth"], best["width"]), above(best["patch"], best["width"])),
    )


def judge_optimiser(rows: Rows) -> Found:
    """Adam not below SGD for ResNets."""
    found: dict[object, tuple[float, float]] = {}
    for (model, optimiser), score in accuracies(rows, "model", "optimiser").items():
        if model == "BiT ResNet":
            name = str(optimiser).partition(",")[0]
            if name not in found or score[0] > found[name][0]:
                found[name] = score
    gap, half = difference(found["Adam"], found["SGD"])
    return Found(
        f"BiT ResNet, digits, best of two rates by the same test split, {seeds_of(rows)} seeds: {_listed(found)}",
        above(found["Adam"], found["SGD"]),
        f"the two are not told apart ({in_points((gap, half))} points)" if abs(gap) <= half else "",
    )


def _of_transfer(judge: Callable[[Numbers], Found]) -> Recorded:
    return Recorded(
        "transfer.json",
        "python results/transfer.py --data_dir=DIR",
        judge,
        ("results/transfer.py",),
        data="fashion_mnist",
        minutes=40,
    )


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
        "Pre-training takes 50 (R50x1) to 4,262 exaFLOPs (H/14): 15 ViTs, ResNets and hybrids.",
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
        "pretraining",
        "A pre-trained model, fine-tuned, beats the same from scratch.",
        f"{PAPER}, section 4.2",
        "",
        _of_transfer(judge_transfer),
    ),
    Claim(
        "more_pretraining",
        "The more is learned before, the better a model is after fine-tuning.",
        f"{PAPER}, section 4.2",
        "ImageNet 77.91, 83.97, 84.15 % (B/16 on ImageNet, ImageNet-21k, JFT)",
        _of_transfer(judge_more_pretraining),
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
            minutes=75,
        ),
    ),
    Claim(
        "supervised_above",
        "Self-supervision lies between no pre-training and supervised pre-training.",
        f"{PAPER}, section 4.6",
        "79.9 %: 2 points above from scratch, 4 below supervised",
        _of_transfer(judge_supervised),
    ),
    Claim(
        "resolution",
        "Fine-tuning at a higher resolution than that of pre-training is better.",
        f"{PAPER}, section 3.2",
        "",
        _of_transfer(judge_resolution),
    ),
    Claim(
        "class_token",
        "A class token and the mean of tokens are equally good, each at its own rate.",
        f"{PAPER}, figure 9",
        "",
        Studied("vit_head:tiny", judge_head, 7),
    ),
    Claim(
        "vit_positions",
        "Without positions a ViT is worse; how they are coded hardly matters.",
        f"{PAPER}, table 8",
        "61.4 %; 64.2, 64.0, 64.0 %",
        Studied("vit_positions:tiny", judge_positions, 7),
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
        Studied("optimizer:tiny", judge_optimiser, 7),
    ),
)
