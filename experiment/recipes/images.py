"""Images with classes: a small hybrid ViT from scratch, or the model of the weights that the run begins with."""

from experiment.recipes import Given, Machine, Start, Survey, batch, calendar, heads, judge, passes
from lookup import Value

LARGEST = {True: 224, False: 64}  # side of an image, on an accelerator and without
USUAL = 224  # of published weights for images of any size, where nothing says it
BATCHES = {True: 256, False: 64}  # the largest
VIEWS = {True: 3_000_000, False: 60_000}  # images that are seen in all
EPOCHS = {True: (30, 150), False: (5, 150)}  # least and most; few images are seen more often
FINE_TUNED = 0.2  # of these, where the run begins with weights
PARTS = 12  # an epoch of few images has so many batches
MANY = 20_000  # so many images or more take a larger model
OFTEN = 20  # so many epochs or more take stronger augmentation
COARSE = 48  # pixels of a side: such images and larger ones take a coarse convolution first


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    size = batch(survey.examples, min(BATCHES[on], max(8, survey.examples // PARTS)), machine)
    size = given.get("data.batch_size", size)
    epochs = passes(survey.examples, VIEWS[on], EPOCHS[on]) * (FINE_TUNED if start else 1)
    side = given.get("data.image_size", _side(min(*survey.size, LARGEST[on])))
    if start:
        rate = 1e-4 if start.parameters > 10**7 else 3e-4
        changes = {"data.image_size": USUAL} | start.keys
    else:
        rate, changes = 1e-3, {"data.image_size": side, **_model(side, survey.examples, given, on)}
    colour = len(survey.keys["mean"]) == 3
    return {
        **changes,
        "data.batch_size": size,
        **{f"data.augment.{key}": value for key, value in augment(epochs, colour).items()},
        "optim.learning_rate": rate,
        **calendar(survey.examples / size, epochs, given, judge(survey, given, "test"), "accuracy"),
    }


def augment(epochs: float, colour: bool) -> dict[str, Value]:
    """What training images go through, more where each is seen often. Grey ones may be characters, which are not
    mirrored."""
    if not colour:
        return {"crop": "none", "flip": False, "rotate": 10.0, "shift": 0.08, "zoom": 0.1, "mixup": 0.2}
    more = {"randaugment_layers": 2, "mixup": 0.2} if epochs >= OFTEN else {"randaugment_layers": 0, "mixup": 0.0}
    return {"crop": "random", "crop_min_area": 0.35, "flip": True, **more}


def _side(pixels: int) -> int:
    """A side that the model's patches divide."""
    step = 16 if pixels >= COARSE else 4
    return max(8, pixels // step * step)


def _model(side: int, examples: int, given: Given, accelerator: bool) -> dict[str, Value]:
    """A ViT on the features of a small ResNet, which see edges without having to learn it."""
    coarse = side >= COARSE
    features = side // (8 if coarse else 2)
    patch = 1 if features <= 12 or features % 2 else 2
    width, depth = (384, 12) if accelerator and examples >= MANY else (192, 6) if accelerator else (96, 4)
    width = given.get("model.width", width)
    return {
        "model.width": width,
        "model.depth": depth,
        "model.heads": heads(width),
        "model.mlp_dim": 2 * width,
        "model.patch": patch,
        "model.stem": "imagenet" if coarse else "cifar",
        "model.stem_depths": (1, 1),
        "model.stem_width": 32 if accelerator else 16,
        "model.head": "gap",
        "model.positions": "sinusoid_2d",
        "model.dropout": 0.1,
    }
