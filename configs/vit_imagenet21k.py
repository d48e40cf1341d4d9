"""ViT pre-trained on ImageNet-21k, as in the paper's Table 3: --config=configs/vit_imagenet21k.py:B/16

    python train.py --config=configs/vit_imagenet21k.py:B/16 --config.data.data_dir=...

90 epochs of batch 4096, AdamW at 1e-3 with linear decay, weight decay 0.03, dropout 0.1, a tanh representation layer
before the head. Hybrids too (R50+B/16 ...), with the learning rate of their row in Table 3, which is for JFT. The data
set is data/builders/imagenet21k.py, prepared from the release's archive.
"""

from ml_collections import ConfigDict

from configs import vit_imagenet

VARIANTS = vit_imagenet.VARIANTS
EXAMPLES_HELD_OUT = 51_200
# Table 3. The other hybrids are not in it.
LEARNING_RATES = {"R50+B/16": 8e-4, "R50+B/32": 8e-4, "R50+L/16": 4e-4, "R50+L/32": 2e-4}


def get_config(variant: str = "B/16") -> ConfigDict:
    """The config of a variant: see above."""
    config = vit_imagenet.get_config(variant)
    config.epochs = 90.0
    config.model.representation = True
    config.data.update(
        name="imagenet21k",
        train_split=f"train[{EXAMPLES_HELD_OUT}:]",
        eval_splits=(f"train[:{EXAMPLES_HELD_OUT}]",),
    )
    config.optim.update(learning_rate=LEARNING_RATES.get(variant, 1e-3), schedule="linear", weight_decay=0.03)
    config.checkpoint.keep_best = ""
    return config
