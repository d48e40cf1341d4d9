"""Texts: a GPT from scratch, or the model of the weights that the run begins with."""

from experiment.recipes import Given, Machine, Start, Survey, calendar, heads, judge
from lookup import Value

STEPS = {True: 5000, False: 2000}
LENGTHS = {True: 256, False: 64}  # tokens of a window of text, where neither the model nor the text says it
LEAST, MOST = 8, 1024  # of these
PARTS = 20  # so many windows or more has the text
BATCHES = {True: 64, False: 12}
PASSES = 30  # over the text, at most
PIECES = {"char": 1.0, "byte": 1.0}  # tokens of a character, or more
SUBWORD = 0.3
DROPOUT = {True: 0.2, False: 0.0}
FORM = {"positions": "rotary", "use_bias": False, "qk_norm": True, "norm_kind": "rms", "activation": "swiglu"}


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    tokens = survey.examples * PIECES.get(given.get("data.tokenizer", survey.keys["tokenizer"]), SUBWORD)
    positions = (start.model.get("max_length") if start else given.get("model.max_length", 0)) or LENGTHS[on]
    length = given.get("data.length", max(LEAST, min(positions, MOST, int(tokens) // PARTS)))
    size = given.get("data.batch_size", max(1, (4 if start else BATCHES[on]) // machine.divisor) * machine.divisor)
    per_epoch = max(tokens / (size * length), 1e-9)
    epochs = min(PASSES, STEPS[on] / per_epoch) if not start else min(3.0, STEPS[on] / per_epoch)
    changes: dict[str, Value] = {
        "data.length": length,
        "data.batch_size": size,
        "data.vocabulary_size": 8000,
        "optim.learning_rate": 1e-3 if on else 4e-3,
        **calendar(per_epoch, round(epochs, 3), given, judge(survey, given), "loss", "min"),
    }
    if start:
        return changes | start.keys | {"optim.learning_rate": 5e-5 if start.parameters > 10**7 else 5e-4}
    width, depth = (384, 6) if on else (128, 4)
    width = given.get("model.width", width)
    model = {"width": width, "depth": depth, "heads": heads(width, 64 if on else 32), "max_length": length}
    # What it writes may be longer than a window of text: no token sees farther back than it has learned to.
    model |= {"dropout": DROPOUT[on], "window": length} | FORM
    return changes | {f"model.{key}": value for key, value in model.items()}
