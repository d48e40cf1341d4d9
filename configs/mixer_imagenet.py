"""MLP-Mixer on ImageNet-1k from scratch: --config=configs/mixer_imagenet.py:B/16 (S B L H; /14 /16 /32)

    python train.py --config=configs/mixer_imagenet.py:B/16 --config.data.data_dir=...

300 epochs of batch 4096, AdamW at 1e-3 with linear decay, weight decay 0.1, clipping at 1, RandAugment of 2 operations
at 15, mixup 0.5, 224 pixels: big_vision's recipe without its stochastic depth of 0.1; it reaches 76.3 % with B/16 and a
sigmoid loss.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet
from models import sizes

VARIANTS = {"variant": sizes.MIXER_VARIANTS}


def get_config(variant: str = "B/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config()
    config.model = ConfigDict(dict(name="mixer", variant=variant, activation="gelu_tanh", dtype="bfloat16"))
    config.data.augment.update(randaugment_layers=2, randaugment_magnitude=15.0, mixup=0.5)
    config.optim.update(learning_rate=1e-3, end_learning_rate=1e-5, schedule="linear", weight_decay=0.1)
    return config
