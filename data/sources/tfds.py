"""Examples of a set of TensorFlow Datasets, which data/catalogue.py finds by name."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from data import fingerprint, labels
from data.catalogue import Tfds, damage_said, prepared, split_of
from data.order import Dataset, Tensor, tensorflow
from data.sources import Example, Feature, Features, Kind, arrays, chosen
from errors import UserError

READ_RATE = 9_000  # records a second that a resumed stream passes over, measured on files of ImageNet's size


class Source:
    """One split, TFDS's slicing and adding included ("train[:90%]+test"), of any set. Features are those of the set,
    nested ones too.

    Small examples of one shape are decoded into memory once; array_record files are read by index; TFRecord files are
    held in memory or, where they are too large for it, can only be streamed. Files of images stay encoded unless they
    are decoded into memory.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 1024,
        wanted: tuple[str, ...] | None = None,
        label: str = "label",
    ):
        self._builder = prepared(name, data_dir)
        info = self._builder.info
        self._split = split_of(info, name, split)
        self._damage = partial(damage_said, f"{name} {split}", self._builder.data_dir)
        self._wanted, self._label = wanted, None
        if wanted and "label" in wanted:
            self._label = labels.find(label, dict(info.features), name)
        there = {key: described(feature, feature.shape) for key, feature in info.features.items()}
        if self._label:
            there["label"] = Feature("label", (), self._label.classes)
        self.features: Features = chosen(there, wanted, f"config.data.name={name!r}")
        self.size = self._split.num_examples
        self._what = f"{name} {split}"
        self._held: Tensor = None
        self._decoded: arrays.Source | None = None
        if self.size < 1:  # train[5:3] has a negative number
            raise UserError(f"{self._what} is empty.")
        one = {key: info.features[key] for key in self._needed()}
        for key, feature in one.items():
            if _is_image(feature) and feature.np_dtype != np.uint8:
                raise UserError(
                    f"config.data.name={name!r}: its {key!r} is {np.dtype(feature.np_dtype)}, and images should be "
                    "uint8, 0 to 255: what the range of others is, no set says."
                )
        fixed = all(_fixed(feature) for feature in one.values())
        pixels = self.size * sum(int(np.prod(f.shape)) for f in one.values() if len(f.shape) > 1) if fixed else 0
        if 0 < pixels <= memory_limit_mb << 20:
            self.access = "decoded"
        elif info.file_format.value == "array_record":
            self.access = "array_record"
        elif self._bytes() <= memory_limit_mb << 20:
            self.access = "records"
        else:
            self.access = "stream"
        self.random_access = self.access != "stream"
        if self.access != "decoded":
            self.features = {key: self._encoded(key, feature) for key, feature in self.features.items()}

    def _needed(self) -> tuple[str, ...]:
        """Features of the set that the wanted ones are made of."""
        if self._wanted is None:
            return tuple(self._builder.info.features)
        answered = self._label.needs if self._label else ()
        return tuple(dict.fromkeys([*(key for key in self._wanted if key != "label" or not self._label), *answered]))

    def _partial(self) -> Tfds:
        """TFDS's way to decode only the features needed, and to leave images as files."""
        import tensorflow_datasets as tfds

        features = self._builder.info.features
        skip = {key: tfds.decode.SkipDecoding() for key in self._needed() if _is_image(features[key])}
        return tfds.decode.PartialDecoding(dict.fromkeys(self._needed(), True), decoders=skip)

    def _encoded(self, key: str, feature: Feature | Features) -> Feature | Features:
        """A feature as records have it."""
        image = isinstance(feature, Feature) and feature.kind == "image"
        if not image or not _is_image(self._builder.info.features[key]) or self._scale(key) != 1:
            return feature
        return dataclasses.replace(cast(Feature, feature), encoded=True)

    def _scale(self, key: str) -> int:
        """What makes the values of an image 0 to 255."""
        return self._label.scale if self._label and key == "image" else 1

    def _bytes(self) -> int:
        whole = [self._builder.info.splits[name] for name in _names(self._split.name)]
        return int(sum(s.num_bytes for s in whole) * self.size / max(1, sum(s.num_examples for s in whole)))

    def read(self, index: Tensor) -> Example:
        """Examples, or the bytes of their records, of indices (b,)."""
        tf = tensorflow()
        if self.access == "decoded":
            return self._arrays().read(index)
        if self.access == "records":
            if self._held is None:
                with tf.init_scope(), self._damage():
                    files = [_records(f.filename, f.skip, f.take) for f in self._split.file_instructions]
                    records = [record for file in files for record in file.as_numpy_iterator()]
                    self._check(len(records))
                    self._held = tf.constant(records)
            return {"record": tf.gather(self._held, index)}
        if self._held is None:
            from tensorflow_datasets import decode

            raw = decode.DeserializeMethod.RAW_BYTES
            with self._damage():
                self._held = self._builder.as_data_source(split=self._split.name, deserialize_method=raw)
        record = tf.numpy_function(lambda i: np.array(self._held.__getitems__(i.tolist()), object), [index], tf.string)
        return {"record": tf.ensure_shape(record, index.shape)}

    def _arrays(self) -> arrays.Source:
        if self._decoded is None:
            import tensorflow_datasets as tfds

            tf = tensorflow()
            partial = tfds.decode.PartialDecoding(dict.fromkeys(self._needed(), True))
            with tf.init_scope(), self._damage():
                whole = self._builder.as_dataset(split=self._split.name, batch_size=-1, decoders=partial)
                examples = self._asked(tfds.as_numpy(whole))
            found = {key: np.asarray(examples[key]) for key in self.features}
            self._check(len(next(iter(found.values()))))
            names = {key: f.names for key, f in self.features.items() if isinstance(f, Feature) and f.kind == "label"}
            self._decoded = arrays.Source.of(found, names, self._what)
        return self._decoded

    def _check(self, count: int) -> None:
        """That the files hold as many examples as they should.

        Raises:
          UserError: they do not.
        """
        if count != self.size:
            raise UserError(
                f"{self._what} should have {self.size:,} examples, and its files in {self._builder.data_dir} hold "
                f"{count:,}: remove that folder and prepare the set again."
            )

    def _asked(self, example: Example) -> Example:
        """The wanted features of one example or, decoded, of all."""
        if self._label:
            example = example | {"label": self._label.of(example)}
            if self._label.scale != 1 and "image" in example:
                example["image"] = example["image"] * np.uint8(self._label.scale)
        return {key: example[key] for key in self.features}

    def parse(self, raw: Example) -> Example:
        """The wanted features of one example."""
        if self.access == "decoded":
            return raw
        tf = tensorflow()
        partial = self._partial()
        features = partial.extract_features(self._builder.info.features)
        example = features.deserialize_example(raw["record"], decoders=partial.decoders)
        if self._scale("image") != 1 and "image" in example:
            example["image"] = tf.io.decode_image(example["image"])
        return self._asked(example)

    def in_order(self, host: int, hosts: int) -> Dataset:
        """The records of this host's part once, each with its place in the split."""
        tf = tensorflow()
        first = sum(self._part(h, hosts).num_examples for h in range(host))
        files = [_records(f.filename, f.skip, f.take) for f in self._part(host, hosts).file_instructions]
        records = tf.data.Dataset.from_tensor_slices(files).flat_map(lambda file: file)
        count = self._part(host, hosts).num_examples
        records = records.apply(tf.data.experimental.assert_cardinality(count))
        return records.enumerate(first).map(lambda place, record: ({"record": record}, place))

    def stream(self, host: int, hosts: int, seed: int, skip: int, buffer: int) -> Dataset:
        """The records of this host's part without end, files and records shuffled anew each epoch."""
        tf = tensorflow()
        part = self._part(host, hosts)
        first, skip = skip // part.num_examples, skip % part.num_examples
        if skip:
            print(
                f"{self._what} can only be read in order: passing over {skip:,} records to continue where the run "
                f"stopped, about {skip / READ_RATE:.0f} s. A copy prepared with file_format=array_record has no such "
                "wait.",
                flush=True,
            )
        names = tf.constant([f.filename for f in part.file_instructions])
        skips, takes = (
            tf.constant([getattr(f, k) for f in part.file_instructions], tf.int64) for k in ("skip", "take")
        )
        files = len(part.file_instructions)

        def one_epoch(epoch: Tensor) -> Dataset:
            order = tf.argsort(tf.random.stateless_uniform([files], tf.stack([tf.constant(seed, tf.int64), epoch])))
            shuffled = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(x, order) for x in (names, skips, takes)))
            records = shuffled.interleave(
                _records, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
            # An epoch of fewer records is an error: one of none would be an endless loop.
            records = records.apply(tf.data.experimental.assert_cardinality(part.num_examples))
            records = records.shuffle(buffer, seed=seed + epoch, reshuffle_each_iteration=False)
            return records.skip(tf.where(epoch == first, tf.constant(skip, tf.int64), 0))

        epochs = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
        return epochs.flat_map(one_epoch).map(lambda record: {"record": record})

    def _part(self, host: int, hosts: int) -> Tfds:
        import tensorflow_datasets as tfds

        with self._damage():
            part = self._builder.info.splits[tfds.even_splits(self._split.name, n=hosts)[host]]
            _ = part.file_instructions
        return part

    def contents(self) -> dict[str, str]:
        """Version and counts, as TFDS has noted them, and sizes of the files."""
        files = [file.filename for file in self._split.file_instructions]
        about = f"{self.size} examples, {self._bytes()} bytes"
        return {self._builder.info.full_name: about} | fingerprint.of_files(files, Path(files[0]).parent)

    def labels(self) -> np.ndarray | None:
        """See Labelled."""
        return self._arrays().labels() if self.access == "decoded" else None

    def describe(self, index: int) -> str:
        """An example by its place."""
        return f"example {index} of {self._what}"


def described(feature: Tfds, shape: Tfds) -> Feature | Features:
    """A feature of TFDS in our words. shape: of it or, where it is nested, a dictionary."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.FeaturesDict):
        return {key: described(inner, shape[key]) for key, inner in feature.items()}
    if isinstance(feature, tfds.features.Video):
        return Feature("clip", tuple(shape))
    if isinstance(feature, tfds.features.Sequence):
        return described(feature.feature, shape)
    kinds: dict[type, Kind] = {
        tfds.features.BBoxFeature: "boxes",
        tfds.features.ClassLabel: "label",
        tfds.features.Text: "text",
        tfds.features.Image: "image",
    }
    found = [kind for connector, kind in kinds.items() if isinstance(feature, connector)]
    other: Kind = "text" if feature.np_dtype == np.dtype(object) else "array"  # strings that are not called texts
    return Feature(found[0] if found else other, tuple(shape), tuple(getattr(feature, "names", None) or ()))


def _fixed(feature: Tfds) -> bool:
    """Whether every example has numbers of one shape."""
    return not isinstance(feature.shape, dict) and None not in feature.shape and feature.np_dtype != np.dtype(object)


def _is_image(feature: Tfds) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image)


def _records(filename: Tensor, skip: Tensor, take: Tensor) -> Dataset:
    tf = tensorflow()
    return tf.data.TFRecordDataset(filename).skip(skip).take(take)


def _names(split: str) -> list[str]:
    """The splits that "train[:800]+validation" takes from."""
    return [part.split("[")[0].strip() for part in split.split("+")]
