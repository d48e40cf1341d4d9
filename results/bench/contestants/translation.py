"""The base Transformer, V words, dropout 0.1 everywhere: training on `rows` sentence pairs of `length` tokens each.
What is counted is target tokens."""

from collections.abc import Callable

import numpy as np
from contestants import here

Work = Callable[[], float]


def sentences(rows: int, length: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target, int32 (rows, length), without padding."""
    rng = np.random.default_rng(0)
    source, target = rng.integers(4, vocabulary, (2, rows, length), np.int32)
    return source, target


def changes(rows: int, length: int, vocabulary: int) -> here.Settings:
    """Of configs/transformer_wmt14.py: the sizes, dropout as flax's example has it, and float32."""
    return {
        "data.batch_tokens": rows * length,
        "data.max_length": length,
        "data.buckets": 1,
        "data.vocabulary_size": vocabulary,
        "model.dtype": "float32",
        "model.attention_dropout": 0.1,
        "model.mlp_dropout": 0.1,
    }


def ours(rows: int, length: int, vocabulary: int) -> here.Measured:
    """This code, by the train_step of a run."""
    from contestants import ours

    return ours.training("configs/transformer_wmt14.py:base", changes(rows, length, vocabulary))


def flax_loss(vocabulary: int, **changes: here.Theirs) -> tuple[Callable[..., here.Theirs], Callable[..., here.Theirs]]:
    """flax's examples/wmt with label smoothing as there: (params, key, (source, target)) -> loss, and what returns the
    first parameters for such a pair. changes: of its config."""
    models = here.module("FLAX", "examples/wmt", "models")
    import jax
    import optax

    config = models.TransformerConfig(
        vocab_size=vocabulary, output_vocab_size=vocabulary, share_embeddings=True, logits_via_embedding=True, **changes
    )
    model, quiet = models.Transformer(config), models.Transformer(config.replace(deterministic=True))
    low = 0.1 / (vocabulary - 1)

    def loss(params: here.Theirs, key: here.Theirs, batch: here.Theirs) -> here.Theirs:
        logits = model.apply({"params": params}, *batch, rngs={"dropout": key})
        smoothed = jax.nn.one_hot(batch[1], vocabulary) * (0.9 - low) + low
        return optax.softmax_cross_entropy(logits, smoothed).mean()

    return loss, lambda batch: quiet.init(jax.random.key(0), *batch)["params"]


def flax(rows: int, length: int, vocabulary: int) -> Work:
    """flax's examples/wmt."""
    loss, initial = flax_loss(vocabulary)
    import jax
    from contestants import published

    batch = sentences(rows, length, vocabulary)
    return published.training(loss, jax.jit(initial)(batch), batch, rows * length, clip=False)


def marian(
    rows: int, length: int, vocabulary: int, compiled: bool = False, big: bool = False, **options: here.Theirs
) -> here.Measured:
    """transformers' Marian in PyTorch. compiled: by torch.compile. big: see marian_config. options: of
    pytorch.training."""
    library = here.package("transformers")
    functional = here.package("torch").nn.functional
    from contestants import pytorch

    model = library.MarianMTModel(library.MarianConfig(**marian_config(length, vocabulary, big)))
    source, target = (x.astype(np.int64) for x in sentences(rows, length, vocabulary))
    inputs = np.concatenate([np.zeros_like(target[:, :1]), target[:, :-1]], axis=1)

    def loss(model: here.Theirs, source: here.Theirs, inputs: here.Theirs, target: here.Theirs) -> here.Theirs:
        logits = model(input_ids=source, decoder_input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.1)

    return pytorch.training(model, loss, (source, inputs, target), rows * length, compiled=compiled, **options)


def marian_config(length: int, vocabulary: int, big: bool = False) -> here.Settings:
    """The base Transformer in Marian's words, dropout 0.1 everywhere; or the big one with dropout as in the paper."""
    sides = dict(layers=6, attention_heads=16 if big else 8, ffn_dim=4096 if big else 2048)
    own = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in sides.items()}
    dropout = dict(dropout=0.3, attention_dropout=0.0, activation_dropout=0.0) if big else {}
    return own | dict(
        vocab_size=vocabulary,
        d_model=1024 if big else 512,
        max_position_embeddings=max(length, 256),
        scale_embedding=True,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
        **(dropout or dict(dropout=0.1, attention_dropout=0.1, activation_dropout=0.1)),
    )
