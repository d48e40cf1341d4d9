"""ViT of 6.3M parameters on CIFAR-10: for one GPU, 200 epochs.

    python train.py --config=configs/vit_cifar10.py

7 layers of width 384, patches of 4x4 pixels, RandAugment, label smoothing.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=200.0,
        model=dict(name="vit", width=384, depth=7, mlp_dim=384, heads=12, patch=4),
        task=dict(name="classify", label_smoothing=0.1),
        data=dict(
            kind="images",
            source="tfds",
            name="cifar10",
            image_size=32,
            batch_size=128,
            eval_batch_size=500,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
            augment=dict(flip=True, shift=4 / 32, randaugment_layers=2, randaugment_magnitude=5.0),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=2000, weight_decay=0.05),
        evaluation=dict(every_steps=2000),
        checkpoint=dict(every_steps=2000, keep_best="test/accuracy"),
    )
