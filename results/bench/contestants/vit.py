"""ViTs: steps of training, and inference. Each function builds a model of the same `size`, a dictionary of width,
depth, heads, mlp_dim, patch, image (its side in pixels) and classes; `batch` counts images."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from contestants import here

Work = Callable[[], float]
Size = dict[str, int]
Logits = Callable[[here.Theirs], here.Theirs]  # of what a model returns
Model = tuple[here.Theirs, Logits]


def images(size: Size, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, side, side, 3) and labels (B,)."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(batch, size["image"], size["image"], 3)).astype(np.float32)
    return image, rng.integers(0, size["classes"], batch, np.int32)


def ours(size: Size, batch: int, config: str, train: bool = True) -> Work | here.Measured:
    """This code, by the train_step or the predictions of a run of `config`."""
    changes = {
        "data.batch_size": batch,
        "data.eval_batch_size": batch,
        "model.dropout": 0.0,
        "model.dtype": "float32",
    }
    from contestants import ours

    if train:
        return ours.training(config, changes, classes=size["classes"])
    run = here.run(config, changes, read=False, classes=size["classes"])
    image, label = images(size, batch)
    data = {
        "image": image,
        "label": label,
        "mask": np.ones(batch, np.float32),
        "index": np.arange(batch, dtype="int32"),
    }
    variables = run.initialise().eval_variables
    return lambda: len(next(run.predict(variables, [data]))["probability"])


def vision_transformer_model(size: Size) -> Model:
    """Google's code of the paper."""
    model = here.module("VISION_TRANSFORMER", "", "vit_jax.models_vit").VisionTransformer(
        num_classes=size["classes"],
        patches=SimpleNamespace(size=(size["patch"], size["patch"])),
        hidden_size=size["width"],
        transformer=dict(
            num_layers=size["depth"],
            mlp_dim=size["mlp_dim"],
            num_heads=size["heads"],
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
        ),
    )
    return model, lambda output: output


def big_vision_model(size: Size, dtype: str = "float32") -> Model:
    """Google's later code. dtype: of the matrix products."""
    model = here.module("BIG_VISION", "", "big_vision.models.vit").Model(
        num_classes=size["classes"],
        patch_size=(size["patch"], size["patch"]),
        width=size["width"],
        depth=size["depth"],
        mlp_dim=size["mlp_dim"],
        num_heads=size["heads"],
        pool_type="tok",
        dtype_mm=dtype,
    )
    return model, lambda output: output[0]


def loss_of(model: here.Theirs, logits: Logits) -> Callable[[here.Theirs, here.Theirs, here.Theirs], here.Theirs]:
    """(params, key of the dropout, (images, labels)) -> the cross-entropy of a published model."""
    import optax

    def loss(params: here.Theirs, key: here.Theirs, data: here.Theirs) -> here.Theirs:
        output = model.apply({"params": params}, data[0], train=True, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits(output), data[1]).mean()

    return loss


def vision_transformer(size: Size, batch: int, train: bool = True) -> Work:
    """Google's code of the paper."""
    return work_of(*vision_transformer_model(size), size, batch, train)


def big_vision(size: Size, batch: int, train: bool = True) -> Work:
    """Google's later code."""
    return work_of(*big_vision_model(size), size, batch, train)


def work_of(model: here.Theirs, logits: Logits, size: Size, batch: int, train: bool) -> Work:
    """A published model's training step, or its class probabilities on the host."""
    import jax
    from contestants import published

    image, label = images(size, batch)
    params = jax.jit(lambda: model.init(jax.random.key(0), image, train=False)["params"])()
    if train:
        return published.training(loss_of(model, logits), params, (image, label), batch, clip=True)
    probabilities = jax.jit(lambda p, x: jax.nn.softmax(logits(model.apply({"params": p}, x, train=False))))
    return lambda: len(np.asarray(probabilities(params, image)))


def timm(
    size: Size, batch: int, train: bool = True, compiled: bool = False, **options: here.Theirs
) -> Work | here.Measured:
    """timm's VisionTransformer in PyTorch. compiled: by torch.compile. options: of pytorch.training."""
    torch, library = here.package("torch"), here.package("timm")
    model = library.models.VisionTransformer(
        img_size=size["image"],
        patch_size=size["patch"],
        num_classes=size["classes"],
        embed_dim=size["width"],
        depth=size["depth"],
        num_heads=size["heads"],
        mlp_ratio=size["mlp_dim"] / size["width"],
    )
    image, label = images(size, batch)
    image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    if train:
        from contestants import pytorch

        def loss(model: here.Theirs, image: here.Theirs, label: here.Theirs) -> here.Theirs:
            return torch.nn.functional.cross_entropy(model(image), label)

        data = (image, label.astype(np.int64))
        return pytorch.training(model, loss, data, batch, compiled=compiled, clip_norm=1.0, **options)
    model.eval()
    forward, pixels = torch.compile(model) if compiled else model, torch.from_numpy(image)

    def infer() -> float:
        with torch.inference_mode():
            return len(forward(pixels).softmax(-1).numpy())

    return infer
