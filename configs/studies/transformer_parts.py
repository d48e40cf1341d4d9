"""What a Transformer is without one of its parts, by exact match of the sequences it writes backwards.

python study.py --study=configs/studies/transformer_parts.py:tiny    offline, 39 runs, two hours on two CPU cores
python study.py --study=configs/studies/transformer_parts.py         the whole recipe of configs/transformer_reverse.py
"""

from ml_collections import ConfigDict

from configs.studies import base

# Around pre-LN, 2 + 2 layers of width 96 with 4 heads, sinusoids.
PARTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "no positions": ("model.positions=none",),
    "learned positions": ("model.positions=learned",),
    "rotary positions": ("model.positions=rotary",),
    "relative positions": ("model.positions=relative",),
    "no causal mask": ("model.causal=False",),
    "no residuals": ("model.residual=False",),
    "no LayerNorm": ("model.norm=none",),
    "post-LN": ("model.norm=post",),
    "one head": ("model.heads=1",),
    "one head, no scale": ("model.heads=1", "model.scale=False"),
    "6 layers": ("model.depth=6",),
    "6 layers, post-LN": ("model.depth=6", "model.norm=post"),
    "6 layers, no residuals": ("model.depth=6", "model.residual=False"),
    "6 layers, no LayerNorm": ("model.depth=6", "model.norm=none"),
}
LESS = ("no residuals", "no LayerNorm")  # that "tiny" has of 6 layers alone
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", sequences of up to 15 numbers and three epochs, or "" for 25 numbers and ten."""
    study = base.get_config(
        "Parts of a Transformer",
        "1706.03762, section 3",
        "What does a Transformer learn without one of its parts?",
    )
    study.reported = (
        "The paper has no such table. It says why each part is there: positions, since attention has no order; the "
        "mask, since no output may depend on later ones; the scale against saturated softmaxes."
    )
    # Half the tokens of shorter sequences: about as many of them in a batch, and as many steps.
    fewer = (
        "data.name=50,15",
        "data.max_length=18",
        "data.batch_tokens=2048",
        "epochs=3.0",
        "evaluation.every_steps=0",
    )
    study.runs = tuple(
        base.run("configs/transformer_reverse.py", *changes, *(fewer if size else ()), *base.ONE_CHECKPOINT, part=part)
        for part, changes in PARTS.items()
        if not size or part not in LESS
    )
    study.figures = (base.figure("comparison", variant="part", metric="test/exact_match"),)
    return study
