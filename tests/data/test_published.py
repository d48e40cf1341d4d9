"""Tokenizers from files: the ids of their own library, our special ids, and the text back."""

import functools
import io
import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tokenizers as library
from babel import Locale, localedata
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from data import published
from data.pipelines import documents, pairs, sentences
from data.pipelines.base import Feed
from data.published import Published
from data.tokenizer import Tokenizer
from errors import UserError
from models.tokens import BOS, EOS, PAD, UNKNOWN

TEXTS = [
    "Ein kleiner Hund läuft über die große Straße.",
    "A small dog runs across the big street, and it is raining.",
    "Zwei Männer sitzen auf einer Bank und lesen!",
    "Two men sit on a bench and read; the cat sleeps.",
]


def sentencepiece_model(texts=TEXTS, size=100, **settings) -> bytes:
    model = io.BytesIO()
    settings = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False) | settings
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, minloglevel=2, **settings
    )
    return model.getvalue()


def bytes_bpe(texts=TEXTS, size=300) -> library.Tokenizer:
    tokenizer = library.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def write_bpe(folder: Path) -> library.Tokenizer:
    """vocab.json and merges.txt as GPT-2 has them, the end of a text in the vocabulary."""
    tokenizer = bytes_bpe()
    tokenizer.model.save(str(folder))
    (folder / "vocab.json").write_text(json.dumps(tokenizer.get_vocab()))
    return tokenizer


def write_wordpiece(folder: Path, texts=TEXTS, lower=True, size=300) -> library.Tokenizer:
    tokenizer = library.BertWordPieceTokenizer(lowercase=lower, strip_accents=None)
    tokenizer.train_from_iterator(texts, vocab_size=size, min_frequency=1, show_progress=False)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    assert words[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # The places that BERT's own file has are further on.
    words = [words[0], *words[5:60], *words[1:5], *words[60:]]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return library.BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lower)


