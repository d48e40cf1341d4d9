"""Training images from JPEG files of 500 x 375 pixels: a random crop, resized to 224 x 224, mirrored, normalised, in
batches of 64; with `randaugment`, two operations of RandAugment of magnitude 10 as well. What is counted is images."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from contestants import here

Work = Callable[[], float]
SIDE, BATCH = 224, 64


def photos(folder: Path, count: int = 256) -> None:
    """Writes JPEGs of ImageNet's usual size in four classes: folder/SPLIT/CLASS/NUMBER.jpg."""
    image = here.package("PIL.Image")
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for number in range(count):
            path = folder / split / f"class{number % 4}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), image.Resampling.BICUBIC).save(path)


def held() -> tuple[here.Theirs, Path]:
    """A folder of photos, and what removes it when it is dropped."""
    keeper = tempfile.TemporaryDirectory()
    photos(Path(keeper.name))
    return keeper, Path(keeper.name)


def ours(randaugment: bool, antialias: bool) -> Work:
    """This code, by the training batches of a run. antialias: whether all pixels count where an image shrinks, as they
    do in Pillow and, unless told otherwise, here; big_vision's recipes are without."""
    keeper, folder = held()
    changes = {
        "data.source": "folder",
        "data.name": str(folder),
        "data.batch_size": BATCH,
        "optim.warmup_steps": 0,  # which such a small set has no steps for
        "data.augment.randaugment_layers": 2 * randaugment,
        "data.augment.randaugment_magnitude": 10.0,
        "data.antialias": antialias,
    }
    run = here.run("configs/vit_imagenet.py:S/16", changes)
    batches = run.pipeline.train_batches(0)

    def work() -> float:
        assert keeper
        return len(next(batches)["image"])

    return work


def big_vision(randaugment: bool, fused: bool, antialias: bool) -> Work:
    """big_vision's operations on tf.data. fused: decoding and cropping in one. antialias: see ours."""
    here.module("BIG_VISION", "", "big_vision.pp.ops_image")
    here.module("BIG_VISION", "", "big_vision.pp.ops_general")
    builder = here.module("BIG_VISION", "", "big_vision.pp.builder")
    tf = here.package("tensorflow")
    crop = "decode_jpeg_and_inception_crop" if fused else "decode|inception_crop"
    decode = f"{crop}({SIDE}, antialias={antialias})"
    if randaugment:
        augment = randaugment_of(tf)
        before = builder.get_preprocess_fn(f"{decode}|flip_lr", log_data=False)
        after = builder.get_preprocess_fn("value_range(-1, 1)", log_data=False)

        def change(example: here.Theirs) -> here.Theirs:
            example = before(example)
            return after(example | {"image": augment(tf.cast(example["image"], tf.uint8), 2, 10)})

    else:
        change = builder.get_preprocess_fn(f"{decode}|flip_lr|value_range(-1, 1)", log_data=False)
    keeper, folder = held()
    files = tf.data.Dataset.from_tensor_slices(sorted(map(str, folder.glob("train/*/*"))))
    data = files.repeat().shuffle(256).map(lambda path: change({"image": tf.io.read_file(path)}), tf.data.AUTOTUNE)
    batches = data.batch(BATCH, drop_remainder=True).prefetch(2).as_numpy_iterator()

    def work() -> float:
        assert keeper
        return len(next(batches)["image"])

    return work


def randaugment_of(tf: here.Theirs) -> Callable[..., here.Theirs]:
    """big_vision's RandAugment: (uint8 image, layers, magnitude) -> uint8 image. It needs three functions of
    tensorflow_addons, which is made no more; each is one operation of TensorFlow."""
    import sys

    def transform(image: here.Theirs, vector: here.Theirs) -> here.Theirs:
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=image[None],
            transforms=tf.reshape(tf.cast(vector, tf.float32), (1, 8)),
            output_shape=tf.shape(image)[:2],
            interpolation="NEAREST",
            fill_mode="CONSTANT",
            fill_value=0.0,
        )
        return moved[0]

    def rotate(image: here.Theirs, angle: here.Theirs) -> here.Theirs:
        height, width = (tf.cast(n - 1, tf.float32) for n in image.shape[:2])
        cos, sin = tf.cos(angle), tf.sin(angle)
        x = (width - (cos * width - sin * height)) / 2
        y = (height - (sin * width + cos * height)) / 2
        return transform(image, tf.stack([cos, -sin, x, sin, cos, y, 0.0, 0.0]))

    def translate(image: here.Theirs, shift: here.Theirs) -> here.Theirs:
        return transform(image, tf.stack([1.0, 0.0, -shift[0], 0.0, 1.0, -shift[1], 0.0, 0.0]))

    own = SimpleNamespace(transform=transform, rotate=rotate, translate=translate)
    sys.modules["tensorflow_addons"] = SimpleNamespace(image=own)  # type: ignore[assignment]
    return here.module("BIG_VISION", "", "big_vision.pp.autoaugment").distort_image_with_randaugment


def torchvision(randaugment: bool) -> Work:
    """torchvision's transforms of PIL images, always anti-aliased, in a worker process for each processor."""
    torch = here.package("torch")
    vision = here.package("torchvision")
    transforms = vision.transforms
    steps = [transforms.RandomResizedCrop(SIDE, scale=(0.05, 1.0)), transforms.RandomHorizontalFlip()]
    steps += [transforms.RandAugment(2, 10)] if randaugment else []
    steps += [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    keeper, folder = held()
    data = vision.datasets.ImageFolder(str(folder / "train"), transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.ConcatDataset([data] * 1000),  # an epoch that does not end
        batch_size=BATCH,
        shuffle=True,
        num_workers=len(os.sched_getaffinity(0)),
        drop_last=True,
    )
    batches = iter(loader)

    def work() -> float:
        assert keeper
        return len(next(batches)[0])

    return work
