"""Recurrent encoder-decoders that write sequences of numbers backwards, :gru+bahdanau and others.

    python train.py --config=configs/seq2seq_reverse.py:gru+bahdanau

Cells: rnn, lstm, gru. Attention: none, bahdanau, luong_dot, luong_general. Data, batches and steps are those of
configs/transformer_reverse.py; which number belongs to which is known, and so is where attention should be.
"""

from ml_collections import ConfigDict

from configs import transformer_reverse

VARIANTS = {
    "cell": ("rnn", "lstm", "gru"),
    "attention": ("none", "bahdanau", "luong_dot", "luong_general"),
}


def get_config(cell: str = "gru", attention: str = "bahdanau") -> ConfigDict:
    """The config of a cell and an attention: see above."""
    config = transformer_reverse.get_config()
    config.model = ConfigDict(
        dict(name="seq2seq", cell=cell, attention=attention, embedding_dim=64, hidden_dim=128, dropout=0.0)
    )
    return config
