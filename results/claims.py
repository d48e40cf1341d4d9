"""The claims of the two papers, each with its command, its figure and its verdict: docs/claims.md.

    python results/claims.py                    measures what is missing or stale; may be stopped and resumed
    python results/claims.py --only=scale       one row, again; several: --only=scale,recall
    python results/claims.py --table            writes the page from the records
    python results/claims.py --list             the rows, and what is missing

Rows that train have a command of their own, which is run; those that need data that are not here say which.
"""

import importlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOPPED = 130  # exit status of what Ctrl-C ended
MULTI30K = "https://github.com/multi30k/dataset (data/task1/raw, test_2016_flickr as test)"
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError, nearest  # noqa: E402
from experiment import record  # noqa: E402
from results import recorded, rows, trained  # noqa: E402
from results.rows import Claim, Computed, Studied, Verdict, page  # noqa: E402
from studies import grid  # noqa: E402


def main(only: str, table: bool, list: bool, data_dir: str) -> None:
    """Measures, or lists, or writes the page."""
    if list:
        for claim in page.CLAIMS:
            print(f"{claim.name:<26} {claim.found().verdict:<28} {claim.command}")
        return
    if not table:
        measure(chosen(only), data_dir)
    page.PAGE.write_text(page.text())
    print(f"{page.summary()} The page is {page.PAGE}")


def chosen(only: str) -> list[Claim]:
    """The rows of these names; of none, those that are missing or stale."""
    by_name = {claim.name: claim for claim in page.CLAIMS}
    if not only:
        return [claim for claim in page.CLAIMS if due(claim)]
    for name in only.split(","):
        if name not in by_name:
            raise UserError(f"--only={name} is no row: {nearest(name, by_name)}")
    return [by_name[name] for name in only.split(",")]


def due(claim: Claim) -> bool:
    """Whether a row can be measured here and is not, or no longer."""
    found = claim.found()
    if found.verdict is Verdict.ACCELERATOR:
        return False
    if found.verdict is Verdict.OPEN:
        return True
    if isinstance(claim.evidence, Studied):
        changed = other_runs(claim.evidence)
    else:
        changed = [path for path in claim.evidence.sources if stale(path, found.commits)]
    if changed:
        few = ", ".join(changed[:3]) + ", ..." * (len(changed) > 3)
        print(f"{claim.name}: stale, since {few} changed after its record was made.")
    return bool(changed)


def stale(path: str, commits: tuple[str, ...]) -> bool:
    """Whether a file differs from that of a record's commits. What is not known of a commit changes nothing."""
    return any(
        subprocess.run(
            ["git", "diff", "--quiet", commit.rstrip("+"), "--", path], cwd=ROOT, stderr=subprocess.DEVNULL
        ).returncode
        == 1
        for commit in commits or ("HEAD",)
    )


def other_runs(study: Studied) -> list[str]:
    """Runs of a study whose flags are not those of its record. A study's file also has other sizes, and words."""
    name, _, size = study.study.partition(":")
    config = importlib.import_module(f"configs.studies.{name}").get_config(size)
    flags = {job.name: job.flags for job in grid.jobs(grid.read(config))}
    rows = {row["run"]: {*shlex.split(row["command"])} for row in recorded.table_of(study.folder.name)}
    return [run for run in flags | rows if run not in flags or not {*flags[run]} <= rows.get(run, set())]


def measure(claims: list[Claim], data_dir: str) -> None:
    """Measures rows one after another; each is recorded at once."""
    about = record.clean_provenance()
    done: set[str] = set()
    for place, claim in enumerate(claims, 1):
        print(f"[{place}/{len(claims)}] {claim.name}: {claim.command}", flush=True)
        begun, cpu = time.perf_counter(), time.process_time()
        if isinstance(claim.evidence, Computed):
            numbers = claim.evidence.measure() | {
                **about,
                "seconds": round(time.perf_counter() - begun, 1),
                "processor seconds": round(time.process_time() - cpu, 1),
            }
            rows.RECORD.write_text(json.dumps(rows.computed() | {claim.name: numbers}, indent=1) + "\n")
        elif "DIR" in claim.command and not data_dir:
            print(f"    needs data that are not here: --data_dir=DIR, {brings(claim.evidence.data)}")
            continue
        elif claim.command not in done:
            done.add(claim.command)
            folder = str(Path(data_dir).absolute())
            command = [part.replace("DIR", folder) for part in shlex.split(claim.command)]
            if (status := trained.ended(command[1:])) == STOPPED:
                raise KeyboardInterrupt
            if status:  # a script's 1 may also say that it wrote a record of other numbers than it expected
                print(f"    ended with status {status}: {claim.command}")
            elif isinstance(claim.evidence, Studied):
                keep(claim.evidence)
        print(f"    {claim.found().verdict}: {claim.found().measured}", flush=True)


def brings(data: str) -> str:
    """What brings data into DIR."""
    if data == "multi30k":
        return f"with the files of {MULTI30K} in DIR/multi30k: see configs/transformer_multi30k.py"
    return f"which this fills: python -c \"import tensorflow_datasets as t; t.load('{data}', data_dir='DIR')\""


def keep(study: Studied) -> None:
    """Copies a finished study's report, table and figures to results/."""
    made = ROOT / "runs" / "studies" / study.study.replace(":", "-")
    for name in ("report.md", "table.csv", "fits.json"):
        if (made / name).exists():
            study.folder.mkdir(exist_ok=True)
            shutil.copy(made / name, study.folder / name)
    shutil.copytree(made / "figures", study.folder / "figures", dirs_exist_ok=True)


if __name__ == "__main__":
    commands.script(
        main,
        __doc__,
        only=dict(default="", metavar="ROW,...", help="these rows alone, again"),
        table=dict(action="store_true", help="only write the page"),
        list=dict(action="store_true", help="only list the rows"),
        data_dir=dict(default="", help="where TFDS's data sets and Multi30k are"),
    )
