"""A pre-trained ViT on other data, as in the paper's Table 4: --config=configs/vit_finetune.py:cifar10+B/16

    python train.py --config=configs/vit_finetune.py:cifar10+B/16 --config.init_from=WORKDIR_OR_FILE ...

Data: imagenet cifar10 cifar100 pets flowers, vtab_caltech101 ... SGD with momentum 0.9, batch 512, cosine decay after
500 steps of warm-up, clipping at 1, no weight decay, no dropout, 384 pixels, a head of zeros. The learning rate is the
middle one of those that Table 4 sweeps: try its others too. VTAB: the first 1,000 training examples, 2,500 steps at
0.01.
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

# Table 4: TFDS's name, splits to train and test on, steps, learning rate.
TASKS = {
    "imagenet": ("imagenet2012", "train", "validation", 20_000, 0.01),
    "cifar10": ("cifar10", "train", "test", 10_000, 0.003),
    "cifar100": ("cifar100", "train", "test", 10_000, 0.003),
    "pets": ("oxford_iiit_pet", "train", "test", 500, 0.003),
    "flowers": ("oxford_flowers102", "train+validation", "test", 500, 0.003),
}
# VTAB's 19 tasks (1910.04867): TFDS's name, and the label where it is none of the set's own (data/labels.py).
VTAB = {
    "caltech101": ("caltech101", "label"),
    "cifar100": ("cifar100", "label"),
    "dtd": ("dtd", "label"),
    "flowers": ("oxford_flowers102", "label"),
    "pets": ("oxford_iiit_pet", "label"),
    "sun397": ("sun397/tfds", "label"),
    "svhn": ("svhn_cropped", "label"),
    "camelyon": ("patch_camelyon", "label"),
    "eurosat": ("eurosat", "label"),
    "resisc45": ("resisc45", "label"),
    "retinopathy": ("diabetic_retinopathy_detection/btgraham-300", "label"),
    "clevr_count": ("clevr", "clevr_count"),
    "clevr_distance": ("clevr", "clevr_distance"),
    "dmlab": ("dmlab", "label"),
    "dsprites_position": ("dsprites", "dsprites_position"),
    "dsprites_orientation": ("dsprites", "dsprites_orientation"),
    "kitti_distance": ("kitti", "kitti_distance"),
    "smallnorb_azimuth": ("smallnorb", "label_azimuth"),
    "smallnorb_elevation": ("smallnorb", "label_elevation"),
}
# What VTAB tests on where it is not the split "test": the last part of sets of one split, and CLEVR's labelled one.
TESTS = {
    "eurosat": "train[21600:]",
    "resisc45": "train[25200:]",
    "clevr": "validation",
    "dsprites": "train[90%:]",
    "smallnorb": "test[50%:]",
}
VARIANTS = {"task": (*TASKS, *(f"vtab_{task}" for task in VTAB)), "model": sizes.VIT_VARIANTS}


def get_config(task: str = "cifar10", model: str = "B/16") -> ConfigDict:
    """The config of a task and a model: see above."""
    data, train, test, steps, rate = TASKS[task] if task in TASKS else vtab(task)
    config = base.config(
        steps=steps,
        model=dict(name="vit", variant=model, dtype="bfloat16"),
        task=dict(name="classify"),
        data=dict(
            kind="images",
            source="tfds",
            name=data,
            image_size=384,
            batch_size=512,
            train_split=train,
            eval_splits=(test,),
            augment=dict(crop="random" if task == "imagenet" else "none", flip=not task.startswith("vtab_")),
        ),
        optim=dict(name="sgd", learning_rate=rate, momentum=0.9, warmup_steps=min(500, steps // 5), clip_norm=1.0),
        evaluation=dict(every_steps=max(steps // 10, 100)),
        checkpoint=dict(every_steps=max(steps // 10, 100), keep_best=f"{test}/accuracy"),
    )
    if task.startswith("vtab_"):
        config.data.label = VTAB[task.removeprefix("vtab_")][1]
    return config


def vtab(name: str) -> tuple[str, str, str, int, float]:
    """Data set, training split, test split, steps and learning rate of a VTAB task."""
    data = VTAB[name.removeprefix("vtab_")][0]
    return data, "train[:1000]", TESTS.get(data, "test"), 2500, 0.01
