"""CLIP on Flickr8k, 6,000 images with five captions each, both towers from scratch: an hour on two cores.

    python train.py --config=configs/clip_flickr8k.py --config.data.name=FOLDER

FOLDER has train, validation and test with images, and train.tsv ... with a file and a caption a line; or it is the set
as it is published (*.token.txt, Flickr_8k.trainImages.txt ...). Images are seen at 112 pixels. The variant `siglip` has
SigLIP's towers and loss. A small ResNet stands before the patches: 6,000 images are few for a ViT alone. The best step
is chosen by the validation split.
"""

from ml_collections import ConfigDict

from configs import base
from configs.clip_glyphs import small, task

VARIANTS = {"form": ("siglip",)}


def get_config(form: str = "") -> ConfigDict:
    """The config of a form: "" for CLIP's."""
    stem = dict(patch=2, stem="imagenet", stem_depths=(1, 1), stem_width=24)
    return base.config(
        steps=3000,
        model=small(form, width=192, depth=6, length=24) | stem | dict(dropout=0.1, stochastic_depth=0.1),
        task=task(form),
        data=dict(
            kind="captions",
            source="captioned",
            name="flickr8k",
            image_size=112,
            tokenizer="bpe",
            vocabulary_size=3000,
            max_length=24,
            simplify="words",
            begin=not form,
            word_dropout=0.15,
            batch_size=128,
            eval_batch_size=250,
            eval_splits=("validation",),
            mean=(0.45, 0.44, 0.41),
            std=(0.27, 0.26, 0.28),
            augment=dict(crop="random", crop_min_area=0.5, flip=True),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=200, weight_decay=0.2, clip_norm=1.0),
        step=dict(ema_decay=0.998),
        evaluation=dict(every_steps=300, generate="always"),
        checkpoint=dict(every_steps=300, keep_best="validation/image_to_text_r10"),
    )
