"""The names of transformers' GPT2LMHeadModel, and of GPT2Model, which the published files of GPT-2 have.

Their Conv1D keeps matrices as (in, out), which all their other linear layers keep as (out, in).
"""

import re
from collections.abc import Mapping, Sequence

from weights import our_gpt
from weights.changes import COLUMNS_OUT, COLUMNS_QKV, QKV_BIAS, SAME
from weights.our_gpt import BLOCK, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import require
from weights.tables import Beside, Json, Kind, Row, Table

SETTINGS = {"activation": "gelu_tanh", "norm_epsilon": 1e-5}
ELSEWHERE = {
    "activation": 'GPT2Config(activation_function="gelu" | "relu")',
    "norm_epsilon": "GPT2Config(layer_norm_epsilon=...)",
}
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
FIXED: Settings = {
    "positions": "learned",
    "kv_heads": None,
    "qk_norm": False,
    "window": 0,
    "attention_cap": 0.0,
    "output_cap": 0.0,
    "norm": "pre",
    "norm_kind": "layer",
    "use_bias": True,
}
# Keys of config.json that are one thing in every published model, which is what they are where they are missing.
ALWAYS = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
SIZES = {"vocab_size": "V", "n_positions": "N", "n_embd": "D", "n_layer": "block", "n_inner": "F"}


def _table(prefix: str) -> Table:
    block = prefix + "h.{block}"
    attention, mlp = f"{BLOCK}/self_attention", f"{BLOCK}/mlp"

    def norm(ours: str, theirs: str) -> tuple[Row, Row]:
        return Row(f"{ours}/scale", f"{theirs}.weight", SAME), Row(f"{ours}/bias", f"{theirs}.bias", SAME)

    rows = (
        Row("embedding/embedding", f"{prefix}wte.weight", SAME),
        Row("positions/embedding", f"{prefix}wpe.weight", SAME),
        *norm(f"{BLOCK}/self_norm", f"{block}.ln_1"),
        Row(tuple(f"{attention}/{part}/kernel" for part in PROJECTIONS), f"{block}.attn.c_attn.weight", COLUMNS_QKV),
        Row(tuple(f"{attention}/{part}/bias" for part in PROJECTIONS), f"{block}.attn.c_attn.bias", QKV_BIAS),
        Row(f"{attention}/out/kernel", f"{block}.attn.c_proj.weight", COLUMNS_OUT),
        Row(f"{attention}/out/bias", f"{block}.attn.c_proj.bias", SAME),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.ln_2"),
        Row(f"{mlp}/expand/kernel", f"{block}.mlp.c_fc.weight", SAME),
        Row(f"{mlp}/expand/bias", f"{block}.mlp.c_fc.bias", SAME),
        Row(f"{mlp}/contract/kernel", f"{block}.mlp.c_proj.weight", SAME),
        Row(f"{mlp}/contract/bias", f"{block}.mlp.c_proj.bias", SAME),
        *norm("decoder/norm", f"{prefix}ln_f"),
    )
    masks = {rf"{re.escape(prefix)}h\.\d+\.attn\.(bias|masked_bias)": "the causal mask, which is computed"}
    copies = {"lm_head.weight": f"{prefix}wte.weight"}
    return Table("huggingface", our_gpt.FAMILY, SETTINGS, ELSEWHERE, rows, (), masks, FIXED, copies)


TABLES = (_table("transformer."), _table(""))


def _read(config: Json) -> Beside:
    require(config, ALWAYS)
    settings = {
        "activation": ACTIVATIONS[config.get("activation_function", "gelu_new")],
        "norm_epsilon": float(config.get("layer_norm_epsilon", 1e-5)),
    }
    return Beside(int(config["n_head"]), settings)


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "n_head": sizes["H"],
        "activation_function": {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}[model["activation"]],
        "layer_norm_epsilon": model["norm_epsilon"],
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), model["dropout"]),
        **ALWAYS,
        **model.get("special", {}),
    }


CONFIG = Kind(TABLES, SIZES, _read, _write)
KINDS = {"gpt2": CONFIG}
