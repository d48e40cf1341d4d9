"""Speed, starts and memory beside what people would use instead: python results/bench [--only=NAME,...]

Writes results/bench.json after each line, then results/bench.png. Every contestant of a line has a process of its own
(contestants/), which is built and warmed first. Then they take turns: a round measures each once; ratios are medians
over the rounds. Ours is what train.py runs by default. Published JAX code is looked for where VISION_TRANSFORMER,
BIG_VISION and FLAX say that it is checked out; PyTorch and what runs on it by PEERS_PYTHON, an interpreter, or in
.venv/bench (make .venv/bench/ready). What is not there is recorded as absent. A line that was recorded at this commit
is not measured again, unless --again. `others` is the share of the machine that other programs used during the turns.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results.bench import lines, picture, table, turns  # noqa: E402

RECORD = ROOT / "results" / "bench.json"


def main(only: str, rounds: int, again: bool) -> int:
    """Measures lines, and writes record and picture: 0, or 1 if a contestant failed."""
    about = record.clean_provenance()
    known, failed = {line.name: line for line in lines.LINES}, []
    for name in commands.chosen([name for name in only.split(",") if name], known):
        line = known[name]
        if not again and table.recorded(RECORD).get(name, {}).get("commit") == about["commit"]:
            print(f"{name}: recorded at this commit; --again measures it anew")
            continue
        print(f"{name}: {line.title}", flush=True)
        begun = time.perf_counter()
        entry = turns.measure(line, rounds, turns.Interpreters.of(os.environ), partial(print, flush=True))
        entry = (
            line.words
            | entry
            | {"seconds": round(time.perf_counter() - begun)}
            | table.machine()
            | {"commit": about["commit"]}
        )
        failed += [f"{name}: {one}" for one in entry["failed"]]
        recorded = table.recorded(RECORD) | {name: entry}
        table.write(RECORD, "python results/bench", {name: recorded[name] for name in known if name in recorded})
        print("  " + "\n  ".join(table.described(entry)), flush=True)
    print("python results/tables.py writes README's table.")
    return picture.end(table.recorded(RECORD), RECORD, failed)


if __name__ == "__main__":
    commands.script(
        main,
        __doc__,
        only=dict(default="", metavar="NAME,...", help=f"lines: {', '.join(line.name for line in lines.LINES)}"),
        rounds=dict(default=5, type=int, help="how often each contestant is measured"),
        again=dict(action="store_true", help="measure lines that are recorded at this commit too"),
    )
