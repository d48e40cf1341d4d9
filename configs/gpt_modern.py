"""GPT with the parts of later models, on the data and at the size of gpt_shakespeare.py: the same compute, less loss.

    python train.py --config=configs/gpt_modern.py:cpu --config.data.data_dir=FOLDER_OF_TFDS
    python predict.py --workdir=runs/gpt_modern-cpu "ROMEO:"

Rotary positions for learned ones, RMSNorm for LayerNorm, SwiGLU for GELU (8/3 as wide, so that an MLP has the same
number of parameters), and normalised queries and keys. Other parts, as in gpt_modern.py:cpu+windowed or gpu+alibi:

    windowed    half as many heads of keys and values, so that decoding keeps less; each token sees half the length;
                soft caps as in Gemma 2
    alibi       scores fall with the distance, in the place of rotary positions: texts may be longer than trained
"""

from ml_collections import ConfigDict

from configs import gpt_shakespeare

MODERN = {
    "positions": "rotary",
    "norm_kind": "rms",
    "activation": "swiglu",
    "qk_norm": True,
}
VARIANTS = {"size": ("gpu", "cpu"), "parts": ("windowed", "alibi")}


def get_config(size: str = "gpu", parts: str = "") -> ConfigDict:
    """The config of a size, see gpt_shakespeare.py, with other parts, see above."""
    config = gpt_shakespeare.get_config(size)
    model = config.model
    model.update(MODERN)
    if parts == "windowed":
        model.update(kv_heads=model.heads // 2, window=model.max_length // 2, attention_cap=50.0, output_cap=30.0)
    elif parts == "alibi":
        model.positions = "alibi"
    return config
