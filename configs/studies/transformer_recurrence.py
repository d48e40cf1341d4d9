"""A Transformer against recurrent models at an equal budget: Multi30k, German to English (1706.03762, table 2).

    python study.py --study=configs/studies/transformer_recurrence.py:search --config.data.name=FOLDER

FOLDER is as configs/transformer_multi30k.py describes it. All models see the same batches for as many steps and have
about five million parameters. The search, on the validation split, tries the same rates and dropouts for each family.
About 20 minutes a run on two CPU cores, minutes for all of them on a GPU.
"""

from ml_collections import ConfigDict

from configs.studies import base

TRANSFORMER, RECURRENT = "configs/transformer_multi30k.py:de-en", "configs/seq2seq_multi30k.py"
MODELS = {
    "Transformer": TRANSFORMER,
    "GRU, Bahdanau": f"{RECURRENT}:gru+bahdanau",
    "GRU": f"{RECURRENT}:gru+none",
}
BUDGET = (
    *("epochs=10.0", "data.batch_tokens=2048", "optim.warmup_steps=400", "task.beams=5"),
    *('data.eval_splits=("validation",)', "evaluation.every_steps=0", "checkpoint.every_steps=0"),
    *base.ONE_CHECKPOINT,
)
RATES, DROPOUTS = (1e-3, 3e-3), (0.2, 0.4)
VARIANTS = {"part": ("search",)}


def get_config(part: str = "search") -> ConfigDict:
    """The study of a part: "search", one run of each recipe."""
    study = base.get_config(
        "A Transformer and recurrent models at an equal budget",
        "1706.03762, table 2",
        "Does a Transformer translate better than recurrent models that see the same batches?",
    )
    study.reported = "WMT14 English to German: 28.4 BLEU for the big Transformer, 24.6 for GNMT, a recurrent model."
    study.seeds = 1
    study.runs = tuple(
        base.run(
            config,
            *BUDGET,
            *(f"optim.learning_rate={rate}", f"model.dropout={dropout}"),
            model=model,
            recipe=f"rate {rate:g}, dropout {dropout:g}",
        )
        for rate in RATES
        for dropout in DROPOUTS
        for model, config in MODELS.items()
    )
    study.figures = (base.figure("comparison", variant="recipe", series="model", metric="validation/bleu"),)
    return study
