"""GPT on the characters of Tiny Shakespeare, as nanoGPT's published runs: `:cpu` minutes on two cores, else one GPU.

    python train.py --config=configs/gpt_shakespeare.py:cpu --config.data.data_dir=FOLDER_OF_TFDS
    python predict.py --workdir=runs/gpt_shakespeare-cpu "ROMEO:"

The default has 10.7M parameters, 6 layers of width 384 that see 256 characters (nanoGPT's validation loss: 1.4697);
`:cpu` 0.8M, 4 layers of width 128 that see 64 (1.88; here 1.73, with a higher learning rate). nanoGPT's validation text
is TFDS's validation+test.
"""

from ml_collections import ConfigDict

from configs import base

CPU = {
    "steps": 2000,
    "model.width": 128,
    "model.depth": 4,
    "model.heads": 4,
    "model.max_length": 64,
    "model.dropout": 0.0,
    "data.length": 64,
    "data.batch_size": 12,
    "optim.learning_rate": 4e-3,  # nanoGPT has 1e-3, with which this run ends at a validation loss of 1.89
}
DECAY = (".*/kernel", ".*/embedding")  # nanoGPT decays everything but vectors
VARIANTS = {"size": ("cpu",)}


def get_config(size: str = "") -> ConfigDict:
    """The config of a size: see above."""
    config = base.config(
        steps=5000,
        model=dict(
            name="gpt",
            width=384,
            depth=6,
            heads=6,
            max_length=256,
            use_bias=False,
            dropout=0.2,
            activation="gelu",
        ),
        task=dict(name="language_model"),
        data=dict(
            kind="documents",
            source="tfds",
            name="tiny_shakespeare",
            tokenizer="char",
            special=False,
            length=256,
            batch_size=64,
            eval_splits=("validation",),
        ),
        optim=dict(
            learning_rate=1e-3, end_learning_rate=1e-4, warmup_steps=100, b2=0.99, weight_decay=0.1, decay=DECAY
        ),
        evaluation=dict(every_steps=250),
        checkpoint=dict(every_steps=250, keep_best="validation/loss", keep_best_mode="min"),
    )
    if size == "cpu":
        config.update_from_flattened_dict(CPU)
    return config
