"""The names of timm's ViT and DeiT (VisionTransformer, PyTorch)."""

from weights import our_vit
from weights.changes import CONVOLUTION, OUT, QKV, QKV_BIAS, SAME
from weights.our_vit import BLOCK, PROJECTIONS
from weights.pytorch import linear, norm
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
    *linear("embedding", "patch_embed.proj", CONVOLUTION),
    Row("positions/embedding", "pos_embed", SAME),
    *norm(f"{BLOCK}/attention_norm", f"{THEIRS}.norm1"),
    Row(_three("kernel"), f"{THEIRS}.attn.qkv.weight", QKV),
    Row(_three("bias"), f"{THEIRS}.attn.qkv.bias", QKV_BIAS),
    *linear(f"{BLOCK}/attention/out", f"{THEIRS}.attn.proj", OUT),
    *norm(f"{BLOCK}/mlp_norm", f"{THEIRS}.norm2"),
    *linear(f"{BLOCK}/mlp/expand", f"{THEIRS}.mlp.fc1"),
    *linear(f"{BLOCK}/mlp/contract", f"{THEIRS}.mlp.fc2"),
    *norm("encoder/norm", "norm"),
    *linear("head", "head"),
    *linear("distillation_head", "head_dist"),
)
OPTIONAL = ("token", "distillation_token", "head", "distillation_head")
IGNORED = {r"decoder_.*|mask_token": "a masked autoencoder's decoder, which only pre-training has"}
TABLES = (Table("timm", our_vit.FAMILY, SETTINGS, ELSEWHERE, ROWS, OPTIONAL, IGNORED),)
