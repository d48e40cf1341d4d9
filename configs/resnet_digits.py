"""BiT ResNet of 119k parameters on the handwritten digits, offline, about two minutes on two cores: beside configs/vit_digits.py.

python train.py --config=configs/resnet_digits.py
"""

from ml_collections import ConfigDict

from configs import base, debug, vit_digits


def get_config(variant: str = "") -> ConfigDict:
    config = vit_digits.get_config()
    config.model = base.resnet()
    config.model.update(depths=(1, 1), width=16, root="cifar")
    return debug.shrink(config, variant)
