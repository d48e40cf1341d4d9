"""The names of timm's ViT and DeiT (VisionTransformer, PyTorch)."""

from weights import our_vit
from weights.changes import CONVOLUTION, DENSE, OUT, QKV, QKV_BIAS, SAME
from weights.our_vit import BLOCK, PROJECTIONS
from weights.tables import Row, Table

SETTINGS = {"activation": "gelu", "norm_epsilon": 1e-6}
ELSEWHERE = {
    "activation": 'timm.create_model(..., act_layer="gelu_tanh" | "relu")',
    "norm_epsilon": "timm.create_model(..., norm_layer=functools.partial(torch.nn.LayerNorm, eps=...))",
}
THEIRS = "blocks.{block}"


def _three(x: str) -> tuple[str, ...]:
    return tuple(f"{BLOCK}/attention/{part}/{x}" for part in PROJECTIONS)


ROWS = (
    Row("token", "cls_token", SAME),
    Row("distillation_token", "dist_token", SAME),
    Row("embedding/kernel", "patch_embed.proj.weight", CONVOLUTION),
    Row("embedding/bias", "patch_embed.proj.bias", SAME),
    Row("positions/embedding", "pos_embed", SAME),
    Row(f"{BLOCK}/attention_norm/scale", f"{THEIRS}.norm1.weight", SAME),
    Row(f"{BLOCK}/attention_norm/bias", f"{THEIRS}.norm1.bias", SAME),
    Row(_three("kernel"), f"{THEIRS}.attn.qkv.weight", QKV),
    Row(_three("bias"), f"{THEIRS}.attn.qkv.bias", QKV_BIAS),
    Row(f"{BLOCK}/attention/out/kernel", f"{THEIRS}.attn.proj.weight", OUT),
    Row(f"{BLOCK}/attention/out/bias", f"{THEIRS}.attn.proj.bias", SAME),
    Row(f"{BLOCK}/mlp_norm/scale", f"{THEIRS}.norm2.weight", SAME),
    Row(f"{BLOCK}/mlp_norm/bias", f"{THEIRS}.norm2.bias", SAME),
    Row(f"{BLOCK}/mlp/expand/kernel", f"{THEIRS}.mlp.fc1.weight", DENSE),
    Row(f"{BLOCK}/mlp/expand/bias", f"{THEIRS}.mlp.fc1.bias", SAME),
    Row(f"{BLOCK}/mlp/contract/kernel", f"{THEIRS}.mlp.fc2.weight", DENSE),
    Row(f"{BLOCK}/mlp/contract/bias", f"{THEIRS}.mlp.fc2.bias", SAME),
    Row("encoder/norm/scale", "norm.weight", SAME),
    Row("encoder/norm/bias", "norm.bias", SAME),
    Row("head/kernel", "head.weight", DENSE),
    Row("head/bias", "head.bias", SAME),
    Row("distillation_head/kernel", "head_dist.weight", DENSE),
    Row("distillation_head/bias", "head_dist.bias", SAME),
)
OPTIONAL = ("token", "distillation_token", "head", "distillation_head")
IGNORED = {r"decoder_.*|mask_token": "a masked autoencoder's decoder, which only pre-training has"}
TABLES = (Table("timm", our_vit.FAMILY, SETTINGS, ELSEWHERE, ROWS, OPTIONAL, IGNORED),)
