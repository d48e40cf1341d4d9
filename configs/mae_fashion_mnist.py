"""Masked autoencoder on Fashion-MNIST, two CPU cores: the small ViT of configs/vit_fashion_mnist.py, without labels (or :mean_color)

    python train.py --config=configs/mae_fashion_mnist.py
    python train.py --config=configs/vit_fashion_mnist.py --config.init_from=runs/mae_fashion_mnist

mean_color is the ViT paper's own self-supervision instead. A linear classifier on what it has learned: results/self_supervision.py.
"""

from ml_collections import ConfigDict

from configs import base, debug, vit_fashion_mnist


def get_config(variant: str = "mae") -> ConfigDict:
    config = vit_fashion_mnist.get_config()
    model = {
        key: config.model[key]
        for key in ("width", "depth", "mlp_dim", "heads", "patch", "head", "positions", "activation")
    }
    if variant.startswith("mean_color"):
        config.model = base.masked_patches(channels=1)
        config.model.update(model)
        config.task = base.mean_color(config.data)
    else:
        config.model = base.mae()
        config.model.update(model | dict(decoder_width=64, decoder_depth=2, decoder_heads=4))
        config.task = base.reconstruct()
    config.epochs = 10.0
    config.optim.update(learning_rate=2e-3, b2=0.95, weight_decay=0.05)
    config.checkpoint.keep_best = ""
    return debug.shrink(config, variant)
