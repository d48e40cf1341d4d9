"""Which was the first of so many symbols? Attention against recurrence, offline: MODEL[+LENGTH].

    python train.py --config=configs/recall.py:lstm+64

MODEL: transformer, rnn, lstm or gru, each of about 18,000 parameters; LENGTH: symbols of a sentence, 32 if it is left
out. All models and lengths have one recipe: 600 steps of 32 of the 20,000 sentences, Adam at 2e-3, gradients clipped at
norm 1; recurrent kernels begin orthogonal, and gates with a bias of 1: with 0, an LSTM and a GRU of twice the width had
learned nothing at 32 symbols after 1500 steps of 64. About half a minute on one CPU core at 32 symbols. Test
accuracies: results/attention_recurrence/report.md.
"""

from ml_collections import ConfigDict

from configs import base

HIDDEN = {"rnn": 112, "lstm": 52, "gru": 60}  # for as many parameters as the Transformer has
VARIANTS = {"model": ("transformer", *HIDDEN), "length": range(1, 2**16)}


def get_config(model: str = "transformer", length: int = 32) -> ConfigDict:
    """The config of a model and a length: see above."""
    transformer = dict(
        name="classifier",
        width=32,
        depth=2,
        mlp_dim=64,
        heads=4,
        pooling="token",
        dropout=0.0,
        max_length=length + 1,
    )
    recurrent = dict(
        name="recurrent", cell=model, embedding_dim=32, hidden_dim=HIDDEN.get(model), gate_bias=1.0, dropout=0.0
    )
    return base.config(
        steps=600,
        model=transformer if model == "transformer" else recurrent,
        task=dict(name="classify", inputs=("tokens",)),
        data=dict(
            kind="sentences",
            source="recall",
            name=f"8,{length}",
            batch_size=32,
            eval_batch_size=250,
            eval_splits=("test",),
            tokenizer="word",
            vocabulary_size=100,
            max_length=length + 1,
            buckets=1,
        ),
        optim=dict(learning_rate=2e-3, warmup_steps=60),
        evaluation=dict(every_steps=200),
        checkpoint=dict(every_steps=300),
    )
