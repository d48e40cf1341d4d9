"""Depth, width, MLP and patch size of a ViT, scaled one at a time and all together (2010.11929, figure 8).

python study.py --study=configs/studies/vit_shape.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/vit_shape.py --launch=slurm   ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

TINY = {
    "base": (dict(),),
    "depth": (dict(depth=1), dict(depth=4)),
    "width": (dict(width=16), dict(width=64)),
    "MLP": (dict(mlp_dim=32), dict(mlp_dim=256)),
    "patch": (dict(patch=4), dict(patch=1)),
    "all": (dict(depth=1, width=16, mlp_dim=32), dict(depth=4, width=64, mlp_dim=256)),
}
# Around 8 layers of width 1024, MLPs of 2048 and patches of 32, as in the paper.
REAL = {
    "base": (dict(),),
    "depth": (dict(depth=4), dict(depth=16), dict(depth=32), dict(depth=64)),
    "width": (dict(width=512), dict(width=2048), dict(width=4096)),
    "MLP": (dict(mlp_dim=1024), dict(mlp_dim=4096), dict(mlp_dim=8192)),
    "patch": (dict(patch=56), dict(patch=16), dict(patch=14)),
    "all": (dict(depth=4, width=512, mlp_dim=1024), dict(depth=16, width=2048, mlp_dim=4096)),
}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Shape of a ViT",
        "2010.11929, figure 8",
        "Which dimension of a ViT is worth its compute when it is made larger?",
    )
    study.reported = (
        "Depth helps most, up to 64 layers, though less beyond 16; width helps least; smaller patches help without "
        "more parameters; scaling all dimensions in proportion is robust."
    )
    config, changes = base.sized(
        size,
        tiny=(
            *("configs/vit_digits.py", "model.width=32", "model.depth=2", "model.mlp_dim=64"),
            *("steps=400", "evaluation.every_steps=0", "optim.warmup_steps=40"),
        ),
        real=(
            *("configs/vit_imagenet21k.py:L/32", "model.depth=8", "model.mlp_dim=2048", "epochs=7.0"),
            *base.IMAGENET_FEWSHOT,
        ),
    )
    study.runs = tuple(
        base.run(
            config,
            *changes,
            *(f"model.{key}={value}" for key, value in shape.items()),
            scaled=scaled,
            to=", ".join(f"{key} {value}" for key, value in shape.items()) or "as it is",
        )
        for scaled, shapes in (TINY if size else REAL).items()
        for shape in shapes
    )
    study.figures = (base.figure("shape", series="scaled", base="base", metric=base.metric(size)),)
    return study