def write_marian(folder: Path) -> dict[str, int]:
    """Two models of pieces and one vocabulary of both, with the special ids where Marian has them."""
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for name, texts in (("source", TEXTS[::2]), ("target", TEXTS[1::2])):
        model = sentencepiece_model(texts, 60, pad_id=-1, eos_id=-1, unk_id=0)
        (folder / f"{name}.spm").write_bytes(model)
        processor = SentencePieceProcessor(model_proto=model)
        pieces |= dict.fromkeys(processor.id_to_piece(i) for i in range(1, len(processor)))
    vocabulary = {piece: i for i, piece in enumerate([*pieces, ">>de<<", "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return vocabulary


def one(path: Path) -> Published:
    (found,) = published.read(path)
    return found


def test_a_sentencepiece_model_has_its_own_ids_but_for_the_special_ones(tmp_path):
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model())
    tok, theirs = one(tmp_path), SentencePieceProcessor(str(tmp_path / "spiece.model"))
    assert tok.order[:5].tolist() == [0, 2, 3, 1, 4]  # T5: padding, end, unknown, and no beginning
    assert (tok.lacks, tok.size, tok.mask) == (("bos",), len(theirs), None)
    for text, ids in zip(TEXTS, tok.encode(TEXTS), strict=True):
        assert ids.dtype == np.int32
        assert tok.order[ids].tolist() == [*theirs.encode(text), theirs.eos_id()]
        assert tok.decode(ids) == text
    assert tok.unknown(tok.encode(["der ☃"])[0]) == 1
    assert tok.pieces([PAD, UNKNOWN, EOS]) == ["<pad>", "<unk>", "</s>"]


def test_a_model_with_more_rows_than_ids_as_config_json_says(tmp_path):
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model())
    small = one(tmp_path).size
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": small + 28}))
    tok = one(tmp_path)
    assert tok.size == len(tok.order) == small + 28
    assert tok.decode([small + 27]) == "".join(tok.pieces([small + 27])) == ""
    (tmp_path / "config.json").write_text('{"vocab_size": 3}')
    tok = one(tmp_path)
    assert tok.size == small
    for read in (tok.decode, tok.pieces):
        with pytest.raises(UserError, match=f"id {small} is not in the vocabulary, whose largest is {small - 1}"):
            read([small])


def test_bytes_bpe_has_an_end_and_no_more(tmp_path):
    theirs = write_bpe(tmp_path)
    tok = one(tmp_path)
    assert tok.lacks == ("pad", "unknown", "bos")
    assert tok.order[:5].tolist() == [0, 1, 2, theirs.token_to_id("<|endoftext|>"), 3]
    text = " two  spaces, a\nline ☃ 猫 <|endoftext|> "
    ids = tok.encode([text])[0]
    assert tok.decode(ids) == text
    assert EOS not in ids[:-1]  # which no text spells
    assert tok.order[tok.encode(["A small dog"])[0][:-1]].tolist() == theirs.encode("A small dog").ids
    theirs.save(str(tmp_path / "tokenizer.json"))
    again = one(tmp_path)  # the whole rather than its parts
    assert [i.tolist() for i in again.encode([text, *TEXTS])] == [i.tolist() for i in tok.encode([text, *TEXTS])]


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_begins_and_ends_as_berts_sentences_do(tmp_path, lower):
    theirs = write_wordpiece(tmp_path, lower=lower)
    tok = one(tmp_path)
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    assert tok.order[:4].tolist() == [theirs.token_to_id(name) for name in names]
    assert tok.lacks == ()
    assert tok.pieces([tok.mask]) == ["[MASK]"]
    for text, ids in zip(TEXTS, tok.encode(TEXTS), strict=True):
        assert tok.order[[BOS, *ids]].tolist() == theirs.encode(text).ids
        squeezed = unicodedata.normalize("NFKD", text.lower()) if lower else text
        squeezed = "".join(c for c in squeezed if not unicodedata.combining(c) or not lower)
        assert tok.decode([BOS, *ids, PAD]).replace(" ", "") == squeezed.replace(" ", "")


def test_characters_that_end_a_line_elsewhere_are_words_of_a_vocabulary(tmp_path):
    write_wordpiece(tmp_path)
    words = (tmp_path / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    words[70:70] = ["\u2028", "\x85", "\x1c"]  # whole lines, which texts from the web bring into a vocabulary
    (tmp_path / "vocab.txt").write_text("\r\n".join(words) + "\r\n", "utf-8", newline="")
    tok = one(tmp_path)
    assert [tok.pieces([i])[0] for i in np.argsort(tok.order)] == words


def test_a_pair_of_texts_is_as_its_model_was_trained(tmp_path):
    """[CLS] A [SEP] B [SEP] of BERT; <s> A </s></s> B </s> of RoBERTa."""
    bert, roberta = tmp_path / "bert", tmp_path / "roberta"
    bert.mkdir()
    roberta.mkdir()
    tokenizer = bytes_bpe()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    end, begin = (("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    tokenizer.post_processor = processors.RobertaProcessing(end, begin)
    tokenizer.save(str(roberta / "tokenizer.json"))
    for folder, theirs in ((bert, write_wordpiece(bert)), (roberta, tokenizer)):
        (folder / "config.json").write_text(json.dumps({"model_type": folder.name}))
        made = sentences.Pipeline(tokenizer=str(folder), fields=("one", "two"), begin=True, **SENTENCES)
        batch, _ = made.read(["\t".join(TEXTS[1::2])])
        tokens = batch["tokens"][0][batch["tokens"][0] != PAD]
        assert made.text_tokenizer.order[tokens].tolist() == theirs.encode(*TEXTS[1::2]).ids


def test_marian_has_two_with_one_vocabulary(tmp_path):
    vocabulary = write_marian(tmp_path)
    source, target = published.read(tmp_path)
    assert source.size == target.size == len(vocabulary)
    assert source.order[:5].tolist() == [vocabulary["<pad>"], 1, 2, 0, 3]
    assert source.lacks == ("bos",)
    assert [source.decode(ids) for ids in source.encode(TEXTS[::2])] == TEXTS[::2]
    assert [target.decode(ids) for ids in target.encode(TEXTS[1::2])] == TEXTS[1::2]
    assert target.decode(source.encode(TEXTS[:1])[0]) == TEXTS[0]
    assert source.pieces(source.encode([">>de<< Ein"])[0])[0] == ">>de<<"
    assert source.unknown(source.encode([">>fr<<"])[0]) > 0


def test_what_the_files_call_a_special_token_comes_before_its_usual_spelling(tmp_path):
    theirs = write_bpe(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": {"content": "!"}, "unk_token": "<|endoftext|>"}')
    tok = one(tmp_path)
    assert tok.lacks == ("unknown", "bos")
    assert tok.order[PAD] == theirs.token_to_id("!")
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<|endoftext|>", "bos_token": null}')
    assert one(tmp_path).lacks == ("pad", "unknown", "bos")


def test_a_stored_one_is_the_same(tmp_path):
    write_marian(tmp_path)
    for tok in published.read(tmp_path):
        again = Published(tok.model)
        assert (again.model, again.digest, again.size, again.lacks) == (tok.model, tok.digest, tok.size, tok.lacks)
        (tmp_path / "tokenizer.model").write_bytes(tok.model)
        assert one(tmp_path / "tokenizer.model").digest == tok.digest


@functools.cache
def scripts() -> dict[str, str]:
    """A text in each script that a locale of Babel's is written in: what the locale is called in itself."""
    found: dict[str, str] = {}
    for name in localedata.locale_identifiers():
        if "_" not in name or len(name.split("_")[1]) == 4:
            text = Locale.parse(name).get_display_name() or ""
            for script in {unicodedata.name(c, "?").split()[0] for c in text if c.isalpha()}:
                found[script] = unicodedata.normalize("NFC", f"{found.get(script, '')} {text}".strip())
    return found


def test_text_of_every_script_comes_back(tmp_path):
    texts = list(scripts().values())
    assert len(texts) > 40
    for folder in ("bpe", "bytes", "words"):
        (tmp_path / folder).mkdir()
    write_bpe(tmp_path / "bpe")
    model = sentencepiece_model(size=400, byte_fallback=True, normalization_rule_name="identity")
    (tmp_path / "bytes" / "a.model").write_bytes(model)
    for name in ("bpe", "bytes"):
        tok = one(tmp_path / name)
        assert [tok.decode(ids) for ids in tok.encode(texts)] == texts
    for settings in (dict(byte_fallback=True), dict(exact=True, byte_fallback=True)):
        tok = Tokenizer.train(TEXTS, "bpe", 350, normalisation="identity", **settings)
        assert [tok.decode(ids) for ids in tok.encode(texts)] == texts
    write_wordpiece(tmp_path / "words", [*texts, *TEXTS], lower=False, size=3000)
    tok = one(tmp_path / "words")
    for text, ids in zip(texts, tok.encode(texts), strict=True):  # spaces stand between words, not where they stood
        known = (c for c in text if c != " " and unicodedata.category(c) != "Cf")
        assert tok.decode(ids).replace(" ", "") == "".join(known)


SENTENCES = dict(source="tsv", name="nowhere", batch_size=4)
PAIRS = dict(source="files", name="nowhere", languages=("de", "en"), batch_tokens=256)


def test_pipelines_take_one_without_looking_at_the_data(tmp_path):
    (tmp_path / "marian").mkdir()
    write_marian(tmp_path / "marian")
    made = pairs.Pipeline(tokenizer=str(tmp_path / "marian"), **PAIRS)
    size = made.target_tokenizer.size
    assert made.sizes == {"outputs": size, "source_vocabulary": None}
    assert sorted(made.files) == ["tokenizer.de.model", "tokenizer.en.model"]
    assert made.unread(None, None).sizes == made.sizes
    batch, notes = made.read(TEXTS[:1])
    assert made.source_tokenizer.decode(batch["source"][0]) == TEXTS[0]
    assert not notes
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    shutil.rmtree(tmp_path / "marian")
    trained = Feed(known=made.known, folder=tmp_path)
    again = pairs.Pipeline(tokenizer=str(tmp_path / "marian"), feed=trained, **PAIRS)
    assert again.known == made.known
    assert again.readers[0].order.tolist() == made.readers[0].order.tolist()


def test_documents_of_a_tokenizer_without_a_beginning(tmp_path):
    write_bpe(tmp_path)
    (tmp_path / "a.txt").write_text(TEXTS[0])
    (tmp_path / "b.txt").write_text(TEXTS[1])
    settings = dict(name=f"{tmp_path}/?.txt", tokenizer=str(tmp_path), batch_size=2, length=8)
    made = documents.Pipeline(**settings, train_split="train", eval_splits=("train",))
    tokens = made.train.source.tokens
    assert made.sizes == {"outputs": made.text_tokenizer.size}
    assert (tokens == EOS).sum() == made.train.documents
    assert made.train.bytes < sum(len(text.encode()) for text in TEXTS[:2])  # the first token is not predicted
    batch, _ = made.read(["A small"])
    assert made.decode(batch["tokens"][0][batch["tokens"][0] >= 0]) == "A small"
    batch, notes = made.read([""])
    assert batch["tokens"][0, 0] == EOS
    assert "after the end of another" in notes[0]


def test_what_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    write_bpe(tmp_path)

    def refused(path, message, content=None):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=message) as raised:
            published.read(path)
        assert "\n" not in str(raised.value)

    refused(tmp_path / "empty", r"there is no tokenizer here: sentencepiece's .model, tokenizer.json")
    refused(tmp_path / "a.zip", "there is no tokenizer in it", b"")
    refused(tmp_path / "a.model", "is no tokenizer, or a damaged one", sentencepiece_model()[:-50])
    refused(tmp_path / "tokenizer.json", "is no tokenizer, or a damaged one", b'{"model": 1}')
    refused(tmp_path / "tokenizer.json", "is no tokenizer, or a damaged one", b"\xff\xfe")
    refused(tmp_path / "vocab.txt", "list of different words, one a line, with .UNK. among them", b"a\na\n[UNK]\n")
    refused(tmp_path / "vocab.txt", "is no tokenizer, or a damaged one", b"[UNK]\n\xff\n")
    write_wordpiece(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text('{"vocab_size": 1000}')
    refused(tmp_path / "empty", r"the tokenizer has \d+ tokens, and config.json beside it says vocab_size=1,000")
    refused(tmp_path / "nothing.model", "cannot read .*nothing.model: No such file")
    (tmp_path / "tokenizer_config.json").write_text("[]")
    refused(tmp_path / "vocab.json", "tokenizer_config.json is no JSON object")
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "merges.txt").unlink()
    refused(tmp_path / "vocab.json", "merges.txt is not beside it")
    (tmp_path / "two").mkdir()
    for name in "ab":
        (tmp_path / "two" / f"{name}.model").write_bytes(b"")
    refused(tmp_path / "two", "several tokenizers, a.model, b.model: name one of these files")
    (tmp_path / "spm").mkdir()
    write_marian(tmp_path / "spm")
    vocabulary = json.loads((tmp_path / "spm" / "vocab.json").read_text())
    for wrong in ({"a": "b"}, {"a": -1}, vocabulary | {"x": None}):
        (tmp_path / "spm" / "vocab.json").write_text(json.dumps(wrong))
        refused(tmp_path / "spm", "no published tokenizer, or a damaged one|is no tokenizer, or a damaged one")


def test_what_a_pipeline_cannot_take_is_one_line(tmp_path):
    for name in ("bpe", "marian"):
        (tmp_path / name).mkdir()
    write_bpe(tmp_path / "bpe")
    write_marian(tmp_path / "marian")
    (tmp_path / "t5.model").write_bytes(sentencepiece_model())
    bpe, marian, t5 = (str(tmp_path / name) for name in ("bpe", "marian", "t5.model"))

    def refused(make, message):
        with pytest.raises(UserError, match=message) as raised:
            _ = make().sizes
        assert "\n" not in str(raised.value)

    refused(lambda: pairs.Pipeline(tokenizer="bpee", **PAIRS), "'bpee' is no file or folder.*did you mean 'bpe'")
    refused(lambda: pairs.Pipeline(tokenizer="", **PAIRS), "tokenizer names nothing: set --config.init_from=FOLDER")
    refused(lambda: pairs.Pipeline(tokenizer=bpe, **PAIRS), "has no special id for 'pad'.*pad_token")
    refused(lambda: pairs.Pipeline(tokenizer=marian, joint=False, **PAIRS), "joint=False is for tokenizers that are")
    refused(lambda: pairs.Pipeline(tokenizer=t5, normalisation="nfkc", **PAIRS), "normalisation='nfkc' is for")
    two = sentences.Pipeline(tokenizer=marian, **SENTENCES)
    with pytest.raises(UserError, match="is two, for a source and a target"):
        _ = two.text_tokenizer
    refused(lambda: documents.Pipeline(tokenizer="chr", batch_size=2), "'chr' is no file or folder.*'char'")
