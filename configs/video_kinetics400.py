"""ViViT, TimeSformer and VideoMAE on Kinetics-400, or on videos of your own, as published.

    python train.py --config=configs/video_kinetics400.py:timesformer --config.data.name=FOLDER --config.init_from=VIT
    python train.py --config=configs/video_kinetics400.py:video_mae_pretrain --config.data.name=FOLDER

FOLDER has a folder for each split, in it one for each class, and in these videos or folders of frames; or give
--config.data.source=tfds --config.data.clip=video and the name of a set. VIT is a ViT's weights or run, whose patches
become the central frames of tubelets. A TimeSformer's own weights, or a factorised ViViT's, keep what they know of time
by --config.init_fresh="('head/.*',)". MODEL:

- vivit: B/16x2, 32 frames two apart, 4 x 3 views (2103.15691, section 4.1). Published: 79.9 %
- vivit_factorised: the same with an encoder of space and one of time. Published: 78.4 %
- timesformer: B/16, 8 frames 32 apart, one clip and three crops (2102.05095, section 4), here with a cosine for two
  drops of the rate. Published: 77.9 %
- video_mae_pretrain: B/16x2, 16 frames four apart, 90 % of the places hidden, 800 epochs (2203.12602, appendix)
- video_mae: its classifier, 100 epochs, 5 x 3 views; --config.init_from=runs/video_kinetics400-video_mae_pretrain.
  Published, with mixup, CutMix and RandAugment besides: 79.4 %
"""

from ml_collections import ConfigDict

from configs import base

VARIANTS = {"model": ("vivit", "vivit_factorised", "timesformer", "video_mae", "video_mae_pretrain")}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# What a model of images does not have, or has only for images.
OF_IMAGES = ("head/.*", "pre_logits/.*", "temporal_.*", "time_positions", ".*/time_.*")


def get_config(model: str = "vivit") -> ConfigDict:
    """The config of a model: see above."""
    config = base.config(
        epochs=30.0,
        model=dict(name="vivit", variant="B/16x2", dtype="bfloat16"),
        task=dict(name="classify", inputs=("clip",), top5=True),
        init_fresh=OF_IMAGES,
        data=dict(
            kind="clips",
            source="videos",
            name="kinetics400",
            frames=32,
            stride=2,
            image_size=224,
            eval_clips=4,
            eval_crops=3,
            batch_size=64,
            eval_batch_size=16,
            eval_splits=("validation",),
            unreadable="skip",
            augment=dict(crop="random", flip=True),
        ),
        optim=dict(name="sgd", momentum=0.9, learning_rate=0.1, warmup_steps=9_000, clip_norm=1.0),
        evaluation=dict(every_steps=10_000),
        checkpoint=dict(every_steps=5_000, keep_best="validation/accuracy"),
    )
    if model.startswith("vivit"):
        if model == "vivit_factorised":
            config.model.attention = "factorised"
            config.optim.learning_rate = 0.05
        config.model.activation = "gelu_tanh"
    elif model == "timesformer":
        config.epochs = 15.0
        config.model = ConfigDict(dict(name="timesformer", variant="B/16", dtype="bfloat16"))
        config.data.update(frames=8, stride=32, eval_clips=1, mean=(0.45,) * 3, std=(0.225,) * 3)
        config.optim.update(learning_rate=0.005, weight_decay=1e-4, warmup_steps=0, clip_norm=0.0)
    else:
        classifier = model == "video_mae"
        config.epochs = 100.0 if classifier else 800.0
        config.data.update(frames=16, stride=4, batch_size=512 if classifier else 2048, **IMAGENET)
        config.optim = ConfigDict(dict(name="adamw", b2=0.95, weight_decay=0.05, learning_rate=1.2e-3))
        config.optim.update(warmup_steps=4_700)
        sizes = dict(variant="B/16x2", dtype="bfloat16", norm_epsilon=1e-6)
        if classifier:
            config.init_fresh = ("head/.*", "reconstruction/.*", "norm/.*")
            config.model = ConfigDict(
                dict(name="vivit", head="gap", positions="sinusoid_1d", key_bias=False, stochastic_depth=0.1, **sizes)
            )
            config.data.update(eval_clips=5)
            config.optim.update(learning_rate=2e-3, layer_decay=0.75, b2=0.999, warmup_steps=2_350)
        else:
            config.model = ConfigDict(dict(name="video_mae", **sizes))
            config.task = ConfigDict(dict(name="reconstruct", by_channel=True, inputs=("clip",)))
            config.data.update(eval_clips=1, eval_crops=1)
            config.checkpoint.keep_best = ""
    return config
