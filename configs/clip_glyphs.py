"""CLIP on drawn letters and their Unicode names: offline, a quarter of an hour on two cores.

    python train.py --config=configs/clip_glyphs.py

One combination in four of a letter and a mark ("latin small letter e with acute") is held out: the test split has these
alone. The variant `siglip` has SigLIP's towers and loss.
"""

from ml_collections import ConfigDict

from configs import base

SIGLIP = dict(form="siglip", activation="gelu_tanh", norm_epsilon=1e-6)
VARIANTS = {"form": ("siglip",)}


def get_config(form: str = "") -> ConfigDict:
    """The config of a form: "" for CLIP's."""
    config = base.config(
        steps=3000,
        model=dict(
            name="clip",
            width=96,
            depth=4,
            mlp_dim=384,
            heads=4,
            patch=4,
            text_width=96,
            text_depth=3,
            text_mlp_dim=384,
            text_heads=4,
            embedding=96,
            max_length=12,
        ),
        task=dict(name="contrastive", loss="sigmoid" if form else "softmax", repeats=False),
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
    config.model.update(SIGLIP if form else {})
    return config
