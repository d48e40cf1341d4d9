"""The claims of the two papers, each with its command, its figure and its verdict: docs/claims.md.

    python results/claims.py                    measures what is missing or stale; may be stopped and resumed
    python results/claims.py --only=scale       one row, again; several: --only=scale,recall
    python results/claims.py --table            writes the page from the records
    python results/claims.py --list             the rows, and what is missing

Rows that train have a command of their own, which is run; those that need data that are not here say which.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError, nearest  # noqa: E402
from experiment import record  # noqa: E402
from results import rows  # noqa: E402
from results.rows import Claim, Computed, Studied, Verdict, page  # noqa: E402


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
    if changed := [path for path in claim.evidence.sources if stale(path, found.commits)]:
        print(f"{claim.name}: stale, since {', '.join(changed)} changed after its record was made.")
    return bool(changed)


def stale(path: str, commits: tuple[str, ...]) -> bool:
    """Whether a file differs from that of a record's commit. What is not known of a commit changes nothing."""
    command = ["git", "diff", "--quiet", commits[0].rstrip("+") if commits else "HEAD", "--", path]
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL).returncode == 1


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
            print(f"    needs data that are not here: --data_dir=DIR, see {claim.command}")
            continue
        elif claim.command not in done:
            done.add(claim.command)
            command = shlex.split(claim.command.replace("DIR", data_dir))
            if subprocess.run([sys.executable, *command[1:]], cwd=ROOT).returncode:
                print(f"    ended without a result: {claim.command}")
                continue
            if isinstance(claim.evidence, Studied):
                keep(claim.evidence)
        print(f"    {claim.found().verdict}: {claim.found().measured}", flush=True)


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
