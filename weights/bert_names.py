"""The names of transformers' BERT and RoBERTa: the bare models (BertModel), for masked words (BertForMaskedLM,
BertForPreTraining, RobertaForMaskedLM), and for the classes of sentences and of tokens."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from weights import our_bert
from weights.changes import HEADS, HEADS_BIAS, OUT, SAME
from weights.our_bert import BLOCK, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import class_names, labels, linear, norm
from weights.tables import Beside, Json, Kind, Row, Table

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
ELSEWHERE = {
    "activation": 'BertConfig(hidden_act="gelu_new" | "relu")',
    "norm_epsilon": "BertConfig(layer_norm_eps=...)",
}
SIZES = {
    "vocab_size": "V",
    "hidden_size": "D",
    "num_hidden_layers": "block",
    "intermediate_size": "F",
    "max_position_embeddings": "N",
    "type_vocab_size": "Y",
}


def _encoder(prefix: str) -> tuple[Row, ...]:
    block = prefix + "encoder.layer.{block}"
    return (
        *(
            Row(f"{ours}/embedding", f"{prefix}embeddings.{theirs}_embeddings.weight", SAME)
            for ours, theirs in (("embedding", "word"), ("positions", "position"), ("types", "token_type"))
        ),
        *norm("embedding_norm", f"{prefix}embeddings.LayerNorm"),
        *(
            row
            for part in PROJECTIONS
            for row in (
                Row(f"{BLOCK}/attention/{part}/kernel", f"{block}.attention.self.{part}.weight", HEADS),
                Row(f"{BLOCK}/attention/{part}/bias", f"{block}.attention.self.{part}.bias", HEADS_BIAS),
            )
        ),
        Row(f"{BLOCK}/attention/out/kernel", f"{block}.attention.output.dense.weight", OUT),
        Row(f"{BLOCK}/attention/out/bias", f"{block}.attention.output.dense.bias", SAME),
        *norm(f"{BLOCK}/attention_norm", f"{block}.attention.output.LayerNorm"),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.intermediate.dense"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.output.dense"),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.output.LayerNorm"),
    )


POOLER = linear("pooler", "pooler.dense")
NO_USE = "no head uses this pooler"
UNUSED = {r"roberta\.pooler\.dense\.(weight|bias)": NO_USE}


def _surplus(names: Collection[str], architecture: str) -> dict[str, str]:
    """The pooler of a model that tells tokens apart, or finds masked words alone: until 2020 transformers gave every
    BERT one."""
    words = architecture.endswith("ForMaskedLM") and "cls.seq_relationship.weight" not in names
    unused = words or architecture.endswith("ForTokenClassification")
    return {name: NO_USE for name in names if unused and name.startswith("bert.pooler.")}


def _bert(rows: tuple[Row, ...], optional: tuple[str, ...], copies: Mapping[str, str]) -> Table:
    settings, fixed = {"activation": "gelu", "norm_epsilon": 1e-12}, {"first_position": 0}
    return Table(
        "huggingface", our_bert.FAMILY, settings, ELSEWHERE, rows, optional, {}, fixed, copies, surplus=_surplus
    )


def _roberta(
    rows: tuple[Row, ...], optional: tuple[str, ...], ignored: Mapping[str, str], copies: Mapping[str, str]
) -> Table:
    settings, fixed = {"activation": "gelu", "norm_epsilon": 1e-5}, {"first_position": our_bert.FIRST}
    return Table("huggingface", our_bert.ROBERTA, settings, ELSEWHERE, rows, optional, ignored, fixed, copies)


def _tied(decoder: str, words: str, bias: str) -> dict[str, str]:
    """The copies of a head whose matrix is that of the word embeddings."""
    return {f"{decoder}.weight": f"{words}embeddings.word_embeddings.weight", f"{decoder}.bias": bias}


BERT = (
    _bert(_encoder("") + POOLER, ("pooler",), {}),
    _bert(
        (
            *_encoder("bert."),
            *linear("pooler", "bert.pooler.dense"),
            *linear("words", "cls.predictions.transform.dense"),
            *norm("words_norm", "cls.predictions.transform.LayerNorm"),
            Row("words_bias", "cls.predictions.bias", SAME),
            *linear("following", "cls.seq_relationship"),
            *linear("head", "classifier"),
        ),
        our_bert.OPTIONAL,
        _tied("cls.predictions.decoder", "bert.", "cls.predictions.bias"),
    ),
)
ROBERTA = (
    _roberta(_encoder("") + POOLER, ("pooler",), {}, {}),
    _roberta(
        (
            *_encoder("roberta."),
            *linear("words", "lm_head.dense"),
            *norm("words_norm", "lm_head.layer_norm"),
            Row("words_bias", "lm_head.bias", SAME),
            *linear("head", "classifier"),
        ),
        (*sorted(our_bert.WORDS), "head"),
        UNUSED,
        _tied("lm_head.decoder", "roberta.", "lm_head.bias"),
    ),
    _roberta(
        (*_encoder("roberta."), *linear("pooler", "classifier.dense"), *linear("head", "classifier.out_proj")),
        (),
        UNUSED,
        {},
    ),
)
TABLES = BERT + ROBERTA


def _read(config: Json) -> Beside:
    return Beside(
        heads=int(config["num_attention_heads"]),
        settings={
            "activation": ACTIVATIONS[config.get("hidden_act", "gelu")],
            "norm_epsilon": float(config.get("layer_norm_eps", 1e-12)),  # of RoBERTa as well
        },
        names=class_names(config),
    )


def _write(kind: str, model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    number = sizes.get("C") == 1  # what it says is no class
    head = {
        "words": "ForPreTraining" if model["next_sentence"] else "ForMaskedLM",
        "sentence": "ForSequenceClassification" if "C" in sizes else "Model",
        "tokens": "ForTokenClassification" if "C" in sizes else "Model",
    }[model["head"]]
    return {
        "architectures": [("Bert" if kind == "bert" else "Roberta") + head],
        "model_type": kind,
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "num_attention_heads": sizes["H"],
        "hidden_act": {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}[model["activation"]],
        "layer_norm_eps": model["norm_epsilon"],
        "hidden_dropout_prob": model["dropout"],
        "attention_probs_dropout_prob": model["attention_dropout"],
        **(labels(names or ["LABEL_0"]) if names or number else {}),
        **({"problem_type": "regression"} if number else {}),
        **model.get("special", {}),
    }


BERT_CONFIG = Kind(BERT, SIZES, _read, partial(_write, "bert"))
ROBERTA_CONFIG = Kind(ROBERTA, SIZES, _read, partial(_write, "roberta"))
KINDS = {"bert": BERT_CONFIG, "roberta": ROBERTA_CONFIG}
