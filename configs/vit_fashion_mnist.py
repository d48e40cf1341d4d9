"""ViT of 203k parameters on Fashion-MNIST: 20 epochs, 40 minutes to an hour on two cores.

    python train.py --config=configs/vit_fashion_mnist.py

6 layers of width 64, patches of 4x4 pixels. The variant `hybrid` (159k parameters) takes 2x2 patches of a small
ResNet's features. `hour` is the same ViT by a better recipe, of 35 epochs: batches of 128, erased rectangles, and the
average of the weights.
"""

from ml_collections import ConfigDict

from configs import base

HYBRID = dict(depth=4, stem="cifar", stem_depths=(1, 1), stem_width=8, patch=2)
HOUR = {
    "epochs": 35.0,
    "data.batch_size": 128,
    "data.augment.erase": 0.25,
    "optim.learning_rate": 3e-3,
    "step.ema_decay": 0.999,
    "evaluation.every_steps": 2345,
    "checkpoint.every_steps": 469,
    "checkpoint.keep_best": "",  # the test split chooses nothing
}
VARIANTS = {"variant": ("hybrid", "hour")}


def get_config(variant: str = "") -> ConfigDict:
    """The config of a variant: see above."""
    config = base.config(
        epochs=20.0,
        model=dict(
            name="vit",
            width=64,
            depth=6,
            mlp_dim=128,
            heads=4,
            patch=4,
            head="gap",
            positions="sinusoid_2d",
            activation="gelu_tanh",
        ),
        task=dict(name="classify", label_smoothing=0.1),
        data=dict(
            kind="images",
            source="tfds",
            name="fashion_mnist",
            image_size=28,
            batch_size=64,
            eval_batch_size=500,
            mean=(0.2860,),
            std=(0.3530,),
            augment=dict(flip=True, shift=2 / 28),
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=1000, weight_decay=0.1),
        evaluation=dict(every_steps=938),  # once an epoch
        checkpoint=dict(every_steps=938, keep_best="test/accuracy"),
        log=dict(every_steps=200),
    )
    if variant == "hybrid":
        config.model.update(HYBRID)
    elif variant == "hour":
        config.update_from_flattened_dict(HOUR)
    return config
