"""GPT with the parts of later models, on the data and at the size of gpt_shakespeare.py: the same compute, less loss.

    python train.py --config=configs/gpt_modern.py:cpu --config.data.data_dir=FOLDER_OF_TFDS
    python predict.py --workdir=runs/gpt_modern-cpu "ROMEO:"

Rotary positions for learned ones, RMSNorm for LayerNorm, SwiGLU for GELU (8/3 as wide, so that an MLP has the same
number of parameters), and normalised queries and keys.
"""

from ml_collections import ConfigDict

from configs import gpt_shakespeare

MODERN = {
    "positions": "rotary",
    "norm_kind": "rms",
    "activation": "swiglu",
    "qk_norm": True,
}
VARIANTS = gpt_shakespeare.VARIANTS


def get_config(size: str = "") -> ConfigDict:
    """The config of a size: see gpt_shakespeare.py."""
    config = gpt_shakespeare.get_config(size)
    config.model.update(MODERN)
    return config
