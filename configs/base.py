"""What every config begins with.

A config says only what differs from the defaults, which stand with what reads each key; `train.py --help` lists all
keys.
"""

from ml_collections import ConfigDict

SECTIONS = ("model", "task", "data", "optim", "step", "parallel", "evaluation", "checkpoint", "log", "profile")


def config(**sections: object) -> ConfigDict:
    """A config of these sections and top-level keys; the other sections are empty, and so at their defaults."""
    return ConfigDict({section: {} for section in SECTIONS} | sections)


def grey() -> dict[str, tuple[float, ...]]:
    """config.data's normalisation to [-1, 1] for images of one channel."""
    return {"mean": (0.5,), "std": (0.5,)}
