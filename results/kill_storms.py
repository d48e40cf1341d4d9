"""Storms of kills over every kind of run: each is killed again and again, and must end as the uninterrupted run does.

    python results/kill_storms.py [KIND ...] [--kills=10] [--folder=FOLDER]

Half of the kills (kill -9) come while a checkpoint is being written. Of two hosts, one is killed and the other must end
by itself. A kind that has passed is kept in FOLDER (default: a temporary one) and not run again. Once all have passed
on one commit, results/kill_storms.json is written. Exits with 1 if a bit differs.
"""

import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]

from kill_storm import metrics, weights  # noqa: E402

import commands  # noqa: E402
from experiment import record  # noqa: E402

Row = record.Record
STEPS, EVERY = 60, 3
COMMON = (
    f"--config.steps={STEPS} --config.checkpoint.every_steps={EVERY} --config.log.every_steps={EVERY} "
    "--config.evaluation.every_steps=10 --config.log.peak_teraflops=1 --config.optim.warmup_steps=10"
)
DIGITS = "--config=configs/vit_digits.py:debug --config.data.eval_splits=('test[:96]',) --config.checkpoint.keep_best="
LIMIT = 300.0  # seconds after which a process is killed that has neither ended nor reached the step


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
      flags: of train.py.
      devices: virtual CPU devices of each host.
      hosts: processes.
    """

    flags: str
    devices: int = 1
    hosts: int = 1


KINDS = {
    "translation": Kind("--config=configs/transformer_reverse.py:debug --config.evaluation.generate=always"),
    "gpt": Kind(
        "--config=configs/gpt_python.py:debug --config.data.source=files "
        "--config.data.name=tests/old_runs/texts/train.x --config.data.eval_splits=('train[:1]',) "
        "--config.data.tokenizer=char --config.checkpoint.keep_best= --config.data.length=16 --config.model.dropout=0.1"
    ),
    "mae": Kind(
        "--config=configs/mae_fashion_mnist.py:debug --config.data.name=digits --config.data.image_size=8 "
        "--config.data.mean=(0.5,) --config.data.std=(0.5,) --config.model.patch=2 --config.data.train_split=train "
        "--config.data.eval_splits=('test[:96]',)"
    ),
    "recurrent": Kind("--config=configs/recall.py:gru+16:debug --config.model.dropout=0.1 --config.step.ema_decay=0.9"),
    "pmap": Kind(f"{DIGITS} --config.parallel.mode=pmap --config.data.augment.mixup=0.2", devices=8),
    "fsdp": Kind(f"{DIGITS} --config.parallel.fsdp=4 --config.parallel.tensor=2 --config.model.dropout=0.1", devices=8),
    "stream": Kind(f"{DIGITS} --config.data.memory_limit_mb=0 --config.data.shuffle_buffer=200"),
    "hosts": Kind(f"{DIGITS} --config.parallel.mode=pmap --host_timeout=5", devices=2, hosts=2),
}


def start(kind: Kind, workdir: Path) -> list[subprocess.Popen[bytes]]:
    """Starts the processes of a run, whose output is appended to WORKDIR.HOST.log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    devices = f"--xla_force_host_platform_device_count={kind.devices}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices, "NPROC": "16"}
    processes = []
    for host in range(kind.hosts):
        place = [f"--coordinator={coordinator}", f"--hosts={kind.hosts}", f"--host={host}"] if kind.hosts > 1 else []
        command = [sys.executable, "train.py", *COMMON.split(), *kind.flags.split(), f"--workdir={workdir}", *place]
        with Path(f"{workdir}.{host}.log").open("a") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
    return processes


def finish(kind: Kind, workdir: Path) -> None:
    """Runs to the end.

    Raises:
      RuntimeError: it failed; with the end of its output.
    """
    statuses = [process.wait() for process in start(kind, workdir)]
    if any(statuses):
        said = "\n".join(Path(f"{workdir}.{host}.log").read_text()[-2000:] for host in range(kind.hosts))
        raise RuntimeError(f"{workdir.name} failed:\n{said}")


