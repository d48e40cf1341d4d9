"""What a model is scored by: the figures of its task on every evaluation split, and those that take long: what it writes
(BLEU), and how far its frozen features carry (few-shot, nearest neighbours)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import input_pipeline
from experiment.build import Run
from training import step
from training.evaluate import evaluate


def score(
    run: Run, state: step.State, slow: bool, alive: Callable[[], None] = lambda: None
) -> tuple[dict[str, float], list[str]]:
    """Figures, {"test/accuracy": ...}, and notes on how they were counted.

    Args:
      slow: whether those that take long are wanted too. alive: called whenever a batch is through.
    """

    def fetch(sums: Any) -> Any:
        alive()
        return run.devices.fetch(sums)

    def counted(split: str) -> Iterator[input_pipeline.Batch]:
        for batch in run.pipeline.eval_batches(split):
            alive()
            yield batch

    figures: dict[str, float] = {}
    notes: list[str] = []
    for split in run.pipeline.eval_splits:
        scores = evaluate(run.eval_step, fetch, state.eval_params, map(run.devices.put, counted(split)))
        scores |= run.task.summaries(scores)
        if slow and hasattr(run.task, "generate"):
            references = [target for _, target in run.pipeline.pairs(split)]
            written = run.generate(state.eval_params, counted(split), len(references))
            quality, notes = run.task.score(written, references)
            scores |= quality
        figures |= {f"{split}/{name}": value for name, value in scores.items()}
    if slow and run.probed:
        splits = (run.probed.train_split, run.probed.eval_splits[0])
        scores, lines = run.evaluation.fewshot.scores(*[features(run, state, split, alive) for split in splits])
        name = run.evaluation.fewshot.name or run.config["data"]["name"]
        figures |= {f"{name}/{key}": value for key, value in scores.items()}
        notes = [*notes, *(f"{name}, {line}" for line in lines)]
    return figures, notes


def features(run: Run, state: step.State, split: str, alive: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """The representation of every example of a split of the data that few-shot looks at: float32 (n, D); labels (n,)."""
    found = []
    for batch in run.probed.eval_batches(split):
        represented, label, mask = run.devices.fetch_rows(run.represent(state.eval_params, run.devices.put(batch)))
        found.append((represented[mask > 0], label[mask > 0]))
        alive()
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]
