"""A linear classifier on the frozen features of a pre-trained ViT: --config=configs/vit_linear_probe.py:cifar10+B/16

    python train.py --config=configs/vit_linear_probe.py:cifar10+B/16 --config.init_from=WORKDIR_OR_FILE ...

Tasks as in configs/vit_finetune.py. Only the head is trained and has a gradient and optimiser state: a step costs a
forward pass. 224 pixels, as in pre-training; SGD with momentum, no weight decay. In closed form and much faster:
--config.evaluation.fewshot of evaluate.py.
"""

from ml_collections import ConfigDict

from configs import vit_finetune


def get_config(variant: str = "cifar10+B/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_finetune.get_config(variant)
    config.data.image_size = 224
    config.step.frozen = ("(?!head/).*",)
    config.optim.update(learning_rate=0.1, clip_norm=0.0)
    return config
