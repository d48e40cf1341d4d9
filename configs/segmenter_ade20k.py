"""Segmenter on ADE20K's 150 classes, from pre-trained weights: --config=configs/segmenter_ade20k.py:S/16+mask

    python train.py --config=configs/segmenter_ade20k.py:S/16+mask --config.data.data_dir=DIR --config.init_from=FILE

DIR has ADEChallengeData2016 as it is downloaded: images/ and annotations/, each with training/ and validation/, and
objectInfo150.txt. (TFDS's scene_parse150 has the label images of the instance challenge, of 100 classes, instead:
config.data.label_channel=0 reads them.) FILE has a ViT of ImageNet-21k.

The authors' recipe: 64 epochs of batch 8, SGD at 1e-3 with momentum 0.9 and stochastic depth 0.1, crops of 512 pixels
(L/16: 640) of images resized to 0.5 to 2 times as much. Evaluated are windows of the crops' size, at half a window's
stride; label maps as they are resized. They report, with the mask decoder, a mean IoU of 38.1 % (Ti/16), 45.3 % (S/16),
48.5 % (B/16) and 51.8 % (L/16).
"""

from ml_collections import ConfigDict

from configs import base
from models import sizes

VARIANTS = {"model": tuple(f"{name}/16" for name in sizes.VIT), "decoder": ("mask", "linear")}
EXAMPLES, BATCH = 20_210, 8


def get_config(model: str = "S/16", decoder: str = "mask") -> ConfigDict:
    """The config of a model and a decoder: see above."""
    size = 640 if model == "L/16" else 512
    return base.config(
        steps=64 * EXAMPLES // BATCH,
        model=dict(name="segmenter", variant=model, decoder=decoder, stochastic_depth=0.1, dtype="bfloat16"),
        task=dict(name="segment", window=(size, size), by_class=False),
        data=dict(
            kind="masks",
            source="label_images",
            name="ADEChallengeData2016",
            train_split="training",
            eval_splits=("validation",),
            first_class=1,
            batch_size=BATCH,
            image_size=size,
            eval_size=3 * size // 2,
            augment=dict(scales=(0.5, 2.0), flip=True, brightness=0.125, contrast=0.5, saturation=0.5, hue=0.05),
        ),
        optim=dict(name="sgd", momentum=0.9, learning_rate=1e-3, schedule="linear", power=0.9, clip_norm=0.0),
        evaluation=dict(every_steps=10_000),
        checkpoint=dict(every_steps=5_000, keep_best="validation/mean_iou"),
    )
