"""A class token or the mean of the tokens, as sentences grow.

python study.py --study=configs/studies/pooling_length.py:tiny    to 256 symbols, offline, 15 minutes on two CPU cores
python study.py --study=configs/studies/pooling_length.py --launch=slurm   to 4096, accelerators

The task is first-token recall (data/text/recall.py): what decides is one token of the sentence, the others must be
ignored.
"""

from ml_collections import ConfigDict

from configs.studies import base

LENGTHS = {"tiny": (16, 64, 256), "": (16, 64, 256, 1024, 4096)}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for longer sentences."""
    study = base.get_config(
        "Class token and mean of tokens by length",
        "the usual explanation of 1810.04805's class token",
        "Does a class token find one token among many where the mean of all tokens no longer does?",
    )
    study.reported = (
        "1810.04805 reads a class token. 2010.11929, figure 9, finds it equal to the mean of 196 patches of an image, "
        "each at its own rate. Neither compares them by length."
    )
    study.runs = tuple(
        base.run(
            f"configs/recall.py:transformer+{length}",
            *(f"model.pooling={pooling}", "evaluation.every_steps=0", *base.ONE_CHECKPOINT),
            pooling=pooling,
            length=length,
        )
        for length in LENGTHS[size]
        for pooling in ("token", "mean")
    )
    study.figures = (base.figure("comparison", variant="length", series="pooling", metric="test/accuracy"),)
    return study
