"""Swin against ViT and ResNet, of about the same size and arithmetic (2103.14030, table 1).

python study.py --study=configs/studies/swin.py:tiny             Fashion-MNIST, 9 runs, 35 minutes on two CPU cores
python study.py --study=configs/studies/swin.py --launch=slurm   ImageNet-1k, 300 epochs, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

VARIANTS = {"size": ("tiny",)}
# 195,000 to 209,000 parameters and 23 to 27 MFLOP an image. Windows of 7x7 patches, of maps of 14x14 and 7x7.
SMALL = {
    "Swin": ("configs/swin_fashion_mnist.py", "model.depths=(2, 6)", "model.width=24", "model.head_dim=12"),
    "ViT": ("configs/vit_fashion_mnist.py",),
    "BiT ResNet": ("configs/resnet_fashion_mnist.py", "model.depths=(2, 2, 1, 1)", "model.width=10"),
}
IMAGENET = {
    "Swin": ("configs/swin_imagenet.py:T",),
    "ViT": ("configs/vit_deit_imagenet.py:S/16",),
    "BiT ResNet": ("configs/resnet_imagenet.py:R50x1",),
}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Swin, ViT and ResNet of equal size and arithmetic",
        "2103.14030, table 1",
        "Is a Transformer of windows and stages better than a plain one and than a ResNet?",
    )
    study.reported = (
        "ImageNet at 224 pixels: Swin-T (29M parameters, 4.5 GMAC) 81.3 %, DeiT-S (22M, 4.6) 79.8 %, RegNetY-4G (21M, "
        "4.0) 80.0 %."
    )
    short = ("steps=1200", "optim.warmup_steps=120", "evaluation.every_steps=0", "checkpoint.every_steps=0")
    study.runs = tuple(
        base.run(*model, *(short if size else ()), *base.ONE_CHECKPOINT, model=name)
        for name, model in (SMALL if size else IMAGENET).items()
    )
    metric = "test/accuracy" if size else "validation/accuracy"
    study.figures = (base.figure("comparison", variant="model", metric=metric),)
    return study
