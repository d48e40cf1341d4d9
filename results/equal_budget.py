"""A Transformer against recurrent models at an equal budget: python results/equal_budget.py [MODEL ...]

Multi30k, German to English: all models see the same batches for as many steps and have about five million parameters.
First each of SEARCHED is tried for three epochs with the same rates and dropouts; with the best of them by validation
BLEU it is trained for ten epochs, three seeds, and scored on test2016. OTHERS have one seed, with the recipe of the GRU
with additive attention. Writes results/equal_budget.json, an entry a run, and results/equal_budget.png, BLEU by the
length of the source.

MODEL is a key of RUNS; without any, all are run, one after the other. What is recorded is not run again. Runs are kept
in runs/equal_budget, from which a second start resumes. --multi30k: see configs/transformer_multi30k.py.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from analysis import picture  # noqa: E402
from analysis.figures import bleu_by_length  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402
from training import log  # noqa: E402

RECORD, PICTURE = ROOT / "results" / "equal_budget.json", ROOT / "results" / "equal_budget.png"
LENGTHS = "by length of the source"  # of the first seed of each of SEARCHED
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


def main(names: list[str], multi30k: str) -> None:
    """Searches, trains and scores, and adds each run to the record."""
    about = record.clean_provenance()
    for model in commands.chosen(names, RUNS):
        if model in SEARCHED:
            for recipe, tried in RECIPES.items():
                planned = trained.Planned(RUNS[model], EXPECTED, 0, (), flags=(SHORT, *BUDGET, *tried))
                run(searched(model, recipe), planned, multi30k, about)
        recipe = chosen(recorded(), model if model in SEARCHED else GRU)
        for seed in range(SEEDS if model in SEARCHED else 1):
            flags = (LONG, *BUDGET, *RECIPES[recipe])
            planned = trained.Planned(RUNS[model], EXPECTED, seed, ("test",), flags=flags)
            run(f"{model}, seed {seed}", planned, multi30k, about, lengths=model in SEARCHED and seed == 0)
        draw(recorded())


def by_length(workdir: Path) -> record.Record:
    """BLEU of the validation split by the words of the source: the arrays of the figure of that name."""
    out = workdir / "figures"
    command = ["visualize.py", f"--workdir={workdir}", f"--out={out}", "bleu_by_length"]
    if status := trained.ended(command):
        sys.exit(status)
    with np.load(out / "bleu_by_length.npz", allow_pickle=False) as arrays:
        own = {key: arrays[key][0].tolist() for key in ("bleu", "half_interval")}  # the only run
        return {key: arrays[key].tolist() for key in ("begins", "ends", "sentences")} | own


def draw(found: record.Record) -> None:
    """The picture, once all of SEARCHED have been trained."""
    lengths = {model: found.get(f"{model}, seed 0", {}).get(LENGTHS) for model in SEARCHED}
    if not all(lengths.values()):
        return
    arrays = {key: np.array([of_model[key] for of_model in lengths.values()]) for key in ("bleu", "half_interval")}
    arrays |= {key: np.array(lengths[GRU][key]) for key in ("begins", "ends", "sentences")}
    arrays["names"] = np.array([*SEARCHED])
    bleu_by_length.draw(arrays).savefig(PICTURE, dpi=picture.DPI)


def searched(model: str, recipe: str) -> str:
    """The name of an entry."""
    return f"search, {model}, {recipe}"


def chosen(found: record.Record, model: str) -> str:
    """The recipe with the best validation BLEU.

    Raises:
      UserError: not all are recorded.
    """
    if not all(searched(model, recipe) in found for recipe in RECIPES):
        raise UserError(f'the recipe is that of {model}: python results/equal_budget.py "{model}" finds it.')
    return max(RECIPES, key=lambda recipe: found[searched(model, recipe)]["validation/bleu"])


def recorded() -> record.Record:
    """What there is."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def run(name: str, planned: trained.Planned, multi30k: str, about: record.Record, lengths: bool = False) -> None:
    """Trains, unless it is recorded with these flags. lengths: whether BLEU by the length of the source is measured."""
    before = recorded().get(name, {}).get("command", "").split()
    if {f"--config={planned.config}", *planned.flags} <= {*before}:
        return

    def more(workdir: Path) -> record.Record:
        """The metrics of the validation split, at the end of training, and what is measured beside them."""
        metrics = {key: value for key, value in log.read(workdir)[-1].items() if key.startswith("validation/")}
        return metrics | ({LENGTHS: by_length(workdir)} if lengths else {})

    trained.keep(RECORD, name, planned, {"data.name": multi30k}, about, more)


if __name__ == "__main__":
    names = dict(nargs="*", metavar="MODEL")
    commands.script(main, __doc__, names=names, multi30k=dict(default="multi30k"))
