"""ViT against BiT ResNet and hybrid as the training set grows (2010.11929, figures 3 and 4).

The training sets are nested subsets, with early stopping.

python study.py --study=configs/studies/vit_data_scaling.py:tiny             digits, offline, minutes on two CPU cores
python study.py --study=configs/studies/vit_data_scaling.py:fashion_mnist    three hours on two CPU cores
python study.py --study=configs/studies/vit_data_scaling.py:glyphs    drawn characters, six hours on two CPU cores
python study.py --study=configs/studies/vit_data_scaling.py --launch=slurm   ImageNet-21k, accelerators
"""

from ml_collections import ConfigDict

from configs.studies import base

REPORTED = """\
Figure 4 of the paper (subsets of JFT-300M, identical hyper-parameters, linear few-shot ImageNet): ViT-B/32 is below
ResNet50 with 9M images and above it from 90M on; ViT-L/16 against ResNet152x2 likewise. Figure 3 and table 5, ImageNet
fine-tuned after ImageNet-1k, ImageNet-21k, JFT: B/16 77.91, 83.97, 84.15; B/32 73.38, 81.28, 80.73; L/16 76.53, 85.15,
87.12; BiT is better than ViT on ImageNet-1k only."""

# Models for Fashion-MNIST with about the same arithmetic per image.
FASHION_MNIST = {
    "ViT": ("configs/vit_fashion_mnist.py", "model.patch=7"),
    "BiT ResNet": ("configs/resnet_fashion_mnist.py", "model.root=imagenet", "model.width=24"),
    "hybrid": (
        "configs/vit_fashion_mnist.py:hybrid",
        *("model.stem=imagenet", "model.stem_depths=(1,)", "model.stem_width=16", "model.patch=1"),
        *("model.width=48", "model.mlp_dim=96"),
    ),
}
# The same models on drawn characters: a million images (data/sources/glyphs.py).
GLYPHS = {
    name: (
        *changes,
        *("data.source=glyphs", "data.name=300", "data.mean=(0.1,)", "data.std=(0.25,)", "data.augment.flip=False"),
        "data.augment.shift=0.0",
    )
    for name, changes in FASHION_MNIST.items()
}
GLYPHS_STEPS = {1_000: 800, 10_000: 2_500, 100_000: 6_000, 1_000_000: 15_625}
FASHION_MNIST_STEPS = {580: 400, 1_830: 800, 5_800: 1_500, 18_300: 2_500, 58_000: 4_000}

DIGITS = {
    "ViT": ("configs/vit_digits.py",),
    "BiT ResNet": ("configs/resnet_digits.py",),
    "hybrid": (
        "configs/vit_digits.py",
        *("model.stem=cifar", "model.stem_depths=(1, 1)", "model.stem_width=8", "model.patch=1"),
    ),
}
DIGITS_STEPS = {75: 100, 300: 200, 1_200: 400}

IMAGENET21K = {
    "ViT-B/32": ("configs/vit_imagenet21k.py:B/32",),
    "ViT-B/16": ("configs/vit_imagenet21k.py:B/16",),
    "ViT-L/16": ("configs/vit_imagenet21k.py:L/16",),
    "BiT R50x1": ("configs/resnet_imagenet.py:R50x1", *base.BIT, "optim.learning_rate=1e-3"),
    "BiT R152x2": ("configs/resnet_imagenet.py:R152x2", *base.BIT, "optim.learning_rate=6e-4"),
    "R50+B/32": ("configs/vit_imagenet21k.py:R50+B/32",),
}
IMAGENET21K_STEPS = dict.fromkeys((400_000, 1_300_000, 4_000_000, 12_700_000), 93_000)  # 30 epochs of the largest
VARIANTS = {"size": ("tiny", "fashion_mnist", "glyphs")}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", "fashion_mnist", "glyphs" or "" for the paper's own."""
    study = base.get_config(
        "ViT, ResNet and hybrid by the size of the training set",
        "2010.11929, figures 3 and 4",
        "Does a ViT overtake a ResNet as the data grow?",
    )
    study.reported = REPORTED
    shared: tuple[str, ...]
    if size == "tiny":
        models, steps, select = DIGITS, DIGITS_STEPS, "train[1200:]"
        shared = ("data.train_split=train[:1200]", f'data.eval_splits=("{select}", "test")', *base.ONE_CHECKPOINT)
    elif size == "fashion_mnist":
        models, steps, select = FASHION_MNIST, FASHION_MNIST_STEPS, "train[58000:]"
        shared = ("data.train_split=train[:58000]", f'data.eval_splits=("{select}", "test")', *base.ONE_CHECKPOINT)
    elif size == "glyphs":
        models, steps, select = GLYPHS, GLYPHS_STEPS, "validation"
        shared = ('data.eval_splits=("validation", "test")', *base.ONE_CHECKPOINT)
    else:
        models, steps, select = IMAGENET21K, IMAGENET21K_STEPS, "train[:51200]"
        few = "evaluation.fewshot."
        shared = (f"{few}shots=(5, 10)", f"{few}name=imagenet2012", f"{few}test_split=validation", *base.ONE_CHECKPOINT)
        shared += ("evaluation.generate=always",)
    metric = "test/accuracy" if size else "imagenet2012/5_shot"
    first, second = ("ViT", "BiT ResNet") if size else ("ViT-B/32", "BiT R50x1")
    study.select = f"{select}/accuracy"
    study.runs = tuple(
        base.run(
            *model,
            *shared,
            *(
                f"data.train_examples={images}",
                f"steps={steps[images]}",
                f"evaluation.every_steps={steps[images] // 5}",
            ),
            *(f"{key}={steps[images] // 5}" for key in ("optim.warmup_steps", "checkpoint.every_steps") if size),
            model=name,
            images=images,
        )
        for images in steps
        for name, model in models.items()
    )
    study.figures = (
        base.figure("scaling", x="images", series="model", metric=metric, loss="test/nll" if size else f"{select}/nll"),
        base.figure("gap", x="images", series="model", metric=metric, first=first, second=second),
    )
    return study
