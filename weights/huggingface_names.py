"""The names of transformers' ViT (PyTorch): ViTForImageClassification, and ViTModel with its pooler."""

from weights.changes import CONVOLUTION, DENSE, HEADS, HEADS_BIAS, OUT, SAME
from weights.ours import BLOCK
from weights.tables import Row, Table

SETTINGS = {"activation": "gelu", "norm_epsilon": 1e-12}
ELSEWHERE = {
    "activation": 'ViTConfig(hidden_act="gelu_pytorch_tanh" | "relu")',
    "norm_epsilon": "ViTConfig(layer_norm_eps=...)",
}


def _encoder(prefix: str) -> tuple[Row, ...]:
    block = prefix + "encoder.layer.{block}"
    return (
        Row("token", f"{prefix}embeddings.cls_token", SAME),
        Row("embedding/kernel", f"{prefix}embeddings.patch_embeddings.projection.weight", CONVOLUTION),
        Row("embedding/bias", f"{prefix}embeddings.patch_embeddings.projection.bias", SAME),
        Row("positions/embedding", f"{prefix}embeddings.position_embeddings", SAME),
        Row(f"{BLOCK}/attention_norm/scale", f"{block}.layernorm_before.weight", SAME),
        Row(f"{BLOCK}/attention_norm/bias", f"{block}.layernorm_before.bias", SAME),
        *(
            row
            for part in ("query", "key", "value")
            for row in (
                Row(f"{BLOCK}/attention/{part}/kernel", f"{block}.attention.attention.{part}.weight", HEADS),
                Row(f"{BLOCK}/attention/{part}/bias", f"{block}.attention.attention.{part}.bias", HEADS_BIAS),
            )
        ),
        Row(f"{BLOCK}/attention/out/kernel", f"{block}.attention.output.dense.weight", OUT),
        Row(f"{BLOCK}/attention/out/bias", f"{block}.attention.output.dense.bias", SAME),
        Row(f"{BLOCK}/mlp_norm/scale", f"{block}.layernorm_after.weight", SAME),
        Row(f"{BLOCK}/mlp_norm/bias", f"{block}.layernorm_after.bias", SAME),
        Row(f"{BLOCK}/mlp/expand/kernel", f"{block}.intermediate.dense.weight", DENSE),
        Row(f"{BLOCK}/mlp/expand/bias", f"{block}.intermediate.dense.bias", SAME),
        Row(f"{BLOCK}/mlp/contract/kernel", f"{block}.output.dense.weight", DENSE),
        Row(f"{BLOCK}/mlp/contract/bias", f"{block}.output.dense.bias", SAME),
        Row("encoder/norm/scale", f"{prefix}layernorm.weight", SAME),
        Row("encoder/norm/bias", f"{prefix}layernorm.bias", SAME),
    )


CLASSIFIER = (
    Row("head/kernel", "classifier.weight", DENSE),
    Row("head/bias", "classifier.bias", SAME),
)
POOLER = (
    Row("pre_logits/kernel", "pooler.dense.weight", DENSE),
    Row("pre_logits/bias", "pooler.dense.bias", SAME),
)
UNUSED = {r"vit\.pooler\.dense\.(weight|bias)": "the classifier does not use the pooler"}
TABLES = (
    Table("huggingface", "vit", SETTINGS, ELSEWHERE, _encoder("vit.") + CLASSIFIER, ignored=UNUSED),
    Table("huggingface", "vit", SETTINGS, ELSEWHERE, _encoder("") + POOLER, optional=("pre_logits",)),
)
