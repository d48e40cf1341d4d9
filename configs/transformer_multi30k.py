"""A small Transformer on Multi30k, German and English captions: de-en or en-de.

    python train.py --config=configs/transformer_multi30k.py:de-en --config.data.name=FOLDER

FOLDER holds train.de, train.en, validation.de, validation.en, test.de, test.en (or de.train.txt ...): 29,000 training
pairs, test being test_2016_flickr. 5.5M parameters, two CPU cores, 40 minutes to an hour. Batches are small because so
few pairs make few steps: at equal epochs, twice as many steps of half the tokens learn much more.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"languages": ("de-en", "en-de")}


def get_config(languages: str = "de-en") -> ConfigDict:
    """The config of a source and a target language: see above."""
    return base.config(
        epochs=12.0,
        model=dict(name="transformer", width=256, depth=3, mlp_dim=512, heads=4, norm="pre", dropout=0.2),
        task=dict(name="translate"),
        data=dict(
            kind="pairs",
            source="files",
            name="multi30k",
            languages=tuple(languages.split("-")),
            batch_tokens=1024,
            eval_splits=("validation",),
            vocabulary_size=6000,
            max_length=64,
            buckets=5,
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=800, b2=0.98),
        evaluation=dict(every_steps=1134),  # two epochs
        checkpoint=dict(every_steps=567, keep_last=5),
    )
