"""Score a trained model: python evaluate.py --workdir=runs/vit_digits [--split=test] [--step=last|best|N]

The examples that it is most wrong about, of tasks that can say so: --worst=10 (drawn: visualize.py mistakes).
More weights: [--average=N] checkpoints, [--soup=WORKDIR,...] runs. How a model writes is set by its task, and so is how
it is scored: --config.task.beams, alpha, temperature and so on. Few-shot and nearest neighbours:
--config.evaluation.fewshot.shots="(1,5,10)" --config.evaluation.fewshot.neighbours="(10,)" [....name=cifar10]"""

import json
import time

import commands

if __name__ == "__main__":
    commands.begin()
    commands.workdir_flags()
    commands.host_flags()
    commands.flag("string", "split", None, "What to score, such as train[:10%] (default: the config's eval_splits)")
    commands.weights_flag()
    commands.flag(
        "integer", "worst", 0, "How many examples that the model is most wrong about are named", lower_bound=0
    )
    commands.flag("bool", "json", False, "Print one JSON object instead of a table")

from errors import UserError
from experiment import restore, scoring
from training import hosts
from training.progress import metric


def main(arguments: list[str]) -> None:
    """Prints the metrics of every evaluation split."""
    if arguments:
        raise UserError(
            f"{arguments[0]!r} is not a flag: this scores a split, --split=NAME; predict.py answers what is given."
        )
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    if flags.split:
        config.data.eval_splits = (flags.split,)
    run, state, step = restore.load(workdir, config, flags.step, True, flags.average, flags.soup, flags.weights)
    start = time.perf_counter()
    scores, notes = scoring.score(run, state, slow=True)
    notes = list(dict.fromkeys([*run.pipeline.notes(), *notes]))  # few-shot scores have some of them too
    worst = [
        {"split": split, "example": run.pipeline.called(split, index), "error": error}
        | ({"mistake": mistake} if (mistake := run.task.mistake(row, run.data)) else {})
        for split in (run.pipeline.eval_splits if flags.worst else ())
        for error, index, row in scoring.worst(run, state.eval_variables, split, flags.worst)
    ]
    if not hosts.primary():
        return
    if flags.json:
        more = {name: found for name, found in (("notes", notes), ("worst", worst)) if found}
        print(json.dumps({"step": step} | scores | more))
        return
    which = f"the mean of {flags.average} checkpoints up to step" if flags.average > 1 else "step"
    if flags.soup:
        which = f"with {len(flags.soup)} more runs, {which}"
    if flags.weights != "float32":
        which = f"{flags.weights} weights, {which}"
    print(f"{workdir}, {which} {step:,}, {config.data.name} ({time.perf_counter() - start:.1f} s)")
    for name, value in scores.items():
        print(f"  {name:28} {metric(name, value)}")
    for line in notes:
        print(f"  {line}")
    if worst:
        print(f"The {len(worst)} worst, each with its error (0: all right):")
    for one in worst:
        print(f"  {one['error']:.4f}  {one['example']}  {one.get('mistake', '')}".rstrip())


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
