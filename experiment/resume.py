"""Where a training run begins or continues: the step, and the workdir made ready for it."""

import jax

import storage
from errors import UserError, command
from experiment import init_from, record
from experiment.build import check_training
from experiment.config import plain
from experiment.restore import saved_config
from experiment.run import Run
from training import hosts, log, mishaps

SHOWN = 5  # differences that are listed


def start(run: Run) -> int:
    """The step a training run continues from: 0 in a new workdir, the newest good checkpoint's in one that holds this
    run.

    Raises:
      UserError: the workdir holds another config's run, or this one finished; or there is no room for checkpoints.
    """
    if isinstance(run.workdir, storage.Bucket) and jax.process_count() > 1:
        raise UserError(
            f"--workdir={run.workdir} is in a bucket, where one host can train and several cannot: Orbax saves their "
            "parts on a file system that they share. Give all hosts a folder there."
        )
    check_training(run)
    _agree(run)
    best = run.config["checkpoint"]["keep_best"]
    if best and best.rpartition("/")[0] not in run.pipeline.eval_splits:
        raise UserError(
            f"config.checkpoint.keep_best={best!r} is of no split of "
            f"config.data.eval_splits={run.pipeline.eval_splits}: "
            'name a metric of one of them, "SPLIT/accuracy", or "".'
        )
    if run.profile.steps and run.profile.first_step > run.steps:
        raise UserError(f"config.profile.first_step={run.profile.first_step} is after the last step, {run.steps:,}.")
    if not run.pipeline.fills_a_batch:
        size = run.config["data"]["batch_size"]
        raise UserError(f"config.data.batch_size={size} is more than the whole training split: lower it.")
    begun = _newest(run)
    fingerprint = run.pipeline.fingerprint if hosts.primary() else {}  # the others need not see all files
    about: record.Record = {"data_fingerprint": hosts.shared("data", fingerprint)}
    if begun is not None:
        saved = record.read(run.workdir)
        about["history"] = _history(run, begun, saved, about["data_fingerprint"])
        run.skipped_batches[:] = run.skipped_batches or saved.get("skipped_batches", [])
    elif run.config["init_from"] and not run.init_params:  # read once, and before anything is written
        params, note = init_from.weights(run)
        run.init_params.update(params)
        if hosts.primary():
            print(note)
    try:
        run.workdir.mkdir(parents=True, exist_ok=True)
        run.checkpoints.tidy()
        run.checkpoints.check_space(run.abstract_state)
        if hosts.primary():
            for name, content in run.pipeline.files.items():
                (run.workdir / name).write_bytes(content)
            record.write(run.workdir, run.record | about)
    except OSError as error:
        raise UserError(f"cannot write to {run.workdir}: {error.strerror}. Choose another --workdir.") from None
    hosts.wait("start")
    return begun or 0


