"""The claims of the two papers, each with its command, its figure and its verdict: docs/claims.md.

    python results/claims.py                    measures what is missing or stale; may be stopped and resumed
    python results/claims.py --only=scale       one row, again; several: --only=scale,recall
    python results/claims.py --table            writes the page from the records
    python results/claims.py --list             the rows, and what is missing

Rows that train have a command of their own, which is run; those that need data that are not here say which.
"""

import functools
import importlib
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from analysis import picture  # noqa: E402
from errors import UserError, nearest  # noqa: E402
from experiment import config, record  # noqa: E402
from lookup import Value  # noqa: E402
from results import recorded, rows, trained  # noqa: E402
from results.rows import Claim, Computed, Studied, Verdict, page  # noqa: E402
from studies import grid  # noqa: E402


def main(only: str, table: bool, list: bool, data_dir: str) -> None:
    """Measures, or lists, or writes the page."""
    if list:
        for claim in page.CLAIMS:
            stale = f"  (stale: {few(changed)})" if (changed := changes(claim)) else ""
            print(f"{claim.name:<26} {claim.found().verdict:<28} {claim.command}{stale}")
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
    if found.verdict in (Verdict.ACCELERATOR, Verdict.OPEN):
        return found.verdict is Verdict.OPEN
    if changed := changes(claim):
        print(f"{claim.name}: stale, since {few(changed)} changed after its record was made.")
    return bool(changed)


def few(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def changes(claim: Claim) -> Sequence[str]:
    """What is other now than when a row was measured: runs of its study, files, configs of its runs."""
    evidence, found = claim.evidence, claim.found()
    if not found.measured:
        return []
    if isinstance(evidence, Studied):
        changed = other_runs(evidence)
        ran: Sequence[tuple[str, str]] = [
            (row["commit"], row["command"]) for row in recorded.table_of(evidence.folder.name)
        ]
    else:
        changed = [path for path in evidence.sources if stale(path, found.commits)]
        ran = commands_of(recorded.read(evidence.record.removesuffix(".json")), found.commits)
    configs = {file for commit, command in ran if (file := other_config(commit, command))}
    return [*changed, *sorted(configs - {*changed})]


def commands_of(entry: Value, commits: Sequence[str], commit: str = "") -> Sequence[tuple[str, str]]:
    """The commands in a record that have one of these commits, each with it. commit: of what an entry is a part of."""
    if isinstance(entry, list | tuple):
        return [pair for part in entry for pair in commands_of(part, commits, commit)]
    if not isinstance(entry, dict):
        return [(commit, entry)] if str(entry).startswith("python train.py ") and commit in commits else []
    return commands_of([*entry.values()], commits, entry.get("commit", commit))


@functools.cache
def other_config(commit: str, command: str) -> str:
    """The config file of a run, if its config is another one now than with the file of a commit; else "".

    Files that it imports are today's. What is not known of a commit changes nothing.
    """
    file, *flags = (part for part in shlex.split(command) if part.startswith("--config"))
    path, colon, variant = file.removeprefix("--config=").partition(":")
    if not (ROOT / path).exists() or not stale(path, (commit,)):
        return ""
    shown = ["git", "show", f"{commit.rstrip('+')}:{path}"]
    before = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        (kept := Path(folder, Path(path).name)).write_text(before.stdout)
        try:
            then, now = (
                config.plain(grid.read_config(path, (f"--config={one}{colon}{variant}", *flags)))
                for one in (kept, ROOT / path)
            )
        except UserError:
            return ""
    return path if record.differences(then, now, trained.FREE) else ""


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
    flags = {job.name: job.flags for job in jobs_of(study.study)}
    rows = {row["run"]: {*shlex.split(row["command"])} for row in recorded.table_of(study.folder.name)}
    return [run for run in flags | rows if run not in flags or not {*flags[run]} <= rows.get(run, set())]


@functools.cache
def jobs_of(study: str, changes: tuple[str, ...] = ()) -> list[grid.Job]:
    """The runs of a study, "vit_head:tiny"."""
    name, _, size = study.partition(":")
    return grid.jobs(grid.read(importlib.import_module(f"configs.studies.{name}").get_config(size)), changes)


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
            if claim.evidence.draw:
                claim.evidence.draw().savefig(rows.RECORD.with_name(f"{claim.name}.png"), dpi=picture.DPI)
            rows.RECORD.write_text(json.dumps(rows.computed() | {claim.name: numbers}, indent=1) + "\n")
        elif "DIR" in claim.command and not data_dir:
            brings = page.brings(claim.evidence.data)
            print(f"    needs data that are not here: --data_dir=DIR, which this fills:\n{brings}")
            continue
        elif claim.command not in done:
            done.add(claim.command)
            folder = str(Path(data_dir).absolute())
            command = [part.replace("DIR", folder) for part in shlex.split(claim.command)]
            if isinstance(claim.evidence, Studied):
                make_room(claim.evidence, command)
            if (status := trained.ended(command[1:])) == trained.STOPPED:
                raise KeyboardInterrupt
            if status:  # a script's 1 may also say that it wrote a record of other numbers than it expected
                print(f"    ended with status {status}: {claim.command}")
            elif isinstance(claim.evidence, Studied):
                keep(claim.evidence)
        print(f"    {claim.found().verdict}: {claim.found().measured}", flush=True)


def runs_of(study: Studied) -> Path:
    """Where study.py keeps the runs of a study."""
    return ROOT / "runs" / "studies" / study.study.replace(":", "-")


def make_room(study: Studied, command: Sequence[str]) -> None:
    """Moves the runs of a study aside if one of them has another config than today's: study.py would refuse to go on
    with them, or not train again what has finished. command: of the row."""
    changes = tuple(part for part in command if part.startswith("--config."))
    folder, spare = runs_of(study), 1
    other = [
        job.name
        for job in jobs_of(study.study, changes)
        if (folder / job.name / record.FILE).exists() and not trained.same_config(folder / job.name, job.flags)
    ]
    if other:
        while (aside := folder.with_name(f"{folder.name}.before-{spare}")).exists():
            spare += 1
        folder.rename(aside)
        print(f"    {few(other)} had another config: the runs of before are in {aside.relative_to(ROOT)}")


def keep(study: Studied) -> None:
    """Copies a finished study's report, table and figures to results/."""
    made = runs_of(study)
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
