"""The names of transformers' MarianMTModel, as opus-mt's models are published: the Transformer of the paper with swish,
sines before cosines, and a bias of the output layer, which transformers keeps fixed."""

from collections.abc import Mapping, Sequence

from errors import UserError
from weights import our_transformer
from weights.changes import HEADS, HEADS_BIAS, LOGITS_BIAS, OUT, SAME
from weights.our_transformer import DECODER, ENCODER, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import linear, norm
from weights.tables import Beside, Json, Kind, Row, Table

SETTINGS = {"activation": "swish"}
ELSEWHERE = {"activation": 'MarianConfig(activation_function="gelu" | "gelu_new" | "relu")'}
ACTIVATIONS = {"swish": "swish", "silu": "swish", "gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu"}
FIXED = {
    "norm": "post",
    "norm_epsilon": 1e-5,
    "positions": "sinusoid_halves",
    "tie": "all",
    "scale_embeddings": True,
    "residual": True,
    "scale": True,
    "causal": True,
}
# Keys of config.json that are one thing in every published model: what they are, and what transformers takes them to be
# where they are missing.
ALWAYS = {
    "scale_embedding": (True, False),
    "share_encoder_decoder_embeddings": (True, True),
    "tie_word_embeddings": (True, True),
    "normalize_before": (False, False),
    "normalize_embedding": (False, False),
    "add_final_layer_norm": (False, False),
}
SIZES = {
    "d_model": "D",
    "vocab_size": "V",
    "encoder_ffn_dim": "F",
    "decoder_ffn_dim": "F",
    "encoder_layers": "block",
    "decoder_layers": "layer",
}
IGNORED = {r"model\.(encoder|decoder)\.embed_positions\.weight": "sinusoids, which are computed"}
COPIES = dict.fromkeys(
    ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"), "model.shared.weight"
)


def _attention(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *(
            row
            for part in PROJECTIONS
            for row in (
                Row(f"{ours}/{part}/kernel", f"{theirs}.{part[0]}_proj.weight", HEADS),
                Row(f"{ours}/{part}/bias", f"{theirs}.{part[0]}_proj.bias", HEADS_BIAS),
            )
        ),
        Row(f"{ours}/out/kernel", f"{theirs}.out_proj.weight", OUT),
        Row(f"{ours}/out/bias", f"{theirs}.out_proj.bias", SAME),
    )


def _end(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *linear(f"{ours}/mlp/expand", f"{theirs}.fc1"),
        *linear(f"{ours}/mlp/contract", f"{theirs}.fc2"),
        *norm(f"{ours}/mlp_norm", f"{theirs}.final_layer_norm"),
    )


THEIR_ENCODER, THEIR_DECODER = "model.encoder.layers.{block}", "model.decoder.layers.{layer}"
ROWS = (
    Row("embedding/embedding", "model.shared.weight", SAME),
    Row("logits_bias", "final_logits_bias", LOGITS_BIAS),
    *_attention(f"{ENCODER}/attention", f"{THEIR_ENCODER}.self_attn"),
    *norm(f"{ENCODER}/attention_norm", f"{THEIR_ENCODER}.self_attn_layer_norm"),
    *_end(ENCODER, THEIR_ENCODER),
    *_attention(f"{DECODER}/self_attention", f"{THEIR_DECODER}.self_attn"),
    *norm(f"{DECODER}/self_norm", f"{THEIR_DECODER}.self_attn_layer_norm"),
    *_attention(f"{DECODER}/cross_attention", f"{THEIR_DECODER}.encoder_attn"),
    *norm(f"{DECODER}/cross_norm", f"{THEIR_DECODER}.encoder_attn_layer_norm"),
    *_end(DECODER, THEIR_DECODER),
)
TABLES = (
    Table("huggingface", our_transformer.FAMILY, SETTINGS, ELSEWHERE, ROWS, ("logits_bias",), IGNORED, FIXED, COPIES),
)


def _read(config: Json) -> Beside:
    for key, (value, default) in ALWAYS.items():
        if config.get(key, default) != value:
            raise UserError(f"config.json says {key}={config.get(key, default)}, and only {value} can be read.")
    heads = config["encoder_attention_heads"]
    if config["decoder_attention_heads"] != heads:
        raise UserError(f"config.json has {heads} heads in the encoder and others in the decoder: both must be alike.")
    return Beside(int(heads), {"activation": ACTIVATIONS[config.get("activation_function", "gelu")]})


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names
    heads = sizes["H"]
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "decoder_vocab_size": sizes["V"],
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "activation_function": {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}[model["activation"]],
        "dropout": model["dropout"],
        "attention_dropout": model["attention_dropout"],
        "activation_dropout": model["mlp_dropout"],
        "max_position_embeddings": 512,
        **{key: value for key, (value, _) in ALWAYS.items()},
        "static_position_embeddings": True,
        "is_encoder_decoder": True,
        **model.get("special", {}),
    }


CONFIG = Kind(TABLES, SIZES, _read, _write)
KINDS = {"marian": CONFIG}
