"""Labelled images.

Batch k holds the positions k*B ... k*B + B - 1 of an endless sequence; position p shows example shuffle(p mod N) of
epoch p div N, and every random choice is drawn from the seed and p or k.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

import lookup
from data import records, sources
from data.order import graph, options, shuffled, tensorflow
from data.pipelines import check_batch
from data.subset import Subset
from errors import UserError

Batch = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Augment:
    """config.data.augment: what training images go through. See data/images.py and data/augment.py.

    repeats: how many views of each image a batch has (1902.05509); an epoch has as many views as before, of fewer images.
    """

    crop: Literal["random", "none"] = "none"
    crop_min_area: float = 0.05
    flip: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    randaugment_layers: int = 0
    randaugment_magnitude: float = 10.0
    mixup: float = 0.0
    cutmix: float = 0.0
    erase: float = 0.0
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1 or not 0 <= self.erase <= 1:
            raise UserError("config.data.augment: repeats must be at least 1, and erase a chance between 0 and 1.")


def make(
    *,
    source: str,
    name: str,
    train_split: str,
    eval_splits: tuple[str, ...],
    batch_size: int,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    augment: dict[str, Any],
    seed: int,
    data_dir: str = "",
    label: str = "label",
    train_examples: int = 0,
    image_width: int = 0,
    eval_batch_size: int = 0,
    eval_crop: Literal["center", "none"] = "none",
    eval_crop_share: float = 0.875,
    unreadable: Literal["stop", "skip"] = "stop",
    memory_limit_mb: int = 1024,
    shuffle_buffer: int = 50_000,
    host: int = 0,
    hosts: int = 1,
    divisor: int = 1,
    accumulate: int = 1,
    known: dict[str, Any] | None = None,
    folder: Path = Path(),
) -> "Pipeline":
    """The input of a run.

    Args:
      source, name, data_dir, memory_limit_mb: see data/sources. train_split, eval_splits: names of splits there.
      label: of a TFDS set with several, which; or what is asked of its images: see data/labels.py.
      train_examples: how many of the training split, drawn by the seed; 0 for all. See data/subset.py.
      batch_size, eval_batch_size: global; 0 for the same as training.
      image_size, image_width: height and width in pixels; a width of 0 is the height. mean, std: of each channel, of values in [0, 1]; their number is the
        number of channels, to which images are converted.
      augment: see Augment. eval_crop, eval_crop_share: see data/images.py.
      unreadable: what an image that cannot be decoded does: "stop" the run, or be "skip"ped with weight 0 and counted.
      shuffle_buffer: records, of a set that can only be streamed.
      seed, host ... folder: see input_pipeline.build.
    """
    del folder  # nothing of an image run is kept there
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise UserError(
            f"config.data.mean and std need one figure a channel, 1 or 3 of them: not {len(mean)} and {len(std)}."
        )
    if batch_size < 1 or image_size < 1 or image_width < 0:
        raise UserError("config.data.batch_size and image_size must be positive, and image_width not negative.")
    check_batch(batch_size, divisor, accumulate)
    settings = lookup.call("config.data.augment", Augment, augment)
    return Pipeline(
        train_split=train_split,
        train_examples=train_examples,
        open_split=lambda split: sources.open(source, name, split, data_dir, memory_limit_mb, label),
        eval_splits=tuple(eval_splits),
        batch_size=batch_size,
        eval_batch_size=eval_batch_size or batch_size,
        image_size=(image_size, image_width or image_size),
        mean=tuple(mean),
        std=tuple(std),
        augment=settings,
        eval_crop=eval_crop,
        eval_crop_share=eval_crop_share,
        unreadable=unreadable,
        shuffle_buffer=shuffle_buffer,
        seed=seed,
        host=host,
        hosts=hosts,
        divisor=divisor,
        trained_classes=tuple(known["classes"]) if known else None,
    )


@dataclass
class Pipeline:
    """Batches as dicts of NumPy arrays, this host's share b of each global batch B:

    image float32 (b, *image_size, channels), label int32 (b,), mask float32 (b,), 0 for what is padding or
    could not be read; while mixing also partner int32 (b,) and share float32 (b,).
    """

    train_split: str
    train_examples: int
    open_split: Callable[[str], Any]
    eval_splits: tuple[str, ...]
    batch_size: int
    eval_batch_size: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment
    eval_crop: str
    eval_crop_share: float
    unreadable: str
    shuffle_buffer: int
    seed: int
    host: int
    hosts: int
    divisor: int
    trained_classes: tuple[str, ...] | None  # of the run that is loaded, whose own data set need not be there
    skipped: int = 0  # training images that could not be read and were passed over, on this host, since the start
    _opened: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def train(self) -> Any:
        """The training split's source, or the part of it that is asked for."""
        whole = self._split(self.train_split)
        return Subset(whole, self.train_examples, self.seed) if self.train_examples else whole

    @property
    def classes(self) -> tuple[str, ...]:
        return self.trained_classes or self.train.classes

    @property
    def known(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    @property
    def sizes(self) -> dict[str, int]:
        return {"outputs": len(self.classes)}

    @property
    def files(self) -> dict[str, bytes]:
        return {}

    @property
    def steps_per_epoch(self) -> float:
        return self.train.size / self.batch_size

    @property
    def example(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"image": ((1, *self.image_shape), "float32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def shapes(self) -> list[tuple[float, dict[str, tuple[tuple[int, ...], str]]]]:
        return [(1.0, {name: ((self.batch_size, *shape[1:]), dtype) for name, (shape, dtype) in self.example.items()})]

    def notes(self) -> list[str]:
        return []

    def describe(self) -> list[str]:
        return [f"{self.train.size:,} images of {len(self.classes)} classes, batch {self.batch_size}."]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (*self.image_size, len(self.mean))

    def check(self) -> None:
        """Everything about evaluation that can be known before the first step.

        Raises:
          UserError: a split that does not exist, or classes that are not the training split's.
        """
        if self.augment.repeats > 1 and not getattr(self.train, "random_access", True):
            raise UserError(
                "config.data.augment.repeats needs a set that is read by index: prepare it with file_format=array_record, or "
                "set it to 1."
            )
        for split in self.eval_splits:
            classes = self._split(split).classes
            if self.trained_classes and len(classes) != len(self.classes):
                raise UserError(
                    f"the model tells {len(self.classes)} classes apart, and split {split!r} has {len(classes)}: choose "
                    "a data set with the same classes."
                )
            if not self.trained_classes and classes != self.classes:
                raise UserError(
                    f"split {split!r} has other classes than the training split: {_differ(classes, self.classes)}"
                )

    def _split(self, split: str) -> Any:
        if split not in self._opened:
            self._opened[split] = self.open_split(split)
        return self._opened[split]

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Training batches from step `start` (0 is the first) on, for ever."""
        rows = self.batch_size // self.hosts
        if hasattr(self.train, "batches"):
            return self.train.batches(start, (rows, *self.image_shape), self.seed + self.host)
        tf = tensorflow()
        from data import augment, images
        from data.batches import as_numpy

        settings = self.augment
        augment.check(bool(settings.mixup or settings.cutmix), rows)

        def view(example: dict[str, Any], position: Any) -> Any:
            return images.for_training(
                example["image"],
                tf.stack([tf.cast(self.seed, tf.int64), position]),
                size=self.image_size,
                channels=len(self.mean),
                crop=settings.crop,
                crop_min_area=settings.crop_min_area,
                randaugment_layers=settings.randaugment_layers,
                randaugment_magnitude=settings.randaugment_magnitude,
            )

        def finish(batch: dict[str, Any]) -> dict[str, Any]:
            step = batch["position"][0] // self.batch_size
            draws = augment.Draws(self.seed, step, self.batch_size, self.host * rows, rows)
            image = tf.ensure_shape(batch["image"], (rows, *self.image_shape))
            if settings.flip:
                image = augment.flip(image, draws)
            if settings.rotate or settings.zoom or settings.shear or settings.shift:
                image = augment.warp(image, draws, settings.rotate, settings.zoom, settings.shear, settings.shift)
            label = tf.cast(tf.ensure_shape(batch["label"], (rows,)), tf.int32)
            image = augment.normalise(image, self.mean, self.std)
            if settings.erase:
                image = augment.erase(image, draws, settings.erase)
            out = {"image": image, "label": label, "mask": batch["mask"]}
            if settings.mixup or settings.cutmix:
                out = augment.mix(out, draws, settings.mixup, settings.cutmix)
            return out

        reads_whole_batches = (
            self.train.shape == self.image_shape and settings.crop == "none" and not settings.randaugment_layers
        )
        if self.train.random_access:
            indexed = tf.data.Dataset.range(start, np.iinfo(np.int64).max).map(graph(self._order(rows)))
            raw = indexed.map(graph(lambda x: (self.train.read(x["index"]), x["position"])))
        else:
            raw = records.stream(
                self.train, start, rows, self.batch_size, self.host, self.hosts, self.seed, self.shuffle_buffer
            )
        if reads_whole_batches:
            batches = raw.map(graph(lambda r, position: r | {"position": position, "mask": tf.ones(rows)}))
        else:
            batches = records.decoded(raw.unbatch(), self.train, view, self._blank).batch(rows, drop_remainder=True)
        batches = batches.map(graph(finish), num_parallel_calls=2).prefetch(2).with_options(options())
        indices = lambda i: self._order(rows)(start + i)["index"]  # noqa: E731
        return self._counted(as_numpy(batches, self.train, indices, self._eval_view))

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every example of a split once, in order; the last batch is filled up with examples of mask 0."""
        source = self._split(split)
        size = -(-min(self.eval_batch_size, source.size) // self.divisor) * self.divisor
        rows, steps = size // self.hosts, -(-source.size // size)
        if hasattr(source, "batches"):
            return (
                batch
                for batch, _ in zip(source.batches(0, (rows, *self.image_shape), self.seed), range(8), strict=False)
            )
        tf = tensorflow()
        from data import augment
        from data.batches import as_numpy

        def positions(step: Any) -> Any:
            return step * size + self.host * rows + tf.range(rows, dtype=tf.int64)

        def read(step: Any) -> Any:
            position = positions(step)
            return source.read(tf.minimum(position, source.size - 1)), position

        def finish(batch: dict[str, Any]) -> dict[str, Any]:
            real = tf.cast(batch["position"] < source.size, tf.float32)
            image = tf.ensure_shape(batch["image"], (rows, *self.image_shape))
            label = tf.cast(tf.ensure_shape(batch["label"], (rows,)), tf.int32)
            return {
                "image": augment.normalise(image, self.mean, self.std),
                "label": label,
                "mask": batch["mask"] * real,
            }

        if source.random_access:
            raw = tf.data.Dataset.range(steps).map(graph(read))
        else:
            raw = records.once(source, self.host, self.hosts, rows * steps).batch(rows)
        if source.shape == self.image_shape and self.eval_crop == "none":
            batches = raw.map(graph(lambda r, position: r | {"position": position, "mask": tf.ones(rows)}))
        else:
            view = lambda example, _: self._eval_view(example["image"])  # noqa: E731
            batches = records.decoded(raw.unbatch(), source, view, self._blank).batch(rows, drop_remainder=True)
        batches = batches.map(graph(finish)).prefetch(2).with_options(options())
        return as_numpy(batches, source, lambda i: np.minimum(positions(i), source.size - 1), self._eval_view)

    def load(self, paths: list[str]) -> np.ndarray:
        """Image files as the model sees them in evaluation: float32 (len(paths), *image_size, channels)."""
        tf = tensorflow()
        from data import augment
        from data.batches import reason

        loaded = []
        for path in paths:
            try:
                loaded.append(augment.normalise(self._eval_view(tf.io.read_file(path)), self.mean, self.std).numpy())
            except tf.errors.OpError as error:
                raise UserError(f"cannot read {path}: {reason(error)}") from None
        return np.stack(loaded)

    def _eval_view(self, image: Any) -> Any:
        from data import images

        return images.for_evaluation(
            image, size=self.image_size, channels=len(self.mean), crop=self.eval_crop, crop_share=self.eval_crop_share
        )

    @property
    def _blank(self) -> tuple[int, int, int] | None:
        """The shape of what stands for an image that cannot be decoded; None where such an image ends the run."""
        return self.image_shape if self.unreadable == "skip" else None

    def _order(self, rows: int) -> Any:
        """step -> the positions and, shuffled anew each epoch, the examples of this host's rows: int64 (rows,) each. Views of
        one image stand apart in a batch, so that mixup does not mix them."""
        tf = tensorflow()
        examples, different = self.train.size, -(-self.batch_size // self.augment.repeats)

        def order(step: Any) -> dict[str, Any]:
            position = tf.cast(step, tf.int64) * self.batch_size + self.host * rows + tf.range(rows, dtype=tf.int64)
            place = position // self.batch_size * different + position % self.batch_size % different
            index = shuffled(place % examples, examples, 0, self.seed, place // examples)
            return {"position": position, "index": index}

        return order

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.skipped += int((batch["mask"] == 0).sum())
            yield batch


def _differ(a: tuple[str, ...], b: tuple[str, ...]) -> str:
    return (
        f"{len(a)} against {len(b)}."
        if len(a) != len(b)
        else f"{next(x for x in zip(a, b, strict=True) if x[0] != x[1])}."
    )
