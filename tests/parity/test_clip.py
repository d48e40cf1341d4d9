"""CLIP and SigLIP: transformers' on a CPU with its tokenizers, open_clip's names by transformers' own weights, and
big_vision's ViT and SigLIP."""

import importlib
import json

import flax
import jax
import numpy as np
import pytest

import models
import weights
from data import captions, published
from tests.parity.compare import TOLERANCE, compare, draw, images, same
from tests.parity.test_torch import filled

V, LENGTH, SIZE = 99, 12, 32
TEXT = dict(
    vocab_size=V,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=LENGTH,
)
VISION = dict(
    hidden_size=96, intermediate_size=128, num_hidden_layers=3, num_attention_heads=3, image_size=SIZE, patch_size=8
)
BOS, EOS = V - 2, V - 1


def reordered(found, order):
    """Our parameters with the tokens in another order, as a run with their tokenizer has them."""
    return weights.nested(weights.numbered(found.params, found.vocabulary, order))


def order():
    """Their ids of ours: 2 and 3 are the beginning and the end."""
    others = [i for i in range(V) if i not in (BOS, EOS)]
    return np.array([*others[:2], BOS, EOS, *others[2:]])


def tokens():
    rows = np.random.default_rng(0).integers(0, V - 2, (3, LENGTH))
    rows[:, 0] = BOS
    for row, end in zip(rows, (LENGTH - 1, 5, 8), strict=True):
        row[end:] = EOS
    return rows


def ours(found, image, theirs_tokens):
    """Embeddings, scale and bias of our model, given their ids."""
    params, place = reordered(found, order()), np.argsort(order())
    model = models.build(outputs=V, **found.model)
    embedded = jax.jit(lambda p, x, t: model.apply({"params": p}, x, t, train=False))(
        params, image, place[theirs_tokens]
    )
    return jax.tree.map(np.asarray, embedded)


def close(a, b, what):
    assert float(b.std()) > 0.01, what
    error = float(np.abs(a - b).max())
    assert error < TOLERANCE, (what, error)
    return error


@pytest.mark.parametrize(
    ("form", "options"),
    [("clip", {}), ("clip", {"hidden_act": "gelu", "layer_norm_eps": 1e-6}), ("siglip", {})],
)
def test_transformers(torch, measured, tmp_path, form, options):
    import transformers

    transformers.logging.disable_progress_bar()
    kind = {"clip": "CLIP", "siglip": "Siglip"}[form]
    extra = {"projection_dim": 48} if form == "clip" else {}
    text = TEXT | options | extra | ({"projection_size": 96} if form == "siglip" else {})
    ids = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS}
    config = getattr(transformers, f"{kind}Config")(
        text_config=text | ids, vision_config=VISION | options | extra, **extra
    )
    model = filled(torch, getattr(transformers, f"{kind}Model")(config))
    model.save_pretrained(tmp_path)
    image, rows = images(SIZE), tokens()
    with torch.no_grad():
        theirs = model(
            input_ids=torch.from_numpy(rows), pixel_values=torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
        )
    found = weights.read(tmp_path)
    assert found.data["max_length"] == LENGTH
    mine = ours(found, image, rows)
    logits = mine.scale * mine.image @ mine.text.T + mine.bias
    error = close(logits, theirs.logits_per_image.numpy(), "logits")
    close(mine.text, theirs.text_embeds.numpy(), "texts")
    close(mine.image, theirs.image_embeds.numpy(), "images")
    measured.append(
        {
            "weights": f"transformers {kind}Model {options or ''}".strip(),
            "read as": f"{found.words}, {found.scheme}",
            "image": SIZE,
            "largest error": error,
            "spread of outputs": float(logits.std()),
        }
    )
    # What we write, their model opens, and it computes the same.
    settings = found.model | {"grid": (4, 4), "special": {f"{k.removesuffix('_id')}_id": v for k, v in ids.items()}}
    weights.write_folder(tmp_path / "again", found.params, settings)
    again, told = getattr(transformers, f"{kind}Model").from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(told.values())
    with torch.no_grad():
        second = again.eval()(
            input_ids=torch.from_numpy(rows), pixel_values=torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
        )
    assert torch.allclose(second.logits_per_image, theirs.logits_per_image, atol=1e-5)

    if form == "clip":  # open_clip's names of the same weights
        weights.write(tmp_path / "open.safetensors", found.params, "open_clip", found.model)
        (tmp_path / "alone").mkdir()
        (tmp_path / "open.safetensors").rename(tmp_path / "alone" / "open.safetensors")
        back = weights.read(tmp_path / "alone" / "open.safetensors")
        assert back.scheme == "open_clip"
        same(weights.flat(found.params), weights.flat(back.params))
        assert np.array_equal(ours(back, image, rows).text, mine.text)


