"""Seconds from the start of a process to the end of its first step of training, ViT-Ti/16, 8 images."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contestants import here, images

Work = Callable[[], float]
WORKER = Path(__file__).parents[1] / "worker.py"


def ours(source: str, warm: bool) -> Work:
    """This code, by train.py.

    Args:
      source: "synthetic", or "folder" of JPEG files.
      warm: whether the compilation cache holds what an earlier start compiled; otherwise it is empty.
    """
    keeper = tempfile.TemporaryDirectory()
    folder, starts = Path(keeper.name), 0
    images.photos(folder / "photos", count=32)
    name = "1000" if source == "synthetic" else folder / "photos"
    command = [sys.executable, "train.py", "--config=configs/vit_imagenet.py:Ti/16", f"--config.data.source={source}"]
    command += [f"--config.data.name={name}", "--config.data.batch_size=8", "--config.data.eval_batch_size=8"]
    command += ["--config.data.memory_limit_mb=2048", "--config.steps=2", "--config.optim.warmup_steps=0"]
    command += ["--config.checkpoint.keep_best="]

    def start() -> float:
        nonlocal starts
        starts += 1
        cache = folder / ("cache" if warm else f"cache{starts}")
        environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        begun, seconds = time.perf_counter(), 0.0
        process = subprocess.Popen(
            [*command, f"--workdir={folder}/{starts}"],
            cwd=here.ROOT,
            env=environment | {"XDG_CACHE_HOME": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert keeper
        assert process.stdout
        for line in process.stdout:
            if re.match("First step", line):
                seconds = time.perf_counter() - begun
        if process.wait() or not seconds:
            raise RuntimeError(f"{' '.join(command)} failed")
        return seconds

    if warm:
        start()
    return start


def vit(function: str, variable: str = "", package: str = "", **arguments: here.Theirs) -> Work:
    """Others, whose process reads no data: what they need, a model and a step, without a training script of theirs.

    Args:
      function: of contestants/vit.py, with its arguments.
      variable, package: what must be there: a variable that says where code is checked out, or a package.
    """
    import json

    if variable and not os.environ.get(variable):
        raise here.Absent(f"{variable} does not say where {here.CHECKOUTS[variable]} is checked out")
    if package:
        here.package(package)

    def start() -> float:
        begun = time.perf_counter()
        command = [sys.executable, str(WORKER), f"vit.{function}", json.dumps(arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin
        assert process.stdout
        process.stdin.write("0\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline() or "{}") for _ in range(2)]
        seconds = time.perf_counter() - begun
        process.stdin.close()
        process.wait()
        if "value" not in answers[1]:
            raise RuntimeError(f"{' '.join(command)} failed: {answers}")
        return seconds

    return start
