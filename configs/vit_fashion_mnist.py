"""ViT of 203k parameters on Fashion-MNIST: 20 epochs, 40 minutes to an hour on two cores.

    python train.py --config=configs/vit_fashion_mnist.py

6 layers of width 64, patches of 4x4 pixels. The variant `hybrid` (159k parameters) takes 2x2 patches of a small ResNet's features.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "") -> ConfigDict:
    config = base.get_config()
    config.epochs = 20.0
    config.model = base.vit()
    config.model.update(
        width=64, depth=6, mlp_dim=128, heads=4, patch=4, head="gap", positions="sinusoid_2d", activation="gelu_tanh"
    )
    if variant.split(":")[0] == "hybrid":
        config.model.update(depth=4, stem="cifar", stem_depths=(1, 1), stem_width=8, patch=2)
    config.task = base.classify()
    config.task.label_smoothing = 0.1
    config.data = base.images("fashion_mnist", image_size=28, batch_size=64, channels=1)
    config.data.update(mean=(0.2860,), std=(0.3530,), eval_batch_size=500)
    config.data.augment.update(flip=True, shift=2 / 28)
    config.optim.update(learning_rate=2e-3, warmup_steps=1000, weight_decay=0.1)
    config.evaluation.every_steps = 938  # once an epoch
    config.checkpoint.update(every_steps=938, keep_best="test/accuracy")
    config.log.every_steps = 200
    return debug.shrink(config, variant)
