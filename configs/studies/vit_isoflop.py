"""How large a ViT, and on how many images, for a given compute: IsoFLOP profiles (2203.15556, section 3.2).

python study.py --study=configs/studies/vit_isoflop.py:tiny     drawn characters, offline, half an hour on two CPU cores
python study.py --study=configs/studies/vit_isoflop.py:glyphs   more of them, two to three hours on two CPU cores
python study.py --study=configs/studies/vit_isoflop.py --launch=slurm   ImageNet-21k, accelerators

For each budget, models of several sizes are trained for as many steps as it pays for, each with a cosine schedule of
its own length. The largest budget is kept out of the fits: what they predict for it is compared with what it gives.
"""

from ml_collections import ConfigDict

from configs.studies import base

GLYPHS = (
    "configs/vit_fashion_mnist.py",
    *("data.source=glyphs", "data.mean=(0.1,)", "data.std=(0.25,)", "data.augment.flip=False"),
    *("data.augment.shift=0.0", 'data.eval_splits=("test",)', "task.label_smoothing=0.0"),
)
# By size: images (tokens N, numbers of a patch, classes C, batch B); budgets in FLOP (the last one is predicted);
# width and depth of each model; the first of `count` models of each budget.
SETTINGS: dict[str, dict] = {
    "tiny": dict(
        changes=(*GLYPHS, "data.name=20"),
        tokens=49,
        patch=16,
        classes=20,
        batch=64,
        budgets=(3e10, 1e11, 3e11, 1e12),
        sizes=((16, 1), (16, 2), (32, 2), (32, 3), (48, 3), (64, 4)),
        first=(0, 0, 1, 2),
        count=4,
    ),
    "glyphs": dict(
        changes=(*GLYPHS, "data.name=300"),
        tokens=49,
        patch=16,
        classes=300,
        batch=64,
        budgets=(3e11, 1e12, 3e12, 1e13),
        sizes=((16, 2), (32, 2), (32, 3), (48, 3), (64, 4), (96, 4), (128, 6)),
        first=(0, 0, 1, 2),
        count=5,
    ),
    "": dict(
        changes=("configs/vit_imagenet21k.py:B/16", "model.head=gap", "evaluation.every_steps=0"),
        tokens=196,
        patch=768,
        classes=21_843,
        batch=4096,
        budgets=(1e18, 3e18, 1e19, 3e19, 1e20),
        sizes=((192, 6), (192, 12), (256, 12), (384, 12), (512, 12), (768, 12), (1024, 16), (1024, 24)),
        first=(0, 0, 1, 2, 3),
        count=5,
    ),
}
VARIANTS = {"size": ("tiny", "glyphs")}


def forward(width: int, depth: int, setting: dict) -> float:
    """FLOPs of the matrix products of one image, with an MLP of four times the width."""
    layer = (8 + 16) * setting["tokens"] * width**2 + 4 * setting["tokens"] ** 2 * width
    return depth * layer + 2 * setting["tokens"] * setting["patch"] * width + 2 * width * setting["classes"]


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", "glyphs" or "" for ImageNet-21k."""
    study = base.get_config(
        "The best size of a ViT for a given compute",
        "2203.15556, figure 3 (language models)",
        "With how much more compute should a ViT grow, and with how much should it see more images?",
    )
    study.reported = (
        "For language models, the best number of parameters grows with compute to the power of 0.49, and the best "
        "number of training tokens to the power of 0.51 (IsoFLOP profiles, 2203.15556, table 2)."
    )
    setting = SETTINGS[size]
    config, *changes = setting["changes"]
    runs = []
    for budget, first in zip(setting["budgets"], setting["first"], strict=True):
        for width, depth in setting["sizes"][first : first + setting["count"]]:
            steps = max(20, round(budget / (3 * setting["batch"] * forward(width, depth, setting))))
            runs.append(
                base.run(
                    config,
                    *changes,
                    *(f"model.width={width}", f"model.depth={depth}", f"model.mlp_dim={4 * width}"),
                    *(f"model.heads={max(1, width // (16 if size else 64))}", f"data.batch_size={setting['batch']}"),
                    *(f"steps={steps}", f"optim.warmup_steps={steps // 10}", "evaluation.every_steps=0"),
                    *base.ONE_CHECKPOINT,
                    budget=budget,
                    model=f"{depth} x {width}",
                )
            )
    study.runs = tuple(runs)
    study.figures = (base.figure("isoflop", loss="test/nll" if size else "train[:51200]/nll"),)
    return study
