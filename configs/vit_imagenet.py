"""ViT on ImageNet-1k from scratch, as in the paper's Table 3: --config=configs/vit_imagenet.py:B/16

    python train.py --config=configs/vit_imagenet.py:B/16 --config.data.data_dir=...

Variants: Ti S B L H; /8 /14 /16 /32; hybrids R50+B/16 ... 300 epochs of batch 4096, AdamW at 3e-3 with cosine decay,
weight decay 0.3, dropout 0.1, clipping at 1, 224 pixels. The data set is TFDS's imagenet2012, prepared by hand as its
page says; with file_format=array_record a resumed run continues at once.
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

VARIANTS = {"variant": sizes.VIT_VARIANTS}


def get_config(variant: str = "B/16") -> ConfigDict:
    """The config of a variant: see above."""
    # A loop over the layers compiles in a third of the time, but writes every layer's activations once more: B/16 on a
    # v5e needs 1.5 times the cycles and 2.2 times the memory. L and H keep the loop.
    scan = variant.startswith(("L/", "H/")) or "+L/" in variant
    return base.config(
        epochs=300.0,
        model=dict(name="vit", variant=variant, dropout=0.1, dtype="bfloat16", scan=scan),
        task=dict(name="classify", top5=True),
        data=dict(
            kind="images",
            source="tfds",
            name="imagenet2012",
            image_size=224,
            batch_size=4096,
            eval_splits=("validation",),
            eval_crop="center",
            augment=dict(crop="random", flip=True),
        ),
        optim=dict(learning_rate=3e-3, warmup_steps=10_000, weight_decay=0.3),
        evaluation=dict(every_steps=5000),
        checkpoint=dict(every_steps=1000, keep_best="validation/accuracy"),
    )
