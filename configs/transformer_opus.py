"""A published translation model (opus-mt, by Marian) on Multi30k: --config=configs/transformer_opus.py:de-en (or en-de)

    python train.py --config=configs/transformer_opus.py:de-en --config.init_from=FOLDER --config.data.name=TEXTS

FOLDER is the model as it is downloaded (model.safetensors, config.json, source.spm, target.spm, vocab.json): its
tokenizer comes with it. TEXTS are as in configs/transformer_multi30k.py. To use a model as it is, or to score it:
python convert.py FOLDER RUN. The size is that of opus-mt-de-en, 74M parameters; others by config.model.
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"languages": ("de-en", "en-de")}


def get_config(languages: str = "de-en") -> ConfigDict:
    """The config of a source and a target language: see above."""
    config = base.config(
        init_from="",
        epochs=2.0,
        model=dict(
            name="transformer",
            variant="base",
            positions="sinusoid_halves",
            activation="swish",
            norm_epsilon=1e-5,
            output_bias=True,
        ),
        task=dict(name="translate", start="pad"),
        data=dict(
            kind="pairs",
            source="files",
            name="multi30k",
            languages=tuple(languages.split("-")),
            batch_tokens=2048,
            eval_splits=("validation",),
            max_length=128,
        ),
        optim=dict(learning_rate=5e-5, warmup_steps=100, b2=0.98),
        evaluation=dict(every_steps=200),
        checkpoint=dict(every_steps=200),
    )
    config.data.tokenizer = config.get_oneway_ref("init_from")
    return config
