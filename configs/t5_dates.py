"""A small T5 that writes dates of thirty languages as ISO 8601: offline, a few minutes on two cores.

    python train.py --config=configs/t5_dates.py

The task, data and size of transformer_dates.py, with T5 v1.1's form: distances in place of positions, RMSNorm, gated
MLPs, no biases.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=4.0,
        model=dict(name="t5", version="1.1", width=96, depth=2, mlp_dim=128, heads=4, head_dim=24, dropout=0.0),
        task=dict(name="translate", beams=1, extra_length=10),
        data=dict(
            kind="pairs",
            source="dates",
            name="",
            languages=("date", "iso"),
            batch_tokens=4096,
            tokenizer="char",
            vocabulary_size=512,
            max_length=64,
            buckets=3,
        ),
        optim=dict(learning_rate=3e-3, warmup_steps=200, b2=0.98),
        evaluation=dict(every_steps=400),
        checkpoint=dict(every_steps=500, keep_last=5),
    )
