"""A small Transformer on Multi30k, German and English captions: --config=configs/transformer_multi30k.py:de-en (or en-de)

    python train.py --config=configs/transformer_multi30k.py:de-en --config.data.name=FOLDER
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "de-en") -> ConfigDict:
    config = base.get_config()
    source, target = variant.split(":")[0].split("-")
    config.epochs = 16.0
    config.model = base.transformer()
    config.model.update(width=256, depth=3, mlp_dim=512, heads=4, norm="pre", dropout=0.3)
    config.task = base.translate()
    config.data = base.pairs("files", "multi30k", (source, target), batch_tokens=2048)
    config.data.update(vocabulary_size=6000, max_length=64)
    config.data.update(eval_splits=("validation",), buckets=5)
    config.optim.update(learning_rate=1.2e-3, warmup_steps=500, b2=0.98, schedule="cosine")
    config.evaluation.every_steps = 550
    config.checkpoint.update(every_steps=275, keep_last=5)
    return base.shrink(config, variant)
