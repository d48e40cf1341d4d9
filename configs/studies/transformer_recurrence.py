"""A Transformer against recurrent models at an equal budget: Multi30k, German to English (1706.03762, table 2).

    python study.py --study=configs/studies/transformer_recurrence.py:tiny --config.data.name=FOLDER
    python study.py --study=configs/studies/transformer_recurrence.py --config.data.name=FOLDER

Three epochs, some hours on two CPU cores; or ten. FOLDER is as configs/transformer_multi30k.py describes it. All models
see the same batches for as many steps, have about five million parameters, and are tried with the same rates and
dropouts: what counts is each one's best on the validation split.
"""

from ml_collections import ConfigDict

from configs.studies import base

MODELS = {
    "Transformer": "configs/transformer_multi30k.py:de-en",
    "GRU, Bahdanau": "configs/seq2seq_multi30k.py:gru+bahdanau",
    "GRU": "configs/seq2seq_multi30k.py:gru+none",
}
BUDGET = (
    *("data.batch_tokens=2048", "optim.warmup_steps=200", "task.beams=5"),
    *("evaluation.every_steps=0", "checkpoint.every_steps=0", *base.ONE_CHECKPOINT),
)
RATES, DROPOUTS = (1e-3, 3e-3), (0.2, 0.4)
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", a third of the steps, or ""."""
    study = base.get_config(
        "A Transformer and recurrent models at an equal budget",
        "1706.03762, table 2",
        "Does a Transformer translate better than recurrent models that see the same batches?",
    )
    study.reported = "WMT14 English to German: 28.4 BLEU for the big Transformer, 24.6 for GNMT, a recurrent model."
    study.runs = tuple(
        base.run(
            config,
            *(f"epochs={3.0 if size else 10.0}", f"optim.learning_rate={rate}", f"model.dropout={dropout}", *BUDGET),
            model=model,
            recipe=f"rate {rate:g}, dropout {dropout:g}",
        )
        for rate in RATES
        for dropout in DROPOUTS
        for model, config in MODELS.items()
    )
    study.figures = (base.figure("comparison", variant="recipe", series="model", metric="validation/bleu"),)
    return study
