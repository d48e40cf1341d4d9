"""UPerNet on a Swin, on ADE20K's 150 classes: --config=configs/upernet_ade20k.py:T (S, B)

    python train.py --config=configs/upernet_ade20k.py:T --config.data.data_dir=DIR --config.init_from=FILE

DIR has ADEChallengeData2016: see segmenter_ade20k.py. FILE has a Swin of ImageNet-1k, of timm or Hugging Face.

The recipe published with Swin (2103.14030, appendix A.2): 160,000 steps of batch 16, AdamW at 6e-5 with 1,500 steps of
warm-up and linear decay, weight decay 0.01, stochastic depth 0.3, crops of 512 pixels of images resized to 0.5 to 2
times as much, batch statistics over all devices, and an auxiliary loss from the map of stride 16. Its authors see
images whole in evaluation and report a mean IoU of 44.5 % (T), 47.6 % (S) and 48.1 % (B); here windows of the crops'
size are seen, and label maps as they are resized.
"""

from ml_collections import ConfigDict

from configs import base, segmenter_ade20k

VARIANTS = {"trunk": ("T", "S", "B")}


def get_config(trunk: str = "T") -> ConfigDict:
    """The config of a Swin: see above."""
    whole = segmenter_ade20k.get_config()
    data = dict(batch_size=16, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return base.config(
        steps=160_000,
        model=dict(
            name="upernet",
            trunk=dict(name="swin", variant=trunk, padding="zeros", stochastic_depth=0.3),
            norm="batch",
            auxiliary=16,
            dtype="bfloat16",
        ),
        task=whole.task,
        data={**whole.data, **data},
        optim=dict(learning_rate=6e-5, schedule="linear", warmup_steps=1500, weight_decay=0.01, clip_norm=0.0),
        evaluation=dict(every_steps=16_000),
        checkpoint=dict(every_steps=4000, keep_best="validation/mean_iou"),
    )
