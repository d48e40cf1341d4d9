"""A Transformer that writes dates of thirty languages as ISO 8601: offline, a few minutes on two cores.

    python train.py --config=configs/transformer_dates.py

"Freitag, 7. März 2025" -> "2025-03-07", character by character. The dates are written with Babel's CLDR data; those of
the test split occur nowhere in training. Exact match is what counts.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "") -> ConfigDict:
    config = base.get_config()
    config.epochs = 4.0
    config.model = base.transformer()
    config.model.update(width=96, depth=2, mlp_dim=192, heads=4, norm="pre")
    config.task = base.translate()
    config.task.update(beams=1, extra_length=10)
    config.data = base.pairs("dates", "", ("date", "iso"), batch_tokens=4096)
    config.data.update(tokenizer="char", vocabulary_size=512, max_length=64, buckets=3)
    config.optim.update(learning_rate=3e-3, warmup_steps=200, b2=0.98)
    config.evaluation.every_steps = 400
    config.checkpoint.update(every_steps=500, keep_last=5)
    return debug.shrink(config, variant)
