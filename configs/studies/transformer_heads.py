"""How many heads of attention, at the same cost (1706.03762, table 3 A).

python study.py --study=configs/studies/transformer_heads.py:tiny    dates, offline, half an hour on two CPU cores
python study.py --study=configs/studies/transformer_heads.py --launch=slurm   WMT14 English-German, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

ROWS = {1: "A1", 4: "A4", 8: "base", 16: "A16", 32: "A32"}  # of table 3
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for the paper's own."""
    study = base.get_config(
        "Heads of attention", "1706.03762, table 3 A", "Are many small heads better than one large one?"
    )
    study.reported = (
        "newstest2013, perplexity and BLEU: 1 head 5.29, 24.9; 4 heads 5.00, 25.5; 8 heads 4.92, 25.8; 16 heads 4.91, "
        "25.8; 32 heads 5.01, 25.4."
    )
    if size:
        changes = ("steps=300", "optim.warmup_steps=60", "evaluation.every_steps=0", "evaluation.generate=never")
        study.runs = tuple(
            base.run(
                "configs/transformer_dates.py", f"model.heads={heads}", *changes, *base.ONE_CHECKPOINT, heads=heads
            )
            for heads in (1, 2, 4, 8, 16)
        )
        metric = "test/nll"
    else:
        study.runs = tuple(base.run(f"configs/transformer_wmt14.py:{row}", heads=heads) for heads, row in ROWS.items())
        metric = "validation/bleu"
    study.figures = (base.figure("comparison", variant="heads", metric=metric, better="min" if size else "max"),)
    return study
