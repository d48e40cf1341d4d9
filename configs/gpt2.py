"""GPT-2 (Radford et al., 2019), published weights further trained on your texts: small, medium, large or XL.

    python convert.py FOLDER RUN; python predict.py --workdir=RUN "Once upon a time"          as it is published
    python train.py --config=configs/gpt2.py:small --config.init_from=FOLDER --config.data.name=TEXTS

FOLDER is the model as it is downloaded (model.safetensors, config.json, vocab.json, merges.txt): its tokenizer comes
with it. TEXTS are files, folders and globs of text, split as data/text/files.py says. What a size needs:
python plan.py --config=configs/gpt2.py:small --config.data.tokenizer=bpe --config.data.vocabulary_size=50257
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"size": ("small", "medium", "large", "XL")}


def get_config(size: str = "small") -> ConfigDict:
    """The config of a size: see above."""
    config = base.config(
        init_from="",
        steps=1000,
        model=dict(name="gpt", variant=size, dropout=0.1),
        task=dict(name="language_model", length=200, stop=3),  # its end of a text
        data=dict(kind="documents", source="files", name="texts", length=1024, batch_size=4, document_mask=False),
        optim=dict(learning_rate=3e-5, warmup_steps=100, weight_decay=0.1, b2=0.95),
        evaluation=dict(every_steps=200),
        checkpoint=dict(every_steps=200, keep_best="validation/loss", keep_best_mode="min"),
    )
    config.data.tokenizer = config.get_oneway_ref("init_from")
    return config
