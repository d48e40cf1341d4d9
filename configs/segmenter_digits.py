"""Segmenter on digits on cluttered canvases, offline: half an hour on two cores.

    python train.py --config=configs/segmenter_digits.py

A ViT of 4 layers of width 96 on patches of 2x2 pixels, with a mask decoder; canvases of 40x40 pixels, composed as they
are read, so that there are no epochs. Test digits are in no training canvas.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=3000,
        model=dict(
            name="segmenter",
            width=96,
            depth=4,
            mlp_dim=192,
            heads=3,
            patch=2,
            head="gap",
            positions="sinusoid_2d",
            decoder="mask",
            decoder_depth=1,
        ),
        task=dict(name="segment"),
        data=dict(
            kind="masks",
            source="canvases",
            name="40",
            image_size=40,
            batch_size=32,
            eval_batch_size=100,
            eval_splits=("validation",),
            **base.grey(),
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=200, weight_decay=0.05, clip_norm=1.0),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/mean_iou"),
    )
