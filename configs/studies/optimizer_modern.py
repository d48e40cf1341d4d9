"""AdamW, Muon and schedule-free AdamW with equal compute, for a ViT (2502.16982; 2405.15682).

python study.py --study=configs/studies/optimizer_modern.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/optimizer_modern.py --launch=slurm   B/32 on ImageNet-21k, accelerators

Every run has the same batches and the same arithmetic in all: Muon's Newton-Schulz iteration adds a share of about
5 · width / (tokens of a batch), for which it takes so many steps less. AdamW and Muon have a cosine schedule;
schedule-free has a constant rate and is evaluated at its mean of weights. Muon's updates have AdamW's root mean square,
so that all are tried at rates of the same order.
"""

from ml_collections import ConfigDict

from configs.studies import base

OPTIMISERS = {
    "AdamW": ("adamw", "cosine"),
    "Muon": ("muon", "cosine"),
    "schedule-free AdamW": ("schedule_free_adamw", "constant"),
}
VARIANTS = {"size": ("tiny",)}


def get_config(size: str = "") -> ConfigDict:
    """The config of a size: see above."""
    study = base.get_config(
        "AdamW, Muon and schedule-free",
        "2502.16982; 2405.15682",
        "Does Muon or schedule-free training learn more than AdamW from the same arithmetic?",
    )
    study.reported = (
        "Muon needs about 52 % of AdamW's training FLOPs for the same loss of a language model; schedule-free AdamW "
        "matches or exceeds AdamW with a tuned cosine schedule, without knowing the number of steps."
    )
    config, changes = base.sized(
        size,
        tiny=("configs/vit_digits.py", "evaluation.every_steps=0", "optim.warmup_steps=40"),
        real=("configs/vit_imagenet21k.py:B/32", *base.IMAGENET_FEWSHOT),
    )

    def length(name: str) -> str:
        # Width 48 and batches of 64 images of 16 patches; width 768 and batches of 4096 images of 49 patches.
        added = 0.0 if name != "muon" else 5 * 48 / (64 * 16) if size else 5 * 768 / (4096 * 49)
        return f"steps={round(400 / (1 + added))}" if size else f"epochs={7 / (1 + added):.2f}"

    rates = (1e-3, 3e-3, 1e-2) if size else (3e-4, 1e-3, 3e-3)
    study.runs = tuple(
        base.run(
            config,
            *(f"optim.name={name}", f"optim.schedule={schedule}", f"optim.learning_rate={rate}", length(name)),
            *changes,
            optimiser=label,
            learning_rate=rate,
        )
        for label, (name, schedule) in OPTIMISERS.items()
        for rate in rates
    )
    study.figures = (base.figure("comparison", variant="learning_rate", series="optimiser", metric=base.metric(size)),)
    return study
