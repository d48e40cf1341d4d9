"""DeiT (2012.12877) on ImageNet-1k, 300 epochs: S/16, or distilled+S/16 with a teacher.

    python train.py --config=configs/vit_deit_imagenet.py:S/16 --config.data.data_dir=...
    python train.py --config=configs/vit_deit_imagenet.py:distilled+S/16 --config.task.teacher=WORKDIR ...

Batch 1024, AdamW at 1e-3, weight decay 0.05, 5 epochs of warm-up, label smoothing 0.1, stochastic depth 0.1,
RandAugment of 2 layers at 9, mixup 0.8 or cutmix 1.0, random erasing of a quarter of the images, three views of an
image in each batch: these need the set as array_record (--config.data.augment.repeats=1 works without). Distilled: a
second token learns from the choices of a teacher (a ResNet by preference) trained on the same images of the same size.
Published for Ti, S, B: 72.2, 79.9, 81.8 %; distilled 74.5, 81.2, 83.4 %.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet
from models import sizes

VARIANTS = {"variant": (*sizes.VIT_VARIANTS, *(f"distilled+{variant}" for variant in sizes.VIT_VARIANTS))}


def get_config(variant: str = "S/16") -> ConfigDict:
    """The config of a variant: see above."""
    distilled = variant.startswith("distilled+")
    config = vit_imagenet.get_config(variant.removeprefix("distilled+"))
    config.model.update(dropout=0.0, stochastic_depth=0.1)
    if distilled:
        config.model.head = "distilled"
        config.task = ConfigDict(dict(name="distill"))
    config.task.label_smoothing = 0.1
    config.data.batch_size = 1024
    config.data.augment.update(
        randaugment_layers=2, randaugment_magnitude=9.0, mixup=0.8, cutmix=1.0, erase=0.25, repeats=3
    )
    config.optim.update(learning_rate=1e-3, weight_decay=0.05, warmup_steps=6256, clip_norm=0.0)
    return config
