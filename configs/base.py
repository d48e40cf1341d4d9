"""What every config begins with: all the keys there are, so that each can be changed on the command line."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Sections and keys with their defaults. What each key means stands with the function that takes its section."""
    config = ConfigDict()
    config.seed = 0
    config.steps = 0  # where 0, `epochs` over the training split
    config.epochs = 0.0
    config.init_from = ""  # transfer.py
    config.init_fresh = ("head/.*", "pre_logits/.*", "reconstruction/.*", "prediction.*")
    config.model = ConfigDict()  # models.build
    config.task = ConfigDict()  # tasks.build
    config.data = ConfigDict()  # input_pipeline.build
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
            layer_decay=1.0,
            b1=0.9,
            b2=0.999,
            eps=1e-8,
            momentum=0.9,
            nesterov=False,
        )
    )
    config.step = ConfigDict(  # settings.StepSettings
        dict(accumulate=1, ema_decay=0.0, frozen=(), nonfinite="stop", spike=0.0, rollbacks=3, timeout_seconds=1800.0)
    )
    config.parallel = ConfigDict(  # training.parallel.make
        dict(mode="auto", data=0, fsdp=1, tensor=1, rules=())
    )
    config.evaluation = ConfigDict(dict(every_steps=0, generate="last"))  # settings.EvaluationSettings
    config.evaluation.fewshot = dict(  # experiment/fewshot.py
        shots=(),
        seeds=3,
        l2=tuple(4.0**i for i in range(-3, 8)),
        neighbours=(),
        name="",
        data_dir="",
        train_split="",
        test_split="",
    )
    config.checkpoint = ConfigDict(  # training.checkpoint.make
        dict(every_steps=1000, keep_last=2, keep_best="", keep_best_mode="max", damaged="fall_back")
    )
    config.log = ConfigDict(dict(every_steps=50, peak_teraflops=0.0))  # settings.LogSettings
    config.profile = ConfigDict(dict(first_step=10, steps=0))  # settings.ProfileSettings
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
            stem="none",
            stem_depths=(),
            stem_width=64,
            head="token",
            representation=False,
            positions="learned",
            dropout=0.0,
            attention_dropout=0.0,
            stochastic_depth=0.0,
            activation="gelu",
            norm_epsilon=1e-6,
            scan=False,
            remat="none",
            kernel="xla",
            dtype="float32",
        )
    )


def mae(variant: str = "") -> ConfigDict:
    """config.model of a masked autoencoder: models/mae.py."""
    config = vit(variant)
    config.update(name="mae", masked=0.75, decoder_width=512, decoder_depth=8, decoder_heads=16)
    return config


def masked_patches(variant: str = "", channels: int = 3) -> ConfigDict:
    """config.model of a ViT that tells the colours of corrupted patches: models/masked_patches.py."""
    config = vit(variant)
    config.update(name="masked_patches", masked=0.5, colors=8**channels)
    return config


def resnet(variant: str = "") -> ConfigDict:
    """config.model of a BiT ResNet: models/resnet.py."""
    return ConfigDict(
        dict(
            name="resnet",
            variant=variant,
            depths=placeholder(tuple),
            width=placeholder(int),
            root="imagenet",
            order="pre",
            remat="none",
            dtype="float32",
        )
    )


def mixer(variant: str = "") -> ConfigDict:
    """config.model of an MLP-Mixer: models/mixer.py."""
    return ConfigDict(
        dict(
            name="mixer",
            variant=variant,
            width=placeholder(int),
            depth=placeholder(int),
            mlp_dim=placeholder(int),
            token_mlp_dim=placeholder(int),
            patch=placeholder(int),
            activation="gelu",
            remat="none",
            dtype="float32",
        )
    )


def transformer(variant: str = "") -> ConfigDict:
    """config.model of an encoder-decoder Transformer: models/transformer.py."""
    return ConfigDict(
        dict(
            name="transformer",
            variant=variant,
            width=placeholder(int),
            depth=placeholder(int),
            mlp_dim=placeholder(int),
            heads=placeholder(int),
            decoder_depth=placeholder(int),
            head_dim=placeholder(int),
            value_dim=placeholder(int),
            norm="post",
            positions="sinusoid_1d",
            max_length=256,
            tie="all",
            dropout=0.1,
            attention_dropout=0.0,
            mlp_dropout=0.0,
            activation="relu",
            remat="none",
            kernel="xla",
            dtype="float32",
        )
    )


