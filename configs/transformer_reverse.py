"""A Transformer that writes sequences of up to 25 numbers backwards: offline, a few minutes on two cores.

    python train.py --config=configs/transformer_reverse.py

The data are JoeyNMT's reverse task: "3 17 4" -> "4 17 3", numbers below 50; test sequences occur nowhere in training.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "") -> ConfigDict:
    config = base.get_config()
    config.epochs = 10.0
    config.model = base.transformer()
    config.model.update(width=96, depth=2, mlp_dim=192, heads=4, norm="pre", dropout=0.0)
    config.task = base.translate()
    config.task.update(beams=1, extra_length=5, label_smoothing=0.0)
    config.data = base.pairs("reverse", "", ("numbers", "reversed"), batch_tokens=4096)
    config.data.update(tokenizer="word", vocabulary_size=100, max_length=32, buckets=3)
    config.optim.update(learning_rate=3e-3, warmup_steps=200, b2=0.98)
    config.evaluation.every_steps = 500
    config.checkpoint.update(every_steps=500, keep_last=5)
    return debug.shrink(config, variant)
