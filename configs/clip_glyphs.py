"""CLIP on drawn letters and their Unicode names: offline, a quarter of an hour on two cores.

    python train.py --config=configs/clip_glyphs.py

One combination in four of a letter and a mark ("latin small letter e with acute") is held out: the test split has these
alone. The variant `siglip` has SigLIP's towers and loss.
"""

from ml_collections import ConfigDict

from configs import base

SIGLIP = dict(form="siglip", activation="gelu_tanh", norm_epsilon=1e-6)
VARIANTS = {"form": ("siglip",)}


def small(form: str, width: int, depth: int, length: int) -> dict:
    """The model of a form with two small towers, that of texts three layers deep. length: the most tokens of a text."""
    image = dict(width=width, depth=depth, mlp_dim=4 * width, heads=4)
    text = dict(text_width=width, text_depth=3, text_mlp_dim=4 * width, text_heads=4)
    return dict(name="clip", **image, **text, embedding=width, max_length=length) | (SIGLIP if form else {})


def task(form: str) -> dict:
    """The task of a form, where several images of a batch can have one text."""
    return dict(name="contrastive", loss="sigmoid" if form else "softmax", repeats=False)


def get_config(form: str = "") -> ConfigDict:
    """The config of a form: "" for CLIP's."""
    return base.config(
        steps=3000,
        model=small(form, width=96, depth=4, length=12) | dict(patch=4),
        task=task(form),
        data=dict(
            kind="captions",
            source="glyph_names",
            name="latin",
            image_size=32,
            tokenizer="word",
            vocabulary_size=500,
            max_length=12,
            begin=not form,
            batch_size=128,
            eval_batch_size=500,
            eval_splits=("validation[:2000]", "test[:2000]"),
            mean=(0.1,),
            std=(0.25,),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=200, weight_decay=0.1, clip_norm=1.0),
        evaluation=dict(every_steps=500, generate="always"),
        checkpoint=dict(every_steps=500, keep_best="validation[:2000]/zero_shot_accuracy"),
    )