def seq2seq(cell: str, attention: str) -> ConfigDict:
    """config.model of a recurrent encoder-decoder: models/seq2seq.py."""
    return ConfigDict(
        dict(
            name="seq2seq",
            cell=cell,
            attention=attention,
            bidirectional=True,
            embedding_dim=256,
            hidden_dim=512,
            layers=1,
            dropout=0.3,
            tie=True,
            dtype="float32",
        )
    )


def classifier() -> ConfigDict:
    """config.model of a classifier of sentences: models/classifier.py."""
    return ConfigDict(
        dict(
            name="classifier",
            width=128,
            depth=2,
            mlp_dim=256,
            heads=4,
            pooling="mean",
            positions="sinusoid_1d",
            max_length=256,
            norm="pre",
            dropout=0.1,
            attention_dropout=0.0,
            activation="relu",
            scan=False,
            remat="none",
            kernel="xla",
            dtype="float32",
        )
    )


def recurrent(cell: str) -> ConfigDict:
    """config.model of a recurrent classifier of sentences: models/recurrent.py."""
    return ConfigDict(
        dict(
            name="recurrent",
            cell=cell,
            embedding_dim=128,
            hidden_dim=128,
            layers=1,
            gate_bias=0.0,
            bidirectional=False,
            pooling="last",
            dropout=0.1,
            dtype="float32",
        )
    )


def classify() -> ConfigDict:
    """config.task of a classifier: tasks/classify.py."""
    return ConfigDict(dict(name="classify", label_smoothing=0.0, top5=False, inputs=("image",)))


def distill(teacher: str) -> ConfigDict:
    """config.task of a classifier with a teacher: tasks/distill.py."""
    config = classify()
    config.update(name="distill", teacher=teacher, kind="hard", share=0.5, temperature=3.0)
    return config


def reconstruct() -> ConfigDict:
    """config.task of a masked autoencoder: tasks/reconstruct.py."""
    return ConfigDict(dict(name="reconstruct", normalised=True, inputs=("image",)))


def mean_color(data: ConfigDict) -> ConfigDict:
    """config.task of models/masked_patches.py: tasks/mean_color.py."""
    return ConfigDict(dict(name="mean_color", mean=data.get_ref("mean"), std=data.get_ref("std"), inputs=("image",)))


def translate() -> ConfigDict:
    """config.task of translation: tasks/translate.py."""
    return ConfigDict(
        dict(
            name="translate",
            label_smoothing=0.1,
            beams=4,
            alpha=0.6,
            extra_length=50,
            temperature=0.0,
            top_k=0,
            top_p=1.0,
            bleu_tokenize="13a",
            bleu_lowercase=False,
        )
    )


def images(name: str, image_size: int, batch_size: int, channels: int = 3) -> ConfigDict:
    """config.data of labelled images from TFDS: data/pipelines/images.py."""
    return ConfigDict(
        dict(
            kind="images",
            source="tfds",
            name=name,
            data_dir="",
            label="label",
            train_split="train",
            train_examples=0,
            eval_splits=("test",),
            batch_size=batch_size,
            eval_batch_size=0,
            image_size=image_size,
            image_width=0,
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
                erase=0.0,
                repeats=1,
            ),
            eval_crop="none",
            eval_crop_share=0.875,
            unreadable="stop",
            memory_limit_mb=1024,
            shuffle_buffer=50_000,
        )
    )


def pairs(source: str, name: str, languages: tuple[str, str], batch_tokens: int) -> ConfigDict:
    """config.data of parallel text: data/pipelines/pairs.py."""
    return ConfigDict(
        dict(
            kind="pairs",
            source=source,
            name=name,
            data_dir="",
            languages=languages,
            train_split="train",
            eval_splits=("validation", "test"),
            tokenizer="bpe",
            vocabulary_size=8000,
            joint=True,
            byte_fallback=False,
            coverage=1.0,
            packing=False,
            max_length=128,
            buckets=6,
            batch_tokens=batch_tokens,
            eval_batch_tokens=0,
        )
    )


def sentences(source: str, name: str, batch_size: int) -> ConfigDict:
    """config.data of labelled sentences: data/pipelines/sentences.py."""
    return ConfigDict(
        dict(
            kind="sentences",
            source=source,
            name=name,
            data_dir="",
            train_split="train",
            eval_splits=("validation",),
            tokenizer="bpe",
            vocabulary_size=8000,
            byte_fallback=False,
            coverage=1.0,
            max_length=128,
            buckets=6,
            batch_size=batch_size,
            eval_batch_size=0,
        )
    )
