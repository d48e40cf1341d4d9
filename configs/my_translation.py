"""Your own parallel text: what the config leaves open follows from it and from the machine.

    python train.py --config=configs/my_translation.py --config.data.name=train.de,train.en

Two files, line by line; a table FILE.tsv or FILE.csv of two columns; or a folder with train.de, train.en, val.de ...
The first is the source; --config.data.languages="('en','de')" turns a folder or a table round. A run says what it
chose. With --config.init_from=WORKDIR_OR_FOLDER it is fine-tuned.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    text = base.open_keys("source", "languages", "train_split", "eval_splits", "batch_tokens", "max_length")
    return base.config(
        recipe="pairs",
        epochs=None,
        model=dict(name="transformer", **base.open_keys("norm", "width", "depth", "mlp_dim", "heads", "dropout")),
        task=dict(name="translate", **base.open_keys("start")),
        data=dict(kind="pairs", **text, **base.open_keys("tokenizer", "vocabulary_size", "buckets")),
        optim=dict(b2=0.98, **base.open_keys("learning_rate", "warmup_steps")),
        **base.open_calendar(),
    )
