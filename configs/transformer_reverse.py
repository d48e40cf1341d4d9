"""A Transformer that writes sequences of up to 25 numbers backwards: offline, a few minutes on two cores.

    python train.py --config=configs/transformer_reverse.py

The data are JoeyNMT's reverse task: "3 17 4" -> "4 17 3", numbers below 50; test sequences occur nowhere in training.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=10.0,
        model=dict(name="transformer", width=96, depth=2, mlp_dim=192, heads=4, norm="pre", dropout=0.0),
        task=dict(name="translate", beams=1, extra_length=5, label_smoothing=0.0),
        data=dict(
            kind="pairs",
            source="reverse",
            name="",
            languages=("numbers", "reversed"),
            batch_tokens=4096,
            tokenizer="word",
            vocabulary_size=100,
            max_length=32,
            buckets=3,
        ),
        optim=dict(learning_rate=3e-3, warmup_steps=200, b2=0.98),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_last=5),
    )
