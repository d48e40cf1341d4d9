"""The names of CLIP and SigLIP: transformers' (CLIPModel, SiglipModel), OpenAI's and open_clip's of CLIP, and
big_vision's of SigLIP."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from errors import UserError
from models.sizes import CLIP_HOTTEST
from weights.changes import BY_SIZE, BY_SIZE_BIAS, BY_SIZE_OUT, BY_SIZE_QKV, BY_SIZE_QKV_BIAS, CONVOLUTION, DENSE, SAME
from weights.our_clip import FAMILIES, IMAGE_BLOCK, LENGTHS, NORM, POOLING, PROJECTIONS, TEXT_BLOCK
from weights.ours import Settings
from weights.pytorch import linear, norm
from weights.tables import Beside, Change, Json, Kind, Row, Table

SETTINGS: dict[str, Settings] = {
    "clip": {"activation": "gelu_quick", "norm_epsilon": 1e-5},
    "siglip": {"activation": "gelu_tanh", "norm_epsilon": 1e-6},
}
ELSEWHERE = {
    "huggingface": {
        "activation": 'CLIPTextConfig(hidden_act="gelu"), CLIPVisionConfig the same',
        "norm_epsilon": "CLIPTextConfig(layer_norm_eps=...), CLIPVisionConfig the same",
    },
    "open_clip": {
        "activation": "open_clip.create_model(..., force_quick_gelu=True), or False for gelu",
        "norm_epsilon": "the published code has no setting for it, so that its logits will differ",
    },
    "google": dict.fromkeys(
        ("activation", "norm_epsilon"), "the published code has no setting for it, so that its logits will differ"
    ),
}
ACTIVATIONS = {"quick_gelu": "gelu_quick", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
CLASS = Change("reshaped", lambda a, size: (a.reshape(1, 1, -1),), lambda a: a.reshape(-1))
ROWS = Change("reshaped", lambda a, size: (a[None],), lambda a: a[0])
# Ours has an end wherever it is used, theirs where it is learned.
SCALE = Change("", lambda a, size: (a,), lambda a: np.asarray(np.minimum(a, CLIP_HOTTEST), a.dtype))
NUMBER = Change("reshaped", lambda a, size: (a.reshape(()),), lambda a: a.reshape(1))  # kept as a vector of one


def _joined(ours: str, theirs: str) -> tuple[Row, ...]:
    """PyTorch's attention, with query, key and value in one matrix."""
    return (
        Row(tuple(f"{ours}/{part}/kernel" for part in PROJECTIONS), f"{theirs}.in_proj_weight", BY_SIZE_QKV),
        Row(tuple(f"{ours}/{part}/bias" for part in PROJECTIONS), f"{theirs}.in_proj_bias", BY_SIZE_QKV_BIAS),
        Row(f"{ours}/out/kernel", f"{theirs}.out_proj.weight", BY_SIZE_OUT),
        Row(f"{ours}/out/bias", f"{theirs}.out_proj.bias", SAME),
    )


def _encoder(block: str, theirs: str, last: str) -> tuple[Row, ...]:
    """transformers' layers and the norm after them. last: of that."""
    return (
        *norm(f"{block}/attention_norm", f"{theirs}.layer_norm1"),
        *(
            row
            for part in PROJECTIONS
            for row in (
                Row(f"{block}/attention/{part}/kernel", f"{theirs}.self_attn.{part[0]}_proj.weight", BY_SIZE),
                Row(f"{block}/attention/{part}/bias", f"{theirs}.self_attn.{part[0]}_proj.bias", BY_SIZE_BIAS),
            )
        ),
        Row(f"{block}/attention/out/kernel", f"{theirs}.self_attn.out_proj.weight", BY_SIZE_OUT),
        Row(f"{block}/attention/out/bias", f"{theirs}.self_attn.out_proj.bias", SAME),
        *norm(f"{block}/mlp_norm", f"{theirs}.layer_norm2"),
        *linear(f"{block}/mlp/expand", f"{theirs}.mlp.fc1"),
        *linear(f"{block}/mlp/contract", f"{theirs}.mlp.fc2"),
        *norm(f"{block.rsplit('/', 1)[0]}/norm", last),
    )


def _both_encoders() -> tuple[Row, ...]:
    return (
        *_encoder(IMAGE_BLOCK, "vision_model.encoder.layers.{block}", "vision_model.post_layernorm"),
        *_encoder(TEXT_BLOCK, "text_model.encoder.layers.{layer}", "text_model.final_layer_norm"),
        Row("image/positions/embedding", "vision_model.embeddings.position_embedding.weight", ROWS),
        Row("text/embedding/embedding", "text_model.embeddings.token_embedding.weight", SAME),
        Row("text/positions", "text_model.embeddings.position_embedding.weight", SAME),
    )


