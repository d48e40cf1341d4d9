"""models/bert.py by its parameters, and with RoBERTa's positions.

V vocabulary, D width, F MLP, H heads, K head size, N positions, Y segments that are told apart, C classes.
"""

from collections.abc import Mapping
from functools import partial

from errors import UserError
from models import paths
from models.sizes import BERT
from weights import ours
from weights.ours import Described, Family, Indices, named

BLOCK = f"encoder/{paths.BLOCK_PATTERN}"
PROJECTIONS = ("query", "key", "value")
NORM = ("scale", "bias")
SHAPES = {
    "embedding/embedding": "V D",
    "positions/embedding": "N D",
    "types/embedding": "Y D",
    **{f"embedding_norm/{x}": "D" for x in NORM},
    **{f"{BLOCK}/attention/{part}/kernel": "D H K" for part in PROJECTIONS},
    **{f"{BLOCK}/attention/{part}/bias": "H K" for part in PROJECTIONS},
    f"{BLOCK}/attention/out/kernel": "H K D",
    f"{BLOCK}/attention/out/bias": "D",
    **{f"{BLOCK}/{norm}/{x}": "D" for norm in ("attention_norm", "mlp_norm") for x in NORM},
    f"{BLOCK}/mlp/expand/kernel": "D F",
    f"{BLOCK}/mlp/expand/bias": "F",
    f"{BLOCK}/mlp/contract/kernel": "F D",
    f"{BLOCK}/mlp/contract/bias": "D",
    "pooler/kernel": "D D",
    "pooler/bias": "D",
    "words/kernel": "D D",
    "words/bias": "D",
    **{f"words_norm/{x}": "D" for x in NORM},
    "words_bias": "V",
    "following/kernel": "D 2",
    "following/bias": "2",
    "head/kernel": "D C",
    "head/bias": "C",
}
WORDS = {"words", "words_norm", "words_bias"}
FIRST = 2  # RoBERTa's row of the first position; those before it are of padding
OPTIONAL = ("pooler", *sorted(WORDS), "following", "head")


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str], first: int = 0) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family. first: the row of the first position.

    Raises:
      UserError: parts that no one model has.
    """
    heads = parts & {*WORDS, "pooler", "following", "head"}
    forms = {  # which parts a head has
        "words": [WORDS, WORDS | {"pooler", "following"}],
        "sentence": [{"pooler", "head"}, {"pooler"}],
        "tokens": [{"head"}, set()],
    }
    head = next((name for name, sets in forms.items() if heads in sets), None)
    if head is None:
        raise UserError(f"the heads {', '.join(sorted(heads))} belong to no one model of BERT.")
    depth = ours.depth(indices)
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    settings, words = named(
        "RoBERTa" if first else "BERT", next((name for name, row in BERT.items() if row == size), ""), size
    )
    return Described(
        settings={
            "name": "bert",
            **settings,
            "head": head,
            "next_sentence": "following" in parts,
            "max_length": sizes["N"] - first,
            "first_position": first,
            "types": sizes["Y"],
        },
        variant=settings.get("variant", ""),
        words=words,
        classes=sizes.get("C", 0),
        channels=0,
    )


CONFIGS = {
    **dict.fromkeys(("ForMaskedLM", "ForPreTraining"), "configs/bert_pretrain.py"),
    "ForSequenceClassification": "configs/bert_finetune.py",
    "ForTokenClassification": "configs/bert_finetune.py:conll+Tiny",
}
FAMILY = Family("a BERT", SHAPES, OPTIONAL, describe, "bert", configs=CONFIGS)
ROBERTA = Family("a RoBERTa", SHAPES, OPTIONAL, partial(describe, first=FIRST), "bert", configs=CONFIGS)
