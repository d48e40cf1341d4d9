"""Masked autoencoder on Fashion-MNIST, two CPU cores: the small ViT of configs/vit_fashion_mnist.py, without labels

    python train.py --config=configs/mae_fashion_mnist.py
    python train.py --config=configs/vit_fashion_mnist.py --config.init_from=runs/mae_fashion_mnist

The variant `mean_color` is the ViT paper's own self-supervision instead. A linear classifier on what it has learned:
results/self_supervision.py.
"""

from ml_collections import ConfigDict

from configs import vit_fashion_mnist

VARIANTS = {"variant": ("mae", "mean_color")}


def get_config(variant: str = "mae") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_fashion_mnist.get_config()
    if variant == "mean_color":
        config.model.update(name="masked_patches", colors=8)
        mean, std = config.data.get_ref("mean"), config.data.get_ref("std")
        config.task = ConfigDict(dict(name="mean_color", mean=mean, std=std))
    else:
        config.model.update(name="mae", decoder_width=64, decoder_depth=2, decoder_heads=4)
        config.task = ConfigDict(dict(name="reconstruct"))
    config.epochs = 10.0
    config.optim.update(learning_rate=2e-3, b2=0.95, weight_decay=0.05)
    config.checkpoint.keep_best = ""
    return config
