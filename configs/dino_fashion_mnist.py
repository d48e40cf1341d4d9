"""DINO on Fashion-MNIST, two CPU cores: a small ViT learns without labels, 64 images a batch.

    python train.py --config=configs/dino_fashion_mnist.py
    python evaluate.py --workdir=runs/dino_fashion_mnist --config.evaluation.fewshot.linear=True
    python train.py --config=configs/vit_finetune.py ... --config.init_from=runs/dino_fashion_mnist

Two global views of 28 pixels and six local ones of 16, patches of 4. The variant `digits` is offline: the digits of
scikit-learn, 8 pixels, in minutes. What keeps 64 images a batch from a collapse: a teacher that moves quickly at first
(0.99, rising to 1), its temperature at 0.04, 1,024 prototypes that do not learn in the first epoch, a centre that
follows slowly enough for batches of 64 (0.95), and a learning rate of 1e-3 after a warm-up.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"variant": ("digits",)}


def get_config(variant: str = "") -> ConfigDict:
    """The config of a variant: see above."""
    config = base.config(
        epochs=10.0,
        model=dict(
            name="dino",
            width=64,
            depth=6,
            mlp_dim=128,
            heads=4,
            patch=4,
            position_grid=(7, 7),
            prototypes=1024,
            projection_width=256,
            bottleneck=64,
            centre_decay=0.95,
        ),
        task=dict(name="dino", frozen_steps=937),
        data=dict(
            kind="views",
            source="tfds",
            name="fashion_mnist",
            image_size=28,
            batch_size=64,
            eval_batch_size=500,
            mean=(0.2860,),
            std=(0.3530,),
            views=dict(locals=6, local_size=16, local_area=(0.1, 0.4), blur_width=(0.1, 1.0), solarise=0.0),
        ),
        optim=dict(
            learning_rate=1e-3,
            end_learning_rate=1e-5,
            warmup_steps=937,
            weight_decay=0.04,
            end_weight_decay=0.4,
            clip_norm=3.0,
        ),
        step=dict(ema_decay=0.996, ema_rises=True, ema_warmup=False),
        evaluation=dict(every_steps=937, generate="always", fewshot=dict(neighbours=(20,))),  # once an epoch
        checkpoint=dict(every_steps=937, keep_best=""),
        log=dict(every_steps=200),
    )
    if variant:
        config.epochs = 100.0
        config.task.frozen_steps = config.optim.warmup_steps = 22
        config.model.update(patch=2, position_grid=(4, 4), width=32, depth=4, mlp_dim=64)
        config.data.update(name="digits", image_size=8, **base.grey())
        config.data.views.update(local_size=4, locals=4, local_area=(0.2, 0.5), blur_width=(0.1, 0.5), flip=0.0)
        config.evaluation.every_steps = config.checkpoint.every_steps = 440
    return config
