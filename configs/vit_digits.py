"""ViT on the handwritten digits of scikit-learn: the main job, offline, one to two minutes on two cores.

    python train.py --config=configs/vit_digits.py

4 layers of width 48, patches of 2x2 pixels.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=100.0,
        model=dict(
            name="vit",
            width=48,
            depth=4,
            mlp_dim=192,
            heads=4,
            patch=2,
            head="gap",
            positions="sinusoid_2d",
        ),
        task=dict(name="classify"),
        data=dict(
            kind="images",
            source="tfds",
            name="digits",
            image_size=8,
            batch_size=64,
            augment=dict(rotate=10.0, zoom=0.1, shear=0.1, shift=0.06, mixup=0.2),
            **base.grey(),
        ),
        optim=dict(learning_rate=3e-3, warmup_steps=100, weight_decay=0.3),
        evaluation=dict(every_steps=449),
        checkpoint=dict(every_steps=449, keep_best="test/accuracy"),
    )
