"""Train a model: python train.py --config=configs/vit_digits.py [--workdir=...] [--config.key=value ...]

Run the same command again to go on from the newest checkpoint."""

import time
from pathlib import Path

import commands

if __name__ == "__main__":
    commands.train_flags()

import jax
from ml_collections import ConfigDict

import experiment
from errors import UserError
from training.interrupt import Interrupt
from training.log import Log
from training.meter import Meter
from training.prefetch import Prefetch
from training.profile import Profile
from training.progress import Live, describe


def train(config: ConfigDict, workdir: Path) -> dict[str, float]:
    """Trains the model of a config into a workdir, from its newest checkpoint if it has one.

    Returns:
      The last evaluation's figures; none if the run was interrupted.
    """
    begun = time.perf_counter()
    run = experiment.build(config, workdir)
    run.pipeline.check()
    start = experiment.start(run)
    with Prefetch(lambda: run.pipeline.train_batches(start), run.devices.put) as batches, Interrupt() as interrupt:
        state = run.restore(start) if start else run.initialise()
        peak, peak_source = run.peak_flops()
        meter = Meter(run.task.unit, peak, run.devices.fetch)
        scores: dict[str, float] = {}
        compiled: set[str] = set()
        with (
            Live(start, run.steps) as live,
            Log(workdir, start) as log,
            Profile(workdir, run.profile.first_step, run.profile.steps) as profile,
            run.checkpoints,
        ):
            live.say(introduction(run, start, peak, peak_source))
            for step in range(start + 1, run.steps + 1):
                profile.before(step)
                batch = next(batches)
                shapes, called = run.devices.shapes(batch), time.perf_counter()
                state, sums = run.train_step(state, batch)
                if str(shapes) not in compiled:  # the first batch of a shape waits for the compiler
                    compiled.add(str(shapes))
                    meter.leave_out(time.perf_counter() - called)
                meter.add(step, sums, run.step_flops(shapes))
                run.checkpoints.check()
                live.step(step)
                if step == start + 1:
                    jax.block_until_ready(sums)
                    live.say(f"First step after {time.perf_counter() - begun:.1f} s.")
                    meter.start(batches.waited)

                last = step == run.steps
                if last or interrupt.asked or due(step, run.log.every_steps):
                    figures, bad = meter.read(batches.waited)
                    figures["learning_rate"] = float(run.schedule(step - 1))
                    if run.pipeline.skipped:
                        figures["skipped_images"] = run.pipeline.skipped
                    log.write(step, figures)
                    live.figures(step, figures)
                    not_finite(run, bad, live)

                paused, scores = time.perf_counter(), {}
                if last or (due(step, run.evaluation.every_steps) and not interrupt.asked):
                    scores, notes = run.evaluate(state, run.evaluation.writes(last))
                    log.write(step, scores)
                    live.say("\n".join([f"step {step:,} · {describe(scores)}", *notes]))
                stop = interrupt.asked  # asked for once, so that a signal during the save finds the state saved
                if last or stop or due(step, run.checkpoints.every_steps):
                    run.checkpoints.save(step, run.devices.get_state(state), run.record, scores or None)
                meter.leave_out(time.perf_counter() - paused)
                if stop:
                    live.say(f"{stop}: saving step {step:,} ...")
                    break
    print(conclusion(run, step, scores, time.perf_counter() - begun))
    return scores


def due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def not_finite(run: experiment.Run, steps: list[int], live: Live) -> None:
    """Says which steps had a loss or gradient that was not finite; none of them changed the weights."""
    if not steps:
        return
    named = ", ".join(map(str, steps[:5])) + (" ..." if len(steps) > 5 else "")
    if run.settings.nonfinite == "stop":
        saved = run.checkpoints.latest()
        kept = f"The newest checkpoint is step {saved}" if saved is not None else "Nothing was saved yet"
        raise UserError(
            f"the loss or its gradient was not finite at step {named}. {kept}. Go on past such steps with "
            "--config.step.nonfinite=skip, or begin anew with a lower --config.optim.learning_rate or clip_norm."
        )
    live.say(f"The loss or its gradient was not finite at step {named}: skipped.")


def introduction(run: experiment.Run, start: int, peak: float, peak_source: str) -> str:
    devices = jax.devices()
    return "\n".join(
        [
            f"{run.config['model']['name']} with {run.parameters():,} parameters, {run.mean_step_flops() / 1e9:,.1f} GFLOP a step.",
            *run.pipeline.describe(),
            f"{len(devices)} x {devices[0].device_kind} by {run.devices.mode}, peak {peak / 1e12:,.2f} TFLOP/s ({peak_source}).",
            f"Going on from step {start:,} in {run.workdir}." if start else f"A new run in {run.workdir}.",
        ]
    )


def conclusion(run: experiment.Run, step: int, scores: dict[str, float], seconds: float) -> str:
    """Where everything is, and what to do next."""
    where = run.workdir
    lines = [
        f"  weights  {where}/checkpoints/{step}",
        f"  figures  {where}/metrics.jsonl    curves: tensorboard --logdir={where}",
        f"  config   {where}/config.json",
    ]
    if step < run.steps:
        return "\n".join([f"Stopped at step {step:,} of {run.steps:,}.", *lines, "The same command goes on from here."])
    return "\n".join(
        [
            f"Done in {int(seconds) // 60}:{int(seconds) % 60:02}. {describe(scores)}",
            *lines,
            f"Next: python predict.py --workdir={where} ...    python evaluate.py --workdir={where}",
            "      python train.py --config=configs/vit_fashion_mnist.py    (configs/README.md lists all)",
        ]
    )


def main(arguments: list[str]) -> None:
    if arguments:
        raise UserError(f"{arguments[0]!r} is not a flag: write --config=... and --workdir=.... See --help.")
    train(commands.FLAGS.config, Path(commands.FLAGS.workdir or commands.default_workdir()))


if __name__ == "__main__":
    commands.run(main, __doc__ or "", config="configs/vit_digits.py")
