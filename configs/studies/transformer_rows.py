"""What the sizes and the regularisation of a Transformer are worth, one change at a time (1706.03762, table 3 B to E).

python study.py --study=configs/studies/transformer_rows.py:tiny    dates, offline, 75 minutes on two CPU cores
python study.py --study=configs/studies/transformer_rows.py --launch=slurm   WMT14 English-German, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

# Around a width of 96, 2 + 2 layers of 4 heads, MLPs of 192, dropout 0.1, label smoothing 0.1, sinusoids.
TINY: dict[str, tuple[str, ...]] = {
    "base": (),
    "head size 6": ("model.head_dim=6", "model.value_dim=24"),
    "depth 1": ("model.depth=1",),
    "depth 4": ("model.depth=4",),
    "width 48": ("model.width=48",),
    "width 192": ("model.width=192",),
    "MLP 96": ("model.mlp_dim=96",),
    "MLP 384": ("model.mlp_dim=384",),
    "dropout 0": ("model.dropout=0.0",),
    # Dropout is against overfitting: in 300 steps all pairs are seen 1.4 times, 500 of them 110 times.
    "500 pairs": ("data.train_split=train[:500]",),
    "dropout 0, 500 pairs": ("data.train_split=train[:500]", "model.dropout=0.0"),
    "learned positions": ("model.positions=learned",),
}
REAL = {
    "base": "base",
    "head size 16": "B16",
    "head size 32": "B32",
    "depth 2": "C2",
    "depth 4": "C4",
    "depth 8": "C8",
    "width 256": "C256",
    "width 1024": "C1024",
    "MLP 1024": "C1024ff",
    "MLP 4096": "C4096ff",
    "dropout 0": "D0",
    "dropout 0.2": "D2",
    "smoothing 0": "D0smooth",
    "smoothing 0.2": "D2smooth",
    "learned positions": "E",
}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Sizes and regularisation of a Transformer",
        "1706.03762, table 3 B to E",
        "What does each change of the base model do to perplexity?",
    )
    study.reported = (
        "newstest2013, perplexity and BLEU: base 4.92, 25.8; head size 16 5.16, 25.1; 32 5.01, 25.4; depth 2 6.11, "
        "23.7; 4 5.19, 25.3; 8 4.88, 25.5; width 256 5.75, 24.5; 1024 4.66, 26.0; MLP 1024 5.12, 25.4; 4096 4.75, "
        "26.2; dropout 0 5.77, 24.6; 0.2 4.95, 25.5; label smoothing 0 4.67, 25.3; 0.2 5.47, 25.7; learned positions "
        "4.92, 25.7."
    )
    if size:
        short = ("steps=300", "optim.warmup_steps=60", "evaluation.every_steps=0", "evaluation.generate=never")
        study.runs = tuple(
            base.run("configs/transformer_dates.py", *changes, *short, *base.ONE_CHECKPOINT, row=row)
            for row, changes in TINY.items()
        )
    else:
        study.runs = tuple(base.run(f"configs/transformer_wmt14.py:{name}", row=row) for row, name in REAL.items())
    study.figures = (
        base.figure("comparison", variant="row", metric="test/nll" if size else "validation/nll", better="min"),
    )
    return study
