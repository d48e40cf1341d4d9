"""A small run of every family of models, offline: what differs from the main job, by config key."""

TEXTS = "tests/texts"
COMMON = {
    "steps": 20,
    "optim.learning_rate": 3e-3,
    "optim.warmup_steps": 5,
    "optim.weight_decay": 0.1,
    "evaluation.every_steps": 0,
    "checkpoint.every_steps": 0,
    "log.every_steps": 1,
    "log.peak_teraflops": 1.0,
    "parallel.mode": "mesh",
}
VIT = {"model.width": 16, "model.depth": 2, "model.mlp_dim": 32, "model.heads": 2, "model.patch": 4}
IMAGES = {
    "data.kind": "images",
    "data.source": "tfds",
    "data.name": "digits",
    "data.image_size": 8,
    "data.mean": (0.5,),
    "data.std": (0.5,),
    "data.batch_size": 32,
    "data.eval_batch_size": 96,
    "data.eval_splits": ("test[:96]",),
    "data.augment.shift": 0.1,
}
PAIRS = {
    "task.name": "translate",
    "task.label_smoothing": 0.1,
    "task.beams": 2,
    "task.extra_length": 2,
    "data.kind": "pairs",
    "data.source": "files",
    "data.name": TEXTS,
    "data.languages": ("x", "y"),
    "data.eval_splits": ("test",),
    "data.batch_tokens": 256,
    "data.tokenizer": "word",
    "data.vocabulary_size": 100,
    "data.max_length": 8,
    "data.buckets": 1,
}
FAMILIES: dict[str, dict[str, object]] = {
    "vit": {"model.name": "vit", **VIT, "model.dropout": 0.1, "task.name": "classify", **IMAGES, "data.augment.mixup": 0.2},
    "hybrid": {
        **{"model.name": "vit", **VIT, "model.patch": 1, "model.scan": True},
        **{"model.stem": "cifar", "model.stem_depths": (1, 1), "model.stem_width": 8},
        **{"task.name": "classify", **IMAGES},
    },
    "resnet": {
        **{"model.name": "resnet", "model.depths": (1, 1), "model.width": 8, "model.root": "cifar"},
        **{"task.name": "classify", **IMAGES},
    },
    "mixer": {
        **{"model.name": "mixer", "model.width": 16, "model.depth": 2, "model.mlp_dim": 32},
        **{"model.token_mlp_dim": 16, "model.patch": 4, "task.name": "classify", **IMAGES},
    },
    "mae": {
        **{"model.name": "mae", **VIT, "model.patch": 2},
        **{"model.decoder_width": 16, "model.decoder_depth": 1, "model.decoder_heads": 2},
        **{"task.name": "reconstruct", **IMAGES},
    },
    "masked_patches": {
        **{"model.name": "masked_patches", **VIT, "model.colors": 8},
        **{"task.name": "mean_color", "task.mean": (0.5,), "task.std": (0.5,), **IMAGES},
    },
    "distilled": {"model.name": "vit", **VIT, "model.head": "distilled", "task.name": "distill", **IMAGES},
    "classifier": {
        **{"model.name": "classifier", "model.width": 16, "model.depth": 1, "model.mlp_dim": 32, "model.heads": 2},
        **{"task.name": "classify", "task.inputs": ("tokens",), "data.kind": "sentences", "data.source": "tsv"},
        **{"data.name": TEXTS, "data.eval_splits": ("test",), "data.batch_size": 16, "data.tokenizer": "word"},
        **{"data.vocabulary_size": 100, "data.max_length": 8, "data.buckets": 1},
    },
    "transformer": {
        **{"model.name": "transformer", "model.width": 16, "model.depth": 1, "model.mlp_dim": 32, "model.heads": 2},
        **PAIRS,
    },
    "seq2seq": {
        **{"model.name": "seq2seq", "model.cell": "gru", "model.attention": "bahdanau"},
        **{"model.embedding_dim": 16, "model.hidden_dim": 16, "model.dropout": 0.1, "model.tie": True, **PAIRS},
    },
    "gpt": {
        **{"model.name": "gpt", "model.width": 16, "model.depth": 2, "model.heads": 2, "model.max_length": 16},
        **{"task.name": "language_model", "task.length": 20, "data.kind": "documents", "data.source": "files"},
        **{"data.name": f"{TEXTS}/train.x", "data.eval_splits": ("train[:1]",), "data.length": 16, "data.batch_size": 16},
    },
}
