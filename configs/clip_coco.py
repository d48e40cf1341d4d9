"""CLIP or SigLIP of a published size on COCO's captions: for accelerators, and for weights that are published.

    python convert.py FOLDER runs/clip && python predict.py --workdir=runs/clip photo.jpg --classes="a cat,a dog"
    python train.py --config=configs/clip_coco.py:B/32 --config.init_from=FOLDER --config.data.tokenizer=FOLDER
    python convert.py SIGLIP.npz runs/siglip --config=configs/clip_coco.py:siglip+B/16 --config.data.tokenizer=FOLDER

Your own captions (README.md, Adding things): --config.data.source=captioned --config.data.name=DIR.
With --config.data.name=cifar10 and --config.data.templates="('a photo of a {}.',)" evaluate.py classifies that set.
"""

from ml_collections import ConfigDict

from configs import base
from configs.clip_glyphs import SIGLIP

VARIANTS = {"variant": ("B/32", "B/16", "L/14", "siglip+B/16", "siglip+L/16", "siglip+So400m/14")}
CLIP_PIXELS = dict(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))


def get_config(variant: str = "B/32") -> ConfigDict:
    """The config of a variant: a size, "B/32", of CLIP or, "siglip+B/16", of SigLIP."""
    form, _, size = variant.rpartition("+")
    config = base.config(
        epochs=30.0,
        model=dict(name="clip", variant=size),
        task=dict(name="contrastive"),
        data=dict(
            kind="captions",
            source="tfds",
            name="coco_captions",
            image_size=224,
            tokenizer="bpe",
            vocabulary_size=16_000,
            max_length=77,
            begin=True,
            batch_size=1024,
            eval_batch_size=256,
            eval_splits=("val",),
            interpolation="bicubic",
            augment=dict(crop="random", crop_min_area=0.5, flip=True),
            eval_crop="center",
            eval_crop_share=1.0,
            **CLIP_PIXELS,
        ),
        optim=dict(learning_rate=5e-4, warmup_steps=500, weight_decay=0.2, b2=0.98, clip_norm=1.0),
        evaluation=dict(every_steps=500, generate="always"),
        checkpoint=dict(every_steps=500, keep_best="val/image_to_text_r1"),
    )
    if form:
        config.model.update(SIGLIP | dict(max_length=64))
        config.task.loss = "sigmoid"
        half = (0.5, 0.5, 0.5)
        config.data.update(max_length=64, begin=False, simplify="words", eval_crop="none", mean=half, std=half)
    return config
