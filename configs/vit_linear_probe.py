"""A linear classifier on the frozen features of a pre-trained ViT: --config=configs/vit_linear_probe.py:cifar10+B/16

    python train.py --config=configs/vit_linear_probe.py:cifar10+B/16 --config.init_from=WORKDIR_OR_FILE ...

Tasks as in configs/vit_finetune.py. Only the head is trained and has a gradient and optimiser state: a step costs a
forward pass. 224 pixels, as in pre-training; SGD with momentum, no weight decay. In closed form and much faster:
--config.evaluation.fewshot of evaluate.py.
"""

from ml_collections import ConfigDict

from configs import vit_finetune

VARIANTS = vit_finetune.VARIANTS


def get_config(task: str = "cifar10", model: str = "B/16") -> ConfigDict:
    """The config of a task and a model: see above."""
    config = vit_finetune.get_config(task, model)
    config.data.image_size = 224
    config.step.frozen = ("(?!head/).*",)
    config.optim.update(learning_rate=0.1, clip_norm=0.0)
    return config
