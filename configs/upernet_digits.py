"""UPerNet on a Swin, on digits on cluttered canvases, offline: half an hour on two cores.

    python train.py --config=configs/upernet_digits.py

Three stages of two layers, of width 24, 48 and 96, on patches of 4x4 pixels; canvases of 96x96 pixels, composed as they
are read, so that there are no epochs. Test digits are in no training canvas. Half of a digit's pixels are at its edge:
each place of the finest map gives the logits of its own pixels. The noise of a pixel is the same on a canvas of any
size: by one pixel alone an edge is found no better than to an IoU of 0.92, by the four that a pixel of 48x48 becomes to
0.96. Nine tenths of all pixels are background: the dice loss, which weighs each class alike, is added.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=3400,
        model=dict(
            name="upernet",
            trunk=dict(name="swin", width=24, depths=(2, 2, 2), head_dim=12, patch=4, window=6),
            strides=(4, 8, 16),
            width=40,
            scales=(1, 2, 3),
            norm="layer",
            logits="pixels",
            dropout=0.0,
        ),
        task=dict(name="segment", dice=0.5),
        data=dict(
            kind="masks",
            source="canvases",
            name="96",
            image_size=96,
            batch_size=32,
            eval_batch_size=100,
            eval_splits=("validation",),
            **base.grey(),
        ),
        optim=dict(learning_rate=3e-3, warmup_steps=200, weight_decay=0.05, clip_norm=1.0),
        evaluation=dict(every_steps=850),
        checkpoint=dict(every_steps=850, keep_best="validation/mean_iou"),
    )
