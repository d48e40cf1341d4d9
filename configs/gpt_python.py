"""GPT on the source code of Python's own standard library: offline, on any machine.

    python train.py --config=configs/gpt_python.py
    python predict.py --workdir=runs/gpt_python "def main("

4 layers of width 128 that see 128 subwords. A hash of a file's name decides whether it is for training, validation or
the test. A window may hold the end of one file and the beginning of another, which do not see each other.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=2000,
        model=dict(name="gpt", width=128, depth=4, heads=4, max_length=128, use_bias=False, dropout=0.0),
        task=dict(name="language_model", length=120),
        data=dict(
            kind="documents",
            source="python",
            name="",
            tokenizer="bpe",
            vocabulary_size=2048,
            length=128,
            batch_size=16,
            document_mask=True,
        ),
        optim=dict(learning_rate=1e-3, end_learning_rate=1e-4, warmup_steps=100, b2=0.99, weight_decay=0.1),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/loss", keep_best_mode="min"),
    )
