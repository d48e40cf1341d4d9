"""A pre-trained ViT on other data, as in the paper's Table 4: --config=configs/vit_finetune.py:cifar10+B/16 (imagenet cifar10 cifar100 pets flowers, vtab_caltech101 ...)

    python train.py --config=configs/vit_finetune.py:cifar10+B/16 --config.init_from=WORKDIR_OR_FILE --config.data.data_dir=...

SGD with momentum 0.9, batch 512, cosine decay after 500 steps of warm-up, clipping at 1, no weight decay, no dropout, 384
pixels, a head of zeros. The learning rate is the middle one of those that Table 4 sweeps: try its others too. VTAB: the first
1,000 training examples, 2,500 steps at 0.01.
"""

from ml_collections import ConfigDict

from configs import base

# Table 4: TFDS's name, splits to train and test on, steps, learning rate.
TASKS = {
    "imagenet": ("imagenet2012", "train", "validation", 20_000, 0.01),
    "cifar10": ("cifar10", "train", "test", 10_000, 0.003),
    "cifar100": ("cifar100", "train", "test", 10_000, 0.003),
    "pets": ("oxford_iiit_pet", "train", "test", 500, 0.003),
    "flowers": ("oxford_flowers102", "train+validation", "test", 500, 0.003),
}
# Those of VTAB's 19 tasks (1910.04867) whose labels the set itself has; the others count or measure what is in the image.
VTAB = {
    "caltech101": "caltech101",
    "cifar100": "cifar100",
    "dtd": "dtd",
    "flowers": "oxford_flowers102",
    "pets": "oxford_iiit_pet",
    "svhn": "svhn_cropped",
    "camelyon": "patch_camelyon",
    "eurosat": "eurosat",
    "resisc45": "resisc45",
    "retinopathy": "diabetic_retinopathy_detection/btgraham-300",
    "dmlab": "dmlab",
}
TESTED_FROM = {"eurosat": 21_600, "resisc45": 25_200}  # sets of one split: its last fifth is the test, as VTAB has it


def get_config(variant: str = "cifar10+B/16") -> ConfigDict:
    name, _, model = variant.removesuffix(":debug").partition("+")
    config = base.get_config()
    config.model = base.vit(model)
    config.model.update(dtype="bfloat16")
    config.task = base.classify()
    data, train, test, config.steps, config.optim.learning_rate = TASKS[name] if name in TASKS else vtab(name)
    config.data = base.images(data, image_size=384, batch_size=512)
    config.data.update(train_split=train, eval_splits=(test,))
    config.data.augment.update(crop="random" if name == "imagenet" else "none", flip=not name.startswith("vtab_"))
    config.optim.update(name="sgd", momentum=0.9, warmup_steps=min(500, config.steps // 5), clip_norm=1.0)
    config.evaluation.every_steps = max(config.steps // 10, 100)
    config.checkpoint.update(every_steps=max(config.steps // 10, 100), keep_best=f"{test}/accuracy")
    return base.shrink(config, variant)


def vtab(name: str) -> tuple[str, str, str, int, float]:
    name = name.removeprefix("vtab_")
    if name not in VTAB:
        known = ", ".join([*TASKS, *(f"vtab_{task}" for task in VTAB)])
        raise ValueError(f"there is no task {name!r} to fine-tune on: {known}.")
    test = f"train[{TESTED_FROM[name]}:]" if name in TESTED_FROM else "test"
    return VTAB[name], "train[:1000]", test, 2500, 0.01
