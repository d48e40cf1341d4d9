"""A pre-trained BERT on labelled sentences: --config=configs/bert_finetune.py:Tiny

    python train.py --config=configs/bert_finetune.py:Tiny --config.init_from=runs/bert_pretrain-sst2+Tiny
        --config.data.tokenizer=runs/bert_pretrain-sst2+Tiny --config.data.data_dir=FOLDER_OF_TFDS

GLUE's SST-2; the tokenizer must be that of the pre-training. Without init_from the same model learns from scratch. The
pooler and the head begin anew: of a model that has a pooler (next_sentence, or published weights) set
--config.init_fresh="('head/.*','words.*','following/.*')". Pairs of sentences: --config.data.name=glue/mrpc
--config.data.fields="('sentence1','sentence2')" --config.task.inputs="('tokens','types')". Numbers in place of classes:
--config.data.name=glue/stsb --config.data.numbers=True --config.task.name=regress.
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

VARIANTS = {"size": tuple(sizes.BERT)}


def get_config(size: str = "Tiny") -> ConfigDict:
    """The config of a size: see above."""
    return base.config(
        epochs=4.0,
        init_fresh=("head/.*", "pooler/.*", "words.*", "following/.*"),
        model=dict(name="bert", variant=size, max_length=128),
        task=dict(name="classify", inputs=("tokens",)),
        data=dict(kind="sentences", source="tfds", name="glue/sst2", begin=True, batch_size=32),
        optim=dict(learning_rate=3e-4, warmup_steps=500, weight_decay=0.01, schedule="linear", clip_norm=1.0),
        evaluation=dict(every_steps=1000),
        checkpoint=dict(every_steps=1000, keep_best="validation/accuracy"),
    )
