"""ViT of 6.3M parameters on CIFAR-10: for one GPU, 200 epochs.

    python train.py --config=configs/vit_cifar10.py

7 layers of width 384, patches of 4x4 pixels, RandAugment, label smoothing.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "") -> ConfigDict:
    config = base.get_config()
    config.epochs = 200.0
    config.model = base.vit()
    config.model.update(width=384, depth=7, mlp_dim=384, heads=12, patch=4)
    config.task = base.classify()
    config.task.label_smoothing = 0.1
    config.data = base.images("cifar10", image_size=32, batch_size=128)
    config.data.update(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), eval_batch_size=500)
    config.data.augment.update(flip=True, shift=4 / 32, randaugment_layers=2, randaugment_magnitude=5.0)
    config.optim.update(learning_rate=1e-3, warmup_steps=2000, weight_decay=0.05)
    config.evaluation.every_steps = 2000
    config.checkpoint.update(every_steps=2000, keep_best="test/accuracy")
    return debug.shrink(config, variant)
