"""The published sizes of models, as fields of their `Model`. Any room may import this file: it imports nothing."""

# 2010.11929, table 1; Ti and S are DeiT's (2012.12877), as the authors published them later (2106.10270).
VIT = {
    "Ti": {"width": 192, "depth": 12, "mlp_dim": 768, "heads": 3},
    "S": {"width": 384, "depth": 12, "mlp_dim": 1536, "heads": 6},
    "B": {"width": 768, "depth": 12, "mlp_dim": 3072, "heads": 12},
    "L": {"width": 1024, "depth": 24, "mlp_dim": 4096, "heads": 16},
    "H": {"width": 1280, "depth": 32, "mlp_dim": 5120, "heads": 16},
}
VIT_PATCHES = (8, 14, 16, 32)
TUBELETS = (1, 2, 4)  # frames, of a ViViT (2103.15691)

# Units in each stage of a ResNet. "R50x3" is "50", three times as wide.
RESNET_DEPTHS = {
    "26": (2, 2, 2, 2),
    "50": (3, 4, 6, 3),
    "101": (3, 4, 23, 3),
    "152": (3, 8, 36, 3),
    "200": (3, 24, 36, 3),
}
AUXILIARY_WIDTH = 256  # of the convolution before the auxiliary logits of a UPerNet
RESNET_WIDTH = 64  # of the root and of the first stage's bottleneck

# Hybrids (2010.11929, section 3.1): the units in each stage of the ResNet, the side of the patches of its features, and
# the ViT after it. R50+B/16 has the units of ResNet50's last stage in the one before; R+Ti/16 is the published name of
# a model whose patches are 32 pixels wide.
HYBRIDS: dict[str, tuple[tuple[int, ...], int, str]] = {
    "R+Ti/16": ((), 8, "Ti"),
    "R26+S/32": (RESNET_DEPTHS["26"], 1, "S"),
    "R26+B/32": (RESNET_DEPTHS["26"], 1, "B"),
    "R50+B/16": ((3, 4, 9), 1, "B"),
    "R50+B/32": (RESNET_DEPTHS["50"], 1, "B"),
    "R50+L/16": ((3, 4, 9), 1, "L"),
    "R50+L/32": (RESNET_DEPTHS["50"], 1, "L"),
}

VIT_VARIANTS = (*(f"{name}/{patch}" for name in VIT for patch in VIT_PATCHES), *HYBRIDS)
# Those of the ViT and BiT papers; other widths go as well.
RESNET_VARIANTS = (*("R26x1", "R50x1", "R50x2", "R50x3", "R101x1", "R101x3", "R152x1", "R152x2", "R152x4", "R200x3"),)

# 2212.09748, table 1.
DIT = {
    "S": {"width": 384, "depth": 12, "heads": 6},
    "B": {"width": 768, "depth": 12, "heads": 12},
    "L": {"width": 1024, "depth": 24, "heads": 16},
    "XL": {"width": 1152, "depth": 28, "heads": 16},
}
DIT_PATCHES = (2, 4, 8)

# 2105.01601, table 1.
MIXER = {
    "S": {"width": 512, "depth": 8, "mlp_dim": 2048, "token_mlp_dim": 256},
    "B": {"width": 768, "depth": 12, "mlp_dim": 3072, "token_mlp_dim": 384},
    "L": {"width": 1024, "depth": 24, "mlp_dim": 4096, "token_mlp_dim": 512},
    "H": {"width": 1280, "depth": 32, "mlp_dim": 5120, "token_mlp_dim": 640},
}
MIXER_PATCHES = (14, 16, 32)
MIXER_VARIANTS = tuple(f"{name}/{patch}" for name in MIXER for patch in MIXER_PATCHES)

# 1706.03762, table 3: the rows that are models of their own. The others change one or two sizes of "base".
TRANSFORMER = {
    "base": {"width": 512, "depth": 6, "mlp_dim": 2048, "heads": 8},
    "big": {"width": 1024, "depth": 6, "mlp_dim": 4096, "heads": 16},
}

