"""A teacher beside a training run: what it says of each batch that the student is about to learn from."""

from collections.abc import Callable, Mapping

import jax

from errors import UserError
from experiment import record
from experiment.restore import load as load_run
from experiment.restore import saved_config
from experiment.run import Run
from training import parallel, step
from training.trees import Batch, Variables


def load(run: Run) -> Callable[[Batch], Batch]:
    """A training batch on the devices -> the same, with the outputs of the model that config.task.teacher names as
    `teacher`; unchanged if the task has no teacher.

    Raises:
      UserError: the teacher is not there, or learned from images of another size or from other classes.
    """
    if not (folder := run.task.teacher):
        return lambda batch: batch
    config = saved_config(folder)
    config.parallel.update(run.config["parallel"])
    other, state, _ = load_run(folder, config)
    inputs = [{name: r.pipeline.spec[name][0][1:] for name in run.task.inputs} for r in (other, run)]
    for theirs, ours in (inputs, (other.pipeline.known, run.pipeline.known)):
        if not record.same_data(theirs, ours):
            raise UserError(f"config.task.teacher={folder} learned from other data: {theirs} there, {ours} here.")

    def outputs(variables: Variables, batch: Mapping[str, jax.Array], axis: parallel.Axis) -> jax.Array:
        return step.Apply(other.model, variables, axis.gather)(*[batch[name] for name in run.task.inputs], train=False)

    compiled = run.devices.compile_rows(outputs)

    def teach(batch: Batch) -> Batch:
        return batch | {"teacher": compiled(state.eval_variables, {name: batch[name] for name in run.task.inputs})}

    return teach
