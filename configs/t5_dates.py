"""A small T5 that writes dates of thirty languages as ISO 8601: offline, a few minutes on two cores.

    python train.py --config=configs/t5_dates.py

The task, data and size of transformer_dates.py, with T5 v1.1's form: distances in place of positions, RMSNorm, gated
MLPs, no biases.
"""

from ml_collections import ConfigDict

from configs import transformer_dates


def get_config() -> ConfigDict:
    """The config."""
    config = transformer_dates.get_config()
    config.model = ConfigDict(
        dict(name="t5", version="1.1", width=96, depth=2, mlp_dim=128, heads=4, head_dim=24, dropout=0.0)
    )
    return config
