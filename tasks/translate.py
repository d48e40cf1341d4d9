"""A target sentence for each source sentence.

B batch, S source tokens, T target tokens, V vocabulary, K beams, L the longest target that is decoded.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from errors import UserError
from models import decoding
from tasks import Apply, Sums

PAD, BOS, EOS = 0, 2, 3  # as data/tokenizer.py numbers them


@dataclass(frozen=True)
class Task:
    """Cross-entropy of every next target token (teacher forcing); decoding, scored by BLEU and chrF.

    Attributes:
      label_smoothing: share of the target that is spread evenly over the vocabulary, while training.
      beams: K of beam search; 1 is greedy. alpha: its length penalty. extra_length: how many tokens a translation may
        be longer than its source (section 6.1 of 1706.03762).
      temperature: of sampling, with top_k and top_p; 0 searches instead.
      bleu_tokenize, bleu_lowercase: sacreBLEU's.
    """

    label_smoothing: float = 0.1
    beams: int = 4
    alpha: float = 0.6
    extra_length: int = 50
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    bleu_tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab", "flores200"] = "13a"
    bleu_lowercase: bool = False
    unit = "target tokens"

    def __post_init__(self) -> None:
        if self.beams < 1 or self.alpha < 0 or self.extra_length < 1:
            raise UserError("config.task: beams and extra_length must be at least 1 and alpha at least 0.")

    def sums(self, apply: Apply, batch: dict[str, jax.Array], train: bool) -> Sums:
        """Losses and accuracies.

        Args:
          apply: (source (B, S), inputs (B, T)[, source_segment, target_segment]) -> logits (B, T, V).
          batch: `source`, `target` int (B, S), (B, T), 0 for padding; packed, also their segments.

        Returns:
          loss (smoothed while training, in nats), nll and accuracy over target tokens; sentence_accuracy: the share of
          sentences whose tokens are all right, which are those that greedy search would write just so.
        """
        target = batch["target"]
        segments = [batch[name] for name in ("source_segment", "target_segment") if name in batch]
        segment = segments[1] if segments else (target != PAD).astype(jnp.int32)
        logits = apply(batch["source"], shift_right(target, segment), *segments)
        mask = (target != PAD).astype(jnp.float32)

        log_normaliser = jax.nn.logsumexp(logits, axis=-1)
        here = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2) == target[..., None]
        chosen = jnp.sum(jnp.where(here, logits, 0.0), axis=-1)
        nll = log_normaliser - chosen
        # Cross-entropy against (1 - e) of the true token and e of the uniform distribution.
        smoothing = self.label_smoothing if train else 0.0
        loss = (1 - smoothing) * nll + smoothing * (log_normaliser - logits.mean(-1)) if smoothing else nll
        right = (chosen > jnp.max(jnp.where(here, -jnp.inf, logits), axis=-1)).astype(jnp.float32)  # no argmax: slow
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

    def summaries(self, scores: dict[str, float]) -> dict[str, float]:
        """What follows from the means of a whole split: the perplexity of a token."""
        return {"perplexity": math.exp(min(scores["nll"], 700.0))}

    def generate(self, apply: Callable[..., Any], batch: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        """Translations of `source` int (B, S): int32 (B, L), EOS at each one's end and 0 after it; L = S + extra_length.

        Args:
          apply: calls a method of the model with its parameters: apply(*arguments, method=...).
        """
        source = batch["source"]
        size = (source != PAD).sum(-1)
        length = source.shape[1] + self.extra_length
        limit = jnp.where(size > 0, size + self.extra_length, 0)
        beams = 1 if self.temperature else self.beams
        cache = apply(source, beams=beams, length=length, method="start")

        def step(tokens: jax.Array, parents: jax.Array, cache: Any) -> Any:
            logits, cache = apply(tokens, parents, cache, method="step")
            token = jnp.arange(logits.shape[-1])
            return jnp.where((token == PAD) | (token == BOS), -jnp.inf, logits), cache

        ids: dict[str, Any] = dict(limit=limit, length=length, bos=BOS, eos=EOS, pad=PAD)
        if beams > 1:
            tokens, _ = decoding.beam(step, cache, **ids, beams=beams, alpha=self.alpha)
            return tokens[:, 0]
        drawing: dict[str, Any] = dict(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        return decoding.sample(step, cache, **ids, key=key, **drawing)[0]

    def alignment(self, apply: Callable[..., Any], source: jax.Array, target: jax.Array) -> jax.Array:
        """How much each target token looks at each source token: float (B, T, S).

        Of a Transformer, the mean over the heads of the last layer but one, which aligns best (1909.02074).
        """
        inputs = shift_right(target, (target != PAD).astype(jnp.int32))
        _, seen = apply(source, inputs, train=False, mutable="probe")
        found = [
            weights
            for path, weights in jax.tree_util.tree_leaves_with_path(seen.get("probe", {}))
            if "cross_attention" in jax.tree_util.keystr(path)
        ]
        if not found:
            raise UserError("this model has no attention to draw: its decoder sees one fixed vector.")
        weights = found[max(len(found) - 2, 0)]
        return weights.mean(1) if weights.ndim == 4 else weights

    def score(self, hypotheses: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], list[str]]:
        """BLEU and chrF in points, the share of exact matches; and the signatures that say how they were counted."""
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        try:
            bleu = BLEU(tokenize=self.bleu_tokenize, lowercase=self.bleu_lowercase)
        except Exception as error:
            raise UserError(f"config.task.bleu_tokenize={self.bleu_tokenize!r}: {error}") from None
        chrf = CHRF()
        figures = {
            "bleu": bleu.corpus_score(list(hypotheses), [list(references)]).score,
            "chrf": chrf.corpus_score(list(hypotheses), [list(references)]).score,
            "exact_match": sum(h == r for h, r in zip(hypotheses, references, strict=True)) / len(references),
        }
        return figures, [f"BLEU {bleu.get_signature()}", f"chrF {chrf.get_signature()}"]


def shift_right(target: jax.Array, segment: jax.Array) -> jax.Array:
    """The decoder's input: each sentence's tokens one place later, after BOS. target, segment: int (B, T)."""
    before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
    begins = segment != jnp.pad(segment[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(segment > 0, jnp.where(begins, BOS, before), PAD)
