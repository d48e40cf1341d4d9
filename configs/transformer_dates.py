"""A Transformer that writes dates of thirty languages as ISO 8601: offline, a few minutes on two cores.

    python train.py --config=configs/transformer_dates.py

"Freitag, 7. März 2025" -> "2025-03-07", character by character. The dates are written with Babel's CLDR data; those of
the test split occur nowhere in training. The metric is exact match.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=4.0,
        model=dict(name="transformer", width=96, depth=2, mlp_dim=192, heads=4, norm="pre"),
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
        checkpoint=dict(every_steps=150, keep_last=5),
    )
