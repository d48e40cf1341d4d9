"""Run a study, a grid of runs, and report it.

    python study.py --study=configs/studies/vit_data_scaling.py:tiny [--workdir=...] [--config.KEY=VALUE ...]

Run the same command again to continue: what is finished is left alone. --config.KEY=VALUE changes every run. Exit
status: 0 when all runs are finished (or submitted), 1 when some failed or are missing, 2 for a mistake."""

import ast
import shlex
import sys
from pathlib import Path

import commands

if __name__ == "__main__":
    commands.begin()
    commands.study_flags()
    commands.flag("string", "workdir", None, "Folder of the study (default: runs/studies/ and its name)")
    commands.flag("bool", "dry_run", False, "Print one command a run, for any scheduler, and run nothing")
    commands.flag("bool", "collect", False, "Run nothing: table and report of the runs that there are")
    places = ["here", "slurm", "local"]
    commands.flag("enum", "launch", "here", "Where: here, slurm (submitit), or submitit's local", values=[places])
    options_help = "KEY=VALUE,... of submitit's executor: timeout_min=720,gpus_per_node=1,slurm_partition=gpu"
    commands.flag("string", "launch_options", "", options_help)

from analysis import report, table
from errors import UserError
from experiment import config_file, record
from studies import grid, launch
from studies.progress import Progress


def main(arguments: list[str]) -> int:
    """Runs or submits the study, or collects its runs."""
    flags = commands.FLAGS
    changes = [argument for argument in arguments if argument.startswith("--config.")]
    commands.flags_alone([argument for argument in arguments if argument not in changes])
    study = grid.read(flags.study)
    jobs = grid.jobs(study, changes)
    report.check(study)
    if "://" in (flags.workdir or ""):
        raise UserError(f"--workdir={flags.workdir}: a study needs a folder. Its runs can be in a bucket, one by one.")
    name = commands.name_of(commands.config_name())
    folder = commands.path(flags.workdir) if flags.workdir else Path("runs", "studies", name)
    if config_file.ROOT / "results" in folder.resolve().parents:
        record.clean_commit()
    if flags.dry_run:
        for job in jobs:
            print(" && ".join(shlex.join(["python", *command]) for command in job.commands(folder)))
        return 0
    grid.begin(folder, jobs)
    if flags.launch != "here" and not flags.collect:
        return submit(jobs, folder, study.at_once)
    failed = 0 if flags.collect else run(study, jobs, folder)
    return max(failed, collect(study, jobs, folder))


def run(study: grid.Study, jobs: list[grid.Job], folder: Path) -> int:
    """Runs what is not finished, here: 1 if any run failed, 130 if it was stopped."""
    left = unfinished(jobs, folder)
    print(f"{study.title}: {len(jobs)} runs, {len(jobs) - len(left)} of them finished, {study.at_once} at a time.")
    with Progress(folder, left, study.at_once) as progress:
        outcomes = launch.here(left, folder, study.at_once, progress.ended)
    if any(outcome.state in ("stopped", "busy") for outcome in outcomes):
        print(f"Stopped: every run in {folder} is saved. The same command continues from here.")
        raise KeyboardInterrupt
    return int(any(outcome.state == "failed" for outcome in outcomes))


def unfinished(jobs: list[grid.Job], folder: Path) -> list[grid.Job]:
    """Jobs that are neither done nor kept in the table after their checkpoints were deleted."""
    kept = table.kept(folder)
    return [job for job in jobs if job.name not in kept and not grid.done(job, folder)]


def submit(jobs: list[grid.Job], folder: Path, at_once: int) -> int:
    """Queues what is not finished, by --launch."""
    left = unfinished(jobs, folder)
    handles = launch.submit(left, folder, commands.FLAGS.launch, at_once, options(commands.FLAGS.launch_options))
    for job, handle in zip(left, handles, strict=True):
        print(f"{handle.job_id}  {job.name}")
    print(
        f"{len(handles)} runs submitted, {len(jobs) - len(left)} were finished. Their output is in {folder}/submitit."
    )
    print("When they have ended: the same command with --collect makes the table and the report.")
    return 0


def options(text: str) -> dict[str, object]:
    """The values of --launch_options by key."""
    found: dict[str, object] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"--launch_options: {part!r} should be KEY=VALUE.")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


def collect(study: grid.Study, jobs: list[grid.Job], folder: Path) -> int:
    """Table and report: 1 if runs are missing in them."""
    rows = table.collect(study, jobs, folder)
    finished = [row for row in rows if row["state"] == "finished"]
    if not finished and commands.FLAGS.collect:
        raise UserError(f"{folder} holds no finished run of this study: run it without --collect.")
    if not finished:
        print(f"No run has finished, so there is no table. What they wrote: {folder}/*/output.txt")
        return 1
    table.write(rows, folder)
    report.write(study, rows, len(jobs), folder, report_command())
    if missing := [row["run"] for row in rows if not table.ended(row)]:
        few = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        print(f"{len(missing)} of {len(rows)} runs are missing in the table: {few}. Run the same command again.")
    print(
        f"  table    {folder}/table.csv, table.json\n  report   {folder}/report.html, report.md\n  figures  "
        f"{folder}/figures/"
    )
    return int(bool(missing))


def report_command() -> str:
    """The command that runs this study again."""
    return shlex.join(["python", *(a for a in table.portable(sys.argv) if a != "--collect")])


if __name__ == "__main__":
    commands.run(main, __doc__ or "")
