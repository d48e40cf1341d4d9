"""VideoMAE (2203.12602) on digits that move, offline: a ViViT learns without labels, and then with a few.

    python train.py --config=configs/video_mae_digits.py
    python train.py --config=configs/video_mae_digits.py:finetune --config.init_from=runs/video_mae_digits

PART: pretrain, where tubes hide three quarters of the places and pixels are predicted as they are, as the contrasts of
an empty tubelet are noise; finetune, where 2,000 labelled clips are learned, from scratch without init_from.
"""

from ml_collections import ConfigDict

from configs import vivit_digits

VARIANTS = {"part": ("pretrain", "finetune")}
FRESH = ("head/.*", "reconstruction/.*", "norm/.*")


def get_config(part: str = "pretrain") -> ConfigDict:
    """The config of a part: see above."""
    config = vivit_digits.get_config("both", "joint")
    sizes = dict(width=64, depth=4, mlp_dim=256, heads=4, patch=4, tubelet=2)
    if part == "pretrain":
        config.data.eval_clips = 1
        config.model = ConfigDict(dict(name="video_mae", masked=0.75, decoder_depth=2, **sizes))
        config.task = ConfigDict(dict(name="reconstruct", normalised=False, inputs=("clip",)))
        config.optim.update(b2=0.95, weight_decay=0.05)
    else:
        config.model = ConfigDict(dict(name="vivit", head="gap", positions="sinusoid_1d", key_bias=False, **sizes))
        config.init_fresh = FRESH
        config.steps, config.data.train_examples = 1500, 2000
    return config
