"""T5's span corruption on the source code of Python's own standard library: offline, on any machine.

    python train.py --config=configs/t5_pretrain.py
    python predict.py --workdir=runs/t5_pretrain "for i in range(<extra_id_0>):<extra_id_1>print(i)"

2 + 2 layers of width 128, version 1.1: it is pre-trained without dropout. What differs from the paper is for a decoder
that uses its encoder after minutes:

  Rates are relative to a matrix's size, by Adam (2309.02373, nanoT5). Without, queries, which begin six times as small
  as other matrices, and embeddings, eleven times as large, have no rate in common; the decoder stays a language model.
  Windows of 64 subwords: a sentinel is found among few tokens, and even the mean of them tells what a text is about.
  30 % of them are hidden, as mBART has it (2001.08210), and not 15 %: more to learn from each window.
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
            length=64,  # inputs of 52 tokens, targets of 26
            hidden=0.3,
            batch_size=32,
        ),
        optim=dict(
            multiply_by_parameter_scale=True,
            b2=0.98,
            learning_rate=2e-2,
            end_learning_rate=2e-3,
            warmup_steps=300,
        ),
        evaluation=dict(every_steps=500),
        checkpoint=dict(every_steps=500, keep_best="validation/loss", keep_best_mode="min"),
    )
