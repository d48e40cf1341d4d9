"""Images with captions, or with a class whose name makes captions.

b this host's share of a batch, M captions of an image, T tokens of a caption, C classes, P templates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval, MinLen

from data import captions, fingerprint, sources
from data.captions import Simplify
from data.order import Tensor, tensorflow
from data.pipelines import images, ragged
from data.pipelines.base import Batch, Change, Known, Section, Spec, Split, Unread, of_rows
from data.pipelines.ragged import Vocabulary
from data.sources import Example, Source, synthetic
from data.tokenizer import Reader
from errors import UserError
from lookup import Distinct, Rate
from models.tokens import EOS, UNKNOWN

WORDS = 0x707D  # apart from the other draws of an example, or of a step


def debug(section: Section) -> dict[str, object]:
    """What a `:debug` variant changes."""
    return images.debug(section) | {"vocabulary_size": 300, "max_length": min(section["max_length"], 16)}


@dataclass(kw_only=True)
class Pipeline(images.Pipeline):
    """Batches: image float32 (b, height, width, channels); tokens int32 (b, T), one caption of each image, drawn anew
    for every view, with EOS at its end and up to the end of the row; mask float32 (b,), 0 for what is padding, could
    not be read or has no caption. Of sets of classes also label int32 (b,).

    In evaluation tokens are (b, M, T), all captions of each image, and given float32 (b, M) is 0 where there is none.

    Attributes:
      source: "captioned", "tfds", "glyph_names" or any other module of data/sources. A set without captions must have
        classes: their names make captions.
      caption: which feature of a TFDS set has the captions, "captions/text" where it is nested; "" for the one that is
        called captions, caption or text.
      templates: what the name of a class is put into, for {}, where a set has classes and no captions, and where
        predict.py is given classes.
      ask: names of classes that predict.py compares an image with; () for those of the data.
      tokenizer: "bpe", "unigram", "char" or "word", learned from the training captions, or the file or folder of one
        that is published: see data/pipelines/ragged.py.
      vocabulary_size: ids of a tokenizer that is learned, its four special ones included.
      simplify: what is done to captions first: "lower" makes letters small, "words" takes punctuation away too.
      begin: whether a row begins with BOS.
      max_length: T, BOS and EOS included. Longer captions are cut, counted and said.
      word_dropout: share of the tokens of a training caption that are replaced by the unknown one.
    """

    caption: str = ""
    templates: Annotated[tuple[str, ...], MinLen(1)] = ("{}",)
    ask: Annotated[tuple[str, ...], Distinct] = ()
    tokenizer: str = "bpe"
    vocabulary_size: Vocabulary = 4000
    simplify: Simplify = "lower"
    begin: bool = False
    max_length: Annotated[int, Interval(ge=3, le=4096)] = 32
    word_dropout: Rate = 0.0
    _paths: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # of captions, by split
    _texts: dict[str, list[list[str]]] = field(default_factory=dict, init=False, repr=False)

    item: ClassVar[str] = "an image file"
    lost: ClassVar[str] = "caption"
    learned: ClassVar[tuple[str, ...]] = ("bpe", "unigram", "char", "word")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._trained_tokenizers = ragged.trained(self.feed.known, self.feed.folder, self.tokenizer, self.learned)

    # Names and captions.

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the training split; none of a set of captions."""
        if self._trained or self.feed.known:
            return self._trained
        return () if self._captioned(self.train_split) else sources.classes(self.train_source)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the classes that a user's image is compared with."""
        return self.ask or self.classes

    def needed(self) -> list[str]:
        """Classes to choose from, where the data have none."""
        return [] if self.asked else ["--classes=a cat,a dog"]

    def open(self, split: str) -> Source:
        """The source of a split: images with captions or, where there are none, with a label."""
        place = (self.source, self.name, split, self.data_dir, self.memory_limit_mb)
        if self.source == "synthetic":
            return sources.open(*place, ("image", "label"))
        path = captions.feature(sources.open(*place, None).features, self.caption, self.name)
        self._paths[split] = path
        if not path:
            return sources.open(*place, ("image", "label"), self.label)
        self._texts[split] = captions.of_source(sources.open(*place, (path.split("/")[0],)), path)
        return sources.open(*place, ("image", path.split("/")[0]))

    def _captioned(self, split: str) -> bool:
        """Whether a split has captions."""
        self.opened(split)
        return bool(self._paths.get(split))

    def _prompts(self, split: str) -> np.ndarray:
        """What the classes of a split are called by, int32 (C, P, T)."""
        made = captions.prompts(self.templates, sources.classes(self.opened(split)))
        rows = self._rows([text for texts in made for text in texts])
        return rows.reshape(len(made), len(self.templates), -1)

    def _rows(self, texts: Sequence[str]) -> np.ndarray:
        return captions.rows(self.text_tokenizer, texts, self.simplify, self.begin, self.max_length)[0]

    def texts(self, split: str) -> list[list[str]]:
        """The captions of every example, in the order of `index`; of a set of classes, those of each class."""
        if self._captioned(split):
            return self._texts[split]
        return captions.prompts(self.templates, sources.classes(self.opened(split)))

    @cached_property
    def text_tokenizer(self) -> Reader:
        """That of the run, the one that is named, or one learned from the training captions."""
        needs = ("bos", "eos") if self.begin else ("eos",)
        if there := self._trained_tokenizers or ragged.from_files(self.tokenizer, self.learned, needs):
            return ragged.only(there, self.tokenizer)
        if isinstance(self.opened(self.train_split), synthetic.Source):
            raise UserError("synthetic captions have no text to learn a tokenizer from: name a file of one.")
        texts = [captions.simple(text, self.simplify) for own in self.texts(self.train_split) for text in own]
        return ragged.learn(texts, self.tokenizer, self.vocabulary_size, False, 1.0)  # type: ignore[arg-type]

    # What every kind has.

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizer."""
        return (self.text_tokenizer,)

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizer."""
        return {"tokenizer.model": self.text_tokenizer.model}

    @property
    def known(self) -> Known:
        """The names of the classes, the background of grey images, and the tokenizer's digest."""
        return super().known | {"tokenizers": {"tokenizer.model": self.text_tokenizer.digest}}

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: ids of the vocabulary."""
        return {"outputs": self.text_tokenizer.size}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Files of the split, and its captions."""
        texts = fingerprint.of_texts([text for own in self.texts(self.train_split) for text in own])
        return super().fingerprint | {"captions": texts["texts"]}

    @property
    def spec(self) -> Spec:
        """image, tokens and mask."""
        image, mask = ((1, *self.image_shape), "float32"), ((1,), "float32")
        return {"image": image, "tokens": ((1, self.max_length), "int32"), "mask": mask}

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """All batches have one shape; those of a set of classes have each image's label too."""
        plain = self.source == "synthetic" or self._captioned(self.train_split)
        return [(1.0, of_rows(self.spec if plain else self.spec | {"label": ((1,), "int32")}, self.batch_size))]

    def most(self, split: str) -> int:
        """M, the most captions that an image of a split has."""
        if not self._captioned(split):
            return len(self.templates)
        # One number for all splits, so that what stands for an unreadable example fits every one of them.
        named = [one for one in dict.fromkeys([split, *self.eval_splits]) if self._captioned(one)]
        return max(1, *(len(texts) for one in named for texts in self._texts[one]))

    def largest(self, split: str) -> Spec:
        """The global batch of an evaluation split."""
        rows, most = self.split(split).plan.most, self.most(split)
        spec = {name: ((rows, *shape[1:]), dtype) for name, (shape, dtype) in self.spec.items()}
        spec |= {"tokens": ((rows, most, self.max_length), "int32"), "given": ((rows, most), "float32")}
        return spec if self._captioned(split) else spec | {"label": ((rows,), "int32")}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        ids = [int(i) for i in ids]
        return self.text_tokenizer.decode(ids[1:] if self.begin else ids)

    def describe(self) -> list[str]:
        """How much there is, and what was left out, cut or not known."""
        texts = self.texts(self.train_split)
        what = "captions" if self._captioned(self.train_split) else f"captions of {len(texts):,} classes"
        lines = [
            f"{self.train_source.size:,} images and {sum(map(len, texts)):,} {what}, batch {self.batch_size}; a "
            f"vocabulary of {self.text_tokenizer.size:,}."
        ]
        return list(dict.fromkeys([*lines, *self.train.notes, *self.notes()]))

    def prepare(self, split: str, train: bool) -> Split:
        """See Examples. Each split has its own classes; captions that are cut or have unknown words are said."""
        prepared = super(images.Pipeline, self).prepare(split, train)
        if isinstance(prepared.source, synthetic.Source):
            return prepared
        texts = self.texts(split)
        _, cut, unknown = captions.rows(
            self.text_tokenizer, [t for own in texts for t in own], self.simplify, self.begin, self.max_length
        )
        notes = [*prepared.notes]
        if without := sum(not own for own in texts):
            notes.append(f"{split}: {without:,} images have no caption, and weigh nothing.")
        if unknown:
            notes.append(f"{split}: {unknown:,} tokens that are not in the vocabulary.")
        if cut:
            notes.append(f"{split}: {cut:,} captions cut to max_length={self.max_length} tokens.")
        return replace(prepared, notes=tuple(notes))

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base. A full vocabulary is taken for granted."""
        del classes
        there = ragged.from_files(self.tokenizer, self.learned)
        sizes: dict[str, int | None] = {"outputs": there[0].size if there else self.vocabulary_size}
        epoch = examples / self.batch_size if examples else None
        shapes = [(1.0, of_rows(self.spec, self.batch_size))]
        return Unread(sizes, self.spec, shapes, epoch, ("a full vocabulary",))

    # Batches.

    def _places(self, source: Source) -> np.ndarray | None:
        """Labels are those of the split."""
        del source
        return None

    def _whole(self, split: Split, train: bool) -> bool:
        """See images.Pipeline: captions differ in number, and are drawn one by one."""
        return "label" in split.source.features and super()._whole(split, train)

    def _name(self, split: Split) -> str:
        """The name of a split."""
        return next(name for (name, _), one in self._splits.items() if one is split)

    def change(self, split: Split, train: bool) -> Change | None:
        """One view of an image, and one of its captions or all."""
        changed = super().change(split, train)
        if changed is None or "label" in split.source.features:
            return changed
        tf = tensorflow()
        name = self._name(split)
        path, most = self._paths[name], self.most(name)

        def with_captions(example: Example, row: Example) -> Example:
            texts = captions.of_example(example, path)
            count = tf.shape(texts)[0]
            if train:
                seed = tf.random.fold_in(tf.stack([tf.cast(self.feed.seed, tf.int64), row["position"]]), WORDS)
                number = tf.random.stateless_uniform([], seed, maxval=tf.maximum(count, 1), dtype=tf.int32)
                texts = tf.concat([texts, [""]], 0)[tf.minimum(number, count)]
            else:
                texts = tf.concat([texts, tf.fill([most], "")], 0)[:most]
            image = changed({"image": example["image"]}, row)["image"]
            return {"image": image, "captions": texts, "label": tf.constant(0, tf.int64)}

        return with_captions

    def wrong(self, batch: Batch, split: Split) -> tuple[int, str] | None:
        """A label that is not one of the split's classes."""
        return super().wrong(batch, split) if "label" in batch else None

    def blank(self, train: bool) -> Example | None:
        """Black and without a caption, where `unreadable` is "skip"."""
        example = super().blank(train)
        if example is None or not self._captioned(self.train_split):
            return example
        tf = tensorflow()
        if train:
            return example | {"captions": tf.constant("")}
        return example | {"captions": tf.fill([self.most(self.eval_splits[0])], "")}

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Images as usual, and captions as ids."""
        tf = tensorflow()
        out = super().finish(batch, split, train)
        rows, name = split.plan.most // self.feed.hosts, self._name(split)
        if "captions" in batch:
            del out["label"]
            texts = batch["captions"]
            given = tf.cast(tf.strings.length(texts) > 0, tf.float32)
            tokens = tf.numpy_function(self._encoded, [texts], tf.int32)
            shape = (rows,) if train else (rows, self.most(name))
            given, tokens = tf.ensure_shape(given, shape), tf.ensure_shape(tokens, (*shape, self.max_length))
        else:
            with tf.init_scope():
                prompts = tf.constant(self._prompts(name))
            there = (out["label"] >= 0) & (out["label"] < tf.shape(prompts)[0])  # others are told by `wrong`
            tokens = tf.gather(prompts, tf.where(there, out["label"], 0))
            given = tf.ones((rows, len(self.templates)))
            if train:
                seed = tf.stack([tf.cast(self.feed.seed, tf.int64), batch["step"]])
                drawn = tf.random.stateless_uniform(
                    [split.plan.most], tf.random.fold_in(seed, WORDS), maxval=len(self.templates), dtype=tf.int32
                )
                first = self.feed.host * rows
                tokens = tf.gather(tokens, drawn[first : first + rows], batch_dims=1)
                given = given[:, 0]
        if not train:
            return out | {"tokens": tokens, "given": given * out["mask"][:, None]}
        if self.word_dropout:
            tokens = self._dropped(tokens, batch["step"], split.plan.most, self.feed.host * rows)
        return out | {"tokens": tokens, "mask": out["mask"] * given}

    def _encoded(self, texts: np.ndarray) -> np.ndarray:
        """Strings (...) as ids (..., T)."""
        rows = self._rows([text.decode("utf-8", "replace") for text in texts.ravel()])
        return rows.reshape(*texts.shape, self.max_length)

    def _dropped(self, tokens: Tensor, step: Tensor, rows: int, first: int) -> Tensor:
        """Some words unknown, by the seed and the step."""
        tf = tensorflow()
        seed = tf.random.fold_in(tf.stack([tf.cast(self.feed.seed, tf.int64), step]), WORDS + 1)
        lost = tf.random.stateless_uniform([rows, self.max_length], seed) < self.word_dropout
        lost = lost[first : first + tf.shape(tokens)[0]] & (tokens > EOS)
        return tf.where(lost, UNKNOWN, tokens)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Image files, and what they are compared with: image (n, height, width, channels) and prompts int32 (n, C, P,
        T), the same for each.

        Raises:
          UserError: no classes are named, one has no name, or two have the same prompts.
        """
        if not self.asked:
            raise UserError("this run's data have no classes: say what to compare with, --classes='a cat,a dog'.")
        if len(self.asked) < 2:
            raise UserError(f"one class, {self.asked[0]!r}, leaves nothing to compare: name two or more.")
        made = captions.prompts(self.templates, self.asked)
        rows, cut, _ = captions.rows(
            self.text_tokenizer, [text for own in made for text in own], self.simplify, self.begin, self.max_length
        )
        prompts = rows.reshape(len(made), len(self.templates), self.max_length)
        captions.different([one.tolist() for one in prompts], self.asked, "once they are tokens")
        batch, notes = super().read(items)
        notes += [f"{cut:,} prompts cut to max_length={self.max_length} tokens."] if cut else []
        return batch | {"prompts": np.broadcast_to(prompts, (len(items), *prompts.shape))}, notes
