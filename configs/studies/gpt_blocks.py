"""What each part of later models is worth to a GPT, by the loss on Tiny Shakespeare's validation text.

python study.py --study=configs/studies/gpt_blocks.py:tiny --config.data.data_dir=DIR    two CPU cores, 33 runs, an hour
python study.py --study=configs/studies/gpt_blocks.py --config.data.data_dir=DIR        nanoGPT's size for a GPU
"""

from ml_collections import ConfigDict

from configs.studies import base

VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", 0.8M parameters that see 64 characters, or "", 10.7M that see 256."""
    study = base.get_config(
        "Parts of later GPTs",
        "2104.09864, 2108.12409, 1910.07467, 2002.05202, 2302.05442, 2305.13245, 2004.05150, 2408.00118",
        "What is each part of later decoder-only models worth alone, and what all of gpt_modern.py together?",
    )
    study.reported = "Each paper reports its own part at a larger size, and none all of them side by side."
    variant = ":cpu" if size else ""
    study.runs = (
        *(
            base.run(f"configs/gpt_shakespeare.py{variant}", *changes, *base.ONE_CHECKPOINT, part=part)
            for part, changes in parts(*((4, 64) if size else (6, 256))).items()
        ),
        base.run(f"configs/gpt_modern.py{variant}", *base.ONE_CHECKPOINT, part="gpt_modern.py"),
    )
    study.select, study.select_mode = "validation/loss", "min"
    study.figures = (base.figure("comparison", variant="part", metric="validation/loss", better="min"),)
    return study


def parts(heads: int, length: int) -> dict[str, tuple[str, ...]]:
    """What is changed of a GPT-2 without biases, which has learned positions, LayerNorm, GELU, as many heads of keys as
    of queries. heads, length: of that one."""
    return {
        "base": (),
        "no positions": ("model.positions=none",),
        "rotary positions": ("model.positions=rotary",),
        "ALiBi": ("model.positions=alibi",),
        "RMSNorm": ("model.norm_kind=rms",),
        "SwiGLU": ("model.activation=swiglu",),
        "QK-norm": ("model.qk_norm=True",),
        "half the heads of keys and values": (f"model.kv_heads={heads // 2}",),
        "window of half the length": (f"model.window={length // 2}",),
        "soft caps": ("model.attention_cap=50.0", "model.output_cap=30.0"),
    }
