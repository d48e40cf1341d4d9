"""Your own text, for a GPT: what the config leaves open follows from it and from the machine.

    python train.py --config=configs/my_text.py --config.data.name=FILE.txt

A file, a folder of .txt files (its train.txt and validation.txt, if it has them), or a glob, "notes/**/*.md". A run
says what it chose. The tokens of a window of text (data.length) follow from the text's length, the machine and the
model's max_length, and no token sees farther back than that (model.window). With
--config.init_from=WORKDIR_OR_FOLDER it is trained further: GPT-2.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    open_model = base.open_keys("width", "depth", "heads", "max_length", "dropout", "positions", "window")
    form = base.open_keys("use_bias", "qk_norm", "norm_kind", "activation")
    return base.config(
        recipe="documents",
        epochs=None,
        model=dict(name="gpt", **open_model, **form),
        task=dict(name="language_model"),
        data=dict(
            kind="documents",
            source="files",
            **base.open_keys("train_split", "eval_splits", "tokenizer", "vocabulary_size", "length", "batch_size"),
        ),
        optim=dict(b2=0.99, weight_decay=0.1, **base.open_keys("learning_rate", "warmup_steps")),
        **base.open_calendar(),
    )
