"""What the order of frames is worth to video models, and what seeing it costs: joint, factorised and divided attention.

python study.py --study=configs/studies/video_order.py:tiny    400 steps, two CPU cores, 36 runs, some hours
python study.py --study=configs/studies/video_order.py         the length of vivit_digits.py

A direction is in the order of frames alone, a digit in every one of them. Shuffled frames are so in training and in
evaluation.
"""

from ml_collections import ConfigDict

from configs.studies import base

VARIANTS = {"size": ("tiny",)}
MODELS = {
    "ViViT, joint": "configs/vivit_digits.py:{asked}+joint",
    "ViViT, factorised": "configs/vivit_digits.py:{asked}+factorised",
    "TimeSformer, divided": "configs/timesformer_digits.py:{asked}+divided",
}
ORDERS = {"in order": "data.shuffled=False", "shuffled": "data.shuffled=True"}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", of 400 steps, or "", of the configs' own length."""
    study = base.get_config(
        "The order of frames",
        "2103.15691, section 4; 2102.05095, section 4",
        "How much of a video model's accuracy is in the order of frames, and what does each attention cost?",
    )
    study.reported = (
        "Kinetics-400, without shuffling: ViViT-B/16x2 joint 79.9 %, factorised 78.4 %, at fewer operations; "
        "TimeSformer 77.9 %, and 59.1 % of Something-Something V2, where the order of frames decides."
    )
    short = ("steps=400", "optim.warmup_steps=40", "step.ema_decay=0.0", "evaluation.every_steps=0")
    study.runs = tuple(
        base.run(
            config.format(asked=asked),
            order,
            *((*short, "checkpoint.every_steps=0") if size else ()),
            *base.ONE_CHECKPOINT,
            asked=asked,
            model=model,
            frames=frames,
        )
        for asked in ("direction", "digit")
        for model, config in MODELS.items()
        for frames, order in ORDERS.items()
    )
    study.figures = (
        base.figure("comparison", variant="frames", series="model", metric="test/accuracy"),
        base.figure(
            "pareto",
            series="model",
            points=("asked", "frames"),
            metric="test/accuracy",
            cost="flops_per_example",
        ),
    )
    return study
