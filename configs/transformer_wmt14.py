"""The Transformer of the paper on WMT14 English-German: --config=configs/transformer_wmt14.py:base (or big)

    python train.py --config=configs/transformer_wmt14.py:base --config.data.data_dir=...
    python evaluate.py --workdir=runs/transformer_wmt14-base --split=test --average=5

Other variants are the rows of Table 3: A1 A4 A16 A32 B16 B32 C2 C4 C8 C256 C1024 C1024ff C4096ff D0 D2 D0smooth
D2smooth E.
Paper: base 27.3 BLEU on newstest2014 (tokenised), 25.8 on newstest2013; big 28.4 and 26.4. About 25,000 source and
25,000 target tokens a batch, 100,000 steps (big: 300,000), Adam with the learning rate of equation 3, label smoothing
0.1, the mean of the last 5 (big: 20) checkpoints, beam 4, length penalty 0.6. The data set is TFDS's wmt14_translate;
validation is newstest2013, test newstest2014.
"""

from ml_collections import ConfigDict

from configs import base

# Table 3: what each row changes of "base", as model keys.
ROWS: dict[str, dict] = {
    "base": {},
    "A1": dict(heads=1),
    "A4": dict(heads=4),
    "A16": dict(heads=16),
    "A32": dict(heads=32),
    "B16": dict(head_dim=16, value_dim=64),
    "B32": dict(head_dim=32, value_dim=64),
    "C2": dict(depth=2),
    "C4": dict(depth=4),
    "C8": dict(depth=8),
    "C256": dict(width=256, head_dim=32),
    "C1024": dict(width=1024, head_dim=128),
    "C1024ff": dict(mlp_dim=1024),
    "C4096ff": dict(mlp_dim=4096),
    "D0": dict(dropout=0.0),
    "D2": dict(dropout=0.2),
    "D0smooth": {},
    "D2smooth": {},
    "E": dict(positions="learned"),
    "big": dict(variant="big", dropout=0.3),
}
SMOOTHING = {"D0smooth": 0.0, "D2smooth": 0.2}
WARMUP_STEPS = 4000
VARIANTS = {"row": tuple(ROWS)}


def get_config(row: str = "base") -> ConfigDict:
    """The config of a row of Table 3: see above."""
    big = row == "big"
    width = ROWS[row].get("width", 1024 if big else 512)
    return base.config(
        steps=300_000 if big else 100_000,
        model=dict(name="transformer", variant="base", dtype="bfloat16") | ROWS[row],
        task=dict(name="translate", label_smoothing=SMOOTHING.get(row, 0.1)),
        data=dict(
            kind="pairs",
            source="tfds",
            name="wmt14_translate/de-en",
            languages=("en", "de"),
            batch_tokens=25_000,
            eval_splits=("validation",),
            vocabulary_size=37_000,
            max_length=256,
            buckets=8,
        ),
        optim=dict(
            learning_rate=(width * WARMUP_STEPS) ** -0.5,  # equation 3 at its peak
            schedule="rsqrt",
            warmup_steps=WARMUP_STEPS,
            b2=0.98,
            eps=1e-9,
            clip_norm=0.0,
        ),
        evaluation=dict(every_steps=5000),
        # The paper saves every ten minutes of twelve hours (big: of three and a half days).
        checkpoint=dict(every_steps=600 if big else 1400, keep_last=20 if big else 5),
    )
