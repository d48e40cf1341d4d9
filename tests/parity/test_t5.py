"""transformers' T5 on a CPU: the same encoder outputs, logits and buckets by the file that it saves, and the file that
we write, read by it."""

from typing import Any

import jax
import numpy as np
import pytest

import models
import weights
from models.positions import distance_buckets
from tests.parity.compare import TOLERANCE, draw, same

V, S, T = 60, 150, 40  # sources that are longer than the distance from which all have one bucket
DRAW = np.random.default_rng(0)
SOURCE, INPUTS = DRAW.integers(1, V, (3, S)), DRAW.integers(1, V, (3, T))
SOURCE[1, 100:] = SOURCE[2, 3:] = 0
TINY = dict(vocab_size=V, d_model=96, d_kv=16, d_ff=128, num_layers=3, num_decoder_layers=2, num_heads=4)


def filled(torch: Any, version: str, **options: Any) -> Any:
    """Their model in evaluation, every parameter drawn."""
    import transformers

    transformers.logging.disable_progress_bar()
    form = {"1.0": "relu", "1.1": "gated-gelu"}[version]
    config = transformers.T5Config(
        **TINY, feed_forward_proj=form, tie_word_embeddings=version == "1.0", decoder_start_token_id=0, **options
    )
    model = transformers.T5ForConditionalGeneration(config)
    if version == "1.1":  # 5.24 ties whatever the config says
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = draw(name, tuple(parameter.shape))
            if ".q." in name:
                value /= TINY["d_kv"] ** 0.5  # by which scores are not divided
            if "relative" in name:
                value *= 4  # of about the size of scores
            parameter.copy_(torch.from_numpy(value))
    return model.eval()


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("1.0", {}),
        ("1.1", {}),
        ("1.0", {"relative_attention_num_buckets": 16, "relative_attention_max_distance": 40}),
        ("1.1", {"layer_norm_epsilon": 1e-3}),
    ],
)
def test_transformers(torch, measured, tmp_path, version, options):
    model = filled(torch, version, **options)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(SOURCE),
            attention_mask=torch.from_numpy((SOURCE != 0).astype(int)),
            decoder_input_ids=torch.from_numpy(INPUTS),
        )
    found = weights.read(tmp_path)
    ours = models.build(outputs=V, **found.model)

    @jax.jit
    def run(params):
        variables = {"params": params}
        memory = ours.apply(variables, SOURCE, train=False, method="encode")
        return memory, ours.apply(variables, SOURCE, INPUTS, train=False)

    errors, spreads = [], []
    for a, b in zip(run(found.params), (output.encoder_last_hidden_state, output.logits), strict=True):
        seen = SOURCE != 0 if a.shape[1] == S else np.ones(INPUTS.shape, bool)
        b = b.numpy()
        assert a.shape == b.shape
        errors.append(float(np.abs(np.asarray(a) - b)[seen].max()))
        spreads.append(float(b[seen].std()))
    assert min(spreads) > 0.05, "outputs so small that any error would pass"
    assert max(errors) < TOLERANCE, f"outputs of spreads {spreads} differ by {errors}"

    again = tmp_path / "again"
    weights.write_folder(again, found.params, found.model | {"dropout": 0.1})
    same(weights.files.read(tmp_path / "model.safetensors")[0], weights.files.read(again / "model.safetensors")[0])
    back = weights.read(again)
    same(weights.flat(found.params), weights.flat(back.params))
    assert back.model == found.model
    reread, told = type(model).from_pretrained(again, output_loading_info=True)
    assert not any(told.values())
    for name, value in reread.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    measured.append(
        {
            "weights": f"transformers T5ForConditionalGeneration v{version} {options or ''}".strip(),
            "read as": f"{found.words}, {found.scheme}",
            "largest error": max(errors),
            "spread of outputs": min(spreads),
        }
    )


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (32, 64), (16, 40), (64, 256)])
@pytest.mark.parametrize("both_sides", [True, False])
def test_buckets(torch, buckets, furthest, both_sides):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = np.arange(-3000, 3001)
    theirs = T5Attention._relative_position_bucket(torch.from_numpy(distance), both_sides, buckets, furthest)
    np.testing.assert_array_equal(distance_buckets(distance, buckets, furthest, both_sides), theirs.numpy())
