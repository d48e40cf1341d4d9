"""What every config begins with: all the keys there are, so that each can be changed on the command line."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Sections and keys with their defaults. What each key means stands with the function that takes its section."""
    config = ConfigDict()
    config.seed = 0
    config.steps = 0  # where 0, `epochs` over the training split
    config.epochs = 0.0
    config.model = ConfigDict()  # models.build
    config.task = ConfigDict()  # tasks.build
    config.data = ConfigDict()  # input_pipeline.make
    config.optim = ConfigDict(  # training.optim.make
        dict(
            name="adamw",
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=0,
            end_learning_rate=0.0,
            clip_norm=1.0,
            weight_decay=0.0,
            decay=(".*/kernel",),
            b1=0.9,
            b2=0.999,
            eps=1e-8,
            momentum=0.9,
            nesterov=False,
        )
    )
    config.step = ConfigDict(dict(accumulate=1, ema_decay=0.0, nonfinite="stop"))  # experiment.StepSettings
    config.parallel = ConfigDict(dict(mode="auto"))  # training.parallel.make
    config.evaluation = ConfigDict(dict(every_steps=0))  # experiment.EvaluationSettings
    config.checkpoint = ConfigDict(  # training.checkpoint.make
        dict(every_steps=1000, keep_last=2, keep_best="", keep_best_mode="max")
    )
    config.log = ConfigDict(dict(every_steps=50, peak_teraflops=0.0))  # experiment.LogSettings
    config.profile = ConfigDict(dict(first_step=10, steps=0))  # experiment.ProfileSettings
    return config


def shrink(config: ConfigDict, variant: str) -> ConfigDict:
    """The config as it is, or, where its variant ends in "debug", its least form: a small model and a few steps."""
    if variant.endswith("debug"):
        config.steps = 4
        config.data.update(batch_size=16, eval_batch_size=64)
        config.data.image_size = min(config.data.image_size, 32)
        config.optim.warmup_steps = 1
        config.evaluation.every_steps = 2
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
        config.model.update(width=16, depth=2, mlp_dim=32, heads=2)
        config.model.patch = max(4, config.data.image_size // 8)
    return config


def vit(variant: str = "") -> ConfigDict:
    """config.model of a Vision Transformer: models/vit.py."""
    return ConfigDict(
        dict(
            name="vit",
            variant=variant,
            width=placeholder(int),
            depth=placeholder(int),
            mlp_dim=placeholder(int),
            heads=placeholder(int),
            patch=placeholder(int),
            head="token",
            representation=False,
            positions="learned",
            dropout=0.0,
            attention_dropout=0.0,
            stochastic_depth=0.0,
            activation="gelu",
            scan=False,
            remat="none",
            kernel="xla",
            dtype="float32",
        )
    )


def classify() -> ConfigDict:
    """config.task of a classifier: tasks/classify.py."""
    return ConfigDict(dict(name="classify", label_smoothing=0.0, top5=False))


def images(name: str, image_size: int, batch_size: int, channels: int = 3) -> ConfigDict:
    """config.data of labelled images from TFDS: input_pipeline.make."""
    return ConfigDict(
        dict(
            source="tfds",
            name=name,
            data_dir="",
            train_split="train",
            eval_splits=("test",),
            batch_size=batch_size,
            eval_batch_size=0,
            image_size=image_size,
            mean=(0.5,) * channels,
            std=(0.5,) * channels,
            augment=dict(
                crop="none",
                crop_min_area=0.05,
                flip=False,
                rotate=0.0,
                zoom=0.0,
                shear=0.0,
                shift=0.0,
                randaugment_layers=0,
                randaugment_magnitude=10.0,
                mixup=0.0,
                cutmix=0.0,
            ),
            eval_crop="none",
            eval_crop_share=0.875,
            unreadable="stop",
            memory_limit_mb=1024,
            shuffle_buffer=50_000,
        )
    )
