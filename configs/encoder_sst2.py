"""A Transformer encoder that tells good reviews from bad ones, on GLUE's SST-2: --config=configs/encoder_sst2.py:mean

    python train.py --config=configs/encoder_sst2.py --config.data.data_dir=...

Trained from scratch on 67,349 phrases; the validation split has 872 sentences. Three ways to pool: `mean`, `token` (a
class token) and `last` (the last token).
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"pooling": ("mean", "token", "last")}


def get_config(pooling: str = "mean") -> ConfigDict:
    """The config of a variant: see above."""
    return base.config(
        epochs=4.0,
        model=dict(name="classifier", width=128, depth=2, mlp_dim=256, heads=4, dropout=0.3, pooling=pooling),
        task=dict(name="classify", inputs=("tokens",)),
        data=dict(kind="sentences", source="tfds", name="glue/sst2", batch_size=128),
        optim=dict(learning_rate=1e-3, warmup_steps=200, weight_decay=0.1),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/accuracy"),
    )
