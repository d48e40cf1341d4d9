"""transformers' BERT and RoBERTa on a CPU: every head by the file that it saves, and the file that we write, by it."""

from typing import Any

import jax
import numpy as np
import pytest

import models
import weights
from tests.parity.compare import TOLERANCE, draw, same

V, LENGTH = 50, 12
TINY = dict(
    vocab_size=V,
    hidden_size=192,
    num_hidden_layers=4,
    num_attention_heads=3,
    intermediate_size=768,
    num_labels=5,
    max_position_embeddings=40,
)
DRAW = np.random.default_rng(0)
TOKENS = DRAW.integers(5, V, (3, LENGTH))
TYPES = (np.arange(LENGTH) > 6).astype(int) * np.ones((3, 1), int)


def filled(torch: Any, model: Any) -> Any:
    """The model in evaluation, every parameter drawn."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(draw(name, tuple(parameter.shape))))
    return model.eval()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("BertForPreTraining", {}),
        ("BertForMaskedLM", {"hidden_act": "gelu_new"}),
        ("BertForSequenceClassification", {}),
        ("BertForTokenClassification", {"layer_norm_eps": 1e-6}),
        ("BertModel", {}),
        ("RobertaForMaskedLM", {"type_vocab_size": 1}),
        ("RobertaForSequenceClassification", {"type_vocab_size": 1}),
        ("RobertaModel", {"type_vocab_size": 1}),
    ],
)
def test_transformers(torch, measured, tmp_path, kind, options):
    import transformers

    transformers.logging.disable_progress_bar()
    roberta = kind.startswith("Roberta")
    config_of = transformers.RobertaConfig if roberta else transformers.BertConfig
    options = options | ({"layer_norm_eps": 1e-5, "pad_token_id": 1} if roberta else {})
    model = filled(torch, getattr(transformers, kind)(config_of(**TINY | options)))
    model.save_pretrained(tmp_path)
    padding, types = (1, np.zeros_like(TYPES)) if roberta else (0, TYPES)
    tokens = TOKENS.copy()
    tokens[1, 9:] = padding
    inputs = {"input_ids": tokens, "attention_mask": (tokens != padding).astype(int), "token_type_ids": types}
    with torch.no_grad():
        output = model(**{name: torch.from_numpy(x) for name, x in inputs.items()})
    theirs = {
        "BertForPreTraining": lambda: (output.prediction_logits, output.seq_relationship_logits),
        "BertModel": lambda: (output.pooler_output,),
        "RobertaModel": lambda: (output.pooler_output,),
    }.get(kind, lambda: (output.logits,))()

    found = weights.read(tmp_path)
    words = found.model["head"] == "words"
    ours_model = models.build(outputs=V if words else found.classes, vocabulary=V, padding=padding, **found.model)
    ours = jax.jit(lambda p: ours_model.apply({"params": p}, tokens, types, train=False))(found.params)
    ours = ours if isinstance(ours, tuple) else (ours,)
    errors, spreads = [], []
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), b.numpy()
        assert a.shape == b.shape
        seen = tokens != padding if a.ndim == 3 else np.ones(len(a), bool)
        errors.append(float(np.abs(a - b)[seen].max()))
        spreads.append(float(b[seen].std()))
    assert min(spreads) > 0.05, "outputs so small that any error would pass"
    assert max(errors) < TOLERANCE, f"outputs of spreads {spreads} differ by {errors}"

    again = tmp_path / "again"
    weights.write_folder(again, found.params, found.model | {"dropout": 0.1, "attention_dropout": 0.1}, found.names)
    same(weights.files.read(tmp_path / "model.safetensors")[0], weights.files.read(again / "model.safetensors")[0])
    reread, told = type(model).from_pretrained(again, output_loading_info=True)
    assert not any(told.values())
    assert type(reread).__name__ in reread.config.architectures
    for name, value in reread.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    measured.append(
        {
            "weights": f"transformers {kind} {options or ''}".strip(),
            "read as": f"{found.words}, {found.scheme}",
            "largest error": max(errors),
            "spread of outputs": min(spreads),
        }
    )
