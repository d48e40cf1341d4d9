"""Damages the checkpoints of a real run and checks that it resumes from the newest good one with the same bits.

    python results/damage_drill.py [DAMAGES]

Writes results/damage_drill.json and exits with 1 if a wrong bit was used. Most damages are met by a fresh Checkpoints
object in this process; some by train.py, to the end of the run. Then the time of the manifest is compared with that of
the save and, if this user may mount a file system, the disk is filled up.
"""

import collections
import contextlib
import hashlib
import io
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from jaxtyping import PyTree  # noqa: E402

import commands  # noqa: E402
from experiment import record  # noqa: E402

STEPS, EVERY = 300, 50
FLAGS = (
    f"--config.steps={STEPS} --config.checkpoint.every_steps={EVERY} --config.checkpoint.keep_last=4 "
    "--config.checkpoint.keep_best= --config.log.every_steps=10"
)
MANIFEST = "manifest.sha256"
Row = record.Record
NO_MANIFEST: Row = {"write": lambda step: None, "complete": lambda step: None}


def command(workdir: Path) -> list[str]:
    """The command that trains."""
    return [sys.executable, "train.py", "--config=configs/vit_digits.py", f"--workdir={workdir}", *FLAGS.split()]


def a_file(step: Path, rng: random.Random) -> Path:
    """Any file of a checkpoint."""
    return rng.choice(sorted(path for path in step.rglob("*") if path.is_file()))


def named(path: Path) -> str:
    """The end of a path, for the record."""
    return "/".join(path.parts[-2:])


def flip(path: Path, rng: random.Random) -> str:
    """Flips a bit of a file. Returns what was done, as all damages do."""
    content = bytearray(path.read_bytes())
    position, bit = rng.randrange(len(content)), rng.randrange(8)
    content[position] ^= 1 << bit
    path.write_bytes(content)
    return f"{named(path)}: bit {bit} of byte {position} of {len(content)}"


def cut(path: Path, rng: random.Random) -> str:
    """Cuts a file short."""
    content = path.read_bytes()
    path.write_bytes(content[: (kept := rng.randrange(len(content)))])
    return f"{named(path)}: {kept} of {len(content)} bytes"


def remove(path: Path, rng: random.Random) -> str:
    """Deletes a file."""
    path.unlink()
    return named(path)


def empty(step: Path, rng: random.Random) -> str:
    """Leaves an empty folder."""
    shutil.rmtree(step)
    step.mkdir()
    return ""


def interrupt(step: Path, rng: random.Random) -> str:
    """Leaves what a kill during a save leaves: a folder with a temporary name, without all its files."""
    left = step.rename(f"{step}.orbax-checkpoint-tmp")
    return f"without {remove(a_file(left, rng), rng)}"


DAMAGES: dict[str, Callable[[Path, random.Random], str]] = {
    "one bit flipped": lambda step, rng: flip(a_file(step, rng), rng),
    "a file cut short": lambda step, rng: cut(a_file(step, rng), rng),
    "a file missing": lambda step, rng: remove(a_file(step, rng), rng),
    "an empty step folder": empty,
    "an interrupted save": interrupt,
    "a damaged manifest": lambda step, rng: rng.choice([flip, cut])(step / MANIFEST, rng),
}


def bits(state: PyTree) -> str:
    """A digest of all arrays."""
    import jax
    import numpy as np

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def drill(whole: Path, folder: Path, number: int, abstract_state: PyTree) -> list[Row]:
    """Damages the newest step, or the newest two, of `number` copies of a run's checkpoints: a row for each."""
    from training import checkpoint

    rng, rows = random.Random(0), []
    source = checkpoint.Checkpoints(whole / "checkpoints")
    right = {step: bits(source.restore(step, abstract_state)) for step in source.steps()}
    for index in range(number):
        damage = list(DAMAGES)[index % len(DAMAGES)]
        copy = shutil.copytree(whole / "checkpoints", folder / str(index))
        hurt = sorted(right)[-rng.choice((1, 1, 2)) :]
        what = [DAMAGES[damage](copy / str(step), rng) for step in hurt]
        checkpoints, said = checkpoint.Checkpoints(copy), io.StringIO()
        with contextlib.redirect_stderr(said):
            begun = time.perf_counter()
            step = checkpoints.latest() or 0
            seconds = time.perf_counter() - begun
            checkpoints.tidy()
        state = checkpoints.restore(step, abstract_state)
        rows.append(
            {
                "damage": damage,
                "steps": hurt,
                "what": what,
                "went_on_from": step,
                "detected": step not in hurt or "not verified" in said.getvalue(),
                "lines": len(said.getvalue().splitlines()),
                "seconds": round(seconds, 4),
                "same_bits": bits(state) == right[step],
                "left_in_the_way": [p.name for p in copy.iterdir() if p.name != "damaged" and int(p.name) > step],
            }
        )
        print(rows[-1], flush=True)
        shutil.rmtree(copy)
    return rows


