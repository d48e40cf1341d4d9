"""ViT's own self-supervision (2010.11929, appendix B.1.2): --config=configs/masked_patches_imagenet21k.py:B/16

    python train.py --config=configs/masked_patches_imagenet21k.py:B/16 --config.data.data_dir=...
    python train.py --config=configs/vit_finetune.py:imagenet+B/16 \
        --config.init_from=runs/masked_patches_imagenet21k-B_16 ...

On ImageNet-21k. Half of the patches are corrupted (80 % by a learned embedding, 10 % by another patch, 10 % left), and
the mean colour of each is predicted, out of 512. Adam at 2e-4, 10,000 steps of warm-up, batch 4096. The paper, on JFT
for a million steps and then fine-tuned on ImageNet: 79.9 %, 2 points over training from scratch.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet21k

VARIANTS = vit_imagenet21k.VARIANTS


def get_config(variant: str = "B/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet21k.get_config(variant)
    config.model = ConfigDict(dict(name="masked_patches", variant=variant, dtype="bfloat16", scan=config.model.scan))
    config.data.update(mean=(0.5,) * 3, std=(0.5,) * 3)
    mean, std = config.data.get_ref("mean"), config.data.get_ref("std")
    config.task = ConfigDict(dict(name="mean_color", mean=mean, std=std))
    config.optim.update(learning_rate=2e-4, schedule="cosine", weight_decay=0.0)
    return config
