"""T5's span corruption on the source code of Python's own standard library: offline, on any machine.

    python train.py --config=configs/t5_pretrain.py
    python predict.py --workdir=runs/t5_pretrain "for i in range(<extra_id_0>):<extra_id_1>print(i)"

2 + 2 layers of width 128 that see 128 subwords. 15 % of them are hidden, in spans of three on average, as in the
paper. Version 1.1: it is pre-trained without dropout.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The config."""
    return base.config(
        steps=3000,
        model=dict(name="t5", version="1.1", width=128, depth=2, mlp_dim=256, heads=4, head_dim=32, dropout=0.0),
        task=dict(name="span_corruption", length=64),
        data=dict(
            kind="spans",
            source="python",
            name="",
            tokenizer="bpe",
            vocabulary_size=2048,
            sentinels=16,
            length=141,  # inputs of 128 tokens, targets of 29
            batch_size=16,
        ),
        optim=dict(learning_rate=2e-3, end_learning_rate=2e-4, warmup_steps=200),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/loss", keep_best_mode="min"),
    )
