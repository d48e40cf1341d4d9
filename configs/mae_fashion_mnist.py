"""Masked autoencoder on Fashion-MNIST, two CPU cores: the small ViT of configs/vit_fashion_mnist.py, without labels.

    python train.py --config=configs/mae_fashion_mnist.py
    python train.py --config=configs/vit_fashion_mnist.py --config.init_from=runs/mae_fashion_mnist

A linear classifier on what it has learned: results/self_supervision.py.
"""

from ml_collections import ConfigDict

from configs import base, vit_fashion_mnist


def get_config(variant: str = "") -> ConfigDict:
    config = vit_fashion_mnist.get_config()
    model = {
        key: config.model[key]
        for key in ("width", "depth", "mlp_dim", "heads", "patch", "head", "positions", "activation")
    }
    config.model = base.mae()
    config.model.update(model | dict(decoder_width=64, decoder_depth=2, decoder_heads=4))
    config.task = base.reconstruct()
    config.epochs = 10.0
    config.optim.update(learning_rate=2e-3, b2=0.95, weight_decay=0.05)
    config.checkpoint.keep_best = ""
    return base.shrink(config, variant)
