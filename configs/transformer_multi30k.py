"""A small Transformer on Multi30k, German and English captions: de-en or en-de; `+tiny`: less than half its size.

    python train.py --config=configs/transformer_multi30k.py:de-en --config.data.name=FOLDER
    python train.py --config=configs/transformer_multi30k.py:en-de+tiny --config.data.name=FOLDER
    python evaluate.py --workdir=runs/transformer_multi30k-en-de+tiny --split=test --average=10 --config.task.beams=5

FOLDER holds train.de, train.en, validation.de, validation.en, test.de, test.en (or de.train.txt ...): 29,000 training
pairs, test being test_2016_flickr. 5.5M parameters, two CPU cores, 40 minutes to an hour. Batches are small because so
few pairs make few steps: at equal epochs, twice as many steps of half the tokens learn much more.

`tiny` is Transformer-tiny of 2105.14462, as github.com/LividWo/Revisit-MMT trains it: 2.6M parameters, all embeddings
tied, 8,000 steps of 4,096 tokens, the mean of the last 10 checkpoints, 5 beams. There en-de has 41.02 BLEU, tokenised
and without case. LayerNorm stands before each part here: after it, at this rate, training stays at 13 BLEU.
"""

from ml_collections import ConfigDict

from configs import base

TINY = {
    "epochs": None,
    "steps": 8000,
    "model.width": 128,
    "model.depth": 4,
    "model.mlp_dim": 256,
    "model.dropout": 0.3,
    "data.batch_tokens": 4096,
    "data.vocabulary_size": 10_000,
    "optim.learning_rate": 5e-3,
    "optim.warmup_steps": 2000,
    "optim.schedule": "rsqrt",
    "evaluation.every_steps": 2000,
    "checkpoint.every_steps": 200,  # two epochs
    "checkpoint.keep_last": 10,
}
VARIANTS = {"languages": ("de-en", "en-de"), "size": ("tiny",)}


def get_config(languages: str = "de-en", size: str = "") -> ConfigDict:
    """The config of a source and a target language, and a size: see above."""
    config = base.config(
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
    if size == "tiny":
        config.update_from_flattened_dict(TINY)
    return config
