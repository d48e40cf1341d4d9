"""Train a model: python train.py --config=configs/vit_digits.py [--workdir=...] [--config.key=value ...]

Run the same command again to continue from the newest checkpoint. Exit status: 0 at the end, or when a signal stopped
the run and it was saved; 2 for a mistake or a run that cannot continue, with one line that says why; 3 for a step that
hung (config.step.timeout_seconds), with the stacks of all threads."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import commands

if __name__ == "__main__":
    commands.begin()
    commands.train_flags()
    commands.host_flags()

import jax
from ml_collections import ConfigDict

import experiment
import input_pipeline
from errors import command, module
from experiment import init_from, open_keys, resume, scoring, teacher
from experiment.config import plain
from training import flops, hosts
from training.hooks import Hooks
from training.interrupt import Interrupt
from training.lock import Lock
from training.log import Log
from training.meter import Meter
from training.mishaps import Mishaps, RollBack
from training.prefetch import Prefetch
from training.profile import Profile
from training.progress import Live, describe
from training.step import State
from training.watchdog import Watchdog


def train(config: ConfigDict, workdir: Path) -> dict[str, float] | None:
    """Trains the model of a config in a workdir, from its newest checkpoint if it has one.

    Returns:
      The metrics of the last evaluation; None if the run was interrupted.
    """
    begun = since = time.perf_counter()
    init_from.check(config.init_from)
    input_pipeline.check_apart(plain(config).get("data"), workdir)
    with Lock(workdir):
        config, chosen = open_keys.resolve(config, workdir)
        if chosen and hosts.primary():
            print("\n".join(chosen), flush=True)
        run = experiment.build(config, workdir)
        run.pipeline.check()
        scoring.check(run)
        if run.evaluation.figures:
            drawn(run, None, 0)
        teach = teacher.load(run)
        with Hooks(run.config["hooks"], hosts.primary()) as hooks, Interrupt() as interrupt:
            start, ended = resume.start(run), None
            hooks.begin(run.record, workdir, start)
            while ended is None:
                try:
                    ended = train_from(start, run, teach, hooks, interrupt, since)
                except RollBack as mishap:
                    start, since = resume.roll_back(run, mishap), time.perf_counter()
                    if hosts.primary():
                        first, last = run.skipped_batches[-1]
                        print(f"Back to step {start:,}, to skip batches {first:,} to {last:,}: {mishap}.", flush=True)
            step, scores = ended
            hooks.status = "finished" if step == run.steps else "stopped"
        spent = time.perf_counter() - begun
        page = written(run, step) if run.evaluation.page and step == run.steps else []
    if hosts.primary():
        print(conclusion(run, step, scores, spent, page))
    return scores if step == run.steps else None


def train_from(
    start: int,
    run: experiment.Run,
    teach: Callable[[teacher.Batch], teacher.Batch],
    hooks: Hooks,
    interrupt: Interrupt,
    since: float,
) -> tuple[int, dict[str, float]]:
    """The loop.

    Args:
      start: a saved step, or 0.
      teach: adds what a teacher says of a batch; see experiment/teacher.py.
      hooks: are told of metrics and figures.
      since: when the command began, by time.perf_counter.

    Returns:
      The step that it ended with, and the metrics of an evaluation there.

    Raises:
      RollBack: the loop must be left for an earlier step.
    """
    with Prefetch(lambda: run.batches(start), run.devices.put) as batches:
        with run.compiling():
            state = run.restore(start) if start else run.initialise()
        meter = Meter(run.task.unit, run.devices.fetch)
        scores: dict[str, float] = {}
        compiled: set[str] = set()
        with (
            Watchdog(run.checkpoints.folder, run.settings.timeout_seconds, jax.process_index()) as watchdog,
            Live(start, run.steps, hosts.primary()) as live,
            Log(run.workdir, start, hosts.primary()) as log,
            Profile(run.workdir, run.profile.first_step, run.profile.steps) as profile,
            run.checkpoints,
        ):
            live.say(introduction(run, start))
            mishaps = Mishaps(run.settings.nonfinite, run.settings.spike, run.checkpoints.latest, live.say)

            def save(step: int) -> None:
                watchdog.feed(f"the save of step {step}", slow=True)
                run.checkpoints.save(step, run.devices.get_state(state), run.record)

            def evaluate(step: int, saved: bool) -> dict[str, float]:
                alive = partial(watchdog.feed, f"a batch of the evaluation at step {step}", slow=True)
                try:
                    scores, notes = scoring.score(run, state, run.evaluation.slow(step == run.steps), alive)
                except Exception:
                    if not saved and jax.process_count() == 1:  # several hosts save together or not at all
                        save(step)
                    raise
                if interrupt.asked and not saved:
                    save(step)
                run.checkpoints.rate(step, scores)
                log.write(step, scores)
                hooks.log(step, scores)
                live.say("\n".join([f"step {step:,} · {describe(scores)}", *notes]))
                if run.evaluation.figures:
                    live.say("\n".join(drawn(run, state, step)))
                    hooks.figures(step, run.workdir / "figures" / str(step))
                return scores

            step = start
            if start and resume.unscored(run, start):  # it was saved, and then the run ended
                scores = evaluate(start, saved=True)
            for step in range(start + 1, run.steps + 1):
                watchdog.feed(f"step {step}", slow=step == start + 1)
                profile.before(step)
                batch = teach(next(batches))
                shapes, called = run.devices.shapes(batch), time.perf_counter()
                if fresh := str(shapes) not in compiled:  # the first batch of a shape waits for the compiler
                    watchdog.feed(f"step {step}", slow=True)
                state, sums = run.train_step(state, batch)
                interrupt.poll(step)
                if fresh:
                    compiled.add(str(shapes))
                    meter.leave_out(time.perf_counter() - called)
                meter.add(step, sums, run.step_flops(shapes))
                run.checkpoints.check()
                live.step(step)
                if step == start + 1:
                    jax.block_until_ready(sums)
                    live.say(f"First step after {time.perf_counter() - since:.1f} s.")
                    peak, source = run.peak_flops()  # where it is measured, the first step need not wait
                    live.say(f"Peak {peak / 1e12:,.2f} TFLOP/s ({source}).")
                    meter.start(batches.waited, peak)

                last, stop = step == run.steps, interrupt.asked
                if stop or run.logs(step):
                    metrics = meter.read(batches.waited)
                    metrics["learning_rate"] = float(run.schedule(step - 1))
                    if run.pipeline.skipped:
                        metrics["skipped_images"] = run.pipeline.skipped
                    if last and run.devices.mode == "mesh":  # pmap would compile once more
                        metrics["step_memory_gb"] = flops.step_memory(run.train_step, state, batch) / 1e9
                    log.write(step, metrics)
                    hooks.log(step, metrics)
                    live.metrics(step, metrics)
                    mishaps.judge(meter.bad())

                saves, evaluates = bool(stop) or run.saves(step), last or (run.evaluates(step) and not stop)
                scores = {}
                if saves or evaluates:
                    mishaps.judge(meter.bad())  # no checkpoint comes after a bad step that is not known
                    paused = time.perf_counter()
                    if saves:
                        save(step)
                    if evaluates:
                        scores = evaluate(step, saves)
                        if interrupt.asked and not saves:  # perhaps only now, while figures were drawn
                            save(step)
                        stop = stop or interrupt.asked
                    meter.leave_out(time.perf_counter() - paused)
                if stop:
                    live.say(f"{stop}: saving step {step:,} ...")
                    break
    return step, scores


def drawn(run: experiment.Run, state: State | None, step: int) -> list[str]:
    """Draws config.evaluation.figures, and says where they are. Without a state, only checks that it can."""
    from analysis import drawing  # and with it matplotlib, which few runs need

    if state is None:
        return drawing.check(run)
    return drawing.after_evaluation(run, state, run.workdir / "figures" / str(step))


def written(run: experiment.Run, step: int) -> list[str]:
    """Writes the page of a run that has ended, and returns a line on where it is; none if it could not be written."""
    from analysis.page import run as page  # and with it matplotlib

    return page.after_training(run, step)


def introduction(run: experiment.Run, start: int) -> str:
    """What is about to be trained, on what."""
    devices, flop = jax.devices(), run.mean_step_flops()
    flops = f"{flop / 1e9:,.1f} GFLOP" if flop >= 1e8 else f"{flop / 1e6:,.1f} MFLOP"
    return "\n".join(
        [
            f"{run.config['model']['name']} with {run.parameters():,} parameters, {flops} a step.",
            *run.pipeline.describe(),
            *run.settings.describe(),
            *run.attention,
            *run.unkept(),
            f"{len(devices)} x {devices[0].device_kind} by {run.devices}.",
            f"Continues from step {start:,} in {run.workdir}." if start else f"A new run in {run.workdir}.",
        ]
    )


def conclusion(run: experiment.Run, step: int, scores: dict[str, float], seconds: float, page: list[str]) -> str:
    """Where everything is, and what to do next. page: lines on where the run's page is."""
    where = run.workdir
    metric, best = run.checkpoints.keep_best, run.checkpoints.kept()
    better: list[str] = []
    if best and best[0] != step:
        better = [f"  best     step {best[0]:,}, {describe({metric: best[1]})}: --step=best"]
    lines = [
        f"  weights  {where}/checkpoints/{step}",
        *better,
        f"  metrics  {where}/metrics.jsonl",
        f"  curves   {module('tensorboard.main', f'--logdir={where}')}",
        f"  config   {where}/config.json",
        *page,
    ]
    if step < run.steps:
        return "\n".join(
            [f"Stopped at step {step:,} of {run.steps:,}.", *lines, "The same command continues from here."]
        )
    return "\n".join(
        [
            f"Done in {int(seconds) // 60}:{int(seconds) % 60:02}. {describe(scores)}",
            *lines,
            "Next:",
            *(f"  {command(script, f'--workdir={where}', *more)}" for script, more in following(run)),
        ]
    )


def following(run: experiment.Run) -> list[tuple[str, list[str]]]:
    """The commands that can use the run, with what they are given."""
    example = run.pipeline.example()
    predict = [("predict.py", [example, *run.pipeline.needed()])] if example and not example.startswith("-") else []
    return [("evaluate.py", []), *predict, ("visualize.py", [])]


def main(arguments: list[str]) -> int:
    """The command: 0, or --stopped_status for a run that a signal stopped."""
    commands.flags_alone(arguments)
    scores = train(commands.FLAGS.config, commands.workdir())
    return 0 if scores is not None else commands.FLAGS.stopped_status


if __name__ == "__main__":
    commands.run(main, __doc__ or "", config="configs/vit_digits.py")
