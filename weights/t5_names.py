"""The names of transformers' T5ForConditionalGeneration: T5, T5 v1.1 and others of its form (Flan-T5, ByT5, mT5)."""

from collections.abc import Mapping, Sequence

from errors import UserError
from weights import our_t5
from weights.changes import DENSE, HEADS, OUT, SAME
from weights.our_t5 import DECODER, ENCODER, PROJECTIONS
from weights.ours import Settings
from weights.tables import Beside, Json, Kind, Row, Table

SETTINGS = {"norm_epsilon": 1e-6, "max_distance": 128}
ELSEWHERE = {
    "norm_epsilon": "T5Config(layer_norm_epsilon=...)",
    "max_distance": "T5Config(relative_attention_max_distance=...)",
}
FORMS = {"1.0": "relu", "1.1": "gated-gelu"}  # feed_forward_proj of each version
SIZES = {
    "d_model": "D",
    "vocab_size": "V",
    "d_ff": "F",
    "d_kv": "K",
    "num_heads": "H",
    "num_layers": "block",
    "num_decoder_layers": "layer",
    "relative_attention_num_buckets": "R",
}
COPIES = dict.fromkeys(("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), "shared.weight")
CROSS = {  # of files that are older than transformers' own
    r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight": "attention to the source has none"
}
TIED = {"lm_head.weight": "shared.weight"}


def _attention(ours: str, theirs: str) -> tuple[Row, ...]:
    parts = (Row(f"{ours}/{part}/kernel", f"{theirs}.{part[0]}.weight", HEADS) for part in PROJECTIONS)
    return *parts, Row(f"{ours}/out/kernel", f"{theirs}.o.weight", OUT)


def _mlp(ours: str, theirs: str, version: str) -> tuple[Row, ...]:
    inputs = {"1.0": {"expand": "wi"}, "1.1": {"gate": "wi_0", "expand": "wi_1"}}[version]
    names = inputs | {"contract": "wo"}
    return tuple(Row(f"{ours}/{own}/kernel", f"{theirs}.{name}.weight", DENSE) for own, name in names.items())


def _stack(stack: str, block: str, place: str, parts: Sequence[tuple[str, str, str]], version: str) -> tuple[Row, ...]:
    """parts: of each attention, our name, that of its norm, and theirs."""
    theirs = f"{stack}.block.{place}.layer."
    rows: list[Row] = []
    for number, (attention, norm, name) in enumerate(parts):
        rows += _attention(f"{block}/{attention}", f"{theirs}{number}.{name}")
        rows.append(Row(f"{block}/{norm}/scale", f"{theirs}{number}.layer_norm.weight", SAME))
    bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return (
        Row(f"{stack}_relative/embedding", bias, SAME),
        *rows,
        *_mlp(f"{block}/mlp", f"{theirs}{len(parts)}.DenseReluDense", version),
        Row(f"{block}/mlp_norm/scale", f"{theirs}{len(parts)}.layer_norm.weight", SAME),
        Row(f"{stack}/norm/scale", f"{stack}.final_layer_norm.weight", SAME),
    )


IN_ENCODER = (("attention", "attention_norm", "SelfAttention"),)
IN_DECODER = (("self_attention", "self_norm", "SelfAttention"), ("cross_attention", "cross_norm", "EncDecAttention"))


def _table(version: str) -> Table:
    rows = (
        Row("embedding/embedding", "shared.weight", SAME),
        *_stack("encoder", ENCODER, "{block}", IN_ENCODER, version),
        *_stack("decoder", DECODER, "{layer}", IN_DECODER, version),
    )
    if version == "1.1":
        rows += (Row("head/kernel", "lm_head.weight", DENSE),)
    copies = COPIES | (TIED if version == "1.0" else {})
    return Table("huggingface", our_t5.FAMILY, SETTINGS, ELSEWHERE, rows, ignored=CROSS, copies=copies)


TABLES = tuple(_table(version) for version in FORMS)


def _read(config: Json) -> Beside:
    form = config.get("feed_forward_proj", "relu")
    if form not in FORMS.values():
        known = " and ".join(FORMS.values())
        raise UserError(f"config.json says feed_forward_proj={form!r}, and only {known} can be read.")
    return Beside(
        heads=int(config["num_heads"]),
        settings={
            "norm_epsilon": float(config.get("layer_norm_epsilon", 1e-6)),
            "max_distance": int(config.get("relative_attention_max_distance", 128)),
        },
    )


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "feed_forward_proj": FORMS[model["version"]],
        "tie_word_embeddings": model["version"] == "1.0",
        "relative_attention_max_distance": model["max_distance"],
        "layer_norm_epsilon": model["norm_epsilon"],
        "dropout_rate": model["dropout"],
        "is_encoder_decoder": True,
        **model.get("special", {}),
    }


CONFIG = Kind(TABLES, SIZES, _read, _write)
KINDS = {"t5": CONFIG, "mt5": CONFIG}
