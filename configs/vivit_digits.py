"""Video: digits that move, offline. What is asked is where to (which no single frame says), which digit, or both.

    python train.py --config=configs/vivit_digits.py:direction+joint

ASKED: direction, digit or both; ATTENTION: joint, of all tubelets to all, or factorised, in space and then in time.
The model sees every second of 8 frames of 32x32 pixels, in tubelets of 2x4x4: a quarter of a digit's side.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"asked": ("direction", "digit", "both"), "attention": ("joint", "factorised")}


def get_config(asked: str = "both", attention: str = "joint") -> ConfigDict:
    """The config of what is asked and of an attention: see above."""
    depths = dict(depth=4) if attention == "joint" else dict(depth=3, temporal_depth=1)
    sizes = dict(width=64, mlp_dim=256, heads=4, patch=4, tubelet=2)
    return base.config(
        steps=8000,
        model=dict(name="vivit", head="gap", positions="sinusoid_2d", attention=attention, **sizes, **depths),
        task=dict(name="classify", inputs=("clip",)),
        data=dict(
            kind="clips",
            source="moving_digits",
            name=f"32,8,{asked}",
            frames=4,
            stride=2,
            eval_clips=2,
            image_size=32,
            batch_size=64,
            eval_batch_size=200,
            eval_splits=("validation", "test"),
            augment=dict(rotate=10.0, zoom=0.1, shear=0.1),
            **base.grey(),
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=300, weight_decay=0.2),
        step=dict(ema_decay=0.999),
        evaluation=dict(every_steps=2000),
        checkpoint=dict(every_steps=2000, keep_best=""),
    )
