"""Texts of TensorFlow Datasets: any set of the catalogue by name, or a folder in tfds.TranslateFolder's layout."""

from pathlib import Path
from typing import Any, TypeAlias

from data.catalogue import Tfds, damage_said, one_line, prepared, split_of
from data.order import tensorflow
from data.slices import cut, stem
from data.sources.tfds import Source
from data.text.files import two
from errors import UserError, nearest

Value: TypeAlias = Any  # a text, or a label

TEXTS = ("sentence", "text")  # what sets call their text
BATCH = 10_000  # examples that leave TensorFlow at a time


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """A translation set ("wmt14_translate/de-en"), or any set with a text feature named as each language."""
    folder, languages = Path(data_dir, name).expanduser(), two(languages)
    if any(folder.glob("*.*.txt")):  # a folder of this name may also be the prepared set itself
        builder, name = _translate_folder(folder), str(folder)
        whole = _part(builder.info, name, stem(split))
        return cut(_pairs(builder, name, whole, languages), split, name)  # this builder cuts no splits itself
    builder = prepared(name, data_dir)
    return _pairs(builder, name, _part(builder.info, name, split), languages)


def labelled(
    name: str, split: str, data_dir: str, field: str, label: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """A set with a feature `sentence` or `text`, or `field`, and a class `label`, such as "glue/sst2"."""
    builder = prepared(name, data_dir)
    part, features = _part(builder.info, name, split), dict(builder.info.features)
    text = field or next((key for key in TEXTS if key in _texts(features)), "")
    if text not in _texts(features) or not hasattr(features.get(label), "names"):
        wanted = f"{field or ' or '.join(TEXTS)} with a {label}"
        raise UserError(f"config.data.name={name!r} has no {wanted}, only {', '.join(features)}.")
    texts, labels = _read(builder, name, part, (text, label))
    unlabelled = next((i for i, one in enumerate(labels) if one < 0), None)
    if unlabelled is not None:  # GLUE keeps its test labels to itself
        raise UserError(
            f"{name} {split} is not labelled: example {unlabelled} has label {labels[unlabelled]}. "
            f"Take another of {', '.join(builder.info.splits)}."
        )
    return texts, labels, tuple(features[label].names)


def column(name: str, split: str, data_dir: str, field: str) -> list[Value]:
    """A feature of texts or of single numbers."""
    builder = prepared(name, data_dir)
    features = dict(builder.info.features)
    field = field or next((key for key in TEXTS if key in features), TEXTS[0])
    if field not in features or features[field].shape != ():
        single = [key for key, feature in features.items() if feature.shape == ()]
        raise UserError(f"config.data.name={name!r} has no text or number {field!r}: {nearest(field, single)}")
    return _read(builder, name, _part(builder.info, name, split), (field,))[0]


def documents(name: str, split: str, data_dir: str) -> list[str]:
    """The texts of a set with a feature `text` or `sentence`, such as "tiny_shakespeare"."""
    tf = tensorflow()
    there = _texts(prepared(name, data_dir).info.features)
    key = next((key for key in TEXTS if key in there), TEXTS[-1])
    source = Source(name, split, data_dir, wanted=(key,))
    if source.random_access:
        raw = tf.data.Dataset.range(source.size).batch(BATCH).map(source.read).unbatch()
    else:
        raw = source.in_order(0, 1).map(lambda raw, _: raw)
    with damage_said(f"{name} {split}", data_dir or "TFDS's folder"):
        texts = raw.map(source.parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = texts.map(lambda example: example[key]).batch(BATCH).as_numpy_iterator()
        found = [one for batch in batches for one in batch]
    return _decoded(found, f"{name} {split}")


def _pairs(builder: Tfds, name: str, split: str, languages: tuple[str, str]) -> list[tuple[str, str]]:
    texts = _texts(builder.info.features)
    for language in languages:
        if language not in texts:
            raise UserError(f"{name} has no texts in {language!r}: {nearest(language, texts)}")
    return list(zip(*_read(builder, name, split, languages), strict=True))


def _translate_folder(folder: Path) -> Tfds:
    import tensorflow_datasets as tfds

    for path in sorted(folder.iterdir()):
        if path.name.count(".") != 2:
            raise UserError(
                f"{folder}: tfds.TranslateFolder takes every file for LANGUAGE.SPLIT.txt, and {path.name} is none. "
                "Take it away, or read the folder with --config.data.source=files"
            )
    try:
        return tfds.TranslateFolder(root_dir=str(folder))
    except ValueError as error:  # lengths that differ, or text that is not UTF-8
        raise UserError(
            f"tfds.TranslateFolder cannot read {folder}: {one_line(error)} --config.data.source=files names the line."
        ) from None


def _part(info: Tfds, name: str, split: str) -> str:
    return split_of(info, name, split).name if info.splits else split  # tfds.testing.mock_data knows of no splits


def _texts(features: Tfds) -> list[str]:
    import tensorflow_datasets as tfds

    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]


def _read(builder: Tfds, name: str, split: str, keys: tuple[str, ...]) -> list[list[Value]]:
    """The features of these names, each a list over the examples; bytes are decoded."""
    import tensorflow_datasets as tfds

    in_order = tfds.ReadConfig(interleave_cycle_length=1)  # else the examples of several files are mixed
    with damage_said(f"{name} {split}", builder.data_dir):
        dataset = builder.as_dataset(split=split, read_config=in_order)
    columns: list[list[Value]] = [[] for _ in keys]
    with damage_said(f"{name} {split}", builder.data_dir):
        for batch in dataset.map(lambda example: {key: example[key] for key in keys}).batch(BATCH).as_numpy_iterator():
            for column, key in zip(columns, keys, strict=True):
                column.extend(batch[key].tolist())
    if not columns[0]:
        raise UserError(f"{name} {split} is empty.")
    return [_decoded(column, f"{name} {split}") for column in columns]


def _decoded(values: list[Value], what: str) -> list[Value]:
    """Bytes as texts."""
    try:
        return [x.decode() if isinstance(x, bytes) else x for x in values]
    except UnicodeDecodeError as error:
        raise UserError(f"{what} holds a text that is not UTF-8: {error}.") from None
