"""How far recurrent models remember, by the bias of their gates and how their recurrent kernels begin.

    python study.py --study=configs/studies/recall_gates.py:tiny    32 and 128 symbols, 15 minutes on two CPU cores
    python study.py --study=configs/studies/recall_gates.py         to 1024 symbols

The task is first-token recall (data/text/recall.py), with the recipe of configs/recall.py.
"""

from ml_collections import ConfigDict

from configs.studies import base

LENGTHS = {"tiny": (32, 128), "": (32, 128, 512, 1024)}
BIASES = (0.0, 1.0, 4.0)
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", or "" for longer sentences."""
    study = base.get_config(
        "Gates and kernels of recurrent models",
        "the usual explanation of LSTM and GRU",
        "Is what a recurrent model finds a property of its cell, or of how it begins?",
    )
    study.reported = (
        "A forget gate that begins open lets an LSTM learn longer dependencies (Gers et al., 2000; Jozefowicz et al., "
        "2015)."
    )
    models = {f"{cell} {bias:g}": (cell, f"model.gate_bias={bias}") for cell in ("lstm", "gru") for bias in BIASES} | {
        f"rnn {init}": ("rnn", f"model.recurrent_init={init}") for init in ("orthogonal", "xavier")
    }
    study.runs = tuple(
        base.run(f"configs/recall.py:{cell}+{length}", change, *base.ONE_CHECKPOINT, model=name, length=length)
        for length in LENGTHS[size]
        for name, (cell, change) in models.items()
    )
    study.figures = (base.figure("comparison", variant="length", series="model", metric="test/accuracy"),)
    return study
