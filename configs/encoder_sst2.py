"""A Transformer encoder that tells good reviews from bad ones, on GLUE's SST-2: --config=configs/encoder_sst2.py:mean (or token)

    python train.py --config=configs/encoder_sst2.py --config.data.data_dir=...

Trained from scratch on 67,349 phrases; the validation split has 872 sentences. mean and token are two ways to pool.
"""

from ml_collections import ConfigDict

from configs import base, debug


def get_config(variant: str = "mean") -> ConfigDict:
    config = base.get_config()
    config.epochs = 4.0
    config.model = base.classifier()
    config.model.update(width=128, depth=2, mlp_dim=256, heads=4, dropout=0.3, pooling=variant.split(":")[0])
    config.task = base.classify()
    config.task.inputs = ("tokens",)
    config.data = base.sentences("tfds", "glue/sst2", batch_size=128)
    config.optim.update(learning_rate=1e-3, warmup_steps=200, weight_decay=0.1)
    config.evaluation.every_steps = 500
    config.checkpoint.update(every_steps=500, keep_best="validation/accuracy")
    return debug.shrink(config, variant)
