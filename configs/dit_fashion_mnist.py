"""A diffusion Transformer that draws Fashion-MNIST, 28x28 pixels, by class: about an hour on two cores.

    python train.py --config=configs/dit_fashion_mnist.py
    python predict.py --workdir=runs/dit_fashion_mnist Sandal Coat

The recipe is that of dit_digits.py, by a flow or by a diffusion, with a deeper network on patches of 4x4 pixels. The
first 2,000 test images are what samples are compared with: to draw as many takes minutes.
"""

from ml_collections import ConfigDict

from configs import dit_digits

VARIANTS = dit_digits.VARIANTS


def get_config(path: str = "flow") -> ConfigDict:
    """The config of a path: see above."""
    config = dit_digits.get_config(path)
    config.steps = 12000
    config.model.update(depth=6, patch=4)
    config.data.update(source="tfds", name="fashion_mnist", image_size=28, eval_splits=("test[:2000]",))
    config.data.eval_batch_size = 500
    config.evaluation.every_steps = config.checkpoint.every_steps = 3000
    config.log.every_steps = 200
    return config
