"""A target sentence for each source sentence.

B batch, S source tokens, T target tokens, V vocabulary, K beams, L the longest target that is decoded.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from pydantic import NonNegativeFloat, NonNegativeInt

import tasks
from errors import UserError
from lookup import Rate, Section, Size
from models import decoding
from models.tokens import BOS, EOS, PAD
from tasks import Answer, Apply, Batch, Data, Method, Row, Rows, Sums, Totals, Verdict

FIRST = {"bos": BOS, "pad": PAD}  # the id that a target begins after, by config.task.start


class Writes(Protocol):
    """A task whose decoder reads what it is to write."""

    @property
    def first(self) -> int:
        """The id that a target begins after."""


def debug(section: Section) -> dict[str, object]:
    """What `:debug` changes."""
    del section
    return {"beams": 2}


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of every next target token (teacher forcing); decoding, scored by BLEU and chrF.

    Attributes:
      start: what the target begins after: "bos", or "pad" where the vocabulary has no id for a beginning (Marian, T5).
      label_smoothing: share of the target that is spread evenly over the vocabulary, in training.
      beams: K of beam search; 1 is greedy search.
      alpha: exponent of beam search's length penalty.
      extra_length: how many tokens a translation may be longer than its source (1706.03762, section 6.1).
      temperature: of sampling; 0 searches instead.
      top_k: sampling draws from the k likeliest tokens; 0 from all.
      top_p: sampling draws from the nucleus of this probability.
      bleu_tokenize: sacreBLEU's tokenizer.
      bleu_lowercase: whether BLEU ignores case.
    """

    start: Literal["bos", "pad"] = "bos"
    label_smoothing: Rate = 0.1
    beams: Size = 4
    alpha: NonNegativeFloat = 0.6
    extra_length: Size = 50
    temperature: NonNegativeFloat = 0.0
    top_k: NonNegativeInt = 0
    top_p: decoding.Nucleus = 1.0
    bleu_tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab", "flores200"] = "13a"
    bleu_lowercase: bool = False
    inputs = ("source", "target")
    optional = ("source_segment", "target_segment")
    spells = True
    unit = "target tokens"

    def check(self, outputs: int | None) -> None:
        """Beams are different tokens at the first step."""
        if outputs and self.beams > outputs:
            raise UserError(f"config.task.beams={self.beams} are more than the {outputs} tokens of the vocabulary.")

    def check_vocabulary(self, lacks: Collection[str]) -> None:
        """A target begins after an id that stands for no word."""
        check_start(self.start, lacks)

    @property
    def first(self) -> int:
        """The id that a target begins after."""
        return FIRST[self.start]

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """Losses and accuracies.

        Args:
          apply: (source (B, S), inputs (B, T)[, source_segment, target_segment]) -> logits (B, T, V).
          batch: `source`, `target` int (B, S), (B, T), 0 for padding; packed, also their segments.

        Returns:
          loss (smoothed in training, in nats), nll and accuracy over target tokens; sentence_accuracy: the share of
          sentences whose tokens are all right, which are those that greedy search would write exactly.
        """
        target = batch["target"]
        segments = [batch[name] for name in ("source_segment", "target_segment") if name in batch]
        segment = segments[1] if segments else (target != PAD).astype(jnp.int32)
        logits = apply(batch["source"], shift_right(target, segment, self.first), *segments)
        tasks.returned(logits, "logits (rows, tokens, vocabulary)", (*target.shape, None))
        mask = (target != PAD).astype(jnp.float32)

        log_normaliser = jax.nn.logsumexp(logits, axis=-1)
        here = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2) == target[..., None]
        chosen = jnp.sum(jnp.where(here, logits, 0.0), axis=-1)
        nll = log_normaliser - chosen
        # Cross-entropy against (1 - e) of the true token and e of the uniform distribution.
        smoothing = self.label_smoothing if train else 0.0
        loss = (1 - smoothing) * nll + smoothing * (log_normaliser - logits.mean(-1)) if smoothing else nll
        right = tasks.only_likeliest(logits, chosen).astype(jnp.float32)
        tokens = mask.sum()
        sums = {
            "loss": (jnp.sum(loss * mask), tokens),
            "nll": (jnp.sum(nll * mask), tokens),
            "accuracy": (jnp.sum(right * mask), tokens),
        }
        if not segments:
            real = mask.max(-1)
            sums["sentence_accuracy"] = (jnp.sum(jnp.min(jnp.maximum(right, 1 - mask), -1) * real), real.sum())
        return sums

    def summaries(self, totals: Totals, data: Data, split: str) -> dict[str, float]:
        """The perplexity of a token."""
        del data, split
        return tasks.perplexity(*totals["nll"])

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`tokens` int32 (B, L): a translation of `source` int (B, S), EOS at its end and 0 after it; L = S +
        extra_length. A source of EOS alone has an empty translation."""
        step, cache, search = self._decoder(apply, batch["source"], key)
        tokens, _ = decoding.run(step, cache, search)
        return {"tokens": tokens if tokens.ndim == 2 else tokens[:, 0]}

    def stream(self, apply: Method, batch: Batch, key: jax.Array) -> Iterator[Row]:
        """The same of one sentence, as far as it is certain: of a beam search, what all beams agree on."""
        yield {"tokens": np.zeros(0, np.int32)}
        for tokens in decoding.stream(*self._decoder(apply, batch["source"], key)):
            yield {"tokens": tokens}

    def _decoder(
        self, apply: Method, source: Int[Array, "B S"], key: jax.Array
    ) -> tuple[decoding.Step, decoding.Cache, decoding.Search]:
        """The model's step, which writes no padding and no second beginning; its cache; and how it is searched."""
        size = (source != PAD).sum(-1)
        length = source.shape[1] + self.extra_length
        limit = jnp.where(size > 1, size + self.extra_length, 0)
        beams = 1 if self.temperature else self.beams

        def step(tokens: jax.Array, parents: jax.Array, cache: decoding.Cache) -> tuple[jax.Array, decoding.Cache]:
            logits, cache = apply(tokens, parents, cache, method="step")
            return logits.at[..., jnp.array([PAD, self.first])].set(-jnp.inf), cache

        search: decoding.Search
        if beams > 1:
            search = decoding.BeamSearch(
                limit, length=length, bos=self.first, eos=EOS, pad=PAD, beams=beams, alpha=self.alpha
            )
        else:
            search = decoding.Sampling(
                limit,
                key,
                length=length,
                bos=self.first,
                eos=EOS,
                pad=PAD,
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
            )
        return step, apply(source, beams=beams, length=length, method="start"), search

    def remarks(self, rows: Mapping[str, np.ndarray], data: Data) -> Sequence[str]:
        """That a translation is longer than any of training. data: with `max_length`."""
        longest = int((rows["tokens"] != PAD).sum(1).max())
        if longest <= data.max_length:
            return ()
        return (
            f"a translation of {longest} tokens is longer than any that the model was trained on "
            f"(config.data.max_length={data.max_length}).",
        )

    def metrics(self, data: Data, split: str) -> "Quality":
        """BLEU and chrF. data: with `decode`, and `texts`, the references."""
        return Quality(self, data, data.texts(split))

    def verdict(self, row: Row, example: Row, data: Data) -> Verdict:
        """The translation beside the reference. data: with `decode`."""
        said, truth = data.decode(row["tokens"]), data.decode(example["target"])
        return Verdict(said == truth, said, truth)

    def answer(self, row: Row, data: Data, most: int = 5) -> Answer:
        """The translation. data: with `decode`."""
        del most
        text = data.decode(row["tokens"])
        return Answer(text, {"translation": text})


