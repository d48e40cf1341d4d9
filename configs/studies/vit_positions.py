"""Position embeddings of a ViT: none, in one or two dimensions, relative (2010.11929, table 8).

python study.py --study=configs/studies/vit_positions.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/vit_positions.py --launch=slurm   B/16 on ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

POSITIONS = ("none", "learned", "learned_2d", "relative", "sinusoid_1d", "sinusoid_2d")
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Position embeddings",
        "2010.11929, table 8",
        "Does a ViT need the positions of its patches, and in how many dimensions?",
    )
    study.reported = (
        "B/16, JFT, ImageNet 5-shot linear: no positions 0.614, one dimension 0.642, two dimensions 0.640, relative "
        "0.640 (added once, before the encoder)."
    )
    config, changes = base.sized(
        size,
        tiny=("configs/vit_digits.py", "steps=400", "evaluation.every_steps=0", "optim.warmup_steps=40"),
        real=("configs/vit_imagenet21k.py:B/16", "epochs=7.0", *base.IMAGENET_FEWSHOT),
    )
    study.runs = tuple(
        base.run(config, f"model.positions={positions}", *changes, positions=positions) for positions in POSITIONS
    )
    study.figures = (base.figure("comparison", variant="positions", metric=base.metric(size)),)
    return study
