"""TimeSformer (2102.05095) on digits that move, offline: what is asked is where to, which digit, or both.

    python train.py --config=configs/timesformer_digits.py:direction+divided

Here all 8 frames are seen, by patches of 8x8. ASKED: direction, digit or both; ATTENTION: divided (in time, then in
space, within every layer), joint (of all patches of the clip to all), or space (of each frame alone, which cannot tell
a direction from its reverse).
"""

from ml_collections import ConfigDict

from configs import vivit_digits

VARIANTS = {"asked": vivit_digits.VARIANTS["asked"], "attention": ("divided", "joint", "space")}


def get_config(asked: str = "both", attention: str = "divided") -> ConfigDict:
    """The config of what is asked and of an attention: see above."""
    config = vivit_digits.get_config(asked)
    sizes = dict(width=64, depth=4, mlp_dim=256, heads=4, patch=8)
    config.model = ConfigDict(dict(name="timesformer", attention=attention, **sizes))
    config.data.update(frames=8, stride=1, eval_clips=1)
    return config