@dataclass
class Quality:
    """BLEU and chrF of translations, in points, and the share of exact matches."""

    task: Task
    data: Data
    references: Sequence[str]
    hypotheses: dict[int, str] = field(default_factory=dict)  # by index

    def __post_init__(self) -> None:
        from sacrebleu.metrics.bleu import BLEU

        try:
            self._bleu = BLEU(tokenize=self.task.bleu_tokenize, lowercase=self.task.bleu_lowercase)
        except Exception as error:  # sacreBLEU's own tokenizers need further packages
            raise UserError(f"config.task.bleu_tokenize={self.task.bleu_tokenize!r}: {error}") from None

    def update(self, rows: Mapping[str, np.ndarray]) -> None:
        """Decodes the tokens of some rows."""
        for index, tokens in zip(rows["index"].tolist(), rows["tokens"], strict=True):
            self.hypotheses[index] = self.data.decode(tokens)

    def compute(self) -> tuple[dict[str, float], list[str]]:
        """The metrics, and sacreBLEU's signatures, which say how they were computed."""
        from sacrebleu.metrics.chrf import CHRF

        bleu, chrf, references = self._bleu, CHRF(), list(self.references)
        hypotheses = [self.hypotheses.get(index, "") for index in range(len(references))]
        metrics = {
            "bleu": bleu.corpus_score(hypotheses, [references]).score,
            "chrf": chrf.corpus_score(hypotheses, [references]).score,
            "exact_match": sum(h == r for h, r in zip(hypotheses, references, strict=True)) / len(references),
        }
        return metrics, [f"BLEU {bleu.get_signature()}", f"chrF {chrf.get_signature()}"]


def check_start(start: str, lacks: Collection[str]) -> None:
    """That a vocabulary has the id that targets begin after.

    Raises:
      UserError: it is among those that the vocabulary `lacks`.
    """
    if start in lacks:
        raise UserError(f"this tokenizer has no id for config.task.start={start!r}: set --config.task.start=pad")


def shift_right(target: Int[Array, "B T"], segment: Int[Array, "B T"], first: int = BOS) -> Int[Array, "B T"]:
    """The decoder's input: each sentence's tokens one place later, after `first`."""
    before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
    begins = segment != jnp.pad(segment[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(segment > 0, jnp.where(begins, first, before), PAD)
