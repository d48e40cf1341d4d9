"""Kills runs in buckets with kill -9 again and again, and compares their ends with that of a run in a folder.

    .venv/buckets/bin/python results/bucket_drill.py [KILLS]        after make .venv/buckets/ready

The buckets are of servers on this machine: moto's for S3, and gcp-storage-emulator. Each kill comes when the first
object of a new checkpoint has arrived. Writes results/bucket_drill.json and exits with 1 if a bit differs.
"""

import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]

from kill_storm import metrics, weights  # noqa: E402

import commands  # noqa: E402
import storage  # noqa: E402
from experiment import record  # noqa: E402
from training import manifest  # noqa: E402

STEPS, LIMIT = 30, 300.0  # LIMIT: seconds after which a run that has saved nothing is killed
FLAGS = (
    f"--config=configs/vit_digits.py:debug --config.steps={STEPS} --config.checkpoint.every_steps=3 "
    "--config.log.every_steps=3 --config.evaluation.every_steps=10 --config.log.peak_teraflops=1 "
    "--config.optim.warmup_steps=10 --config.checkpoint.keep_best= --config.evaluation.page=False "
    "--config.model.width=256 --config.model.mlp_dim=1024"  # which take a while to copy
)
# The library of each service, its server, and how that is started; the port comes last.
SERVERS = {
    "s3": ("s3fs", "moto", "moto.server -H 127.0.0.1 -p"),
    "gs": ("gcsfs", "gcp_storage_emulator", "gcp_storage_emulator start --host=127.0.0.1 --in-memory --port"),
}


@contextmanager
def serving(scheme: str) -> Iterator[storage.Bucket]:
    """An empty bucket of a server that runs as long, by the environment's variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    os.environ |= {"AWS_ENDPOINT_URL": address, "STORAGE_EMULATOR_HOST": address, "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # which asks another service, of Google itself
    program = [sys.executable, "-m", *SERVERS[scheme][2].split(), str(port)]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        bucket = storage.path(f"{scheme}://bucket")
        assert isinstance(bucket, storage.Bucket)
        bucket.store.mkdir("bucket")
        yield bucket
    finally:
        server.terminate()
        server.wait()


def command(workdir: Path) -> list[str]:
    """The command that trains."""
    return [sys.executable, "train.py", f"--workdir={workdir}", *FLAGS.split()]


def saved(workdir: storage.Bucket) -> tuple[set[int], set[int]]:
    """The steps with any object, and those that are complete."""
    found = [re.match(r"checkpoints/(\d+)/(.*)", name) for name in workdir.marks()]
    steps = [(int(match[1]), match[2]) for match in found if match]
    return {step for step, _ in steps}, {step for step, name in steps if name == manifest.COMMITTED}


def kill(workdir: storage.Bucket, step: int) -> record.Record:
    """Runs the command until something of a checkpoint of `step` or later has arrived, and kills it."""
    process, begun = subprocess.Popen(command(workdir), cwd=ROOT, stdout=subprocess.DEVNULL), time.monotonic()
    while process.poll() is None and time.monotonic() - begun < LIMIT:
        some, whole = saved(workdir)
        if any(one >= step for one in some - whole):
            break
        time.sleep(0.002)
    process.kill()
    status = process.wait()
    some, whole = saved(workdir)
    return {"at_step": step, "status": status, "copied_in_part": sorted(some - whole), "whole": sorted(whole)}


def storm(workdir: storage.Bucket, alone: Path, kills: int) -> record.Record:
    """Runs to the end under kills, and compares."""
    rng, rows = random.Random(str(workdir)), []
    for number in range(kills):
        rows.append(kill(workdir, max(1, round(STEPS * (number + rng.random()) / (kills + 1)))))
        print(f"{workdir}: {rows[-1]}", flush=True)
    subprocess.run(command(workdir), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {
        "kills": sum(row["status"] == -9 for row in rows),
        "that left a copy unfinished": sum(bool(row["copied_in_part"]) for row in rows),
        "same_bits": {
            "state": weights(workdir, STEPS) == weights(alone, STEPS),
            "metrics": metrics(workdir) == metrics(alone),
        },
        "log": rows,
    }


def main(kills: int) -> int:
    """Runs the drill and writes the record. Returns the exit status."""
    about = record.clean_provenance(*(name for name, *_ in SERVERS.values()))
    results: dict[str, record.Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "alone")
        subprocess.run(command(alone), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for scheme in SERVERS:
            with serving(scheme) as bucket:
                results[scheme] = storm(bucket / "run", alone, kills)
            print(f"{scheme}: {results[scheme]['kills']} kills, same bits: {results[scheme]['same_bits']}", flush=True)
        devices = record.read(alone)["devices"]
    content = {
        "command": f"python results/bucket_drill.py {kills}",
        "expected": "the same bits in weights, optimiser state and metrics as the undisturbed run in a folder",
        "flags": FLAGS,
        "buckets": results,
        **about,
        "devices": devices,
    }
    (ROOT / "results" / "bucket_drill.json").write_text(json.dumps(content, indent=2) + "\n")
    return 0 if all(all(result["same_bits"].values()) for result in results.values()) else 1


if __name__ == "__main__":
    commands.script(main, __doc__, kills=dict(type=int, nargs="?", default=10))
