"""The least form of a config: `:debug` at the end of any variant."""

from ml_collections import ConfigDict

DEBUG_SIZE = {
    "vit": dict(width=16, depth=2, mlp_dim=32, heads=2),
    "resnet": dict(depths=(1, 1), width=8),
    "mixer": dict(width=16, depth=2, mlp_dim=32, token_mlp_dim=16),
    "mae": dict(width=16, depth=2, mlp_dim=32, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2),
    "masked_patches": dict(width=16, depth=2, mlp_dim=32, heads=2),
    "transformer": dict(width=16, depth=2, mlp_dim=32, heads=2),
    "classifier": dict(width=16, depth=2, mlp_dim=32, heads=2),
    "seq2seq": dict(embedding_dim=16, hidden_dim=16),
    "recurrent": dict(embedding_dim=16, hidden_dim=16),
}


def shrink(config: ConfigDict, variant: str) -> ConfigDict:
    """The config as it is, or, where its variant ends in "debug", its least form: a small model and a few steps."""
    if variant.endswith("debug"):
        config.steps = 4
        config.optim.warmup_steps = 1
        config.evaluation.every_steps = 2
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
        if config.data.kind == "images":
            config.data.update(batch_size=16, eval_batch_size=64)
            config.data.image_size = min(config.data.image_size, 32)
            if "+" in config.model.variant or config.model.get("stem", "none") != "none":
                config.model.patch = 1  # of what a ResNet has made smaller
            elif "patch" in config.model:
                config.model.patch = max(4, config.data.image_size // 8)
        else:
            config.data.update(max_length=64, buckets=2, vocabulary_size=300)
        if config.data.kind == "pairs":
            config.data.update(batch_tokens=512)
            config.task.beams = 2
        if config.data.kind == "sentences":
            config.data.update(batch_size=16, eval_batch_size=64)
        config.model.update(DEBUG_SIZE[config.model.name])
    return config
