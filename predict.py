"""Classify images with a trained model: python predict.py --workdir=runs/vit_digits [--top=5] [--json] image.png ..."""

import json
from typing import Any

import commands

if __name__ == "__main__":
    commands.workdir_flags()
    commands.flags.DEFINE_integer("top", 5, "How many of the likeliest classes", lower_bound=1)
    commands.flags.DEFINE_bool("json", False, "Print one JSON object a line instead of a table")

import jax
import numpy as np

import experiment
from errors import UserError

BATCH = 64


def main(arguments: list[str]) -> None:
    if not arguments:
        raise UserError("no image is given: python predict.py --workdir=... image.png ...")
    flags, (config, workdir) = commands.FLAGS, commands.run_of_workdir()
    config.parallel.mode = "jit"
    run, state, _ = experiment.load(config, workdir, which=flags.step, from_data=False)

    @jax.jit
    def probabilities(params: Any, image: jax.Array) -> jax.Array:
        logits: Any = run.model.apply({"params": params}, image, train=False)
        return jax.nn.softmax(logits)

    for begin in range(0, len(arguments), BATCH):
        paths = arguments[begin : begin + BATCH]
        images = run.pipeline.load(paths)
        rows = np.asarray(probabilities(state.eval_params, images))
        for path, row in zip(paths, rows, strict=True):
            report(path, row, run.classes, flags.top, flags.json)


def report(path: str, probability: np.ndarray, classes: tuple[str, ...], top: int, as_json: bool) -> None:
    """The likeliest classes of one image, probability (C,)."""
    best = [(classes[i], float(probability[i])) for i in np.argsort(-probability)[:top]]
    if as_json:
        print(json.dumps({"image": path, "top": [{"class": name, "probability": p} for name, p in best]}))
        return
    print(path)
    for name, p in best:
        print(f"  {p:7.2%}  {name}")


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
