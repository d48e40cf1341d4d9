"""DINO on Fashion-MNIST, two CPU cores: a small ViT learns without labels, 64 images a batch.

    python train.py --config=configs/dino_fashion_mnist.py
    python evaluate.py --workdir=runs/dino_fashion_mnist --config.evaluation.fewshot.linear=True
    python train.py --config=configs/vit_finetune.py ... --config.init_from=runs/dino_fashion_mnist

Two global views of 28 pixels and four local ones of 16, patches of 4. The variant `digits` is offline: the digits of
scikit-learn, in minutes. What keeps 64 images a batch from a collapse: Sinkhorn's centring, by which all 256 prototypes
get as much of the 128 global views of a batch, so that none can take all; a teacher that is sharper than the student
(0.04, 0.1), so that none gets the same of every image; and crops that share enough of an image (global ones half of it
or more) for the two to agree. With the paper's centring and 1,024 prototypes this network's outputs became even.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"variant": ("digits",)}


def get_config(variant: str = "") -> ConfigDict:
    """The config of a variant: see above."""
    config = base.config(
        epochs=5.0,
        model=dict(
            name="dino",
            width=64,
            depth=6,
            mlp_dim=128,
            heads=4,
            patch=4,
            position_grid=(7, 7),
            prototypes=256,
            projection_width=256,
            bottleneck=64,
        ),
        task=dict(name="dino", centring="sinkhorn", frozen_steps=937),
        data=dict(
            kind="views",
            source="tfds",
            name="fashion_mnist",
            image_size=28,
            batch_size=64,
            eval_batch_size=500,
            mean=(0.2860,),
            std=(0.3530,),
            views=dict(
                global_area=(0.5, 1.0),
                local_area=(0.15, 0.5),
                locals=4,
                local_size=16,
                brightness=0.3,
                contrast=0.3,
                blur_width=(0.1, 1.0),
                solarise=0.0,
            ),
        ),
        optim=dict(
            learning_rate=1e-3,
            end_learning_rate=1e-5,
            warmup_steps=937,
            weight_decay=0.04,
            end_weight_decay=0.4,
            clip_norm=3.0,
        ),
        step=dict(ema_decay=0.99, ema_rises=True, ema_warmup=False),
        evaluation=dict(every_steps=938, generate="always", fewshot=dict(neighbours=(20,))),  # once an epoch
        checkpoint=dict(every_steps=938, keep_best=""),
        log=dict(every_steps=200),
    )
    if variant:
        config.epochs = 60.0
        config.task.frozen_steps = config.optim.warmup_steps = 44
        config.model.update(width=48, depth=4, mlp_dim=96, position_grid=(4, 4), prototypes=128)
        config.data.update(name="digits", image_size=16, **base.grey())
        config.data.views.update(local_size=8, flip=0.0)
        config.evaluation.every_steps = config.checkpoint.every_steps = 220
    return config