def _huggingface_clip() -> tuple[Row, ...]:
    embeddings = "vision_model.embeddings"
    return (
        Row("image/token", f"{embeddings}.class_embedding", CLASS),
        Row("image/embedding/kernel", f"{embeddings}.patch_embedding.weight", CONVOLUTION),
        *norm("image/embedding_norm", "vision_model.pre_layrnorm"),  # their spelling
        *_both_encoders(),
        Row("image_projection/kernel", "visual_projection.weight", DENSE),
        Row("text_projection/kernel", "text_projection.weight", DENSE),
        Row("scale", "logit_scale", SCALE),
    )


def _huggingface_siglip() -> tuple[Row, ...]:
    head = "vision_model.head"
    return (
        Row("image/embedding/kernel", "vision_model.embeddings.patch_embedding.weight", CONVOLUTION),
        Row("image/embedding/bias", "vision_model.embeddings.patch_embedding.bias", SAME),
        *_both_encoders(),
        Row(f"{POOLING}/query", f"{head}.probe", SAME),
        *_joined(f"{POOLING}/attention", f"{head}.attention"),
        *norm(f"{POOLING}/norm", f"{head}.layernorm"),
        *linear(f"{POOLING}/mlp/expand", f"{head}.mlp.fc1"),
        *linear(f"{POOLING}/mlp/contract", f"{head}.mlp.fc2"),
        *linear("text_projection", "text_model.head"),
        Row("scale", "logit_scale", NUMBER),
        Row("bias", "logit_bias", NUMBER),
    )


def _open_clip() -> tuple[Row, ...]:
    def tower(block: str, theirs: str, last: str) -> tuple[Row, ...]:
        return (
            *norm(f"{block}/attention_norm", f"{theirs}.ln_1"),
            *_joined(f"{block}/attention", f"{theirs}.attn"),
            *norm(f"{block}/mlp_norm", f"{theirs}.ln_2"),
            *linear(f"{block}/mlp/expand", f"{theirs}.mlp.c_fc"),
            *linear(f"{block}/mlp/contract", f"{theirs}.mlp.c_proj"),
            *norm(f"{block.rsplit('/', 1)[0]}/norm", last),
        )

    return (
        Row("image/token", "visual.class_embedding", CLASS),
        Row("image/embedding/kernel", "visual.conv1.weight", CONVOLUTION),
        Row("image/positions/embedding", "visual.positional_embedding", ROWS),
        *norm("image/embedding_norm", "visual.ln_pre"),
        *tower(IMAGE_BLOCK, "visual.transformer.resblocks.{block}", "visual.ln_post"),
        Row("image_projection/kernel", "visual.proj", SAME),
        Row("text/embedding/embedding", "token_embedding.weight", SAME),
        Row("text/positions", "positional_embedding", SAME),
        *tower(TEXT_BLOCK, "transformer.resblocks.{layer}", "ln_final"),
        Row("text_projection/kernel", "text_projection", SAME),
        Row("scale", "logit_scale", SCALE),
    )


def _big_vision() -> tuple[Row, ...]:
    def pairs(ours: str, theirs: str, leaves: Sequence[str] = ("kernel", "bias")) -> tuple[Row, ...]:
        return tuple(Row(f"{ours}/{leaf}", f"{theirs}/{leaf}", SAME) for leaf in leaves)

    def attention(ours: str, theirs: str) -> tuple[Row, ...]:
        parts = (*PROJECTIONS, "out")
        return tuple(
            row for part in parts for row in pairs(f"{ours}/{part}", f"{theirs}/MultiHeadDotProductAttention_0/{part}")
        )

    def mlp(ours: str, theirs: str) -> tuple[Row, ...]:
        return (
            *pairs(f"{ours}/expand", f"{theirs}/MlpBlock_0/Dense_0"),
            *pairs(f"{ours}/contract", f"{theirs}/MlpBlock_0/Dense_1"),
        )

    def tower(block: str, theirs: str, index: str) -> tuple[Row, ...]:
        layer = f"{theirs}/encoderblock_{{{index}}}"
        return (
            *pairs(f"{block}/attention_norm", f"{layer}/LayerNorm_0", NORM),
            *attention(f"{block}/attention", layer),
            *pairs(f"{block}/mlp_norm", f"{layer}/LayerNorm_1", NORM),
            *mlp(f"{block}/mlp", layer),
            *pairs(f"{block.rsplit('/', 1)[0]}/norm", f"{theirs}/encoder_norm", NORM),
        )

    return (
        *pairs("image/embedding", "img/embedding"),
        Row("image/positions/embedding", "img/pos_embedding", SAME),
        *tower(IMAGE_BLOCK, "img/Transformer", "block"),
        Row(f"{POOLING}/query", "img/MAPHead_0/probe", SAME),
        *attention(f"{POOLING}/attention", "img/MAPHead_0"),
        *pairs(f"{POOLING}/norm", "img/MAPHead_0/LayerNorm_0", NORM),
        *mlp(f"{POOLING}/mlp", "img/MAPHead_0"),
        Row("text/embedding/embedding", "txt/Embed_0/embedding", SAME),
        Row("text/positions", "txt/pos_embedding", Change("reshaped", lambda a, size: (a[0],), lambda a: a[None])),
        *tower(TEXT_BLOCK, "txt/Encoder_0", "layer"),
        *pairs("text_projection", "txt/head"),
        Row("scale", "t", NUMBER),
        Row("bias", "b", NUMBER),
    )