def _history(run: Run, begun: int, saved: record.Record, fingerprint: dict[str, str]) -> list[record.Record]:
    """What has been changed on purpose between the parts of a run: a row for each time, this one too.

    Args:
      begun: the step that it goes on from.
      saved: its record.
      fingerprint: of the training data that there are.

    Raises:
      UserError: it is a run of another config or of other data, or it has finished.
    """
    before = plain(saved_config(run.workdir)) | {"parallel": saved.get("parallel", {})}
    if differ := record.differences(before, run.config):
        more = f"; and {len(differ) - SHOWN:,} keys more" if len(differ) > SHOWN else ""
        first = sorted(differ, key=lambda line: not line.split(":")[0].endswith((".name", ".kind")))[:SHOWN]
        raise UserError(
            f"{run.workdir} holds a run of another config, which differs in {'; '.join(first)}{more}. Choose another "
            "--workdir, or give these keys their old values to continue."
        )
    if not record.same_data(saved.get("known", {}), run.pipeline.known):
        raise UserError(
            f"the training data differ from those that the run in {run.workdir} began with: "
            f"{_brief(saved.get('known'))} there, {_brief(run.pipeline.known)} here. Put the data back, or choose "
            "another --workdir."
        )
    if begun > run.steps:
        raise UserError(
            f"the run in {run.workdir} is at step {begun:,}, past the {run.steps:,} steps that are asked for: set "
            "more with --config.steps, or use an earlier checkpoint with --step=N."
        )
    if begun == run.steps and not unscored(run, begun):
        raise UserError(
            f"{run.workdir} has finished all {run.steps:,} steps. Score it with: "
            f"{command('evaluate.py', f'--workdir={run.workdir}')}; to train it further set more, such as "
            f"--config.steps={2 * run.steps}; to train again choose another --workdir."
        )
    data = _changed(run, saved.get("data_fingerprint", fingerprint), fingerprint)
    total = saved.get("total_steps", run.steps)
    if total != run.steps and hosts.primary():
        print(
            f"The run goes on to step {run.steps:,} instead of {total:,}: from here on its learning rate is that of a "
            f"schedule for {run.steps:,} steps."
        )
    changes = record.changes(before | {"total_steps": total}, run.config | {"total_steps": run.steps})
    row = {"step": begun, "changes": changes, "data": data, "command": run.record["command"]}
    return saved.get("history", []) + ([row] if changes or data else [])


def unscored(run: Run, step: int) -> bool:
    """Whether the evaluation after a saved step is still to be made, because the run ended before or within it."""
    return run.evaluates(step) and not hosts.shared("scored", log.scored(run.workdir, step))


def roll_back(run: Run, mishap: mishaps.RollBack) -> int:
    """Skips the batches from the newest checkpoint to the bad step's, and returns the step to continue from.

    From here the run is like one that was stopped and continues, so that a kill changes nothing.

    Raises:
      UserError: the run has had as many rollbacks as config.step.rollbacks allows.
    """
    if len(run.skipped_batches) >= run.settings.rollbacks:
        raise UserError(
            f"{mishap}, and the run has been rolled back {len(run.skipped_batches)} times (config.step.rollbacks="
            f"{run.settings.rollbacks}). Allow more, or begin anew with a lower --config.optim.learning_rate or "
            "clip_norm."
        )
    first = mishaps.batch_of(_newest(run) or 0, run.skipped_batches) + 1
    run.skipped_batches.append([first, mishaps.batch_of(mishap.step, run.skipped_batches)])
    return start(run)


def _newest(run: Run) -> int | None:
    """The newest good checkpoint, as host 0 finds it; only host 0 looks for damage."""
    return hosts.shared("newest", run.checkpoints.latest())


def _agree(run: Run) -> None:
    """Checks that all hosts run the same.

    Raises:
      UserError: config, code or data differ from those of host 0; every host ends.
    """
    mine = run.config | {key: run.record[key] for key in ("known", "commit", "versions")}
    if differ := record.differences(hosts.shared("run", mine), mine, free=("data.data_dir",)):
        raise UserError(
            f"host {jax.process_index()} does not run what host 0 runs: {'; '.join(differ)}. Give all the same "
            "command, code and data."
        )


def _changed(run: Run, saved: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is not as it was of the training data, as lines.

    Args:
      saved: the fingerprint of what the run began with.
      found: that of what there is.

    Raises:
      UserError: something is not, and config.data.changed is "stop".
    """
    lines = [
        f"{name} is new" if a is None else f"{name} is gone" if b is None else f"{name}: {a} then, {b} now"
        for name, (a, b) in record.changes(saved, found).items()
    ]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"and {len(lines) - SHOWN:,} more"]
    if lines and run.config["data"]["changed"] == "stop":
        raise UserError(
            f"the training data changed since the run in {run.workdir} began: {'; '.join(lines)}. Put them back, "
            "choose another --workdir, or go on with what there is now by --config.data.changed=continue"
        )
    return lines


def _brief(known: record.Record | None) -> str:
    text = str(known)
    return text if len(text) < 120 else f"{text[:120]}..."
