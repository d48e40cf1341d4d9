"""Parallel text: a Transformer from scratch, or the model of the weights that the run begins with."""

from experiment.recipes import Given, Machine, Start, Survey, calendar, heads, judge, passes
from lookup import Value

TOKENS = {True: 8192, False: 1024}  # of a batch
VIEWS = {True: 20_000_000, False: 100_000}  # pairs that are seen in all
EPOCHS = {True: (10, 60), False: (5, 40)}  # least and most
TUNED = 3.0  # epochs, where the run begins with weights
MANY = 100_000  # so many pairs or more take a larger model
BUCKETS = {True: 6, False: 3}  # lengths of batches: each is compiled
PIECES = 1.6  # tokens of a word
LONGEST = 256  # tokens


def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]:
    """See experiment/recipes."""
    on = machine.accelerator
    longest = given.get("data.max_length", min(LONGEST, -(-int(PIECES * survey.length + 2) // 8) * 8))
    few = survey.examples * survey.size[0] * PIECES / 40  # so that an epoch has 40 batches
    tokens = max(longest, min(TOKENS[on], 2 ** int(few).bit_length())) * (machine.divisor if on else 1)
    tokens = given.get("data.batch_tokens", max(tokens, longest * machine.divisor))
    epochs = TUNED if start else passes(survey.examples, VIEWS[on], EPOCHS[on])
    per_epoch = survey.examples * survey.size[0] * PIECES / tokens
    changes: dict[str, Value] = {
        "data.batch_tokens": tokens,
        "data.max_length": longest,
        "data.buckets": BUCKETS[survey.examples >= MANY],
        "optim.learning_rate": 2e-3,
        **calendar(per_epoch, epochs, given, judge(survey, given), "loss", "min"),
    }
    if start:
        return changes | start.keys | {"optim.learning_rate": 5e-5 if start.parameters > 10**7 else 5e-4}
    large = survey.examples >= MANY
    width, depth = (512, 6) if on and large else (256, 3) if on or large else (128, 2)
    width = given.get("model.width", width)
    model = {"width": width, "depth": depth, "mlp_dim": 2 * width, "heads": heads(width, 64), "dropout": 0.2}
    changes |= {f"model.{key}": value for key, value in model.items()}
    return changes | {"model.norm": "pre", "task.start": "bos"}
