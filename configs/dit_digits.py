"""A small diffusion Transformer that draws digits, offline: scikit-learn's, 8x8 pixels, by class.

    python train.py --config=configs/dit_digits.py
    python predict.py --workdir=runs/dit_digits 3 7

The variant `diffusion` learns the noise of a diffusion of 1,000 times in place of the velocity of a flow.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"path": ("flow", "diffusion")}


def get_config(path: str = "flow") -> ConfigDict:
    """The config of a path: see above."""
    return base.config(
        steps=6000,
        init_fresh=(),
        model=dict(name="dit", width=96, depth=4, heads=4, patch=2, frequency_shift=1),  # as diffusers opens it
        task=dict(name="denoise", path=path, guidance=2.0),
        data=dict(
            kind="class_images",
            name="digits",
            **base.grey(),
            image_size=8,
            batch_size=64,
            eval_batch_size=360,
            eval_splits=("test",),
        ),
        optim=dict(name="adamw", learning_rate=1e-3, warmup_steps=200, weight_decay=0.0),
        step=dict(ema_decay=0.998),
        evaluation=dict(every_steps=1500, figures=("samples",)),
        checkpoint=dict(every_steps=1500, keep_best=""),
    )
