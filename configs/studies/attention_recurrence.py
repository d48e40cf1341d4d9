"""Attention against recurrence as sentences grow: time, memory, reach of gradients, accuracy (1706.03762, table 1).

    python study.py --study=configs/studies/attention_recurrence.py:tiny    offline, half an hour on two CPU cores
    python study.py --study=configs/studies/attention_recurrence.py:cpu     lengths to 512, 80 minutes on one CPU core
    python study.py --study=configs/studies/attention_recurrence.py --launch=slurm   lengths to 4096, accelerators

The task is first-token recall (data/text/recall.py): the class of a sentence is its first symbol.
"""

from ml_collections import ConfigDict

from configs.studies import base

REPORTED = """\
| layer | operations | sequential operations | longest path |
| --- | --- | --- | --- |
| self-attention | n² d | 1 | 1 |
| recurrent | n d² | n | n |

A gradient has to pass the path: the shorter it is, the easier a dependency is to learn. Sequential operations cannot be
computed at once, however many units a device has."""
MODELS = {"attention": "transformer", "RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
LENGTHS = {"tiny": (16, 32, 64), "cpu": (16, 32, 64, 128, 256, 512), "": (16, 64, 256, 1024, 4096)}
VARIANTS = {"size": ("tiny", "cpu")}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", "cpu" or "" for the paper's own."""
    study = base.get_config(
        "Attention against recurrence",
        "1706.03762, table 1 and section 4",
        "How do a step's time and memory, the reach of its gradients and the accuracy change as sentences grow?",
    )
    study.reported = REPORTED
    study.after = ("visualize.py gradients",)
    study.runs = tuple(
        base.run(f"configs/recall.py:{model}+{length}", *base.ONE_CHECKPOINT, model=name, length=length)
        for length in LENGTHS[size]
        for name, model in MODELS.items()
    )
    study.figures = (
        base.figure(
            "lengths",
            x="length",
            series="model",
            metrics=("step_seconds", "step_memory_gb", "test/accuracy", "gradients/first_over_last"),
            growth=("step_seconds", "step_memory_gb"),
            logarithmic=("gradients/first_over_last",),
            least=64,
        ),
    )
    return study