def _table(scheme: str, form: str, rows: tuple[Row, ...]) -> Table:
    ignored = {r".*position_ids": "0, 1, 2, ..."}
    return Table(scheme, FAMILIES[form], SETTINGS[form], ELSEWHERE[scheme], rows, (), ignored, {"form": form})


HUGGINGFACE = {
    "clip": _table("huggingface", "clip", _huggingface_clip()),
    "siglip": _table("huggingface", "siglip", _huggingface_siglip()),
}
TABLES = (
    *HUGGINGFACE.values(),
    _table("open_clip", "clip", _open_clip()),
    _table("google", "siglip", _big_vision()),
)


def _read(form: str, config: Json) -> Beside:
    """Keys that a config.json leaves out are those of the smallest published model, as transformers has them."""
    text, image = config.get("text_config") or {}, config.get("vision_config") or {}
    usual = {"clip": (512, 8), "siglip": (768, 12)}[form]
    found = {
        (int(part.get("hidden_size", width)) // int(part.get("num_attention_heads", heads)))
        for part, (width, heads) in ((text, usual), (image, (768, 12)))
    }
    if len(found) > 1:
        raise UserError(
            f"config.json has heads of {sorted(found)} numbers in its two towers, and one size can be read."
        )
    settings = SETTINGS[form]
    activation = {"clip": "quick_gelu", "siglip": "gelu_pytorch_tanh"}[form]
    acts = {str(part.get("hidden_act", activation)) for part in (text, image)}
    usual_epsilon = float(settings["norm_epsilon"])
    epsilons = {float(part.get("layer_norm_eps") or usual_epsilon) for part in (text, image)}
    if len(acts) > 1 or len(epsilons) > 1:
        raise UserError("config.json has two towers of different hidden_act or layer_norm_eps: one can be read.")
    data: Settings = {"begin": form == "clip", "max_length": int(text.get("max_position_embeddings", LENGTHS[form]))}
    data |= {"simplify": "lower" if form == "clip" else "words"}
    return Beside(
        heads=found.pop(),
        settings={"activation": ACTIVATIONS[acts.pop()], "norm_epsilon": epsilons.pop()},
        data=data,
    )


def _write(form: str, model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names
    if model["activation"] not in ACTIVATIONS.values():
        raise UserError(f"config.model.activation={model['activation']} is none that transformers' {form} has.")
    both = {
        "hidden_act": {ours: theirs for theirs, ours in ACTIVATIONS.items()}[model["activation"]],
        "layer_norm_eps": model["norm_epsilon"],
        "attention_dropout": 0.0,
    }
    rows, columns = model["grid"]
    if rows != columns:
        raise UserError(f"transformers' {form} sees squares, and this model {rows}x{columns} patches.")
    # transformers pools texts at the id 2 as at the highest id, and at any other as ours does.
    special = {key: value for key, value in model.get("special", {}).items() if value is not None}
    text = {
        "hidden_size": sizes["W"],
        "intermediate_size": sizes["G"],
        "num_hidden_layers": sizes["layer"],
        "num_attention_heads": sizes["I"],
        "max_position_embeddings": sizes["T"],
        "vocab_size": sizes["V"],
        **({"projection_dim": sizes["X"]} if form == "clip" else {"projection_size": sizes["X"]}),
        **{key: special[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in special},
        **both,
    }
    image = {
        "hidden_size": sizes["D"],
        "intermediate_size": sizes["F"],
        "num_hidden_layers": sizes["block"],
        "num_attention_heads": sizes["H"],
        "image_size": rows * sizes["P"],
        "patch_size": sizes["P"],
        "num_channels": sizes["E"],
        **({"projection_dim": sizes["X"]} if form == "clip" else {}),
        **both,
    }
    return {
        "architectures": [{"clip": "CLIPModel", "siglip": "SiglipModel"}[form]],
        "model_type": form,
        "text_config": text,
        "vision_config": image,
        **({"projection_dim": sizes["X"]} if form == "clip" else {}),
    }


CLIP, SIGLIP = (
    Kind((HUGGINGFACE[form],), {"projection_dim": "X"}, partial(_read, form), partial(_write, form))
    for form in HUGGINGFACE
)
KINDS = {"clip": CLIP, "siglip": SIGLIP}
