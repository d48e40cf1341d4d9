"""ViT on the handwritten digits of scikit-learn: the main job, offline, one to two minutes on two cores.

    python train.py --config=configs/vit_digits.py

4 layers of width 48, patches of 2x2 pixels.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "") -> ConfigDict:
    config = base.get_config()
    config.epochs = 100.0
    config.model = base.vit()
    config.model.update(width=48, depth=4, mlp_dim=192, heads=4, patch=2, head="gap", positions="sinusoid_2d")
    config.task = base.classify()
    config.data = base.images("digits", image_size=8, batch_size=64, channels=1)
    config.data.augment.update(rotate=10.0, zoom=0.1, shear=0.1, shift=0.06, mixup=0.2)
    config.optim.update(learning_rate=3e-3, warmup_steps=100, weight_decay=0.3)
    config.evaluation.every_steps = 449
    config.checkpoint.update(every_steps=449, keep_best="test/accuracy")
    return debug.shrink(config, variant)
