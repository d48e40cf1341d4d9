"""BiT's ResNets on ImageNet-1k from scratch: --config=configs/resnet_imagenet.py:R50x1

    python train.py --config=configs/resnet_imagenet.py:R50x1 --config.data.data_dir=...

Variants: R26 R50 R101 R152 R200; x1 x2 x3 x4. 90 epochs of batch 4096, SGD with momentum 0.9 at 0.1 for 256 images,
cosine decay, clipping at 1, 224 pixels: big_vision's recipe for R50x1. Weight decay is decoupled here: 1e-3 times the
rate is 1e-4 in the loss, since momentum of 0.9 adds up to ten times each gradient. Others report 77.0 % for R50x1 after
90 epochs.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet
from models import sizes

VARIANTS = {"variant": sizes.RESNET_VARIANTS}


def get_config(variant: str = "R50x1") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config()
    config.epochs = 90.0
    config.model = ConfigDict(dict(name="resnet", variant=variant, dtype="bfloat16"))
    config.optim.update(name="sgd", learning_rate=0.1 * 4096 / 256, warmup_steps=1000, weight_decay=1e-3)
    return config