def kill(kind: Kind, workdir: Path, step: int, saving: bool, rng: random.Random) -> Row:
    """Starts a run and kills one of its hosts when a checkpoint of `step` or later is there, or is being written.

    Args:
      saving: whether to kill it while the checkpoint is being written.
    """
    processes, until = start(kind, workdir), time.monotonic() + LIMIT
    while all(process.poll() is None for process in processes) and time.monotonic() < until:
        steps = [path.name.partition(".") for path in workdir.glob("checkpoints/*")]
        if any(number.isdigit() and int(number) >= step and bool(rest) == saving for number, _, rest in steps):
            break
        time.sleep(0.002)
    if not saving:
        time.sleep(rng.uniform(0, 0.3))
    struck = rng.randrange(kind.hosts)
    processes[struck].kill()
    begun = time.monotonic()
    statuses = [process.wait(LIMIT) for process in processes]
    names = [path.name for path in workdir.glob("checkpoints/*")]
    row: Row = {"at_step": step, "status": statuses[struck], "left_a_save_unfinished": any("tmp" in n for n in names)}
    row["saved"] = max((int(name) for name in names if name.isdigit()), default=0)
    if kind.hosts > 1:
        row |= {"host": struck, "statuses": statuses, "seconds_to_the_end": round(time.monotonic() - begun, 1)}
    return row


def storm(name: str, kills: int, folder: Path) -> Row:
    """Runs one kind undisturbed and under kills, and compares them."""
    kind, rng, rows = KINDS[name], random.Random(name), []
    whole, killed = folder / f"{name}-whole", folder / f"{name}-killed"
    for left in folder.glob(f"{name}-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    begun = time.perf_counter()
    finish(kind, whole)
    alone = time.perf_counter() - begun
    for number in range(kills):
        step = max(1, round(STEPS * (number + rng.random()) / (kills + 1)))
        rows.append(kill(kind, killed, step, saving=number % 2 == 1, rng=rng))
        print(f"{name}: {rows[-1]}", flush=True)
    finish(kind, killed)
    return {
        "flags": kind.flags,
        "devices": record.read(whole)["devices"],
        "hosts": kind.hosts,
        "kills": sum(row["status"] == -9 for row in rows),
        "that left a save unfinished": sum(row["left_a_save_unfinished"] for row in rows),
        "same_bits": {
            "state": weights(whole, STEPS) == weights(killed, STEPS),
            "metrics": metrics(whole) == metrics(killed),
        },
        "seconds_left_alone": round(alone, 1),
        "log": rows,
    }


def main(kinds: list[str], kills: int, folder: Path) -> int:
    """Runs the storms and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    logging.getLogger("absl").setLevel("CRITICAL")
    folder.mkdir(parents=True, exist_ok=True)
    for name in commands.chosen(kinds, KINDS):
        path = folder / f"{name}.json"
        if path.exists() and json.loads(path.read_text())["commit"] == about["commit"]:
            continue
        result = storm(name, kills, folder) | about
        print(f"{name}: {result['kills']} kills, same bits: {result['same_bits']}", flush=True)
        if result["kills"] < kills or not all(result["same_bits"].values()):
            print(f"{name} failed: its runs are in {folder}")
            return 1
        path.write_text(json.dumps(result))
    results = {name: json.loads(path.read_text()) for name in KINDS if (path := folder / f"{name}.json").exists()}
    if len(results) == len(KINDS) and {result["commit"] for result in results.values()} == {about["commit"]}:
        command = f"python results/kill_storms.py --kills={kills}"
        expected = "the same bits in weights, optimiser state and metrics as the uninterrupted run"
        content = {"command": command, "expected": expected, "steps": STEPS, "kinds": results}
        target = ROOT / "results" / "kill_storms.json"
        target.write_text(json.dumps(content, indent=2) + "\n")
        print(f"The record is {target}")
    return 0


if __name__ == "__main__":
    place = Path(tempfile.gettempdir(), "attend-kill-storms")
    commands.script(
        main,
        __doc__,
        kinds={"nargs": "*", "metavar": "KIND", "help": ", ".join(KINDS)},
        kills={"type": int, "default": 10},
        folder={"type": Path, "default": place},
    )
