"""BERT's masked language model on texts that are here: --config=configs/bert_pretrain.py:sst2+Tiny

    python train.py --config=configs/bert_pretrain.py:sst2+Tiny --config.data.data_dir=FOLDER_OF_TFDS
    python predict.py --workdir=runs/bert_pretrain-sst2+Tiny "a [MASK] film"
    python train.py --config=configs/bert_finetune.py:sst2+Tiny --config.init_from=runs/bert_pretrain-sst2+Tiny ...

Texts: `python`, the source code of Python's standard library, offline; `shakespeare`, TFDS's tiny_shakespeare; `sst2`,
the phrases of GLUE's SST-2 without their labels. 15 % of the tokens are hidden, whole words together. AdamW and a
linear decay after a tenth of warm-up, as BERT's; the batches are small, so the learning rate is higher than its 1e-4.
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

TEXTS = {  # source, name, tokens of a row
    "python": ("python", "", 128),
    "shakespeare": ("tfds", "tiny_shakespeare", 128),
    "sst2": ("tfds", "glue/sst2", 64),
}
VARIANTS = {"text": tuple(TEXTS), "size": tuple(sizes.BERT)}


def get_config(text: str = "python", size: str = "Tiny") -> ConfigDict:
    """The config of a text and a size: see above."""
    source, name, length = TEXTS[text]
    return base.config(
        steps=10_000,
        model=dict(name="bert", variant=size, head="words", max_length=128),
        task=dict(name="masked_model"),
        data=dict(
            kind="masked",
            source=source,
            name=name,
            vocabulary_size=8000,
            length=length,
            batch_size=64,
            whole_words=True,
        ),
        optim=dict(learning_rate=1e-3, warmup_steps=1000, weight_decay=0.01, schedule="linear", clip_norm=1.0),
        evaluation=dict(every_steps=1000),
        checkpoint=dict(every_steps=1000, keep_best="validation/loss", keep_best_mode="min"),
    )
