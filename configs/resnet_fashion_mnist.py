"""BiT ResNet of 126k parameters on Fashion-MNIST, two CPU cores: beside configs/vit_fashion_mnist.py.

    python train.py --config=configs/resnet_fashion_mnist.py

Three stages of one bottleneck each, the first 16 wide (15M multiply-adds an image, the ViT 12M), with data,
augmentation and schedule of vit_fashion_mnist.
"""

from ml_collections import ConfigDict

from configs import vit_fashion_mnist


def get_config() -> ConfigDict:
    """The config."""
    config = vit_fashion_mnist.get_config()
    config.model = ConfigDict(dict(name="resnet", depths=(1, 1, 1), width=16, root="cifar"))
    return config
