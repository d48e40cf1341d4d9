"""UPerNet on digits on cluttered canvases, offline: half an hour on two cores.

python train.py --config=configs/upernet_digits.py         a ResNet below it
python train.py --config=configs/upernet_digits.py:swin    a Swin below it, an hour

Canvases of 96x96 pixels, composed as they are read, so that there are no epochs. Test digits are in no training
canvas. Half of a digit's pixels are at its edge: each place of the finest map gives the logits of its own pixels. The
noise of a pixel is the same on a canvas of any size: by one pixel alone an edge is found no better than to an IoU of
0.92, by the four that a pixel of 48x48 becomes to 0.96. Nine tenths of all pixels are background: the dice loss, which
weighs each class alike, is added.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"trunk": ("swin",)}


def get_config(trunk: str = "") -> ConfigDict:
    """The config of a trunk: "swin", of three stages on patches of 4x4 pixels, or "", a ResNet of three stages."""
    swin = trunk == "swin"
    below = (
        dict(name="swin", width=24, depths=(2, 2, 2), head_dim=12, patch=4, window=6)
        if swin
        else dict(name="residual", width=24, depths=(1, 1, 1), root="small", norm="group")
    )
    return base.config(
        steps=3400,
        model=dict(
            name="upernet",
            trunk=below,
            strides=(4, 8, 16) if swin else (4, 8),
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
        optim=dict(learning_rate=3e-3 if swin else 2e-3, warmup_steps=200, weight_decay=0.05, clip_norm=1.0),
        evaluation=dict(every_steps=850),
        checkpoint=dict(every_steps=850, keep_best="validation/mean_iou"),
    )
