"""A pre-trained BERT on sentences, pairs of sentences or words with labels: --config=configs/bert_finetune.py:sst2+Tiny

    python train.py --config=configs/bert_finetune.py:sst2+Tiny --config.init_from=runs/bert_pretrain-sst2+Tiny
        --config.data.tokenizer=runs/bert_pretrain-sst2+Tiny --config.data.data_dir=FOLDER_OF_TFDS

GLUE's sst2, mrpc, qqp, mnli, qnli, rte, stsb (a number); `conll`: named entities in a folder of your own,
--config.data.name=FOLDER. The tokenizer must be that of the pre-training. Without init_from the same model learns from
scratch. The pooler and the head begin anew: of a model that has a pooler (next_sentence, or published weights) keep it
by --config.init_fresh="('head/.*','words.*','following/.*')".
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

PAIRS = {  # what GLUE calls the two texts
    "mrpc": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
    "rte": ("sentence1", "sentence2"),
    "stsb": ("sentence1", "sentence2"),
}
VARIANTS = {"task": ("sst2", *PAIRS, "conll"), "size": tuple(sizes.BERT)}


def get_config(task: str = "sst2", size: str = "Tiny") -> ConfigDict:
    """The config of a task and a size: see above."""
    config = base.config(
        epochs=4.0,
        init_fresh=("head/.*", "pooler/.*", "words.*", "following/.*"),
        model=dict(name="bert", variant=size, max_length=128),
        task=dict(name="classify", inputs=("tokens",)),
        data=dict(kind="sentences", source="tfds", name=f"glue/{task}", begin=True, batch_size=32),
        optim=dict(learning_rate=3e-4, warmup_steps=500, weight_decay=0.01, schedule="linear", clip_norm=1.0),
        evaluation=dict(every_steps=1000),
        checkpoint=dict(every_steps=1000, keep_best="validation/accuracy"),
    )
    if task in PAIRS:
        config.data.fields = PAIRS[task]
        config.task.inputs = ("tokens", "types")
    if task == "mnli":
        config.data.eval_splits = ("validation_matched", "validation_mismatched")
        config.checkpoint.keep_best = "validation_matched/accuracy"
    if task == "stsb":
        config.data.numbers = True
        config.task.name = "regress"
        config.checkpoint.update(keep_best="validation/rmse", keep_best_mode="min")
    if task == "conll":
        config.model.head = "tokens"
        config.task = ConfigDict(dict(name="tag"))
        config.data.update(kind="tags", source="conll", name="")
        config.evaluation.generate = "always"
    return config
