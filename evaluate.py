"""Score a trained model: python evaluate.py --workdir=runs/vit_digits [--split=test] [--step=last|best|N] [--config.data.key=value ...]"""

import json
import time

import commands

if __name__ == "__main__":
    commands.workdir_flags()
    commands.flags.DEFINE_string(
        "split", None, "What to score, such as train[:10%] (default: the config's eval_splits)"
    )
    commands.flags.DEFINE_bool("json", False, "Print one JSON object instead of a table")

import experiment
from errors import UserError


def main(arguments: list[str]) -> None:
    if arguments:
        raise UserError(f"{arguments[0]!r} is not a flag. See --help.")
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    if flags.split:
        config.data.eval_splits = (flags.split,)
    run, state, step = experiment.load(config, workdir, which=flags.step, from_data=True)
    start = time.perf_counter()
    scores = run.evaluate(state)
    if flags.json:
        print(json.dumps({"step": step} | scores))
        return
    print(f"{workdir}, step {step:,}, {config.data.name} ({time.perf_counter() - start:.1f} s)")
    for name, value in scores.items():
        print(f"  {name:24} {value:.2%}" if name.endswith("accuracy") else f"  {name:24} {value:.4f}")


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
