"""Claims on what came of ViT: Swin, and DETR that learns from little."""

from results import recorded
from results.rows import Claim, Found, Rows, Studied, verdict
from results.rows.judging import above, least, percent, stated

NOTHING, SOMETHING = 0.05, 0.5  # AP


def judge_swin(rows: Rows) -> Found:
    """Swin above both others."""
    found = recorded.mean_by(rows, "model")
    sizes = {row["model"]: (float(row["parameters"]), float(row["flops_per_example"])) for row in rows}
    listed = ", ".join(
        f"{name} {percent(mean, '.2f')} ({sizes[name][0] / 1e3:.0f}k parameters, {sizes[name][1] / 1e6:.0f} MFLOP)"
        for name, mean in found.items()
    )
    swin = found.pop("Swin")
    steps = float(rows[0]["steps"])
    return Found(
        f"Fashion-MNIST, test accuracy after {steps:,.0f} steps of 64, {len(rows) // 3} seeds: {listed}",
        least(*(above(swin, other) for other in found.values())),
    )


def judge_detr(rows: Rows) -> Found:
    """As published next to nothing is found, with the remedies most."""
    found = recorded.mean_by(rows, "part", metric="validation[:200]/AP")
    listed = ", ".join(f"{name} {stated(mean, '.3f')}" for name, mean in found.items())
    published, remedied = found["as published"][0], found["all"][0]
    epochs = float(rows[0]["examples_seen"]) / 2000
    return Found(
        f"2,000 canvases of digits, {epochs:.0f} epochs, COCO's AP, {len(rows) // len(found)} seeds: {listed}",
        verdict(published < NOTHING and remedied > SOMETHING, remedied > published + NOTHING),
        "" if published < NOTHING else "as published it learns as well",
    )


CLAIMS = (
    Claim(
        "swin",
        "Of equal size and arithmetic, a Swin is better than a ViT and a ResNet.",
        "2103.14030, table 1",
        "81.3 (Swin-T), 79.8 (DeiT-S), 80.0 % (RegNetY-4G)",
        Studied("swin:tiny", judge_swin, 35, data="fashion_mnist"),
    ),
    Claim(
        "detr_little_data",
        "From nothing a DETR as published does not learn from 2,000 images; with what was found later it does.",
        "facebookresearch/detr, issue 125; 2010.04159; 2203.01305",
        "AP 0 after 300 epochs",
        Studied("detr_parts:images_2000", judge_detr, 60, kept="detr_2000_images"),
    ),
)