def test_the_tokenizer_of_a_clip(tmp_path):
    """CLIP's byte-level BPE with word ends, by a small tokenizer.json."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: make test-parity")
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
    from tokenizers import models as kinds

    texts = ["a photo of a cat", "a photo of two dogs", "the cat's dog, running!"] * 5
    own = Tokenizer(kinds.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    own.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<|startoftext|>", "<|endoftext|>"]
    own.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, end_of_word_suffix="</w>"))
    own.add_special_tokens(special)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, bos_token=special[0], eos_token=special[1], pad_token=special[1], unk_token=special[1]
    )
    fast.save_pretrained(tmp_path)
    (reader,) = published.read(tmp_path)
    assert "eos" not in reader.lacks
    assert "bos" not in reader.lacks
    asked = ["A photo of a cat", "dogs"]
    rows, _, _ = captions.rows(reader, asked, "lower", True, 16)
    theirs = [[fast.bos_token_id, *fast(text)["input_ids"], fast.eos_token_id] for text in asked]
    for row, ids in zip(reader.order[rows].tolist(), theirs, strict=True):
        assert row == ids + [fast.eos_token_id] * (16 - len(ids))


def test_the_tokenizer_of_a_siglip(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: make test-parity")
    import sentencepiece

    (tmp_path / "texts").write_text("a photo of a cat\na photo of two dogs\nthe dog is running\n" * 5)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "texts"), model_prefix=str(tmp_path / "spiece"), vocab_size=23, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=2,
    )  # fmt: skip
    theirs = transformers.SiglipTokenizer(str(tmp_path / "spiece.model"))
    (reader,) = published.read(tmp_path / "spiece.model")
    asked = ["A photo of a CAT!", "two dogs, running"]
    rows, _, _ = captions.rows(reader, asked, "words", False, 16)
    wanted = theirs(asked, padding="max_length", max_length=16, truncation=True)["input_ids"]
    assert reader.order[rows].tolist() == wanted


@pytest.fixture
def big_vision(checkout, monkeypatch):
    """big_vision(module): one of its models."""
    monkeypatch.syspath_prepend(checkout("BIG_VISION", "google-research/big_vision"))

    def find(module: str):
        try:
            return importlib.import_module(f"big_vision.models.{module}")
        except ImportError as error:
            pytest.skip(f"what big_vision imports is not installed: {error}")

    return find


def drawn(model, *inputs):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))["params"]
    return {name: draw(name, leaf.shape) for name, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items()}


@pytest.mark.parametrize(
    "options", [{"pool_type": "map"}, {"pool_type": "gap", "scan": True}, {"pool_type": "tok", "rep_size": True}]
)
def test_big_vision_vit(big_vision, measured, tmp_path, options):
    model = big_vision("vit").Model(10, width=96, depth=3, mlp_dim=128, num_heads=3, patch_size=(8, 8), **options)
    image, path = images(SIZE), tmp_path / "vit.npz"
    flat = drawn(model, image)
    params = flax.traverse_util.unflatten_dict(flat, sep="/")
    theirs = np.asarray(jax.jit(lambda p, x: model.apply({"params": p}, x)[0])(params, image))
    np.savez(path, **{f"params/{name}": array for name, array in flat.items()})
    found = weights.read(path)
    ours_model = models.build(outputs=10, **found.model)
    mine = np.asarray(ours_model.apply({"params": found.params}, image, train=False))
    error = close(mine, theirs, "logits")
    measured.append(
        {
            "weights": f"big_vision ViT {options}",
            "read as": f"{found.words}, {found.scheme}",
            "image": SIZE,
            "largest error": error,
            "spread of outputs": float(theirs.std()),
        }
    )
    if "scan" not in options:
        plain = tmp_path / "plain.npz"
        np.savez(plain, **flat)
        if options["pool_type"] == "map":
            compare("big_vision ViT", plain, image, theirs)


def test_big_vision_siglip(big_vision, measured, tmp_path):
    size = dict(width=96, depth=3, mlp_dim=128, num_heads=3)
    model = big_vision("proj.image_text.two_towers").Model(
        image=dict(patch_size=(8, 8), pool_type="map", num_classes=None, **size),
        text=dict(vocab_size=V, **(size | {"width": 64, "num_heads": 2})),
        out_dim=(None, 96),
        temperature_init=10.0,
        bias_init=-10.0,
    )
    image, rows = images(SIZE), tokens()
    flat = drawn(model, image, rows) | {"t": np.full(1, 1.5, np.float32), "b": np.full(1, -1.0, np.float32)}
    params = flax.traverse_util.unflatten_dict(flat, sep="/")
    seen, said, _ = jax.jit(lambda p, x, t: model.apply({"params": p}, x, t))(params, image, rows)
    path = tmp_path / "siglip.npz"
    np.savez(path, **{f"params/{name}": array for name, array in flat.items()})
    found = weights.read(path)
    mine = ours(found, image, rows)
    close(mine.text, np.asarray(said), "texts")
    error = close(mine.image, np.asarray(seen), "images")
    assert (float(mine.scale), float(mine.bias)) == pytest.approx((np.exp(1.5), -1.0))
    weights.write(tmp_path / "again.npz", found.params, "google", found.model)
    same(flat, weights.files.read(tmp_path / "again.npz")[0])
    measured.append(
        {
            "weights": "big_vision SigLIP",
            "read as": f"{found.words}, {found.scheme}",
            "image": SIZE,
            "largest error": error,
            "spread of outputs": float(mine.image.std()),
        }
    )
    json.dumps(found.model)
