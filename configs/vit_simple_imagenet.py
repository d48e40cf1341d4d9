"""SimpleViT (2205.01580) on ImageNet-1k, 90 epochs: --config=configs/vit_simple_imagenet.py:S/16

    python train.py --config=configs/vit_simple_imagenet.py:S/16 --config.data.data_dir=...

150 or 300 epochs: --config.epochs=300. Batch 1024, two-dimensional sines as positions, the tokens' mean as the
representation, no dropout; RandAugment of 2 layers at 10, mixup 0.2; AdamW at 1e-3, weight decay 0.1 of it, clipping at
1.

Published for S/16: 76.5 % (150 epochs 78.5, 300 80.0), by big_vision's config. That one differs from this one: it
trains on 99 % of the training split, has a tanh layer before the last one (--config.model.representation=True), and
spaces the frequencies of its sines otherwise: 10000^(-i/(D/4-1)) instead of 10000^(-i/(D/4)), all sines of a coordinate
before its cosines.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet

VARIANTS = vit_imagenet.VARIANTS


def get_config(variant: str = "S/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config(variant)
    config.epochs = 90.0
    config.model.update(dropout=0.0, head="gap", positions="sinusoid_2d", activation="gelu_tanh")
    config.data.batch_size = 1024
    config.data.augment.update(randaugment_layers=2, randaugment_magnitude=10.0, mixup=0.2)
    config.optim.update(learning_rate=1e-3, weight_decay=0.1)
    return config
