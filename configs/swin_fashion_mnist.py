"""Swin of 137k parameters on Fashion-MNIST: 20 epochs, about an hour on two cores.

    python train.py --config=configs/swin_fashion_mnist.py

2 layers of width 32 on patches of 2x2 pixels, then 2 of width 64, with windows of 7x7: the arithmetic of
configs/vit_fashion_mnist.py, whose data and recipe it has.
"""

from ml_collections import ConfigDict

from configs import vit_fashion_mnist


def get_config() -> ConfigDict:
    """The config."""
    config = vit_fashion_mnist.get_config()
    config.model = ConfigDict(dict(name="swin", width=32, depths=(2, 2), head_dim=16, patch=2))
    return config
