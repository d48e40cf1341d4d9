"""DETR on handwritten digits of scikit-learn, several on a cluttered canvas: offline.

python train.py --config=configs/detr_digits.py
"""

from ml_collections import ConfigDict

from configs import base
from configs.detr_coco import FRESH


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=4000,
        model=dict(
            name="detr",
            trunk=dict(name="residual", width=24, depths=(1, 1, 1), root="small", norm="group"),
            strides=(4, 8),
            width=64,
            heads=4,
            mlp_dim=128,
            encoder_depth=0,
            decoder_depth=3,
            queries=20,
            queries_from="image",
            attention="deformable",
            denoising=2,
            no_object=False,
            dropout=0.0,
        ),
        init_fresh=FRESH,
        task=dict(name="detect", quality=True, class_cost=2.0),
        data=dict(
            kind="boxes",
            source="canvases",
            name="64",
            image_size=64,
            batch_size=32,
            max_boxes=6,
            eval_splits=("validation[:200]",),
            eval_batch_size=100,
            **base.grey(),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=200, weight_decay=1e-4, clip_norm=1.0),
        step=dict(ema_decay=0.999),
        evaluation=dict(every_steps=500, generate="always"),
        checkpoint=dict(every_steps=500, keep_best="validation[:200]/AP"),
    )