# GPT-2 (Radford et al., 2019, table 2). MLPs are four times as wide as the model.
GPT = {
    "small": {"width": 768, "depth": 12, "mlp_dim": 3072, "heads": 12},
    "medium": {"width": 1024, "depth": 24, "mlp_dim": 4096, "heads": 16},
    "large": {"width": 1280, "depth": 36, "mlp_dim": 5120, "heads": 20},
    "XL": {"width": 1600, "depth": 48, "mlp_dim": 6400, "heads": 25},
}

# T5 (1910.10683, section 3.7) and its later version with gated MLPs, by the names of their published checkpoints.
T5: dict[str, dict[str, dict[str, int]]] = {
    "1.0": {
        "small": {"width": 512, "depth": 6, "mlp_dim": 2048, "heads": 8, "head_dim": 64},
        "base": {"width": 768, "depth": 12, "mlp_dim": 3072, "heads": 12, "head_dim": 64},
        "large": {"width": 1024, "depth": 24, "mlp_dim": 4096, "heads": 16, "head_dim": 64},
        "3B": {"width": 1024, "depth": 24, "mlp_dim": 16384, "heads": 32, "head_dim": 128},
    },
    "1.1": {
        "small": {"width": 512, "depth": 8, "mlp_dim": 1024, "heads": 6, "head_dim": 64},
        "base": {"width": 768, "depth": 12, "mlp_dim": 2048, "heads": 12, "head_dim": 64},
        "large": {"width": 1024, "depth": 24, "mlp_dim": 2816, "heads": 16, "head_dim": 64},
        "XL": {"width": 2048, "depth": 24, "mlp_dim": 5120, "heads": 32, "head_dim": 64},
    },
}

# 2103.14030, section 3.3: the width of the first stage, and the layers of each. All heads are 32 wide.
SWIN: dict[str, tuple[int, tuple[int, ...]]] = {
    "T": (96, (2, 2, 6, 2)),
    "S": (96, (2, 2, 18, 2)),
    "B": (128, (2, 2, 18, 2)),
    "L": (192, (2, 2, 18, 2)),
}

# BERT (1810.04805, section 3; the small ones are of 1908.08962). MLPs are four times as wide as the model.
BERT = {
    "Tiny": {"width": 128, "depth": 2, "mlp_dim": 512, "heads": 2},
    "Mini": {"width": 256, "depth": 4, "mlp_dim": 1024, "heads": 4},
    "Small": {"width": 512, "depth": 4, "mlp_dim": 2048, "heads": 8},
    "Medium": {"width": 512, "depth": 8, "mlp_dim": 2048, "heads": 8},
    "Base": {"width": 768, "depth": 12, "mlp_dim": 3072, "heads": 12},
    "Large": {"width": 1024, "depth": 24, "mlp_dim": 4096, "heads": 16},
}

# 2103.00020, section 2.4, and 2303.15343: the tower of images, by the ViT's sizes or its own, and that of texts.
CLIP: dict[str, dict[str, dict[str, int]]] = {
    "clip": {
        "B": VIT["B"] | {"text_width": 512, "text_depth": 12, "text_mlp_dim": 2048, "text_heads": 8, "embedding": 512},
        "L": VIT["L"] | {"text_width": 768, "text_depth": 12, "text_mlp_dim": 3072, "text_heads": 12, "embedding": 768},
    },
    "siglip": {
        name: row | {f"text_{key}": value for key, value in row.items()} | {"embedding": row["width"]}
        for name, row in {
            "B": VIT["B"],
            "L": VIT["L"],
            "So400m": {"width": 1152, "depth": 27, "mlp_dim": 4304, "heads": 16},
        }.items()
    },
}
CLIP_PATCHES = (14, 16, 32)
CLIP_HOTTEST = 4.605170185988092  # log 100, the largest log of the scale (2103.00020, section 2.5)
