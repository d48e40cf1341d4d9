"""DETR-R50 on COCO, as published (2005.12872): 300 epochs of batch 64, AP 40.6; 500 epochs 42.0.

    python train.py --config=configs/detr_coco.py --config.data.data_dir=... --config.init_from=...

The trunk's statistics stay as they were published, so that its weights must come from elsewhere: from a published DETR
(config.init_from=FOLDER). AdamW at 1e-4, a tenth of it for the trunk and after two thirds of the epochs, weight decay
1e-4, clipping at 0.1. Images are fitted into a canvas of 1,344 pixels with a shorter side of up to 800: their shapes
differ, and a compiled step has one.
"""

from ml_collections import ConfigDict

from configs import base

# What depends on the classes, where a run begins with the weights of another detector (config.init_from).
FRESH = ("(proposal_)?class_head/.*", "label_embedding/.*")


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=300.0,
        model=dict(name="detr", trunk=dict(name="residual", variant="50", norm="frozen")),
        init_fresh=FRESH,
        # The paper divides the loss of classes by its own weights: of 7.3 boxes and 92.7 times 0.1 for "no object".
        task=dict(name="detect", class_weight=0.44),
        data=dict(
            kind="boxes",
            source="tfds",
            name="coco/2017",
            image_size=1344,
            short_side=800,
            batch_size=64,
            eval_splits=("validation",),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            augment=dict(flip=True, scale=(0.6, 1.6)),
        ),
        optim=dict(
            learning_rate=1e-4,
            schedule="stairs",
            stairs=(2 / 3,),
            rates=(("trunk/.*", 0.1),),
            weight_decay=1e-4,
            clip_norm=0.1,
        ),
        evaluation=dict(every_steps=20_000, generate="always"),
        checkpoint=dict(every_steps=5000, keep_best="validation/AP"),
    )
