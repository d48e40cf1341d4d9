"""Swin with UPerNet on CamVid (11 classes, 367 training images of 180x240 pixels), from scratch: an hour on two cores.

    python train.py --config=configs/swin_camvid.py --config.data.name=FOLDER

FOLDER has train, validation and test, each with images/ and labels/, and classes.txt; label 11 is void. The best step
is chosen by the validation split.
"""

from ml_collections import ConfigDict

from configs import base

# The root of the median share of pixels over that of the class, in the order of classes.txt.
WEIGHTS = (0.52, 0.44, 2.14, 0.38, 1.0, 0.68, 1.96, 1.99, 0.87, 2.65, 3.93)


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=7000,
        model=dict(
            name="upernet",
            trunk=dict(name="swin", width=32, depths=(2, 2, 2, 2), head_dim=16, patch=4, stochastic_depth=0.1),
            width=32,
            norm="layer",
        ),
        task=dict(name="segment", class_weights=WEIGHTS, dice=0.5),
        data=dict(
            kind="masks",
            source="label_images",
            name="camvid",
            batch_size=8,
            eval_batch_size=16,
            image_size=160,
            image_width=224,
            short_side=180,
            eval_size=180,
            eval_width=240,
            ignored=(11, 255),
            eval_splits=("validation",),
            mean=(0.41, 0.43, 0.43),
            std=(0.30, 0.31, 0.30),
            augment=dict(scales=(0.6, 1.6), flip=True, brightness=0.15, contrast=0.3, saturation=0.3, hue=0.03),
        ),
        optim=dict(learning_rate=1.5e-3, warmup_steps=200, weight_decay=0.05, clip_norm=1.0),
        step=dict(ema_decay=0.998),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/mean_iou"),
        log=dict(every_steps=50),
    )
