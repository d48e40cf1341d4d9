"""Your own images with boxes, for a DETR: what the config leaves open follows from them and from the machine.

    python train.py --config=configs/my_boxes.py --config.data.name=FOLDER

FOLDER is as COCO (a JSON file), Pascal VOC (an XML file an image) or YOLO (a text file an image) has it; which, is told
from its files. A run says what it chose. With --config.init_from=WORKDIR_OR_FOLDER it is fine-tuned.
"""

from ml_collections import ConfigDict

from configs import base, detr_bccd


def get_config() -> ConfigDict:
    """The config: what is None follows from the data."""
    bccd = detr_bccd.get_config()
    where = base.open_keys("source", "train_split", "eval_splits", "mean", "std")
    sizes = base.open_keys("batch_size", "image_size", "image_width", "max_boxes")
    calendar = base.open_calendar()
    augment = bccd.data.augment.to_dict() | {"flip_vertical": False}  # most photos have an upside
    return base.config(
        recipe="boxes",
        epochs=None,
        init_fresh=bccd.init_fresh,
        model=bccd.model.to_dict() | base.open_keys("width", "queries"),
        task=bccd.task.to_dict(),
        data=dict(kind="boxes", unreadable="skip", augment=augment, **where, **sizes),
        optim=dict(weight_decay=1e-4, **base.open_keys("learning_rate", "warmup_steps")),
        evaluation=calendar.pop("evaluation") | {"generate": "always"},
        step=calendar.pop("step") | {"ema_decay": 0.999},
        **calendar,
    )