def to_the_end(whole: Path, folder: Path) -> list[Row]:
    """Damages the newest step and lets train.py resume to the end."""
    from kill_storm import metrics

    from training import checkpoint

    rng, rows = random.Random(1), []
    for name, damage in DAMAGES.items():
        workdir = shutil.copytree(whole, folder / "to_the_end")
        what = damage(workdir / "checkpoints" / str(STEPS), rng)
        done = subprocess.run(command(workdir), cwd=ROOT, check=True, capture_output=True, text=True)
        went_on = next(line for line in done.stdout.splitlines() if line.startswith("Continues from"))
        states = [checkpoint.Checkpoints(w / "checkpoints").restore(STEPS, layout(w)) for w in (whole, workdir)]
        rows.append(
            {
                "damage": name,
                "what": what,
                "went_on": went_on.split(" in ")[0],
                "said": [line.replace(str(workdir), "RUN") for line in done.stderr.splitlines() if "warning:" in line],
                "same_bits": bits(states[0]) == bits(states[1]),
                "same_figures": metrics(whole) == metrics(workdir),
            }
        )
        print(rows[-1], flush=True)
        shutil.rmtree(workdir)
    return rows


def layout(workdir: Path) -> PyTree:
    """The shapes of a run's state."""
    import experiment
    from experiment import restore

    return experiment.build(restore.saved_config(workdir), workdir, record.read(workdir)["known"]).abstract_state


def big_state(megabytes: int) -> PyTree:
    """Random arrays of a megabyte each."""
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    return {f"layer{i}": jnp.asarray(rng.normal(size=(500, 500)), jnp.float32) for i in range(megabytes)}


def cost(folder: Path, rounds: int = 6) -> dict[str, object]:
    """Seconds of writing and verifying the manifest, and of saving, for a state of 350 MB."""
    from training import checkpoint, manifest

    state, write = big_state(350), manifest.write
    spent: dict[str, list[float]] = collections.defaultdict(list)

    def timed(name: str, function: Callable[[], object]) -> None:
        """Calls the function and records its time."""
        begun = time.perf_counter()
        function()
        spent[name].append(round(time.perf_counter() - begun, 3))

    def save(manifests: bool) -> None:
        """Saves once, with or without a manifest."""
        name = "save_with_manifest" if manifests else "save_without"
        written: Row = {"write": lambda step: timed("manifest", lambda: write(step))}
        shutil.rmtree(folder, ignore_errors=True)
        with (
            mock.patch.multiple(manifest, **(written if manifests else NO_MANIFEST)),
            checkpoint.Checkpoints(folder) as checkpoints,
        ):
            begun = time.perf_counter()
            timed(f"{name}_holds_the_loop", lambda: checkpoints.save(1, state, {}))
            checkpoints.close()
            spent[name].append(round(time.perf_counter() - begun, 3))

    for _ in range(rounds):
        save(False)
        save(True)
        timed("verify", lambda: manifest.damage(folder / "1"))
    least = {name: min(seconds) for name, seconds in spent.items()}
    return {"megabytes": 350, "load_average": os.getloadavg()[0], "least_seconds": least, "seconds": spent}


def full_disk(whole: Path, folder: Path) -> dict[str, object] | str:
    """Fills the disk of a training run as it begins to save, then makes space and runs the same command again."""
    from kill_storm import metrics

    from training import checkpoint

    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        return "not run: this user may not mount a file system"
    try:
        workdir, filler, saving = folder / "run", folder / "filler", f"{2 * EVERY}.orbax-checkpoint-tmp"
        process = subprocess.Popen(
            command(workdir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and not (workdir / "checkpoints" / saving).exists():
            time.sleep(0.001)
        begun = time.perf_counter()
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        _, said = process.communicate()
        seconds = time.perf_counter() - begun
        filler.unlink()
        saved = checkpoint.Checkpoints(workdir / "checkpoints").latest()
        subprocess.run(command(workdir), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        states = [checkpoint.Checkpoints(w / "checkpoints").restore(STEPS, layout(w)) for w in (whole, workdir)]
        return {
            "seconds_from_full_to_the_end_of_the_process": round(seconds, 2),
            "status": process.returncode,
            "said": said.replace(str(folder), "FOLDER").splitlines(),
            "newest_good_step": saved,
            "same_bits": bits(states[0]) == bits(states[1]),
            "same_figures": metrics(whole) == metrics(workdir),
        }
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main(damages: int) -> int:
    """Runs the drill and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    logging.getLogger("absl").setLevel("CRITICAL")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        subprocess.run(command(whole), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        rows = drill(whole, folder, damages, layout(whole))
        ends = to_the_end(whole, folder)
        seconds = cost(folder / "cost")
        full = full_disk(whole, folder / "full")
        devices = record.read(whole)["devices"]
    summary = {
        damage: {
            "times": len(mine := [row for row in rows if row["damage"] == damage]),
            "detected": sum(row["detected"] for row in mine),
            "survived": sum(row["same_bits"] and not row["left_in_the_way"] for row in mine),
            "most_seconds_to_detect": max((row["seconds"] for row in mine), default=0),
        }
        for damage in DAMAGES
    }
    good = all(row["same_bits"] and not row["left_in_the_way"] for row in rows) and all(
        row["same_bits"] and row["same_figures"] for row in ends
    )
    result = {
        "command": f"python results/damage_drill.py {damages}",
        "expected": "every damage is detected and the newest good step used, bit for bit; a step without manifest is "
        "used and reported as not verified",
        "summary": summary,
        "to_the_end_by_train_py": ends,
        "full_disk": full,
        "cost": seconds,
        "log": rows,
        **about,
        "devices": devices,
    }
    path = ROOT / "results" / "damage_drill.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(summary, indent=2), f"\nThe record is {path}")
    return 0 if good else 1


if __name__ == "__main__":
    commands.script(main, __doc__, damages=dict(type=int, nargs="?", default=40))
