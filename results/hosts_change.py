"""One run on two hosts, then on one, then on four, beside the same run undisturbed: python results/hosts_change.py

The hosts are processes on this machine, of two devices each. SIGTERM ends the run on two hosts after step 20, and that
on one after step 40; the same command goes on with the next number of hosts. Writes results/hosts_change.json and exits
with 1 unless both runs have the same steps with the same losses, up to the order in which sums are rounded. About
three minutes.
"""

import json
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402
from results.hosts_drill import STEPS, log_of, saved, start, until  # noqa: E402
from training import log  # noqa: E402

RECORD = ROOT / "results" / "hosts_change.json"
PARTS = ((2, 20), (1, 40), (4, STEPS))  # hosts, and the step after whose checkpoint they are told to end
ROUNDING = 1e-3  # of a loss, relative


def part(workdir: Path, hosts: int, until_step: int, parallel: str) -> None:
    """Trains on these hosts until a checkpoint of that step is there, or to the end."""
    processes = start(workdir, parallel=parallel, hosts=hosts)
    try:
        if until_step < STEPS:
            until(lambda: saved(workdir)[-1:] >= [until_step] or None not in [p.poll() for p in processes], 240)
            processes[-1].send_signal(signal.SIGTERM)
        statuses = [process.wait(240) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    if any(statuses):
        raise UserError(f"The hosts ended with {statuses}: {log_of(workdir, 0)[-500:]}")


def main() -> int:
    """Runs both ways of parallelism and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    rows: list[record.Record] = []
    with tempfile.TemporaryDirectory() as folder:
        for parallel in ("pmap", "mesh"):
            changed, whole = Path(folder, f"{parallel}-changed"), Path(folder, f"{parallel}-whole")
            steps = []
            for hosts, until_step in PARTS:
                part(changed, hosts, until_step, parallel)
                steps.append({"hosts": hosts, "ended after step": saved(changed)[-1]})
            part(whole, 1, STEPS, parallel)
            losses, alone = (
                {row["step"]: row["train/loss"] for row in log.read(path) if "train/loss" in row}
                for path in (changed, whole)
            )
            apart = max(abs(losses[step] / alone[step] - 1) for step in alone) if losses.keys() == alone.keys() else 1.0
            ends = [
                {name: value for name, value in log.read(path)[-1].items() if name.startswith("test/")}
                for path in (changed, whole)
            ]
            rows.append({"parallel": parallel, "parts": steps, "losses": len(alone), "largest relative error": apart})
            rows[-1] |= {"at the end": ends[0], "undisturbed": ends[1]}
            print(json.dumps(rows[-1]), flush=True)
    result = {"command": "python results/hosts_change.py", "expected": "the same losses at the same steps"}
    RECORD.write_text(json.dumps(result | {"rows": rows} | about, indent=2) + "\n")
    print(f"Written to {RECORD}.")
    return int(any(row["largest relative error"] > ROUNDING for row in rows))


if __name__ == "__main__":
    commands.script(main, __doc__)
