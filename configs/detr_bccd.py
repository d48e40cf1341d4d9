"""DETR on BCCD from scratch: blood cells of three kinds, 205 training images of 480x640 pixels made 192x256.

    python train.py --config=configs/detr_bccd.py --config.data.data_dir=...

The recipe of detr_digits.py, with a trunk that begins at a quarter of the image's side, and with what little data need:
flips both ways, scale jitter, colours.
"""

from ml_collections import ConfigDict

from configs import base
from configs.detr_coco import FRESH


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=3000,
        model=dict(
            name="detr",
            trunk=dict(name="residual", width=24, depths=(1, 1, 1), root="imagenet", norm="group"),
            strides=(8, 16),
            width=64,
            heads=4,
            mlp_dim=128,
            encoder_depth=0,
            decoder_depth=3,
            queries=60,
            queries_from="image",
            attention="deformable",
            denoising=1,
            no_object=False,
            dropout=0.0,
        ),
        init_fresh=FRESH,
        task=dict(name="detect", quality=True, class_cost=2.0),
        data=dict(
            kind="boxes",
            source="tfds",
            name="bccd",
            image_size=192,
            image_width=256,
            batch_size=8,
            eval_batch_size=24,
            max_boxes=32,
            eval_splits=("validation",),
            augment=dict(
                flip=True,
                flip_vertical=True,
                scale=(0.7, 1.4),
                aspect=1.2,
                brightness=0.2,
                contrast=0.2,
                saturation=0.2,
            ),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=200, weight_decay=1e-4, clip_norm=1.0),
        step=dict(ema_decay=0.999),
        evaluation=dict(every_steps=1000, generate="always"),
        checkpoint=dict(every_steps=1000, keep_best="validation/AP50"),
    )
