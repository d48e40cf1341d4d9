"""Accuracy by training compute: ViT, ResNet and hybrid of several sizes and lengths (2010.11929, figure 5 and table 6).

python study.py --study=configs/studies/vit_compute.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/vit_compute.py --launch=slurm   ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

REPORTED = """\
JFT-300M, 7 epochs (14 if marked), exaFLOPs and ImageNet accuracy: B/32 55, 80.73; B/16 224, 84.15; L/32 196, 84.37;
L/16 783, 86.30; H/14 (14) 4262, 88.08; R50x1 50, 77.54; R50x2 199, 82.12; R101x1 96, 80.67; R152x1 141, 81.88;
R152x2 563, 84.97; R200x3 (14) 3306, 87.22; R50+B/32 106, 84.90; R50+B/16 274, 85.58; R50+L/32 246, 85.68;
R50+L/16 859, 86.60. A ViT needs two to four times less compute than a ResNet for the same accuracy. Hybrids are better
than ViTs only with little compute."""

STEM = ("model.stem=cifar", "model.stem_depths=(1, 1)", "model.stem_width=8", "model.patch=1")
TINY: dict[str, dict[str, tuple[str, ...]]] = {
    "ViT": {
        "2 x 24": ("configs/vit_digits.py", "model.depth=2", "model.width=24", "model.mlp_dim=96"),
        "4 x 48": ("configs/vit_digits.py",),
    },
    "BiT ResNet": {
        "8 wide": ("configs/resnet_digits.py", "model.width=8"),
        "16 wide": ("configs/resnet_digits.py",),
    },
    "hybrid": {
        "2 x 24": ("configs/vit_digits.py", *STEM, "model.depth=2", "model.width=24", "model.mlp_dim=96"),
        "4 x 48": ("configs/vit_digits.py", *STEM),
    },
}
REAL: dict[str, dict[str, tuple[str, ...]]] = {
    "ViT": {size: (f"configs/vit_imagenet21k.py:{size}",) for size in ("B/32", "B/16", "L/32", "L/16", "H/14")},
    "BiT ResNet": {
        size: ("configs/resnet_imagenet.py:" + size, *base.BIT, f"optim.learning_rate={rate}")
        for size, rate in (("R50x1", 1e-3), ("R50x2", 1e-3), ("R101x1", 8e-4), ("R152x1", 6e-4), ("R152x2", 6e-4))
    },
    "hybrid": {
        size: (f"configs/vit_imagenet21k.py:{size}",) for size in ("R50+B/32", "R50+B/16", "R50+L/32", "R50+L/16")
    },
}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Accuracy by training compute",
        "2010.11929, figure 5 and table 6",
        "Which family reaches an accuracy with the least compute?",
    )
    study.reported = REPORTED
    lengths = (100, 400) if size else (7, 14)
    models = TINY if size else REAL
    study.runs = tuple(
        base.run(
            *variant,
            *((f"steps={length}", f"optim.warmup_steps={length // 10}", "evaluation.every_steps=0") if size else ()),
            *(() if size else (f"epochs={float(length)}", *base.IMAGENET_FEWSHOT)),
            *base.ONE_CHECKPOINT,
            family=family,
            model=name,
            length=length,
        )
        for length in lengths
        for family, variants in models.items()
        for name, variant in variants.items()
    )
    study.figures = (
        base.figure(
            "pareto",
            series="family",
            points=("model", "length"),
            metric=base.metric(size),
            loss="test/nll" if size else "",
        ),
    )
    return study
