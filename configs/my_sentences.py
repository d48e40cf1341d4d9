"""Your own sentences with classes: what the config leaves open follows from them and from the machine.

    python train.py --config=configs/my_sentences.py --config.data.name=FILE_OR_FOLDER

A table FILE.csv or FILE.tsv with columns text and label; a folder with train.csv and val.csv; or a folder for each
class, with .txt files. Labels that are numbers to be learned as such: --config.data.numbers=True
--config.task.name=regress. A run says what it chose. With --config.init_from=WORKDIR_OR_FOLDER it is fine-tuned: BERT.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    text = base.open_keys("source", "train_split", "eval_splits", "batch_size", "max_length", "begin")
    return base.config(
        recipe="sentences",
        epochs=None,
        init_fresh=("head/.*", "pooler/.*", "words.*", "following/.*"),
        model=dict(name="classifier", **base.open_keys("width", "depth", "mlp_dim", "heads", "dropout")),
        task=dict(name="classify", inputs=("tokens",)),
        data=dict(kind="sentences", **text, **base.open_keys("tokenizer", "vocabulary_size", "buckets")),
        optim=dict(weight_decay=0.1, **base.open_keys("learning_rate", "warmup_steps")),
        **base.open_calendar(),
    )
