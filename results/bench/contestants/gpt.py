"""GPT-2 in PyTorch: training on `rows` rows of `length` tokens each. What is counted is tokens. Each function builds a
model of the same `size`, a dictionary of width, depth, heads and vocabulary; options are those of pytorch.training."""

import numpy as np
from contestants import here, pytorch

Size = dict[str, int]


def data(size: Size, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and those that follow, int64 (rows, length)."""
    tokens = np.random.default_rng(0).integers(0, size["vocabulary"], (rows, length + 1))
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def transformers(size: Size, rows: int, length: int, compiled: bool, **options: here.Theirs) -> here.Measured:
    """transformers' GPT2LMHeadModel without dropout."""
    library, functional = here.package("transformers"), here.package("torch").nn.functional
    config = library.GPT2Config(
        vocab_size=size["vocabulary"],
        n_positions=length,
        n_embd=size["width"],
        n_layer=size["depth"],
        n_head=size["heads"],
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    )

    def loss(model: here.Theirs, tokens: here.Theirs, target: here.Theirs) -> here.Theirs:
        logits = model(input_ids=tokens, use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    model = library.GPT2LMHeadModel(config)
    return pytorch.training(
        model, loss, data(size, rows, length), rows * length, compiled=compiled, clip_norm=1.0, **options
    )


def nanogpt(size: Size, rows: int, length: int, compiled: bool, **options: here.Theirs) -> here.Measured:
    """nanoGPT's model.py."""
    module = here.module("NANOGPT", "", "model")
    config = module.GPTConfig(
        block_size=length,
        vocab_size=size["vocabulary"],
        n_layer=size["depth"],
        n_head=size["heads"],
        n_embd=size["width"],
        dropout=0.0,
        bias=True,
    )

    def loss(model: here.Theirs, tokens: here.Theirs, target: here.Theirs) -> here.Theirs:
        return model(tokens, target)[1]

    return pytorch.training(
        module.GPT(config),
        loss,
        data(size, rows, length),
        rows * length,
        compiled=compiled,
        clip_norm=1.0,
        **options,
    )
