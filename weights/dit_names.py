"""DiT (2212.09748) by the names of the code published with it, and by those of diffusers (DiTTransformer2DModel)."""

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np

from errors import UserError
from models.sinusoids import sinusoid_2d_halves
from weights import files
from weights.changes import CONVOLUTION, HEADS, HEADS_BIAS, OUT, QKV, QKV_BIAS, SAME
from weights.our_dit import BLOCK, FAMILY, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import class_names, linear
from weights.tables import Beside, Json, Kind, Row, Table

NO_CLASS: Settings = {"class_dropout": 0.0}  # their last class is always that of images of no class
EMBEDDERS = "transformer_blocks.{}.norm1.emb."  # of time and class, which diffusers keeps in every layer


def _published() -> Table:
    block, own = "blocks.{block}", f"{BLOCK}/attention"
    rows = (
        *linear("embedding", "x_embedder.proj", CONVOLUTION),
        *linear("time/hidden", "t_embedder.mlp.0"),
        *linear("time/out", "t_embedder.mlp.2"),
        Row("classes/embedding", "y_embedder.embedding_table.weight", SAME),
        *linear(f"{BLOCK}/modulation", f"{block}.adaLN_modulation.1"),
        Row(tuple(f"{own}/{part}/kernel" for part in PROJECTIONS), f"{block}.attn.qkv.weight", QKV),
        Row(tuple(f"{own}/{part}/bias" for part in PROJECTIONS), f"{block}.attn.qkv.bias", QKV_BIAS),
        *linear(f"{own}/out", f"{block}.attn.proj", OUT),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.mlp.fc1"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.mlp.fc2"),
        *linear("modulation", "final_layer.adaLN_modulation.1"),
        *linear("head", "final_layer.linear"),
    )
    return Table(
        "facebook",
        FAMILY,
        {},
        {},
        rows,
        ignored={"pos_embed": "the sinusoids of its places"},
        fixed={"frequency_shift": 0, "mlp_norm_epsilon": 1e-6},
        never=NO_CLASS,
        derived=_positions,
        data=_image_size,
    )


def _positions(arrays: Mapping[str, np.ndarray], model: Settings) -> dict[str, np.ndarray]:
    """The positions of a square of patches: the model's, or those of the file where no model is given."""
    side = isqrt(arrays["pos_embed"].shape[-2]) if "pos_embed" in arrays else 0
    rows, columns = model.get("grid", (side, side))
    if rows != columns:
        raise UserError(f"a published DiT draws squares, and this model {rows}x{columns} patches.")
    return {"pos_embed": sinusoid_2d_halves(rows, rows, len(arrays["x_embedder.proj.bias"]))[None]}


def _image_size(arrays: Mapping[str, np.ndarray]) -> Settings:
    """That the positions of a file are for."""
    if "pos_embed" not in arrays:
        return {}
    return {"image_size": isqrt(arrays["pos_embed"].shape[-2]) * arrays["x_embedder.proj.weight"].shape[-1]}


def _diffusers() -> Table:
    block, own, embedders = "transformer_blocks.{block}", f"{BLOCK}/attention", EMBEDDERS.format(0)
    rows = (
        *linear("embedding", "pos_embed.proj", CONVOLUTION),
        *linear("time/hidden", f"{embedders}timestep_embedder.linear_1"),
        *linear("time/out", f"{embedders}timestep_embedder.linear_2"),
        Row("classes/embedding", f"{embedders}class_embedder.embedding_table.weight", SAME),
        *linear(f"{BLOCK}/modulation", f"{block}.norm1.linear"),
        *(row for part in PROJECTIONS for row in _projection(f"{own}/{part}", f"{block}.attn1.to_{part[0]}")),
        *linear(f"{own}/out", f"{block}.attn1.to_out.0", OUT),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.ff.net.0.proj"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.ff.net.2"),
        *linear("modulation", "proj_out_1"),
        *linear("head", "proj_out_2"),
    )
    return Table(
        "huggingface",
        FAMILY,
        {"mlp_norm_epsilon": 1e-5},
        {"mlp_norm_epsilon": "norm_eps of config.json"},
        rows,
        ignored={
            r"transformer_blocks\.[1-9]\d*\.norm1\.emb\..*": "that of the first layer",
            r"pos_embed\.pos_embed": "the sinusoids of its places",
        },
        fixed={"frequency_shift": 1},
        never=NO_CLASS,
        derived=_embedders,
    )


def _projection(ours: str, theirs: str) -> tuple[Row, Row]:
    return linear(ours, theirs, HEADS, HEADS_BIAS)


def _embedders(arrays: Mapping[str, np.ndarray], model: Settings) -> dict[str, np.ndarray]:
    """The first layer's embedders again, for each other layer."""
    del model
    first = EMBEDDERS.format(0)
    layers = sum(name.endswith(".attn1.to_q.weight") for name in arrays)
    return {
        name.replace(first, EMBEDDERS.format(layer)): array
        for name, array in arrays.items()
        if name.startswith(first)
        for layer in range(1, layers)
    }


PUBLISHED, DIFFUSERS = _published(), _diffusers()
TABLES = (PUBLISHED, DIFFUSERS)
SIZES = {"num_layers": "block", "patch_size": "P", "in_channels": "E"}
ALWAYS: Json = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_type": "ada_norm_zero",
}


def _read(config: Json) -> Beside:
    for key, value in ALWAYS.items():
        if config[key] != value:
            raise UserError(f"config.json says {key}={config[key]}, and only {value} can be read.")
    return Beside(
        heads=int(config["num_attention_heads"]),
        settings={"mlp_norm_epsilon": float(config["norm_eps"])},
        names=class_names(config),
        data={"image_size": int(config["sample_size"])},
    )


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names  # which are not the transformer's but the pipeline's
    rows, columns = model["grid"]
    if rows != columns:
        raise UserError(f"a DiT of diffusers draws squares, and this model {rows}x{columns} patches.")
    return {
        "_class_name": "DiTTransformer2DModel",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        **ALWAYS,
        "attention_head_dim": sizes["K"],
        "dropout": 0.0,
        "norm_eps": model["mlp_norm_epsilon"],
        "num_attention_heads": sizes["H"],
        "num_embeds_ada_norm": sizes["C"] - 1,
        "out_channels": sizes["O"] // sizes["P"] ** 2,
        "sample_size": rows * sizes["P"],
    }


def _pipeline(names: Sequence[str]) -> dict[str, Json]:
    """The file that opens the transformer as a part of a DiTPipeline, to which its VAE and its scheduler are given."""
    return {
        files.PIPELINE: {
            "_class_name": "DiTPipeline",
            "id2label": {str(i): name for i, name in enumerate(names)},
            "transformer": ["diffusers", "DiTTransformer2DModel"],
        }
    }


CONFIG = Kind((DIFFUSERS,), SIZES, _read, _write, "transformer/diffusion_pytorch_model.safetensors", _pipeline)
# By the _class_name of diffusers, which was another one once.
KINDS = {"DiTTransformer2DModel": CONFIG, "Transformer2DModel": CONFIG}
