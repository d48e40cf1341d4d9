"""A Transformer against recurrent models at an equal budget: python results/equal_budget.py [--multi30k=FOLDER]

Multi30k, German to English: all models see the same batches for as many steps and have about five million parameters.
First each of SEARCHED is tried for three epochs with the same rates and dropouts; with the best of them by validation
BLEU it is trained for ten epochs, three seeds, and scored on test2016. OTHERS have one seed, with the recipe of the GRU
with additive attention. Writes results/equal_budget.json, an entry a run and one of BLEU by the length of the source,
whose picture is results/equal_budget.png; what is recorded is not run again. Runs are
kept in runs/equal_budget, from which a second start resumes. FOLDER: see configs/transformer_multi30k.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402
from training import log  # noqa: E402

RECORD, PICTURE = ROOT / "results" / "equal_budget.json", ROOT / "results" / "equal_budget.png"
LENGTHS = "BLEU by length of the source"
TRANSFORMER, GRU, FIXED = "Transformer", "GRU, Bahdanau", "GRU, no attention"
SEQ2SEQ = "configs/seq2seq_multi30k.py"
SEARCHED = {
    TRANSFORMER: "configs/transformer_multi30k.py:de-en",
    GRU: f"{SEQ2SEQ}:gru+bahdanau",
    FIXED: f"{SEQ2SEQ}:gru+none",
}
OTHERS = {
    "GRU, Luong, dot": f"{SEQ2SEQ}:gru+luong_dot",
    "GRU, Luong, general": f"{SEQ2SEQ}:gru+luong_general",
    "LSTM, Bahdanau": f"{SEQ2SEQ}:lstm+bahdanau",
    "RNN, Bahdanau": f"{SEQ2SEQ}:rnn+bahdanau",
}
RUNS = SEARCHED | OTHERS
SEEDS = 3
RATES, DROPOUTS = (1e-3, 3e-3), (0.2, 0.4)
RECIPES = {
    f"rate {rate:g}, dropout {dropout:g}": (f"--config.optim.learning_rate={rate}", f"--config.model.dropout={dropout}")
    for rate in RATES
    for dropout in DROPOUTS
}
BUDGET = (
    *("--config.data.batch_tokens=2048", "--config.optim.warmup_steps=200", "--config.task.beams=5"),
    *("--config.evaluation.every_steps=0", "--config.checkpoint.every_steps=500", "--config.checkpoint.keep_last=1"),
)
SHORT, LONG = "--config.epochs=3", "--config.epochs=10"
EXPECTED = "the Transformer above every recurrence, and the GRU with attention above the one without"


def main(multi30k: str) -> None:
    """Searches, trains and scores, and adds each run to the record."""
    about = record.clean_provenance()
    best = {}
    for model, config in SEARCHED.items():
        for recipe, flags in RECIPES.items():
            planned = trained.Planned(config, EXPECTED, 0, (), flags=(SHORT, *BUDGET, *flags))
            run(searched(model, recipe), planned, multi30k, about)
        best[model] = chosen(recorded(), model)
    for model, config in RUNS.items():
        recipe = best.get(model, best[GRU])
        for seed in range(SEEDS if model in SEARCHED else 1):
            planned = trained.Planned(config, EXPECTED, seed, ("test",), flags=(LONG, *BUDGET, *RECIPES[recipe]))
            run(f"{model}, seed {seed}", planned, multi30k, about)
        if model == [*SEARCHED][-1] and LENGTHS not in recorded():
            RECORD.write_text(json.dumps(recorded() | {LENGTHS: by_length() | about}, indent=2) + "\n")


def by_length() -> record.Record:
    """BLEU of the validation split by the words of the source, of the first seed of each of SEARCHED; keeps the
    picture."""
    first, *others = (trained.workdir_of(RECORD, f"{model}, seed 0") for model in SEARCHED)
    out = first.parent / "figures"
    command = ["visualize.py", f"--workdir={first}", f"--with={','.join(map(str, others))}", f"--out={out}"]
    if status := subprocess.run([sys.executable, *command, "bleu_by_length"], cwd=ROOT).returncode:
        sys.exit(status)
    shutil.copy(ROOT / out / "bleu_by_length.png", PICTURE)
    with np.load(ROOT / out / "bleu_by_length.npz", allow_pickle=False) as arrays:
        scores = zip(SEARCHED, arrays["bleu"].tolist(), arrays["half_interval"].tolist(), strict=True)
        groups = {key: arrays[key].tolist() for key in ("begins", "ends", "sentences")}
        return groups | {model: {"bleu": bleu, "half_interval": half} for model, bleu, half in scores}


def searched(model: str, recipe: str) -> str:
    """The name of an entry."""
    return f"search, {model}, {recipe}"


def chosen(found: record.Record, model: str) -> str:
    """The recipe with the best validation BLEU."""
    return max(RECIPES, key=lambda recipe: found[searched(model, recipe)]["validation/bleu"])


def recorded() -> record.Record:
    """What there is."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def run(name: str, planned: trained.Planned, multi30k: str, about: record.Record) -> None:
    """Trains, unless it is recorded with these flags."""
    before = recorded().get(name, {}).get("command", "").split()
    if not {f"--config={planned.config}", *planned.flags} <= {*before}:
        trained.keep(RECORD, name, planned, {"data.name": multi30k}, about, validated)


def validated(workdir: Path) -> record.Record:
    """The metrics of the validation split, at the end of training."""
    return {key: value for key, value in log.read(workdir)[-1].items() if key.startswith("validation/")}


if __name__ == "__main__":
    commands.script(main, __doc__, multi30k=dict(default="multi30k"))
