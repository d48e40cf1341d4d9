"""Swin on ImageNet-1k from scratch: --config=configs/swin_imagenet.py:T (S B L, v2-T)

    python train.py --config=configs/swin_imagenet.py:T --config.data.data_dir=...

300 epochs of batch 1024, AdamW at 1e-3 with cosine decay after 20 epochs, weight decay 0.05, clipping at 5,
RandAugment, mixup 0.8 or CutMix 1.0, random erasing of a quarter of the images, label smoothing and stochastic depth
0.2 (T), 0.3 (S), 0.5 (B): the authors' recipe. They report 81.2 % (T), 83.2 % (S), 83.5 % (B), and 81.8 % for V2's T,
at 256 pixels with windows of 8.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet
from models import sizes

VARIANTS = {"variant": (*sizes.SWIN, "v2-T")}
STOCHASTIC_DEPTH = {"T": 0.2, "S": 0.3, "B": 0.5, "L": 0.5}


def get_config(variant: str = "T") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config()
    size = variant.removeprefix("v2-")
    config.model = ConfigDict(
        dict(name="swin", variant=size, stochastic_depth=STOCHASTIC_DEPTH[size], dtype="bfloat16")
    )
    if variant != size:
        config.model.update(version="2", window=8)
        config.data.image_size = 256
    config.task.label_smoothing = 0.1
    config.data.batch_size = 1024
    config.data.augment.update(randaugment_layers=2, randaugment_magnitude=9.0, mixup=0.8, cutmix=1.0, erase=0.25)
    config.optim.update(
        learning_rate=1e-3, end_learning_rate=1e-5, warmup_steps=25_000, weight_decay=0.05, clip_norm=5.0
    )
    return config
