"""transformers' MarianMTModel and its tokenizers: the same logits, the same translations, the same ids."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
import weights
from data import published
from models.tokens import EOS
from tasks.translate import Task, shift_right
from tests.data.test_published import TEXTS, sentencepiece_model, write_bpe, write_marian, write_wordpiece
from tests.parity.compare import TOLERANCE, draw, same

V, PAD_THERE, EOS_THERE = 60, 59, 0
ORDER = np.array([PAD_THERE, 1, 2, EOS_THERE, *range(3, V - 1)])  # their id of each of ours
OURS = np.argsort(ORDER)


def rows(rng, count, longest):
    """Sentences of their ids, each with its end and padding."""
    found = np.full((count, longest), PAD_THERE)
    for row, length in zip(found, rng.integers(2, longest, count), strict=True):
        row[:length], row[length] = rng.integers(2, V - 1, length), EOS_THERE
    return found


@pytest.fixture
def theirs(torch, tmp_path):
    """Their model with every parameter drawn, and the folder that it is saved in."""
    import transformers

    transformers.logging.disable_progress_bar()
    config = transformers.MarianConfig(
        vocab_size=V,
        d_model=64,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=64,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=PAD_THERE,
        eos_token_id=EOS_THERE,
        decoder_start_token_id=PAD_THERE,
        forced_eos_token_id=None,
    )
    model = transformers.MarianMTModel(config)
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" not in name:
                parameter.copy_(torch.from_numpy(draw(name, tuple(parameter.shape))))
        # So that no token is the likeliest everywhere: small embeddings, and a bias that takes the mean away.
        model.model.shared.weight.mul_(0.3)
        some = torch.from_numpy(rows(np.random.default_rng(2), 40, 20))
        logits = model(input_ids=some, decoder_input_ids=some.flip(0)).logits
        model.final_logits_bias.copy_(-logits.mean((0, 1))[None])
        model.final_logits_bias[0, EOS_THERE] += 0.75 * logits.std(-1).mean()
    model.save_pretrained(tmp_path / "opus")
    return model, tmp_path / "opus"


def read(folder):
    found = weights.read(folder)
    params = weights.nested(weights.numbered(found.params, found.vocabulary, ORDER))
    return found, models.build(outputs=V, source_vocabulary=None, **found.model), params


def test_logits_and_the_way_back(torch, theirs, measured):
    their_model, folder = theirs
    rng = np.random.default_rng(0)
    source, target = rows(rng, 5, 12), rows(rng, 5, 9)
    inputs = np.concatenate([np.full((5, 1), PAD_THERE), target[:, :-1]], axis=1)
    with torch.no_grad():
        expected = their_model(
            input_ids=torch.from_numpy(source),
            attention_mask=torch.from_numpy((source != PAD_THERE).astype(int)),
            decoder_input_ids=torch.from_numpy(inputs),
        ).logits.numpy()
    found, model, params = read(folder)
    ours = OURS[target]
    shifted = shift_right(jnp.asarray(ours), jnp.asarray((ours != 0).astype(int)), Task(start="pad").first)
    np.testing.assert_array_equal(shifted, np.where(ours != 0, OURS[inputs], 0))
    forward = jax.jit(partial(model.apply, train=False))
    logits = np.asarray(forward({"params": params}, OURS[source], shifted))
    real = target != PAD_THERE
    error = float(np.abs(logits[..., OURS] - expected)[real].max())
    spread = float(expected[real].std())
    assert spread > 0.05
    assert error < TOLERANCE
    measured.append(
        {
            "weights": "transformers MarianMTModel",
            "read as": f"{found.words}, {found.scheme}",
            "tokens": source.shape[1],
            "largest error": error,
            "spread of outputs": spread,
        }
    )
    settings = {field: getattr(model, field) for field in model.__dataclass_fields__}
    special = {"pad_token_id": PAD_THERE, "eos_token_id": EOS_THERE, "decoder_start_token_id": PAD_THERE}
    weights.write_folder(folder.with_name("again"), params, settings | {"special": special}, order=ORDER)
    same(*(weights.files.read(one / "model.safetensors")[0] for one in (folder, folder.with_name("again"))))
    again, told = type(their_model).from_pretrained(folder.with_name("again"), output_loading_info=True)
    assert not any(told.values())
    for name, value in again.state_dict().items():  # there are more positions now
        assert "embed_positions" in name or torch.equal(value, their_model.state_dict()[name]), name
    with torch.no_grad():
        kept = again(input_ids=torch.from_numpy(source), decoder_input_ids=torch.from_numpy(inputs)).logits
        before = their_model(input_ids=torch.from_numpy(source), decoder_input_ids=torch.from_numpy(inputs)).logits
    assert torch.equal(kept, before)


def test_greedy_translations_are_theirs(torch, theirs):
    their_model, folder = theirs
    source = rows(np.random.default_rng(1), 40, 10)
    expected = their_model.generate(
        input_ids=torch.from_numpy(source),
        attention_mask=torch.from_numpy((source != PAD_THERE).astype(int)),
        num_beams=1,
        do_sample=False,
        max_new_tokens=20,
        bad_words_ids=[[PAD_THERE]],
    ).numpy()[:, 1:]
    _, model, params = read(folder)

    def apply(*inputs, method=None, **options):
        return model.apply({"params": params}, *inputs, method=method, **options)

    task = Task(start="pad", beams=1, extra_length=20)
    batch = {"source": jnp.asarray(OURS[source])}
    keys = jax.random.split(jax.random.key(0), len(OURS[source]))
    tokens = np.asarray(task.predict(apply, batch, keys)["tokens"])
    for mine, other in zip(ORDER[tokens][:, :20], expected, strict=True):
        length = [*other.tolist(), EOS_THERE].index(EOS_THERE) + 1
        np.testing.assert_array_equal(mine[:length][: len(other)], other[:length])
    assert len(np.unique(tokens)) > 4
    assert (tokens == EOS).any()


def ids(tokenizer, text):
    return tokenizer(text)["input_ids"]


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_ids_are_those_of_transformers(torch, tmp_path):
    import transformers

    for name in ("marian", "wordpiece", "bpe", "spiece"):
        (tmp_path / name).mkdir()
    write_marian(tmp_path / "marian")
    write_wordpiece(tmp_path / "wordpiece")
    write_bpe(tmp_path / "bpe")
    (tmp_path / "spiece" / "spiece.model").write_bytes(sentencepiece_model())
    there = {
        "marian": transformers.MarianTokenizer(
            source_spm=str(tmp_path / "marian" / "source.spm"),
            target_spm=str(tmp_path / "marian" / "target.spm"),
            vocab=str(tmp_path / "marian" / "vocab.json"),
        ),
        "wordpiece": transformers.BertTokenizer.from_pretrained(tmp_path / "wordpiece"),
        "bpe": transformers.GPT2Tokenizer.from_pretrained(tmp_path / "bpe"),
        "spiece": transformers.T5Tokenizer.from_pretrained(tmp_path / "spiece", extra_ids=0),
    }
    for name, other in there.items():
        ours = published.read(tmp_path / name)[0]
        texts = [*TEXTS, "", "  two  spaces ", "Ångström ☃ 猫 über-cool (x) 3.14!", ">>de<< Ein Hund"]
        for text, row in zip(texts, ours.encode(texts), strict=True):
            expected = ids(other, text)
            mine = ours.order[row].tolist()
            mine = [*ours.order[[2]].tolist(), *mine] if name == "wordpiece" else mine
            mine = mine[:-1] if name == "bpe" else mine  # GPT-2's own adds no end
            assert mine == expected, (name, text)


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_an_exported_tokenizer_is_opened_by_transformers(torch, tmp_path):
    import transformers

    for name, other in (("bpe", transformers.AutoTokenizer), ("marian", transformers.MarianTokenizer)):
        (tmp_path / name).mkdir()
        (write_bpe if name == "bpe" else write_marian)(tmp_path / name)
        readers = published.read(tmp_path / name)
        (tmp_path / f"{name} again").mkdir()
        for file, content in published.files(readers).items():
            (tmp_path / f"{name} again" / file).write_bytes(content)
        config = {"model_type": "gpt2" if name == "bpe" else "marian", "vocab_size": readers[0].size}
        (tmp_path / f"{name} again" / "config.json").write_text(json.dumps(config))
        again = published.read(tmp_path / f"{name} again")
        opened = other.from_pretrained(tmp_path / f"{name} again")
        for text in TEXTS:
            row = readers[0].encode([text])[0]
            assert again[0].encode([text])[0].tolist() == row.tolist()
            assert ids(opened, text) == readers[0].order[row].tolist()[: -1 if name == "bpe" else None]
