"""Claims beyond the two papers: one architecture for other modalities, and learning without labels."""

import numpy as np

from results.rows import Claim, Found, Numbers, Recorded, verdict

ENOUGH = 0.95  # accuracy with both modalities
MARGIN = 0.2  # by which it is above each alone


def seeds(number: int) -> str:
    """How many there are."""
    return f"{number} seeds" if number > 1 else "one seed"


def judge_modalities(found: Numbers) -> Found:
    """Both modalities answer; none of them does alone."""
    parts, holds, direction = [], True, True
    for question, words in (
        ("which", "which digit is at a place"),
        ("fits", "whether a sentence fits, starting from those weights"),
    ):
        accuracy = {reads: found[question][reads]["test/accuracy"] for reads in ("both", "image", "text")}
        means = {reads: float(np.mean(values)) for reads, values in accuracy.items()}
        alone = max(max(accuracy["image"]), max(accuracy["text"]))
        holds &= min(accuracy["both"]) >= max(ENOUGH, alone + MARGIN)
        direction &= means["both"] > max(means["image"], means["text"])
        figures = ", ".join(f"{reads} {100 * mean:.1f} %" for reads, mean in means.items())
        parts.append(f"{words}: {figures}")
    runs = len(found["which"]["both"]["test/accuracy"])
    return Found(f"test accuracy, {'; '.join(parts)}; {seeds(runs)}", verdict(holds, direction))


def judge_dino(found: Numbers) -> Found:
    """k-NN above a random network's, and no sign of a collapse in the whole run."""
    runs = found["runs"]
    name = next(name for name in runs[0]["trained"] if name.endswith("20_nn"))
    before, after = ([100 * run[part][name] for run in runs] for part in ("random network", "trained"))
    signs = [sign for run in runs for sign in run["signs of collapse"]]
    measured = (
        f"Fashion-MNIST, 64 images a batch: 20-NN {np.mean(after):.1f} %, a random network {np.mean(before):.1f} %; "
        f"{signs[0] if signs else 'no sign of a collapse in the whole run'}; {seeds(len(runs))}"
    )
    gains = np.subtract(after, before)
    return Found(measured, verdict(bool((gains >= 15).all()) and not signs, bool((gains > 0).all())))


CLAIMS = (
    Claim(
        "two_modalities",
        "One encoder over patches and words answers what needs both; neither answers it alone.",
        "usual explanation",
        "",
        Recorded(
            "image_text.json",
            "python results/image_text.py",
            judge_modalities,
            ("models/multimodal.py",),
            minutes=140,
        ),
    ),
    Claim(
        "dino",
        "A ViT learns classes without labels, with a teacher that is its own average, and does not collapse.",
        "2104.14294, sections 3 and 5",
        "ImageNet, 20-NN 74.5 % (S/16)",
        Recorded(
            "dino.json",
            "python results/dino.py --data_dir=DIR",
            judge_dino,
            ("models/dino.py", "tasks/dino.py"),
            data="fashion_mnist",
            minutes=60,
        ),
    ),
)
