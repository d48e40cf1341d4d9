"""Adam against SGD for ResNets (2010.11929, appendix D.1, table 7), and for a ViT beside them.

python study.py --study=configs/studies/optimizer.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/optimizer.py --launch=slurm   ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

TINY = {"ViT": ("configs/vit_digits.py",), "BiT ResNet": ("configs/resnet_digits.py",)}
REAL = {
    "ViT-B/32": ("configs/vit_imagenet21k.py:B/32",),
    "BiT R50x1": ("configs/resnet_imagenet.py:R50x1", *base.BIT),
    "BiT R152x2": ("configs/resnet_imagenet.py:R152x2", *base.BIT),
}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Adam and SGD", "2010.11929, table 7", "With which optimiser should a ResNet be pre-trained?"
    )
    study.reported = (
        "JFT, fine-tuned on ImageNet, Adam and SGD: ResNet50 77.54 and 78.24, ResNet152x2 84.97 and 84.37. Adam is "
        "better on most data sets and, at both sizes, on their mean, though SGD was usual for ResNets."
    )
    optimisers = (
        {"Adam": ("adamw", (1e-3, 3e-3)), "SGD": ("sgd", (0.03, 0.1))}
        if size
        else {"Adam": ("adamw", (6e-4, 1e-3)), "SGD": ("sgd", (0.8, 1.6))}
    )
    length = (
        ("steps=400", "optim.warmup_steps=40", "evaluation.every_steps=0")
        if size
        else ("epochs=7.0", *base.IMAGENET_FEWSHOT)
    )
    study.runs = tuple(
        base.run(
            *variant,
            *(f"optim.name={name}", f"optim.learning_rate={rate}", *length, *base.ONE_CHECKPOINT),
            *(("optim.weight_decay=0.001",) if name == "sgd" else ()),
            model=model,
            optimiser=f"{label}, {rate:g}",
        )
        for model, variant in (TINY if size else REAL).items()
        for label, (name, rates) in optimisers.items()
        for rate in rates
    )
    study.figures = (base.figure("comparison", variant="optimiser", series="model", metric=base.metric(size)),)
    return study
