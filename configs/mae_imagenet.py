"""Masked autoencoder (2111.06377) on ImageNet-1k, 800 epochs: --config=configs/mae_imagenet.py:B/16 (L/16, H/14)

    python train.py --config=configs/mae_imagenet.py:B/16 --config.data.data_dir=...
    python train.py --config=configs/vit_imagenet.py:B/16 --config.init_from=runs/mae_imagenet-B_16 \\
        --config.optim.layer_decay=0.65 ...

Three quarters of the patches are hidden, and a decoder of 8 layers of width 512 draws them. Batch 4096, AdamW (0.9,
0.95) at 2.4e-3 after 40 epochs of warm-up, weight decay 0.05. Published after fine-tuning: B 83.6, L 85.9, H 86.9 %.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet

VARIANTS = vit_imagenet.VARIANTS


def get_config(variant: str = "B/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config(variant)
    config.epochs = 800.0
    scan = config.model.scan
    config.model = ConfigDict(dict(name="mae", variant=variant, positions="sinusoid_2d", dtype="bfloat16", scan=scan))
    config.task = ConfigDict(dict(name="reconstruct"))
    config.data.augment.crop_min_area = 0.2
    config.optim.update(learning_rate=2.4e-3, weight_decay=0.05, b2=0.95, warmup_steps=12_500, clip_norm=0.0)
    config.checkpoint.keep_best = ""
    return config
