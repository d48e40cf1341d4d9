"""Class token or mean of the tokens, at several learning rates (2010.11929, figure 9).

python study.py --study=configs/studies/vit_head.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/vit_head.py --launch=slurm   B/16 on ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Class token and mean of tokens",
        "2010.11929, figure 9",
        "Is a class token better than the mean of all tokens, if each has its own learning rate?",
    )
    study.reported = (
        "Both are equally good, but need different learning rates: the paper's first mean of tokens was badly tuned."
    )
    config, changes = base.sized(
        size,
        tiny=("configs/vit_digits.py", "steps=400", "evaluation.every_steps=0", "optim.warmup_steps=40"),
        real=("configs/vit_imagenet21k.py:B/16", "epochs=7.0", *base.IMAGENET_FEWSHOT),
    )
    rates = (1e-3, 3e-3, 1e-2) if size else (3e-4, 8e-4, 3e-3)
    study.runs = tuple(
        base.run(config, f"model.head={head}", f"optim.learning_rate={rate}", *changes, head=head, learning_rate=rate)
        for rate in rates
        for head in ("token", "gap")
    )
    study.figures = (base.figure("comparison", variant="learning_rate", series="head", metric=base.metric(size)),)
    return study
