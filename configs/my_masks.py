"""Your own images with label images, a class for each pixel: what the config leaves open follows from them.

    python train.py --config=configs/my_masks.py --config.data.name=FOLDER

FOLDER has train/images and train/labels (and val, test), images/train and labels/train, or just images and labels; and
a classes.txt. `labels` may be called `masks` or `annotations`. A label image has a class's number, 0, 1, 2 ..., for
each pixel, and 255 for no class; or it is black and white (0 and 255) for two classes. A run says what it chose. With
--config.init_from=WORKDIR_OR_FOLDER it is fine-tuned; a ViT's weights, or DINOv2's, become a Segmenter's.
"""

from ml_collections import ConfigDict

from configs import base, swin_camvid


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    camvid = swin_camvid.get_config()
    where = base.open_keys("source", "train_split", "eval_splits", "mean", "std", "interpolation")
    labels = base.open_keys("class_names", "ignored", "label_numbers")
    sizes = base.open_keys("batch_size", "image_size", "image_width")
    calendar = base.open_calendar()
    return base.config(
        recipe="masks",
        epochs=None,
        model=camvid.model.to_dict() | base.open_keys("width"),
        task=dict(name="segment", dice=0.5),
        data=dict(kind="masks", augment=camvid.data.augment.to_dict(), **where, **labels, **sizes),
        optim=dict(weight_decay=0.05, **base.open_keys("learning_rate", "warmup_steps")),
        step=calendar.pop("step") | {"ema_decay": 0.998},
        **calendar,
    )
