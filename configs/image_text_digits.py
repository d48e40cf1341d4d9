"""One encoder for two modalities: four digits on a canvas and a sentence about one of them, offline.

    python train.py --config=configs/image_text_digits.py           # which digit is at the place that is named
    python train.py --config=configs/image_text_digits.py:fits --config.init_from=runs/image_text_digits
                                                                    # does the sentence fit the image
    python predict.py --workdir=runs/image_text_digits "$(printf 'canvas.png\\twhich digit is at the top left')"

From nothing `fits` is still at chance after hundreds of steps: as long as the model finds no digit, neither the image
nor the sentence alone says anything of the answer. It begins with what `which` has learned.

Patches and words are tokens of the same four layers of width 64, with embeddings of their types. What each modality is
worth alone: --config.model.reads=image, text.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"variant": ("fits",)}


def get_config(variant: str = "which") -> ConfigDict:
    """The config of a variant: see above."""
    return base.config(
        steps=8000,
        model=dict(name="multimodal"),
        task=dict(name="classify", inputs=("image", "tokens")),
        data=dict(
            kind="image_texts",
            source="questions",
            name=f"24,{variant}",
            image_size=24,
            batch_size=64,
            eval_batch_size=500,
            eval_splits=("test",),
            max_length=8,
            **base.grey(),
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=200, weight_decay=0.05),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=1000),
        log=dict(every_steps=100),
    )
