"""Trains and scores the translation configs: python results/translation.py [NAME ...] [--multi30k=FOLDER]

Writes results/translation.json, an entry a run. NAME is a key of RUNS; without any, all are run, one after the other.
Runs are kept in runs/translation/NAME, from which a second start resumes; its minutes are added up.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

Row = record.Record
RECORD = ROOT / "results" / "translation.json"
MULTI30K = "configs/transformer_multi30k.py"
# name: config, flags of evaluate.py, what is expected, and flags of train.py.
RUNS: dict[str, tuple[str, tuple[str, ...], str, *tuple[str, ...]]] = {
    "dates": ("configs/transformer_dates.py", (), "at least 99 % exact match within 5 minutes"),
    "reverse": ("configs/transformer_reverse.py", (), "at least 99 % exact match"),
    "dates t5": ("configs/t5_dates.py", (), "at least 99 % exact match within 5 minutes"),
    "multi30k de-en": (f"{MULTI30K}:de-en", ("--config.task.beams=5",), "at least 34 BLEU within 90 minutes"),
    "multi30k en-de": (f"{MULTI30K}:en-de", ("--config.task.beams=5",), "at least 36 BLEU within 90 minutes"),
    "multi30k de-en gru+bahdanau": (
        "configs/seq2seq_multi30k.py:gru+bahdanau",
        ("--config.task.beams=5",),
        "at least 24 BLEU, the same number of steps",
    ),
    "multi30k de-en gru+none": (
        "configs/seq2seq_multi30k.py:gru+none",
        ("--config.task.beams=5",),
        "clearly below gru+bahdanau, the same number of steps",
    ),
} | {
    f"multi30k {languages} tiny, seed {seed}": (
        f"{MULTI30K}:{languages}+tiny",
        ("--config.task.beams=5", "--average=10"),
        expected,
        f"--config.seed={seed}",
    )
    for languages, expected in (
        ("en-de", "at least 41.0 BLEU without case (2105.14462's code: 41.02)"),
        ("de-en", "at least 41.5 BLEU"),
    )
    for seed in range(3)
}
# A short form of `tiny`, for what several seeds are worth more than a long training.
SHORT = (
    *("--config.steps=1400", "--config.model.depth=2", "--config.data.vocabulary_size=4000"),
    *("--config.data.batch_tokens=2048", "--config.optim.warmup_steps=350", "--config.evaluation.every_steps=0"),
    "--config.checkpoint.every_steps=50",
)
RUNS |= {
    f"multi30k en-de short, seed {seed}": (
        f"{MULTI30K}:en-de+tiny",
        ("--config.task.beams=5", "--average=10"),
        "the mean of 10 checkpoints above the last one, and 5 beams above one",
        f"--config.seed={seed}",
        *SHORT,
    )
    for seed in range(3)
}
CASELESS = "--config.task.bleu_lowercase=true"
# How a short run is decoded, beside beam search with 5 beams, alpha 0.6 and the mean of 10 checkpoints.
USUAL = "5 beams, mean of 10"
DECODINGS: dict[str, tuple[str, ...]] = {
    USUAL: ("--config.task.beams=5", "--average=10"),
    "5 beams, last": ("--config.task.beams=5",),
    "greedy, mean of 10": ("--config.task.beams=1", "--average=10"),
    "5 beams, alpha 0, mean of 10": ("--config.task.beams=5", "--average=10", "--config.task.alpha=0.0"),
    "5 beams, alpha 1, mean of 10": ("--config.task.beams=5", "--average=10", "--config.task.alpha=1.0"),
}


def main(names: list[str], multi30k: str) -> None:
    """Trains and scores the named runs, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        config, scoring, expected, *flags = RUNS[name]
        workdir = ROOT / "runs" / "translation" / name.replace(",", "").replace(" ", "-")
        data = [f"--config.data.name={multi30k}"] if "multi30k" in name else []
        command = ["train.py", f"--config={config}", f"--workdir={workdir.relative_to(ROOT)}", *flags]
        print(f"{name}: python {' '.join([*command, *data])}", flush=True)
        clock = trained.spent(workdir, [*command, *data])
        saved, test = record.read(workdir), evaluate(workdir, "--split=test", *scoring)
        run: Row = {
            "command": " ".join(["python", *command, *["--config.data.name=FOLDER"] * len(data)]),
            "scored by": " ".join(["python evaluate.py --split=test", *scoring]),
            "expected": expected,
            "minutes of training": round(clock.minutes, 1),
            "processor minutes": round(clock.processor, 1),
            "parameters": saved["parameters"],
            "steps": saved["total_steps"],
        }
        run |= {key: value for key, value in test.items() if key.startswith("test/") or key == "notes"}
        if "multi30k" in name:
            run["test/bleu without case"] = evaluate(workdir, "--split=test", *scoring, CASELESS)["test/bleu"]
        if "short" in name:  # by the validation split: test2016 is scored once
            run["validation/bleu by decoding"] = {
                how: evaluate(workdir, "--split=validation", *flags)["validation/bleu"]
                for how, flags in DECODINGS.items()
            }
        run |= about
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(json.dumps(run, indent=2), f"\nWritten to {RECORD}.", flush=True)


def evaluate(workdir: Path, *flags: str) -> Row:
    """The JSON of evaluate.py."""
    command = [sys.executable, "evaluate.py", f"--workdir={workdir}", "--json", *flags]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    multi30k = dict(default="multi30k")
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), multi30k=multi30k)
