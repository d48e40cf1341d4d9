"""Recurrent encoder-decoders on Multi30k: --config=configs/seq2seq_multi30k.py:gru+bahdanau

    python train.py --config=configs/seq2seq_multi30k.py:gru+bahdanau --config.data.name=FOLDER

Cells: rnn, lstm, gru. Attention: none, bahdanau, luong_dot, luong_general. German to English, with the data and
tokenizer of configs/transformer_multi30k.py. FOLDER is as described there; other languages by --config.data.languages.
All have the same batches, steps and rate, so that models are compared.
"""

from ml_collections import ConfigDict

from configs import transformer_multi30k

VARIANTS = {
    "cell": ("rnn", "lstm", "gru"),
    "attention": ("none", "bahdanau", "luong_dot", "luong_general"),
}


def get_config(cell: str = "gru", attention: str = "bahdanau") -> ConfigDict:
    """The config of a cell and an attention: see above."""
    config = transformer_multi30k.get_config("de-en")
    config.epochs = 10.0
    config.model = ConfigDict(
        dict(name="seq2seq", cell=cell, attention=attention, embedding_dim=256, hidden_dim=256, dropout=0.3)
    )
    config.data.batch_tokens = 2048
    config.optim.update(learning_rate=2e-3, warmup_steps=400)
    config.evaluation.every_steps = 550
    config.checkpoint.update(every_steps=275, keep_last=5)
    return config
