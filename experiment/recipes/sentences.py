"""Sentences with classes: a small encoder from scratch, or the model of the weights that the run begins with."""

from experiment.recipes import Given, Machine, Start, Survey, batch, calendar, heads, judge, passes
from lookup import Value

BATCHES = {True: 256, False: 64}  # the largest
VIEWS = {True: 2_000_000, False: 200_000}  # sentences that are seen in all
EPOCHS = {True: (4, 60), False: (3, 40)}  # least and most
TUNED = 4.0  # epochs, where the run begins with weights
PARTS = 40  # an epoch of few sentences has so many batches
MANY = 20_000  # so many sentences or more take batches of more lengths; each is compiled
BUCKETS = {True: 6, False: 3}
LONGEST = 512  # tokens
PIECES = 1.5  # tokens of a word


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    size = batch(survey.examples, min(32 if start else BATCHES[on], max(8, survey.examples // PARTS)), machine)
    size = given.get("data.batch_size", size)
    epochs = TUNED if start else passes(survey.examples, VIEWS[on], EPOCHS[on])
    longest = min(LONGEST, -(-int(PIECES * survey.length + 2) // 8) * 8)
    best = ("loss", "min") if survey.classes is None else ("accuracy",)  # of numbers, and of classes
    changes: dict[str, Value] = {
        "data.batch_size": size,
        "data.max_length": longest,
        "data.buckets": BUCKETS[survey.examples >= MANY],
        "optim.learning_rate": 1e-3,
        **calendar(survey.examples / size, epochs, given, judge(survey, given), *best),
    }
    if not start:
        width = given.get("model.width", 256 if on else 128)
        model = {"width": width, "depth": 4 if on else 2, "mlp_dim": 2 * width, "heads": heads(width), "dropout": 0.3}
        return changes | {f"model.{key}": value for key, value in model.items()}
    changes |= start.keys
    changes["data.max_length"] = min(longest, start.model.get("max_length") or LONGEST)
    changes["optim.learning_rate"] = 2e-5 if start.parameters > 10**8 else 5e-5 if start.parameters > 10**7 else 3e-4
    if start.model.get("name") == "bert":
        changes |= {"model.head": "sentence", "data.begin": True}
        changes.pop("model.next_sentence", None)
    return changes
