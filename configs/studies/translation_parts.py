"""What one matrix of embeddings, its factor and label smoothing are worth in perplexity and BLEU (1706.03762, sections
3.4 and 5.4).

python study.py --study=configs/studies/translation_parts.py:tiny --config.data.data_dir=DIR   75 minutes, two cores
python study.py --study=configs/studies/translation_parts.py --launch=slurm   WMT14 English-German, accelerators

DIR/multi30k: see configs/transformer_multi30k.py. The validation split is scored, once a run.
"""

from ml_collections import ConfigDict

from configs.studies import base

# Around one matrix for both embeddings and the output layer, times the root of the width, label smoothing 0.1.
PARTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "three matrices": ("model.tie=none",),
    "embeddings not scaled": ("model.scale_embeddings=False",),
    "no smoothing": ("task.label_smoothing=0.0",),
}
# A quarter of the width of configs/transformer_wmt14.py, and about five epochs.
TINY = (
    *("steps=1400", "model.width=128", "model.depth=2", "model.mlp_dim=256", "data.vocabulary_size=4000"),
    *("data.batch_tokens=2048", "optim.learning_rate=3e-3", "optim.warmup_steps=200", "evaluation.every_steps=0"),
)
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", 1.2M parameters on German to English captions, or "" for the paper's own."""
    study = base.get_config(
        "Embeddings and label smoothing of a Transformer",
        "1706.03762, sections 3.4 and 5.4",
        "What are one matrix of embeddings, its factor and label smoothing worth to a translation?",
    )
    study.reported = (
        "Label smoothing of 0.1 hurts perplexity and improves accuracy and BLEU; newstest2013 without it: perplexity "
        "4.67 instead of 4.92, BLEU 25.3 instead of 25.8. One matrix less halves a model without harming it "
        "(1608.05859)."
    )
    config, changes = base.sized(
        size, tiny=("configs/transformer_multi30k.py:de-en", *TINY), real=("configs/transformer_wmt14.py:base",)
    )
    study.runs = tuple(base.run(config, *part, *changes, part=name) for name, part in PARTS.items())
    study.figures = tuple(
        base.figure("comparison", variant="part", metric=f"validation/{metric}", better=better)
        for metric, better in (("bleu", "max"), ("nll", "min"))
    )
    return study
