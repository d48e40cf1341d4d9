"""Video: digits that move, offline. What is asked is where to (which no single frame says), which digit, or both.

    python train.py --config=configs/vivit_digits.py:direction+joint

ASKED: direction, digit or both; ATTENTION: joint, of all tubelets to all, or factorised, in space and then in time.
8 frames of 32x32 pixels, tubelets of 2x8x8.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"asked": ("direction", "digit", "both"), "attention": ("joint", "factorised")}


def get_config(asked: str = "both", attention: str = "joint") -> ConfigDict:
    """The config of what is asked and of an attention: see above."""
    depths = dict(depth=4) if attention == "joint" else dict(depth=3, temporal_depth=1)
    return base.config(
        steps=3000,
        model=dict(name="vivit", width=64, mlp_dim=256, heads=4, patch=8, tubelet=2, attention=attention, **depths),
        task=dict(name="classify", inputs=("clip",)),
        data=dict(
            kind="clips",
            source="moving_digits",
            name=f"32,8,{asked}",
            frames=8,
            image_size=32,
            batch_size=64,
            eval_batch_size=200,
            eval_splits=("validation", "test"),
            **base.grey(),
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=300, weight_decay=0.1),
        evaluation=dict(every_steps=1000),
        checkpoint=dict(every_steps=1000, keep_best=""),
    )
