"""A linear classifier on the frozen features of a pre-trained ViT: --config=configs/vit_linear_probe.py:cifar10+B/16 (tasks as in vit_finetune)

    python train.py --config=configs/vit_linear_probe.py:cifar10+B/16 --config.init_from=WORKDIR_OR_FILE --config.data.data_dir=...

Nothing but the head is trained, has a gradient or optimiser state: a step costs a forward pass. 224 pixels, as in
pre-training; SGD with momentum, no weight decay. In closed form and in no time: --config.evaluation.fewshot of evaluate.py.
"""

from ml_collections import ConfigDict

from configs import debug, vit_finetune


def get_config(variant: str = "cifar10+B/16") -> ConfigDict:
    config = vit_finetune.get_config(variant)
    config.data.image_size = 224
    config.step.frozen = ("(?!head/).*",)
    config.optim.update(learning_rate=0.1, clip_norm=0.0)
    return debug.shrink(config, variant)
