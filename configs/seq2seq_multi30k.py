"""Recurrent encoder-decoders on Multi30k: --config=configs/seq2seq_multi30k.py:gru+bahdanau (rnn, lstm or gru; none, bahdanau, luong_dot or luong_general)

    python train.py --config=configs/seq2seq_multi30k.py:gru+bahdanau --config.data.name=FOLDER

German to English, with the data and tokenizer of configs/transformer_multi30k.py. FOLDER is as described there; other
languages by --config.data.languages. The same batches, steps and rate for all of them, so that models are compared.
"""

from ml_collections import ConfigDict

from configs import base, debug, transformer_multi30k


def get_config(variant: str = "gru+bahdanau") -> ConfigDict:
    config = transformer_multi30k.get_config("de-en")
    cell, _, attention = variant.split(":")[0].partition("+")
    config.model = base.seq2seq(cell, attention)
    config.epochs = 10.0
    config.model.update(embedding_dim=256, hidden_dim=256, dropout=0.3)
    config.task.label_smoothing = 0.1
    config.data.batch_tokens = 2048
    config.optim.update(learning_rate=2e-3, warmup_steps=400)
    config.evaluation.every_steps = 550
    config.checkpoint.update(every_steps=275, keep_last=5)
    return debug.shrink(config, variant)
