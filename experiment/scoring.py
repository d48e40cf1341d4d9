"""A model's scores: the metrics of its task on every evaluation split, and the slow ones of its predictions (BLEU) and
of its frozen features (few-shot, nearest neighbours).

n examples, D width.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Integer

import tasks
from errors import UserError
from experiment.run import Run
from input_pipeline import Batch, Pipeline
from tasks import Row
from training import evaluate, step
from training.trees import Variables


def score(
    run: Run, state: step.State, slow: bool, alive: Callable[[], None] = lambda: None
) -> tuple[dict[str, float], list[str]]:
    """Metrics, {"test/accuracy": ...}, and notes on how they were computed.

    Args:
      slow: whether the slow metrics are wanted too.
      alive: called after every batch.
    """
    metrics: dict[str, float] = {}
    notes: list[str] = []
    variables = run.prepared(state.eval_variables) if slow else state.eval_variables
    for split in run.pipeline.eval_splits:
        batches = map(run.devices.put, watched(run.pipeline, split, alive))
        totals = evaluate.evaluate(run.eval_step, run.devices.fetch, variables, batches)
        scores = evaluate.means(totals) | run.task.summaries(totals, run.data, split)
        if slow and (of_rows := run.task.metrics(run.data, split)):
            for rows in run.predict(variables, watched(run.pipeline, split, alive)):
                of_rows.update(rows)
            computed, lines = of_rows.compute()
            scores |= computed
            notes += [line for line in lines if line not in notes]
        metrics |= {f"{split}/{name}": value for name, value in scores.items()}
    if slow and run.probed:
        splits = (run.probed.train_split, run.probed.eval_splits[0])
        scores, lines = run.evaluation.fewshot.scores(*[features(run, state, split, alive) for split in splits])
        name = run.evaluation.fewshot.name or run.config["data"]["name"]
        metrics |= {f"{name}/{key}": value for key, value in scores.items()}
        notes += [f"{name}, {line}" for line in lines]
        if run.probed is not run.pipeline:
            notes += [f"{name}, {line}" for line in run.probed.unscored()]
    return metrics, notes + run.pipeline.unscored()


def check(run: Run) -> None:
    """What would otherwise be found by the last evaluation, at the end of the training.

    Raises:
      UserError: the longest examples cannot be predicted, images of an evaluation cannot be seen by the model, or
        few-shot wants more examples than there are, or what the model does not have.
    """
    evaluation = run.evaluation
    for spec in map(run.pipeline.largest, run.pipeline.eval_splits):
        if any(name in spec and spec[name][0][1:] != run.pipeline.spec[name][0][1:] for name in ("image", "clip")):
            run.check_evaluation(spec)
    if evaluation.generate == "never":
        return
    for split in run.pipeline.eval_splits:
        if run.task.metrics(run.data, split):
            run.check_rows(run.pipeline.largest(split))
    if run.probed:
        run.check_representation()
        run.probed.check()
    if run.probed and (labels := run.probed.labels(run.probed.train_split)) is not None:
        evaluation.fewshot.check(labels)


def worst(run: Run, variables: Variables, split: str, most: int) -> list[tuple[float, int, Row]]:
    """The examples of a split that the run is most wrong about: how wrong, their places and their rows of `predict`.

    Raises:
      UserError: its task cannot say how wrong it is about an example.
    """
    if type(run.task).error is tasks.Task.error:
        name = run.config["task"]["name"]
        raise UserError(f"config.task.name={name!r} does not say how wrong it is about an example.")
    found: list[tuple[float, int, Row]] = []
    for batch in run.pipeline.eval_batches(split):
        here = {int(index): place for place, index in enumerate(batch["index"])}  # of this host
        pictured = {name: batch[name] for name in run.task.pictured}
        for rows in run.predict(variables, [batch]):
            for place, index in enumerate(rows["index"].tolist()):
                row = {name: x[place] for name, x in rows.items()}
                if (error := run.task.error(row)) is not None:
                    shown = {name: x[here[index]] for name, x in pictured.items()} if index in here else {}
                    found.append((error, index, row | shown))
        found = sorted(found, key=lambda one: (-one[0], one[1]))[:most]
    return found


def watched(pipeline: Pipeline, split: str, alive: Callable[[], None]) -> Iterator[Batch]:
    """The batches of a split, with a call of `alive` at each."""
    for batch in pipeline.eval_batches(split):
        alive()
        yield batch


def features(
    run: Run, state: step.State, split: str, alive: Callable[[], None] = lambda: None
) -> tuple[Float[np.ndarray, "n D"], Integer[np.ndarray, " n"]]:
    """The representation of every example of a split of few-shot's data, and the labels."""
    assert run.probed, "features are of the data that few-shot uses"
    parts = []
    batches = map(run.devices.put, watched(run.probed, split, alive))
    for rows in evaluate.ahead(run.represent(state.eval_variables, batch) for batch in batches):
        represented, label, mask = run.devices.fetch_rows(rows)
        parts.append((represented[mask > 0], label[mask > 0]))
    representations, labels = zip(*parts, strict=True)
    return np.concatenate(representations), np.concatenate(labels)
