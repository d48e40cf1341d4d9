"""BiT ResNet of 119k parameters on the handwritten digits: offline, two minutes on two cores.

python train.py --config=configs/resnet_digits.py
"""

from ml_collections import ConfigDict

from configs import vit_digits


def get_config() -> ConfigDict:
    """The config."""
    config = vit_digits.get_config()
    config.model = ConfigDict(dict(name="resnet", depths=(1, 1), width=16, root="cifar"))
    return config
