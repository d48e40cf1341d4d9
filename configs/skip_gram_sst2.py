"""Word vectors by skip-gram with negative sampling (word2vec), from the phrases of GLUE's SST-2.

    python train.py --config=configs/skip_gram_sst2.py --config.data.data_dir=...
    python predict.py --workdir=runs/skip_gram_sst2 --top=8 funny boring

predict.py names the nearest words. To begin another model with these vectors: results/word_vectors.py.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        epochs=10.0,
        model=dict(name="skip_gram", width=128),
        task=dict(name="skip_gram"),
        data=dict(
            kind="sentences", source="tfds", name="glue/sst2", tokenizer="word", vocabulary_size=15000, batch_size=128
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=100),
        evaluation=dict(every_steps=0),
        checkpoint=dict(every_steps=1000),
    )
