"""Where a training run begins or continues: the step, and the workdir made ready for it."""

import jax

from errors import UserError
from experiment import init_from, record
from experiment.build import check_training
from experiment.config import plain
from experiment.restore import saved_config
from experiment.run import Run
from training import hosts, mishaps


def start(run: Run) -> int:
    """The step a training run continues from: 0 in a new workdir, the newest good checkpoint's in one that holds this
    run.

    Raises:
      UserError: the workdir holds another config's run, or this one finished; or there is no room for checkpoints.
    """
    _agree(run)
    best = run.config["checkpoint"]["keep_best"]
    if best and best.rpartition("/")[0] not in run.pipeline.eval_splits:
        raise UserError(
            f"config.checkpoint.keep_best={best!r} is of no split of "
            f"config.data.eval_splits={run.pipeline.eval_splits}: "
            'name a metric of one of them, "SPLIT/accuracy", or "".'
        )
    if not run.pipeline.fills_a_batch:
        key = "batch_tokens" if "batch_tokens" in run.config["data"] else "batch_size"
        raise UserError(f"config.data.{key}={run.config['data'][key]} is more than the whole training split: lower it.")
    check_training(run)
    begun = _newest(run)
    if begun is not None:
        saved = record.read(run.workdir)
        if differ := record.differences(plain(saved_config(run.workdir)), run.config):
            raise UserError(
                f"{run.workdir} holds a run of another config, which differs in {'; '.join(differ)}. Choose another "
                "--workdir, or give these keys their old values to continue."
            )
        if saved["known"] != run.pipeline.known:
            raise UserError(
                f"the training data differ from those that the run in {run.workdir} began with: "
                f"{_brief(saved['known'])} there, {_brief(run.pipeline.known)} here. Put the data back, or choose "
                "another --workdir."
            )
        if begun >= run.steps:
            raise UserError(
                f"{run.workdir} has finished all {run.steps:,} steps. Score it with: python evaluate.py "
                f"--workdir={run.workdir}; to train again choose another --workdir."
            )
        run.skipped_batches[:] = run.skipped_batches or saved.get("skipped_batches", [])
    elif run.config["init_from"]:  # read before anything is written
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
            record.write(run.workdir, run.record)
    except OSError as error:
        raise UserError(f"cannot write to {run.workdir}: {error.strerror}. Choose another --workdir.") from None
    hosts.wait("start")
    return begun or 0


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
    """The newest good checkpoint, as host 0 has it, which alone looks for damage."""
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


def _brief(known: record.Record) -> str:
    text = str(known)
    return text if len(text) < 120 else f"{text[:120]}..."
