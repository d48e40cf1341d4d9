"""What each remedy is worth to a DETR that learns from nothing, by COCO's AP on digits on canvases.

python study.py --study=configs/studies/detr_parts.py:tiny           400 steps, two CPU cores, 24 runs, half an hour
python study.py --study=configs/studies/detr_parts.py:images_2000    all or none, 2,000 images, 6 runs, an hour
python study.py --study=configs/studies/detr_parts.py                the length of detr_digits.py
"""

from ml_collections import ConfigDict

from configs.studies import base

VARIANTS = {"size": ("tiny", "images_2000")}
METRIC = "validation[:200]/AP"
PUBLISHED = (
    *("model.queries_from=learned", "model.attention=plain", "model.denoising=0", "model.no_object=True"),
    *("task.quality=False", "model.encoder_depth=1", "model.strides=(8,)"),
)
PARTS: dict[str, tuple[str, ...]] = {
    "all": (),
    "without denoising": ("model.denoising=0",),
    "learned anchors": ("model.queries_from=anchors",),
    "conditional attention": ("model.attention=conditional",),
    "one map, of stride 8": ("model.strides=(8,)",),
    "no quality in the scores": ("task.quality=False",),
    "no object as a class": ("model.no_object=True", "task.quality=False"),
    "as published": PUBLISHED,
}


def get_config(size: str = "") -> ConfigDict:
    """The study of a size: "tiny", of 400 steps of 16 canvases; "images_2000", of 32 epochs of 2,000 canvases, with all
    remedies and without any; or "", of the config's own length."""
    study = base.get_config(
        "What makes a DETR learn from nothing",
        "2005.12872, 2010.04159, 2108.06152, 2201.12329, 2203.01305, 2006.04388",
        "What does a small DETR lose when one of its remedies is taken away, and when all are?",
    )
    study.reported = (
        "DETR as published needs 500 epochs of COCO. Users report AP 0 after 300 epochs of 2,000 images "
        "(facebookresearch/detr, issue 125). Each later paper reports its own remedy on COCO."
    )
    at_the_end = ("evaluation.every_steps=0", "checkpoint.every_steps=0")
    shared: tuple[str, ...] = {
        "tiny": ("steps=400", "data.batch_size=16", "optim.warmup_steps=50", *at_the_end),
        "images_2000": ("steps=2000", "data.train_examples=2000", *at_the_end),
    }.get(size, ())
    study.runs = tuple(
        base.run("configs/detr_digits.py", *changes, *shared, *base.ONE_CHECKPOINT, part=part)
        for part, changes in PARTS.items()
        if size != "images_2000" or part in ("all", "as published")
    )
    study.figures = (base.figure("comparison", variant="part", metric=METRIC),)
    return study
