"""Your own images: batch, length, image size and augmentation follow from how many there are and from the machine.

    python train.py --config=configs/my_images.py --config.data.name=FOLDER

FOLDER has a folder for each class, or train, val and test of these; or it is a list FILE.csv of paths and classes. A
run says what it chose, and each is a key that can be set. With --config.init_from=WORKDIR_OR_FOLDER it is fine-tuned.
"""

from ml_collections import ConfigDict

from configs import base

SIZES = ("width", "depth", "heads", "mlp_dim", "patch", "stem", "stem_depths", "stem_width", "head", "positions")
CHANGES = ("crop", "crop_min_area", "flip", "rotate", "shift", "zoom", "randaugment_layers", "mixup")


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    return base.config(
        recipe="images",
        epochs=None,
        model=dict(name="vit", dropout=None, **base.open_keys(*SIZES)),
        task=dict(name="classify", label_smoothing=0.1),
        data=dict(
            kind="images",
            unreadable="skip",
            augment=base.open_keys(*CHANGES),
            **base.open_keys("source", "train_split", "eval_splits", "batch_size"),
            **base.open_keys("image_size", "mean", "std", "interpolation"),
        ),
        optim=dict(weight_decay=0.05, **base.open_keys("learning_rate", "warmup_steps")),
        **base.open_calendar(),
    )
